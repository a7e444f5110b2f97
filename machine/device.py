"""Where PyTorch computes: the device, how arrays get there and back, and freed memory of the host, given back."""

import ctypes
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from x2static.durable.errors import X2StaticError

# What a trim gives back is faulted in again where the next batch needs it (docs/LOG.md, 2026-11-22). So none within the
# room that an encode of few units takes, nor before the 50 to 60 MB of two lanes of all-MiniLM-L6-v2 are back.
ROOM = 192 << 20  # bytes beyond what is needed whatever the batches
GROWTH = 64 << 20  # bytes since the last trim
STATM = Path("/proc/self/statm")


def memory_of(device: torch.device) -> int:
    """Return the bytes of memory that a device has."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes with bfloat16, and does not merely hold it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


def pick_device(name: str) -> torch.device:
    """Return the device for "auto" (a GPU, if any), "cpu" or "cuda". Raises X2StaticError: there is no GPU."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise X2StaticError("--device cuda: PyTorch finds no CUDA device on this machine; give --device cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def to_device(array: npt.NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on the device; to an accelerator it is copied while the host goes on."""
    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


@dataclass
class Fetched:
    """A tensor on its way to the host."""

    original: torch.Tensor | None  # referred to until the copy is made, or the device gave its memory to another tensor
    copy: torch.Tensor
    done: Any  # the event of the copy

    def numpy(self) -> npt.NDArray[Any]:
        """Wait for the copy and return it."""
        self.done.synchronize()
        self.original = None
        return self.copy.numpy()


class ResultStream:
    """Copies results to the host on a stream of its own, beside the teacher's. A CPU's streams do nothing."""

    def __init__(self, device: torch.device) -> None:
        self._module: ModuleType = torch.get_device_module(device)
        self._stream = self._module.Stream()

    def fetch(self, tensor: torch.Tensor) -> Fetched:
        """Begin to copy a tensor as soon as the work that makes it is done; one that is on the host is not copied."""
        copy = tensor
        self._stream.wait_stream(self._module.current_stream())
        with self._module.stream(self._stream):
            if not tensor.is_cpu:
                copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                copy.copy_(tensor, non_blocking=True)
            done = self._module.Event()
            done.record(self._stream)
        return Fetched(tensor, copy, done)


class Trimmer:
    """Gives freed memory back to the system whenever a good deal of it has gathered.

    A teacher's states are freed and allocated in ever other sizes, so that glibc's heaps grow for hours, full of holes
    (docs/LOG.md, 2026-11-21).
    """

    def __init__(self, besides: int = 0) -> None:
        """Take what the process holds now, with the teacher loaded, and `besides` bytes for what it needs."""
        self._needed, self._after_last = resident() + besides, 0

    def after_batch(self) -> None:
        """Look how much the process holds, and give back if that is much and has grown since the last time."""
        held = resident()
        if held - self._needed > ROOM and held - self._after_last > GROWTH:
            give_back()
            self._after_last = resident()


def give_back() -> None:
    """Let the C library give freed memory back: glibc does, musl and others keep less."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def resident() -> int:
    """Return the bytes that the process holds in memory; 0 where the system does not say."""
    try:
        return int(STATM.read_bytes().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0
