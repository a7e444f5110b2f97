"""Regression of sentences on their words: the vectors whose means are the context vectors, by least squares.

    min over V of  sum over S of | (1 / |S|) sum over w in S of v_w  -  (c_S - m) |^2  +  RIDGE sum over w of |v_w|^2

S are the words of the vocabulary in a context, c_S is its context vector, and m the mean of these over the contexts
that have such words. With X the bags of words divided by their sizes, (X^T X + RIDGE) V = X^T C is solved by conjugate
gradients (Hestenes and Stiefel 1952), preconditioned by the diagonal, in one pass over the cache a step. Few steps are
enough: what they have not reached is mostly noise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from x2static.stage2_train.learner import runs
from x2static.stage2_train.stream import Stream

RIDGE = 0.1
STEPS = 10
ROWS_AT_ONCE = 32_768  # contexts that are held in float32 at a time
SMALLEST = 1e-30  # below it, a dimension is solved


@dataclass(frozen=True)
class Bags:
    """Rows of X: the words of some contexts."""

    words: Tensor  # (n_words,) int64, rows of the vocabulary, those of a context after one another
    lengths: Tensor  # (n_contexts,) int64

    def means(self, vectors: Tensor) -> Tensor:
        """Return X V, (n_contexts, dim), of vectors (vocabulary, dim); zeros for a context without words."""
        starts = functional.pad(self.lengths.cumsum(0), (1, 0))[:-1]
        return functional.embedding_bag(self.words, vectors, starts, mode="mean")

    def add_transposed(self, values: Tensor, into: Tensor) -> None:
        """Add X^T Y of values (n_contexts, dim) to (vocabulary, dim), in place."""
        rows, begins, context_of = self._by_word
        shares = values / self.lengths.clamp_min(1)[:, None]
        into[rows] += functional.embedding_bag(context_of, shares, begins[:-1], mode="sum")

    @cached_property
    def _by_word(self) -> tuple[Tensor, Tensor, Tensor]:
        """The words that occur, where the occurrences of each begin, and the contexts of these."""
        words, order = torch.sort(self.words, stable=True)
        return *runs(words), torch.repeat_interleave(self.lengths).index_select(0, order)


def sentence_regression(stream: Stream) -> Tensor:
    """Return V, (vocabulary, teacher's dim) float32 on the CPU. Raises X2StaticError: a shard is damaged."""
    shape, n_contexts = (len(stream.vocabulary), stream.dim), 0
    mean, right = torch.zeros(stream.dim, dtype=torch.float64), torch.zeros(shape)  # m; X^T C
    # X^T 1, and the diagonal of X^T X + RIDGE as it is where no word stands twice in a context
    ones, diagonal = torch.zeros(shape[0], 1), torch.full((shape[0], 1), RIDGE)
    for bags, contexts in _passed(stream):
        occupied = (bags.lengths > 0)[:, None].float()
        mean += (contexts * occupied).sum(0, dtype=torch.float64)
        n_contexts += int(occupied.sum())
        bags.add_transposed(contexts, right)
        bags.add_transposed(occupied, ones)
        bags.add_transposed(1 / bags.lengths.clamp_min(1)[:, None], diagonal)
    right -= ones * (mean / n_contexts).float()
    vectors, direction = torch.zeros(shape), right / diagonal
    energy = (right * direction).sum(0, dtype=torch.float64)
    for _ in range(STEPS):
        product = RIDGE * direction
        for bags, _contexts in _passed(stream):
            bags.add_transposed(bags.means(direction), product)
        step = (energy / (direction * product).sum(0, dtype=torch.float64).clamp_min(SMALLEST)).float()
        vectors += step * direction
        right -= step * product  # what is left of it
        conditioned = right / diagonal
        before, energy = energy, (right * conditioned).sum(0, dtype=torch.float64)
        direction = conditioned + (energy / before.clamp_min(SMALLEST)).float() * direction
    return vectors


def _passed(stream: Stream) -> Iterator[tuple[Bags, Tensor]]:
    """Yield the cache once: bags, and their contexts, (n_contexts, dim) float32."""
    for buffer in stream.in_order():
        for start in range(0, len(buffer.contexts), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            starts = buffer.word_starts[start : start + ROWS_AT_ONCE + 1]
            yield Bags(buffer.words[starts[0] : starts[-1]].long(), starts.diff()), buffer.contexts[rows].float()
