"""Batches of windows, and the mean of the teacher's states over each context (eq. 3 and 4)."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from stage1_encode.windows import Window


def batches(windows: list[Window], max_tokens: int) -> Iterator[list[Window]]:
    """Group windows of like length, longest first, so that memory runs out at once or never.

    Args:
        windows: of one unit; a batch never crosses units, so that a resumed cache is byte-identical.
        max_tokens: windows times longest window of a batch, padding included; one window may exceed it.
    """
    order = sorted(range(len(windows)), key=lambda i: (-len(windows[i].pieces), i))
    start = 0
    while start < len(order):
        size = max(1, max_tokens // len(windows[order[start]].pieces))
        yield [windows[i] for i in order[start : start + size]]
        start += size


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


def ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return start, start + 1, ... for each start, `length` numbers each, one after the other."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
