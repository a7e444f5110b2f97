"""The occurrences of words in a batch, and how the teacher's states become their contextual vectors."""

from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.machine.device import to_device
from x2static.schemas.shard import ranges
from x2static.stage1_encode.pools.contexts import flattened
from x2static.stage1_encode.text.windows import Window


class Occurrences:
    """The occurrences in a batch; an occurrence's vector is the mean of the states of its pieces."""

    def __init__(self, batch: list[Window], width: int, device: torch.device) -> None:
        """Look where they are.

        Args:
            batch: the windows, in the order of the rows of the states.
            width: pieces in a row of the states, padding included.
            device: the teacher's.
        """
        found = flattened([window.occurrences for window in batch], width)
        self._lengths = found[:, 2] - found[:, 1]
        self.words: npt.NDArray[np.int64] = found[:, 0]  # (n,) int64, the word of each
        self._positions = to_device(ranges(found[:, 1], self._lengths), device)
        self._weights = to_device(np.repeat(1 / self._lengths, self._lengths).astype(np.float32), device)

    def pieces(self, states: Tensor) -> Tensor:
        """Return the states of all pieces, each divided by the pieces of its occurrence, (n_pieces, dim) float32.

        Args:
            states: (len(batch), width, dim), of any float type.
        """
        rows = states.reshape(-1, states.shape[2]).index_select(0, self._positions)
        return rows.float() * self._weights[:, None]

    def of_pieces(self, values: npt.NDArray[np.int64]) -> Tensor:
        """Return, for each piece, the value of its occurrence, (n_pieces,) int64 on the device.

        Args:
            values: (n,) int64, one an occurrence.
        """
        return to_device(np.repeat(values, self._lengths), self._positions.device)

    @cached_property
    def _owners(self) -> Tensor:
        return self.of_pieces(np.arange(len(self.words)))

    def vectors(self, states: Tensor) -> Tensor:
        """Return the vector of each occurrence, (n, dim) float32.

        Args:
            states: (len(batch), width, dim), of any float type.
        """
        found = torch.zeros((len(self.words), states.shape[2]), device=states.device)
        return found.index_add_(0, self._owners, self.pieces(states))
