"""Word vectors that learn: the gradient of a batch, and Adam on the rows that it touches.

The arithmetic stands here twice. The plain operations of PyTorch run everywhere and say what is meant. On a processor,
where there are enough vectors to pay for two seconds of compiling, it is compiled: each row is read and written once,
and nothing lies in between. Against the plain operations, two cores, 3,300 pairs and 3,300 rows of 384: scores 0.3 ms
instead of 1.1, gradient and Adam 1.2 ms instead of 5.5 (docs/LOG.md, 2026-11-21). A row is one thread's, always in the
same order: the bits do not depend on how many threads there are.
"""

import math
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from x2static.machine.processes import in_background

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # SparseAdam's defaults, which the reference implementation keeps
ROWS_AT_ONCE = 1024  # keeps a piece of all four matrices in the cache: 9.6 ms for 15,800 rows of 384, 29 ms in one go
PAIRS_AT_ONCE = 32_768  # pairs whose vectors are gathered at a time: bounds memory, 50 MB at 384 float32
FEWEST_VALUES = 1_000_000  # of vectors that are worth compiling for
# Sums may be reordered, so that the processor adds 16 numbers at once; numbers that are not finite stay what they are.
REORDERED = {"reassoc", "contract", "nsz"}

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
# (vectors, contexts, words, context_of) -> scores: u_w . c of pairs of a word and a context
ScorePairs = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Gradient:
    """A gradient that is zero but for some rows, as the sums that it consists of.

    Row r of it is the sum of slope * context over its pairs, starts[r] ... starts[r + 1] - 1, and, where a word of a
    pool is in it, that word's row of `pool_values`.
    """

    rows: Tensor  # (n_rows,) int64, rows of the vocabulary, ascending, each once
    starts: Tensor  # (n_rows + 1,) int64
    context_of: Tensor  # (n_pairs,) int64, rows of `contexts`
    slopes: Tensor  # (n_pairs,), in the vectors' dtype
    contexts: Tensor  # (n_contexts, dim), in the vectors' dtype
    pool_row: Tensor | None = None  # (n_rows,) int64, the row of `pool_values` that is in it, or -1; None for no pool
    pool_values: Tensor | None = None  # (n_pool, dim), in the vectors' dtype; None for no pool

    def values(self) -> Tensor:
        """Return the sums, (n_rows, dim); always added up in the same order, so the bits repeat."""
        values = functional.embedding_bag(
            self.context_of, self.contexts, offsets=self.starts[:-1], mode="sum", per_sample_weights=self.slopes
        )
        if self.pool_row is not None and self.pool_values is not None:
            pooled = self.pool_row >= 0
            values[pooled] += self.pool_values[self.pool_row[pooled]]
        return values


class Targets(Protocol):
    """What is learned from one batch."""

    def __len__(self) -> int:
        """Return the number of targets; there may be none."""
        ...

    def loss_and_gradient(self, vectors: Tensor, score: ScorePairs) -> tuple[float, Gradient]:
        """Return loss and gradient without autograd; there is a target.

        Args:
            vectors: (vocabulary, dim).
            score: scores pairs of a word and a context.

        Returns:
            The loss summed over the targets in float64, not finite where any score is not; and the gradient of the mean
            loss. Its rows are all words of the batch, those whose gradient is zero included, as autograd has it.
        """
        ...


def score_pairs(vectors: Tensor, contexts: Tensor, words: Tensor, context_of: Tensor) -> Tensor:
    """Return u_w . c of pairs of a word and a context, (n_pairs,).

    Args:
        vectors: (vocabulary, dim).
        contexts: (n_contexts, dim).
        words: (n_pairs,) int64.
        context_of: (n_pairs,) int64.
    """
    scores = [
        torch.linalg.vecdot(
            vectors.index_select(0, words[first : first + PAIRS_AT_ONCE]),
            contexts.index_select(0, context_of[first : first + PAIRS_AT_ONCE]),
        )
        for first in range(0, len(words), PAIRS_AT_ONCE)
    ]
    return torch.cat(scores)


