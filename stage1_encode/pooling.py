"""Batches of windows, and the mean of the teacher's states over each context (eq. 3 and 4)."""

import numpy as np
import torch

from schemas.device import to_device
from schemas.ragged import ranges
from stage1_encode.windows import Ids, Window, flattened

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
    """The mean of the teacher's states over the pieces of each context, added up in float32 on the teacher's device.

    A context that lies in one window, as nearly all do, is stored as soon as its batch is read; only those that are
    spread over several keep a float32 sum, so that a unit takes hardly more memory than what is stored of it.

    Attributes:
        means: (n_contexts, dim) on the device, of the type asked for; zeros for a context without pieces.
        largest: () float32 on the device, the largest magnitude of all means before they were stored; NaN if one is.
    """

    def __init__(
        self,
        windows: list[Window],
        n_contexts: int,
        dim: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Find the contexts that are spread over several windows.

        Args:
            windows: of the unit.
            n_contexts: contexts of the unit.
            dim: width of the states.
            device: the teacher's.
            dtype: in which the means are stored.
        """
        self.means = torch.zeros((n_contexts, dim), dtype=dtype, device=device)
        self.largest = torch.zeros((), dtype=torch.float32, device=device)
        named = np.concatenate([np.zeros(0, np.int64), *(window.spans[:, 0] for window in windows)])
        self._spread = np.flatnonzero(np.bincount(named, minlength=n_contexts) > 1)
        self._place = np.full(n_contexts, -1, np.int64)  # among them; -1 for all others
        self._place[self._spread] = np.arange(len(self._spread))
        self._sums = torch.zeros((len(self._spread), dim), dtype=torch.float32, device=device)
        self._n_pieces = np.zeros(len(self._spread), np.int64)

    def add(self, batch: list[Window], states: torch.Tensor) -> None:
        """Add the states of a batch.

        Args:
            batch: the windows, in the order of the rows.
            states: (len(batch), longest, dim), of any float type; padding is not read.
        """
        spans = flattened([window.spans for window in batch], states.shape[1])
        contexts, lengths = spans[:, 0], spans[:, 2] - spans[:, 1]
        positions = to_device(ranges(spans[:, 1], lengths), states.device)
        span_of = to_device(np.repeat(np.arange(len(spans)), lengths), states.device)
        rows = states.reshape(-1, states.shape[2]).index_select(0, positions).float()
        sums = self._sums.new_zeros((len(spans), states.shape[2])).index_add_(0, span_of, rows)
        places = self._place[contexts]
        parts = np.flatnonzero(places >= 0)
        if not len(parts):
            self._store(contexts, sums, lengths)
            return
        whole = np.flatnonzero(places < 0)
        self._store(contexts[whole], sums[to_device(whole, sums.device)], lengths[whole])
        self._sums.index_add_(0, to_device(places[parts], sums.device), sums[to_device(parts, sums.device)])
        np.add.at(self._n_pieces, places[parts], lengths[parts])

    def finish(self) -> None:
        """Store the contexts that are spread over several windows, once all windows are added."""
        self._store(self._spread, self._sums, self._n_pieces)

    def _store(self, contexts: Ids, sums: torch.Tensor, n_pieces: Ids) -> None:
        if not len(contexts):
            return
        means = sums.div_(to_device(np.maximum(n_pieces, 1), sums.device)[:, None])
        self.means[to_device(contexts, sums.device)] = means.to(self.means.dtype)
        self.largest = torch.maximum(self.largest, torch.linalg.vector_norm(means, torch.inf))
