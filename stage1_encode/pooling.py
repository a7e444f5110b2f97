"""Batches of windows, and the mean of the teacher's states over each context (eq. 3 and 4)."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from schemas.ragged import ranges
from stage1_encode.windows import Window


def by_length(windows: list[Window]) -> list[Window]:
    """Return the windows longest first, so that batches are even and memory runs out at once or never."""
    return sorted(windows, key=lambda window: -len(window.pieces))  # stable: equal lengths stay in corpus order


def first_batch(windows: list[Window], start: int, max_tokens: int) -> list[Window]:
    """Return the next batch of windows, those from `start` on.

    Args:
        windows: of one unit, longest first; a batch never crosses units, so that a resumed cache is byte-identical.
        start: the first window of the batch.
        max_tokens: windows times longest window of a batch, padding included; one window may exceed it.
    """
    size = max(1, max_tokens // len(windows[start].pieces))
    return windows[start : start + size]


def batches(windows: list[Window], max_tokens: int) -> Iterator[list[Window]]:
    """Group the windows of a unit into batches, longest first."""
    ordered = by_length(windows)
    start = 0
    while start < len(ordered):
        batch = first_batch(ordered, start, max_tokens)
        yield batch
        start += len(batch)


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
        self.n_pieces = torch.zeros(n_contexts, dtype=torch.int64)

    def add(self, batch: list[Window], states: torch.Tensor) -> None:
        """Add the states of a batch.

        Args:
            batch: the windows, in the order of the rows.
            states: (len(batch), longest, dim), of any float type; padding is not read.
        """
        width = states.shape[1]
        # (n_spans, 3): context, start and stop in the flattened batch
        spans = np.concatenate(
            [window.spans + np.array([0, row * width, row * width]) for row, window in enumerate(batch)]
        )
        lengths = spans[:, 2] - spans[:, 1]
        contexts = torch.from_numpy(np.repeat(spans[:, 0], lengths))
        positions = torch.from_numpy(ranges(spans[:, 1], lengths))
        rows = states.reshape(-1, states.shape[2]).index_select(0, positions.to(states.device))
        self.sums.index_add_(0, contexts.to(states.device), rows.float())
        self.n_pieces += torch.bincount(contexts, minlength=len(self.n_pieces))

    def means(self) -> npt.NDArray[np.float32]:
        """Return the means, (n_contexts, dim) float32; zeros for a context without pieces."""
        sums = self.sums.cpu()
        return (sums / self.n_pieces.clamp(min=1)[:, None]).numpy()
