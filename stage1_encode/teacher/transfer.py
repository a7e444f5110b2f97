"""Results on their way back from the device, neither side waiting for the other."""

from types import ModuleType
from typing import Any

import numpy.typing as npt
import torch


class Fetched:
    """A tensor on its way to the host.

    It keeps the original alive until the copy is made, so that the device does not give its memory to another.
    """

    def __init__(self, original: torch.Tensor, copy: torch.Tensor, done: Any) -> None:
        """Keep the original, where it is copied to, and the event that tells when that is done."""
        self._original: torch.Tensor | None = original
        self._copy, self._done = copy, done

    def numpy(self) -> npt.NDArray[Any]:
        """Wait for the copy and return it."""
        self._done.synchronize()
        self._original = None
        return self._copy.numpy()


class ResultStream:
    """Copies results to the host on a stream of its own, beside the teacher's. A CPU's streams do nothing."""

    def __init__(self, device: torch.device) -> None:
        """Make the stream.

        Args:
            device: the teacher's.
        """
        self._device = device
        self._module: ModuleType = torch.get_device_module(device)
        self._stream = self._module.Stream()

    def fetch(self, tensor: torch.Tensor) -> Fetched:
        """Begin to copy a tensor as soon as the work that makes it is done; one that is on the host is not copied."""
        copy = tensor
        self._stream.wait_stream(self._module.current_stream())
        with self._module.stream(self._stream):
            if self._device.type != "cpu":
                copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                copy.copy_(tensor, non_blocking=True)
            done = self._module.Event()
            done.record(self._stream)
        return Fetched(tensor, copy, done)
