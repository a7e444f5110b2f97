"""Context vectors: the mean of the teacher's states over each context (eq. 3 and 4); the pool that every shard has.

What is made of the states of a context's pieces (`--pooling`; what each gains is in docs/LOG.md, 2026-11-30):

    mean      their mean, special tokens left out
    max       the largest of each dimension
    sif       their mean with weights a / (a + p), p the share of a piece's word in the text (Arora, Liang and Ma, ICLR
              2017, without taking out a component: `train --transform whiten` does more)
    content   their mean, without punctuation and stop words: words of no letter or digit, or of a share above STOP
    no-sinks  their mean, without states that are longer than SINK times the median of their window: attention sinks,
              first or special pieces that attention goes to for want of a better place (Xiao et al., ICLR 2024; Sun et
              al., COLM 2024)

What is left out weighs LEAST, so that a context of nothing else has the mean of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from x2static.durable.errors import X2StaticError
from x2static.machine.device import Fetched, ResultStream, to_device
from x2static.schemas.encoding import COUNTED, Dtype, Pooling
from x2static.schemas.segmentation import MARK
from x2static.schemas.shard import CONTEXTS, write_contexts
from x2static.stage1_encode.pools.pool import Pool, Shape, States, UnitPool
from x2static.stage1_encode.pools.spans import Spans
from x2static.stage1_encode.text.windows import Ids, PreparedText, Window

SIF = 1e-3  # a of the weight a / (a + p)
STOP = 1e-3  # share of a word in the text; in English Wikipedia some fifty words have more
SINK = 10.0  # of the median length
LEAST = 1e-6
HEAVY = 0.95  # a word that weighs more need not be listed


def word_weights(pooling: Pooling, counts: Mapping[str, int]) -> dict[str, float]:
    """Return the words that weigh less than 1 in a pooling, by how often words occur in a text."""
    total = max(sum(counts.values()), 1)
    shares = {word: count / total for word, count in counts.items()}
    if pooling == "content":
        return {word: 0.0 for word, share in shares.items() if share > STOP}
    weights = {word: SIF / (SIF + share) for word, share in shares.items()}
    return {word: round(weight, 4) for word, weight in weights.items() if weight < HEAVY}


@dataclass(frozen=True)
class Contexts(Pool):
    """The context vectors of a cache."""

    name = CONTEXTS
    dtype: Dtype | None = None  # number format on the disk; None keeps float32, for whoever does not write them
    pooling: Pooling = "mean"
    weights: Mapping[str, float] = field(default_factory=dict)  # of `word_weights`

    def begin(self, shape: Shape, number: int = 0) -> "ContextMeans":
        """Begin a unit."""
        return ContextMeans(shape, self.dtype, self.pooling, self.weights)


# What a batch has of its contexts: (n_spans,) int64, the context of each span; (n_spans,) float32, what its pieces
# weigh, and (n_spans, dim) float32, the weighted sum of their states, both on the teacher's device.
BatchSums = tuple[Ids, torch.Tensor, torch.Tensor]


class ContextMeans(UnitPool):
    """What is made of the states of the pieces of each context, added up in float32 on the teacher's device.

    A context of one window, as nearly all are, is stored as soon as its batch is read; only those that are spread over
    several keep a float32 sum, so that a unit takes hardly more memory than what is stored of it.
    """

    def __init__(
        self, shape: Shape, dtype: Dtype | None, pooling: Pooling = "mean", weights: Mapping[str, float] | None = None
    ) -> None:
        self._pooling, self._listed = pooling, weights or {}
        self._word_weights = np.ones(0, np.float32)  # (n_words,) of the words of the unit so far
        self._dtype = dtype  # number format on the disk
        # int8 is made of the float32 means, not of what float16 leaves of them
        held = torch.float16 if dtype == "float16" else torch.float32
        self._means = torch.zeros((0, shape.dim), dtype=held, device=shape.device)  # with rows to spare
        # () float32 on the device, the largest magnitude of all means before they were stored; NaN if one is
        self._largest = torch.zeros((), device=shape.device)
        self._spread: Ids = np.zeros(0, np.int64)  # the contexts of several windows
        self._place: Ids = np.zeros(0, np.int64)  # of each context, where among them it is; -1 for all others
        self._sums = torch.zeros((0, shape.dim), device=shape.device)  # of those of several windows, as the next
        self._weights = torch.zeros(0, device=shape.device)  # what their pieces weigh
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
        nothing = -torch.inf if self._pooling == "max" else 0.0
        self._sums = torch.cat([self._sums, self._sums.new_full((len(spread), self._sums.shape[1]), nothing)])
        self._weights = torch.cat([self._weights, self._weights.new_zeros(len(spread))])
        if self._pooling in COUNTED:
            longer = np.ones(max(len(self._word_weights), int(numbers.max(initial=-1)) + 1), np.float32)
            longer[: len(self._word_weights)] = self._word_weights
            longer[numbers] = [max(self._weight(word), LEAST) for word in text.lexicon]
            self._word_weights = longer  # a new one, for others may be reading the old

    def _weight(self, word: str) -> float:
        if self._pooling == "content" and not any(map(str.isalnum, word.rpartition(MARK)[2])):
            return 0.0
        return self._listed.get(word, 1.0)

    def take(self, batch: list[Window], states: States) -> BatchSums:
        """Return what a batch has of its contexts."""
        spans, chosen = Spans([window.spans for window in batch], states.chosen), states.chosen
        if self._pooling == "max":
            return spans.numbers, chosen.new_ones(len(spans.numbers), dtype=torch.float32), spans.largest(chosen)
        if self._pooling == "mean":
            return spans.numbers, to_device(spans.lengths.astype(np.float32), chosen.device), spans.sums(chosen)
        weights = self._sinks(batch, chosen) if self._pooling == "no-sinks" else self._of_words(batch, chosen)
        sums = spans.sums(torch.cat([chosen.float() * weights, weights], 2))
        return spans.numbers, sums[:, -1], sums[:, :-1]

    def _of_words(self, batch: list[Window], states: torch.Tensor) -> torch.Tensor:
        """Return what each piece of a batch weighs, (rows, width, 1) float32: as its word does, LEAST without one."""
        weights = np.full((*states.shape[:2], 1), LEAST, np.float32)
        for row, window in zip(weights, batch, strict=True):
            for word, start, stop in window.occurrences.tolist():
                row[start:stop] = self._word_weights[word]
        return to_device(weights, states.device)

    def _sinks(self, batch: list[Window], states: torch.Tensor) -> torch.Tensor:
        """Return what each piece of a batch weighs, (rows, width, 1) float32: sinks LEAST, all others 1."""
        lengths = torch.linalg.vector_norm(states.float(), dim=2)
        here = to_device(np.array([len(window.pieces) for window in batch]), states.device)
        real = torch.arange(states.shape[1], device=states.device) < here[:, None]
        medians = lengths.where(real, torch.nan).nanmedian(1, keepdim=True).values
        return torch.where(lengths > SINK * medians, LEAST, 1.0)[:, :, None]

    def add(self, part: BatchSums) -> None:
        """Add what a batch has of its contexts."""
        contexts, weights, sums = part
        places = self._place[contexts]
        if not (places >= 0).any():
            self._store(contexts, sums, weights)
            return
        whole, parts = (to_device(np.flatnonzero(chosen), sums.device) for chosen in (places < 0, places >= 0))
        self._store(contexts[places < 0], sums[whole], weights[whole])
        into = to_device(places[places >= 0], sums.device)
        if self._pooling == "max":
            self._sums.scatter_reduce_(0, into[:, None].expand(-1, sums.shape[1]), sums[parts], "amax")
            self._weights[into] = 1
        else:
            self._sums.index_add_(0, into, sums[parts])
            self._weights.index_add_(0, into, weights[parts])

    def _store(self, contexts: Ids, sums: torch.Tensor, weights: torch.Tensor) -> None:
        if not len(contexts):
            return
        means = sums.div_(weights.clamp_min(LEAST / 2)[:, None])
        self._means[to_device(contexts, sums.device)] = means.to(self._means.dtype)
        self._largest = torch.maximum(self._largest, torch.linalg.vector_norm(means, torch.inf))

    def end(self, results: ResultStream) -> None:
        """Store the contexts that are spread over several windows, and begin to bring all to the host."""
        self._store(self._spread, self._sums, self._weights)
        self._ended = results.fetch(self._means[: len(self._place)]), results.fetch(self._largest)
        del self._means, self._sums, self._weights

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
