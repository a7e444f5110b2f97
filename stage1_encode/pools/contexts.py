"""Context vectors: the mean of the teacher's states over each context (eq. 3 and 4); the pool that every shard has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from x2static.durable.errors import X2StaticError
from x2static.machine.device import Fetched, ResultStream, to_device
from x2static.schemas.encoding import Dtype
from x2static.schemas.shard import CONTEXTS, write_contexts
from x2static.stage1_encode.pools.pool import Pool, Shape, States, UnitPool
from x2static.stage1_encode.pools.spans import Spans
from x2static.stage1_encode.text.windows import Ids, PreparedText, Window


@dataclass(frozen=True)
class Contexts(Pool):
    """The context vectors of a cache."""

    name = CONTEXTS
    dtype: Dtype | None = None  # number format on the disk; None keeps float32, for whoever does not write them

    def begin(self, shape: Shape, number: int = 0) -> "ContextMeans":
        """Begin a unit."""
        return ContextMeans(shape, self.dtype)


# What a batch has of its contexts: (n_spans,) int64, the context of each span; (n_spans,) int64, its pieces; and
# (n_spans, dim) float32 on the teacher's device, the sum of the states over them.
BatchSums = tuple[Ids, Ids, torch.Tensor]


class ContextMeans(UnitPool):
    """The mean of the teacher's states over the pieces of each context, added up in float32 on the teacher's device.

    A context of one window, as nearly all are, is stored as soon as its batch is read; only those that are spread over
    several keep a float32 sum, so that a unit takes hardly more memory than what is stored of it.
    """

    def __init__(self, shape: Shape, dtype: Dtype | None) -> None:
        self._dtype = dtype  # number format on the disk
        # int8 is made of the float32 means, not of what float16 leaves of them
        held = torch.float16 if dtype == "float16" else torch.float32
        self._means = torch.zeros((0, shape.dim), dtype=held, device=shape.device)  # with rows to spare
        # () float32 on the device, the largest magnitude of all means before they were stored; NaN if one is
        self._largest = torch.zeros((), device=shape.device)
        self._spread: Ids = np.zeros(0, np.int64)  # the contexts of several windows
        self._place: Ids = np.zeros(0, np.int64)  # of each context, where among them it is; -1 for all others
        self._sums = torch.zeros((0, shape.dim), device=shape.device)  # of those of several windows, as the next
        self._n_pieces: Ids = np.zeros(0, np.int64)
        self._ended: tuple[Fetched, Fetched]  # once the unit has: all means (n_contexts, dim), and the largest

    def extend(self, text: PreparedText, numbers: Ids) -> None:
        """Make room for the contexts of a portion, which are numbered on from the last one."""
        spans, n_contexts = text.packed.spans, text.n_contexts
        begin = len(self._place)
        spread = begin + np.flatnonzero(np.bincount(spans[:, 0] - begin, minlength=n_contexts) > 1)
        place = np.full(n_contexts, -1, np.int64)
        place[spread - begin] = len(self._spread) + np.arange(len(spread))
        self._place, self._spread = np.concatenate([self._place, place]), np.concatenate([self._spread, spread])
        if len(self._place) > len(self._means):  # twice the rows: a copy at each portion would be a unit more to hold
            larger = self._means.new_empty((max(len(self._place), 2 * len(self._means)), self._means.shape[1]))
            larger[:begin] = self._means[:begin]
            self._means = larger
        self._means[begin : len(self._place)] = 0
        self._sums = torch.cat([self._sums, self._sums.new_zeros((len(spread), self._sums.shape[1]))])
        self._n_pieces = np.concatenate([self._n_pieces, np.zeros(len(spread), np.int64)])

    def take(self, batch: list[Window], states: States) -> BatchSums:
        """Return what a batch has of its contexts."""
        spans = Spans([window.spans for window in batch], states.chosen)
        return spans.numbers, spans.lengths, spans.sums(states.chosen)

    def add(self, part: BatchSums) -> None:
        """Add what a batch has of its contexts."""
        contexts, n_pieces, sums = part
        places = self._place[contexts]
        parts = np.flatnonzero(places >= 0)
        if not len(parts):
            self._store(contexts, sums, n_pieces)
            return
        whole = np.flatnonzero(places < 0)
        self._store(contexts[whole], sums[to_device(whole, sums.device)], n_pieces[whole])
        self._sums.index_add_(0, to_device(places[parts], sums.device), sums[to_device(parts, sums.device)])
        np.add.at(self._n_pieces, places[parts], n_pieces[parts])

    def _store(self, contexts: Ids, sums: torch.Tensor, n_pieces: Ids) -> None:
        if not len(contexts):
            return
        means = sums.div_(to_device(np.maximum(n_pieces, 1), sums.device)[:, None])
        self._means[to_device(contexts, sums.device)] = means.to(self._means.dtype)
        self._largest = torch.maximum(self._largest, torch.linalg.vector_norm(means, torch.inf))

    def end(self, results: ResultStream) -> None:
        """Store the contexts that are spread over several windows, and begin to bring all to the host."""
        self._store(self._spread, self._sums, self._n_pieces)
        self._ended = results.fetch(self._means[: len(self._place)]), results.fetch(self._largest)
        del self._means, self._sums

    def read(self) -> npt.NDArray[Any]:
        """Wait for the means and return them, (n_contexts, dim), whatever they are; zeros for one without pieces."""
        return self._ended[0].numpy()

    def write(self, folder: Path, unit: str) -> None:
        """Write them into a shard's folder. Raises X2StaticError: values are not finite, or too large for float16."""
        largest = float(self._ended[1].numpy())
        if not np.isfinite(largest):
            remedy = "try --precision float32, and check the model's weights"
            raise X2StaticError(f"{unit}: the teacher's states are not finite; {remedy}")
        if largest >= 65520:  # float16 rounds it to infinity; nor does int8 hold it, since all is read back as float16
            remedy = "choose another layer (--layer), or a normalised model"
            raise X2StaticError(f"{unit}: context vectors reach {largest:.3g}, beyond float16 (65504); {remedy}")
        self.store(folder, self.read(), self._dtype or "float16")

    def store(self, folder: Path, rows: npt.NDArray[np.floating], dtype: Dtype) -> None:
        """Write the means, which can be, into a shard's folder."""
        write_contexts(folder, rows, dtype)
