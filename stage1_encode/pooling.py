"""Batches of windows, and the mean of the teacher's states over each context (eq. 3 and 4)."""

import numpy as np
import torch

from schemas.device import to_device
from schemas.ragged import ranges
from stage1_encode.windows import Window, flattened

WIDTHS_PER_OCTAVE = 16
WORTH_FILLING = 20  # full batches in a unit


def padded_width(longest: int, window: int) -> int:
    """Return how many pieces wide a batch is made: few widths, and little padding.

    A CPU's matrix library prepares and keeps code for every shape it meets, 1.5 MB of it, so that an encode's memory
    grows with each new one. So many widths between one power of two and the next, and one number of rows for each
    (`first_batch`), make 70 shapes of English Wikipedia, with padding of 2.3 % (docs/LOG.md, 2026-11-21).

    Args:
        longest: pieces of the longest window of the batch.
        window: pieces that the teacher holds.
    """
    step = max(1, (1 << (longest - 1).bit_length()) // (2 * WIDTHS_PER_OCTAVE))
    return max(longest, min(-(-longest // step) * step, window))


def by_length(windows: list[Window]) -> list[Window]:
    """Return the windows longest first, so that batches are even and memory runs out at once or never."""
    return sorted(windows, key=lambda window: -len(window.pieces))  # stable: equal lengths stay in corpus order


def first_batch(windows: list[Window], start: int, max_tokens: int, window: int) -> list[Window]:
    """Return the next batch of windows, those from `start` on.

    Args:
        windows: of one unit, longest first; a batch never crosses units, so that a resumed cache is byte-identical.
        start: the first window of the batch.
        max_tokens: windows times padded width of a batch; one window may exceed it.
        window: pieces that the teacher holds.
    """
    size = max(1, max_tokens // padded_width(len(windows[start].pieces), window))
    return windows[start : start + size]


def filled(batch: list[Window], n_windows: int, max_tokens: int, window: int) -> list[Window]:
    """Return a unit's last batch with as many windows as a full one, its last window again and again.

    Otherwise the last batch of nearly every unit has a shape of its own (`padded_width`). That of a small unit stays as
    it is: filling would cost more than a few per cent there.

    Args:
        batch: the windows.
        n_windows: of the unit.
        max_tokens: windows times padded width of a full batch.
        window: pieces that the teacher holds.
    """
    size = max_tokens // padded_width(len(batch[0].pieces), window)
    return batch + batch[-1:] * (size - len(batch)) if n_windows >= WORTH_FILLING * size else batch


class ContextMeans:
    """Float32 sums of the teacher's states over the pieces of each context, on the teacher's device."""

    def __init__(self, n_contexts: int, dim: int, device: torch.device) -> None:
        """Start with zeros.

        Args:
            n_contexts: contexts of the unit.
            dim: width of the states.
            device: the teacher's.
        """
        self.sums = torch.zeros((n_contexts, dim), dtype=torch.float32, device=device)
        self.n_pieces = np.zeros(n_contexts, np.int64)

    def add(self, batch: list[Window], states: torch.Tensor) -> None:
        """Add the states of a batch.

        Args:
            batch: the windows, in the order of the rows.
            states: (len(batch), longest, dim), of any float type; padding is not read.
        """
        width = states.shape[1]
        spans = flattened([window.spans for window in batch], width)
        lengths = spans[:, 2] - spans[:, 1]
        positions = to_device(ranges(spans[:, 1], lengths), states.device)
        contexts = to_device(np.repeat(spans[:, 0], lengths), states.device)
        rows = states.reshape(-1, states.shape[2]).index_select(0, positions).float()
        n_pieces = np.bincount(spans[:, 0], weights=lengths, minlength=len(self.n_pieces)).astype(np.int64)
        self.sums.index_add_(0, contexts, rows)
        self.n_pieces += n_pieces

    def means(self) -> torch.Tensor:
        """Turn the sums into means and return them, (n_contexts, dim) float32 on the device; zeros without pieces."""
        return self.sums.div_(to_device(np.maximum(self.n_pieces, 1), self.sums.device)[:, None])