def runs(words: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct words of an ascending list, and where the run of each begins, with the end of the last."""
    rows, counts = torch.unique_consecutive(words, return_counts=True)
    return rows, functional.pad(torch.cumsum(counts, 0), (1, 0))


@dataclass
class Learner:
    """The word vectors in training and the state of Adam, with the arithmetic of `torch.optim.SparseAdam`.

    SparseAdam itself coalesces the gradient in one thread on a CPU, and copies what it need not.
    """

    vectors: Tensor  # (vocabulary, dim)
    first: Tensor  # (vocabulary, dim), running mean of the gradient
    second: Tensor  # (vocabulary, dim), running mean of its square
    steps: int = 0  # updates so far; one count for all rows, however often a row was touched

    @classmethod
    def zeros(cls, shape: tuple[int, int], device: torch.device) -> "Learner":
        """Begin with zeros, float32.

        NumPy's zeros take no memory before they are written to, PyTorch's do: on a CPU the moments are not there while
        the vectors are computed from sums that are larger than they.

        Args:
            shape: (vocabulary, dim).
            device: where the vectors live.
        """
        vectors, first, second = (torch.from_numpy(np.zeros(shape, np.float32)).to(device) for _ in range(3))
        return cls(vectors, first, second)

    def tensors(self) -> dict[str, Tensor]:
        """Return vectors and moments under the names that they have in a checkpoint."""
        return {"vectors": self.vectors, "first_moment": self.first, "second_moment": self.second}

    def learn(self, targets: Targets, lr: float) -> float:
        """Take one step.

        Args:
            targets: at least one.
            lr: learning rate.

        Returns:
            The loss before the step, summed over the targets; not finite where a score is not, and then nothing moved.
        """
        fast = self.vectors.dtype == torch.float32 and pays(self.vectors.device, self.vectors.numel())
        loss, gradient = targets.loss_and_gradient(self.vectors, compiled_scores if fast else score_pairs)
        if math.isfinite(loss):
            (self.update_compiled if fast else self.update)(gradient, lr)
        return loss

    def _next_step_size(self, lr: float) -> float:
        """Count a step and return its size, bias corrections included.

        PyTorch raises on a factor that the vectors' dtype cannot hold; the largest one shows in the vectors just as
        well.
        """
        self.steps += 1
        step_size = lr * math.sqrt(1 - BETA2**self.steps) / (1 - BETA1**self.steps)
        return min(step_size, torch.finfo(self.vectors.dtype).max)

    def update(self, gradient: Gradient, lr: float) -> None:
        """Move the rows that have a gradient, be it zero; leave the others and their moments alone.

        Args:
            gradient: at least one row.
            lr: learning rate.
        """
        step_size, all_values = self._next_step_size(lr), gradient.values()
        on_cpu = self.vectors.device.type == "cpu"
        at_once = ROWS_AT_ONCE if on_cpu else len(gradient.rows)  # each piece is ten launches
        for start in range(0, len(gradient.rows), at_once):
            rows = gradient.rows[start : start + at_once]
            values = all_values[start : start + at_once]
            first = self.first.index_select(0, rows).lerp_(values, 1 - BETA1)
            second = self.second.index_select(0, rows).mul_(BETA2).addcmul_(values, values, value=1 - BETA2)
            self.first.index_copy_(0, rows, first)
            self.second.index_copy_(0, rows, second)
            # Epsilon is added before the bias correction, which sits in the step size: SparseAdam's order, not Adam's.
            moved = self.vectors.index_select(0, rows).addcdiv_(first, second.sqrt_().add_(EPSILON), value=-step_size)
            self.vectors.index_copy_(0, rows, moved)

    def update_compiled(self, gradient: Gradient, lr: float) -> None:
        """Do what `update` does."""
        share_threads()
        pool_row, pool_values = gradient.pool_row, gradient.pool_values
        if pool_row is None or pool_values is None:
            pool_row, pool_values = torch.full_like(gradient.rows, -1), gradient.contexts[:0]
        _update(
            (self.vectors.numpy(), self.first.numpy(), self.second.numpy()),
            gradient.rows.numpy(),
            gradient.starts.numpy(),
            (gradient.context_of.numpy(), gradient.slopes.numpy(), gradient.contexts.numpy()),
            (pool_row.numpy(), pool_values.numpy()),
            np.array([self._next_step_size(lr), 1 - BETA1, BETA2, 1 - BETA2, EPSILON], np.float32),
        )


def pays(device: torch.device, n_values: int) -> bool:
    """Return whether so many float32 values of vectors, on that device, are worth compiling for."""
    return device.type == "cpu" and n_values >= FEWEST_VALUES


@cache
def compiling() -> Future[None]:
    """Begin to compile in a thread, which takes two seconds; what is returned tells when that is done.

    Nothing that is compiled may be called before: numba's own threads are for one caller at a time.
    """
    return in_background(_compile)


def _compile() -> None:
    learner, rows = Learner.zeros((1, 1), torch.device("cpu")), torch.zeros(1, dtype=torch.int64)
    scores = compiled_scores(learner.vectors, learner.vectors, rows, rows)
    learner.update_compiled(Gradient(rows, torch.tensor([0, 1]), rows, scores, learner.vectors), 0.0)


def share_threads() -> None:
    """Compute with as many threads as PyTorch does."""
    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(torch.get_num_threads(), most))


def compiled_scores(vectors: Tensor, contexts: Tensor, words: Tensor, context_of: Tensor) -> Tensor:
    """Do what `score_pairs` does."""
    share_threads()
    scores = np.empty(len(words), np.float32)
    _score(vectors.numpy(), contexts.numpy(), words.numpy(), context_of.numpy(), scores)
    return torch.from_numpy(scores)


@numba.njit(parallel=True, nogil=True, fastmath=REORDERED)
def _score(vectors: Floats, contexts: Floats, words: Ints, context_of: Ints, scores: Floats) -> None:
    for pair in numba.prange(len(words)):
        vector, context = vectors[words[pair]], contexts[context_of[pair]]
        score = np.float32(0)
        for i in range(len(context)):
            score += vector[i] * context[i]
        scores[pair] = score


@numba.njit(parallel=True, nogil=True, fastmath=REORDERED)
def _update(
    matrices: tuple[Floats, Floats, Floats],
    rows: Ints,
    starts: Ints,
    pairs: tuple[Ints, Floats, Floats],
    pool: tuple[Ints, Floats],
    constants: Floats,
) -> None:
    vectors, firsts, seconds = matrices
    context_of, slopes, contexts = pairs
    pool_row, pool_values = pool
    step_size, rate1, beta2, rate2, epsilon = constants
    for number in numba.prange(len(rows)):
        gradient = np.zeros(vectors.shape[1], np.float32)
        for pair in range(starts[number], starts[number + 1]):
            slope, context = slopes[pair], contexts[context_of[pair]]
            for i in range(len(gradient)):
                gradient[i] += slope * context[i]
        if pool_row[number] >= 0:
            pooled = pool_values[pool_row[number]]
            for i in range(len(gradient)):
                gradient[i] += pooled[i]
        row = rows[number]
        vector, first, second = vectors[row], firsts[row], seconds[row]
        for i in range(len(gradient)):
            first[i] += rate1 * (gradient[i] - first[i])
            second[i] = beta2 * second[i] + rate2 * gradient[i] * gradient[i]
            vector[i] -= step_size * first[i] / (np.sqrt(second[i]) + epsilon)
