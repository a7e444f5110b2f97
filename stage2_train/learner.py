"""Word vectors that learn: the gradient of a batch, and Adam on the rows that it touches.

The arithmetic stands here twice. The plain operations of PyTorch run everywhere and say what is meant. On a processor,
where there are enough vectors to pay for two seconds of compiling, it is compiled: scores in 0.3 ms instead of 1.1,
gradient and Adam in 1.2 ms instead of 5.5 (docs/LOG.md, 2026-11-21). A row is one thread's, always in the same order:
the bits do not depend on how many threads there are.
"""

import math
from abc import ABC, abstractmethod
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cache

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from x2static.machine.processes import in_background
from x2static.stage2_train.vocabulary import WHOLE, Part

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # SparseAdam's defaults, which the reference implementation keeps
ROWS_AT_ONCE = 1024  # keeps a piece of all four matrices in the cache: 9.6 ms for 15,800 rows of 384, 29 ms in one go
PAIRS_AT_ONCE = 32_768  # pairs whose vectors are gathered at a time: bounds memory, 50 MB at 384 float32
FEWEST_VALUES = 1_000_000  # of vectors that are worth compiling for
# Sums may be reordered, so that the processor adds 16 numbers at once; numbers that are not finite stay what they are.
REORDERED = {"reassoc", "contract", "nsz"}

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Gradient:
    """A gradient that is zero but for some rows, as the sums that it consists of.

    Row r of it is the sum of slope * context over its pairs, starts[r] ... starts[r + 1] - 1, and, where a word of a
    pool is in it, that word's row of the pool's values.
    """

    rows: Tensor  # (n_rows,) int64, rows of the vocabulary, ascending, each once
    starts: Tensor  # (n_rows + 1,) int64
    context_of: Tensor  # (n_pairs,) int64, rows of `contexts`
    slopes: Tensor  # (n_pairs,), in the vectors' dtype
    contexts: Tensor  # (n_contexts, dim), in the vectors' dtype
    # (n_rows,) int64, the row of the pool's values that is in it, or -1; and these values, (n_pool, dim), likewise
    pool: tuple[Tensor, Tensor] | None = None
    # the pool's rows of the vocabulary, their weights, (n_pool,) both, and slopes without these, (n_contexts, n_pool)
    pool_slopes: tuple[Tensor, Tensor, Tensor] | None = None

    def values(self) -> Tensor:
        """Return the sums, (n_rows, dim); always added up in the same order, so the bits repeat."""
        values = functional.embedding_bag(
            self.context_of, self.contexts, offsets=self.starts[:-1], mode="sum", per_sample_weights=self.slopes
        )
        if self.pool is not None:
            pool_row, pool_values = self.pool
            pooled = pool_row >= 0
            values[pooled] += pool_values[pool_row[pooled]]
        return values

    def by_contexts(self, vectors: Tensor) -> Tensor:
        """Return the gradient by the contexts instead, (n_contexts, dim), of the vectors that it was computed with."""
        words, order = self.rows.repeat_interleave(self.starts.diff()), self.context_of.argsort(stable=True)
        numbers = torch.arange(len(self.contexts), device=order.device)
        begins = torch.searchsorted(self.context_of[order], numbers)
        weights = self.slopes[order]
        values = functional.embedding_bag(words[order], vectors, begins, mode="sum", per_sample_weights=weights)
        if self.pool_slopes is not None:
            pool, weights, slopes = self.pool_slopes
            values += slopes @ (weights[:, None] * vectors[pool])
        return values


@dataclass(frozen=True)
class Targets(ABC):
    """What is learned from one batch."""

    contexts: Tensor  # (n_contexts, dim), in the vectors' dtype
    context_of: Tensor  # (n_targets,) int64, the context of each target
    words: Tensor  # (n_targets, ...) int64, rows of the vocabulary; there may be no target
    part: Part = field(default=WHOLE, kw_only=True)  # whose words the vectors are of

    def __len__(self) -> int:
        return len(self.words)

    @abstractmethod
    def loss_and_gradient(self, vectors: Tensor) -> tuple[float, Gradient]:
        """Return the summed loss, not finite where a score is not, and the gradient of the mean by the vectors.

        There is a target. The gradient has a row for every word of the batch, zero or not, as autograd has it. Of a
        part, the loss is the part's share of the sum, and the mean is still that over all targets.
        """


def score_pairs(vectors: Tensor, contexts: Tensor, words: Tensor, context_of: Tensor) -> Tensor:
    """Return u_w . c of pairs of a word and a context, (n_pairs,), by their rows (n_pairs,) int64."""
    if pays(vectors.device, vectors.numel(), vectors.dtype):
        return compiled_scores(vectors, contexts, words, context_of)
    pieces = zip(torch.split(words, PAIRS_AT_ONCE), torch.split(context_of, PAIRS_AT_ONCE), strict=True)
    return torch.cat([torch.linalg.vecdot(vectors.index_select(0, w), contexts.index_select(0, c)) for w, c in pieces])


def runs(words: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct words of an ascending list, and where the run of each begins, with the end of the last."""
    rows, counts = torch.unique_consecutive(words, return_counts=True)
    return rows, functional.pad(torch.cumsum(counts, 0), (1, 0))


def step_size(lr: float, steps: int, dtype: torch.dtype) -> float:
    """Return what Adam multiplies a step by, bias corrections included."""
    # PyTorch raises on a factor that the dtype cannot hold; the largest one shows in the vectors just as well.
    return min(lr * math.sqrt(1 - BETA2**steps) / (1 - BETA1**steps), torch.finfo(dtype).max)


@dataclass
class ContextMap:
    """A linear map W of the contexts that is learned with the vectors: the score of a word is u_w . W c.

    Since that is (W^T u_w) . c, it says no more than vectors alone do, but Adam moves otherwise. What that gives is in
    docs/LOG.md, 2026-11-30.
    """

    matrix: Tensor  # W, (dim, dim), the identity at first; a bias's coordinate of contexts stays as it is
    first: Tensor  # (dim, dim), running mean of its gradient
    second: Tensor  # (dim, dim), running mean of its square
    rate: float  # at so many times the learning rate of the vectors

    @classmethod
    def identity(cls, dim: int, rate: float, like: Tensor) -> "ContextMap":
        """Begin with the identity, in the dtype and on the device of some vectors."""
        matrix = torch.eye(dim, dtype=like.dtype, device=like.device)
        return cls(matrix, torch.zeros_like(matrix), torch.zeros_like(matrix), rate)

    def tensors(self) -> dict[str, Tensor]:
        """Return map and moments under the names that they have in a checkpoint."""
        return {"map": self.matrix, "map_first_moment": self.first, "map_second_moment": self.second}

    def apply(self, contexts: Tensor) -> Tensor:
        """Return W c of contexts, (n_contexts, width)."""
        dim = len(self.matrix)
        return torch.cat([contexts[:, :dim] @ self.matrix.T, contexts[:, dim:]], 1)

    def learn(self, contexts: Tensor, gradient: Tensor, lr: float, steps: int) -> None:
        """Take a step of Adam, by the gradient by W c of contexts, (n_contexts, width) as these."""
        dim = len(self.matrix)
        values = gradient[:, :dim].T @ contexts[:, :dim]
        self.first.lerp_(values, 1 - BETA1)
        self.second.mul_(BETA2).addcmul_(values, values, value=1 - BETA2)
        size = step_size(self.rate * lr, steps, self.matrix.dtype)
        self.matrix.addcdiv_(self.first, self.second.sqrt().add_(EPSILON), value=-size)


@dataclass
class Learner:
    """The word vectors in training and the state of Adam, with the arithmetic of `torch.optim.SparseAdam`.

    SparseAdam itself coalesces the gradient in one thread on a CPU, and copies what it need not.
    """

    vectors: Tensor  # (vocabulary, dim)
    first: Tensor  # (vocabulary, dim), running mean of the gradient
    second: Tensor  # (vocabulary, dim), running mean of its square
    steps: int = 0  # updates so far; one count for all rows, however often a row was touched
    prior: Tensor | None = None  # (vocabulary, at most dim), what the first coordinates are drawn to, if to anything
    pulls: Tensor | None = None  # (vocabulary,), how strongly each target of a word draws it there
    map: ContextMap | None = None  # of the contexts, if one is learned

    @classmethod
    def zeros(cls, shape: tuple[int, int], device: torch.device) -> "Learner":
        """Begin with zeros, (vocabulary, dim) float32, on a device."""
        # NumPy's zeros take no memory before they are written to, PyTorch's do: on a CPU the moments are not there yet
        # while the vectors are computed from sums that are larger than they.
        vectors, first, second = (torch.from_numpy(np.zeros(shape, np.float32)).to(device) for _ in range(3))
        return cls(vectors, first, second)

    def tensors(self) -> dict[str, Tensor]:
        """Return vectors and moments under the names that they have in a checkpoint."""
        tensors = {"vectors": self.vectors, "first_moment": self.first, "second_moment": self.second}
        return tensors if self.prior is None else tensors | {"prior": self.prior}

    def draw_to(self, prior: Tensor, pulls: npt.NDArray[np.float64]) -> None:
        """Add pull |u - prior|^2 / 2 to the loss of each target of a word, by rows of (vocabulary, at most dim)."""
        self.prior, self.pulls = prior, torch.from_numpy(pulls).to(self.vectors)

    def _pulls(self, targets: "Targets", rows: Tensor) -> Tensor | None:
        """Return what the distance of each row to its prior is multiplied by in the gradient, (n_rows,)."""
        if self.pulls is None:
            return None
        words, _ = targets.part.ascending(targets.words if targets.words.ndim == 1 else targets.words[:, 0])
        times = torch.bincount(torch.searchsorted(rows, words), minlength=len(rows))
        return self.pulls[rows] * times / len(targets)

    def learn(self, targets: Targets, lr: float) -> float:
        """Take one step, and return the summed loss before it, without the prior's; if not finite, nothing moved.

        Rows that have a gradient move, be it zero; the others and their moments are left alone.
        """
        contexts = targets.contexts
        if self.map is not None:
            targets = replace(targets, contexts=self.map.apply(contexts))
        loss, gradient = targets.loss_and_gradient(self.vectors)
        if not math.isfinite(loss):
            return loss
        self.steps += 1
        if self.map is not None:
            self.map.learn(contexts, gradient.by_contexts(self.vectors), lr, self.steps)
        size = step_size(lr, self.steps, self.vectors.dtype)
        fast = pays(self.vectors.device, self.vectors.numel(), self.vectors.dtype)
        (self.update_compiled if fast else self.update_plain)(gradient, size, self._pulls(targets, gradient.rows))
        return loss

    def update_plain(self, gradient: Gradient, step_size: float, pulls: Tensor | None = None) -> None:
        """Move the rows by the operations of PyTorch; `pulls` to the prior are (n_rows,)."""
        gradients = gradient.values()
        if pulls is not None and self.prior is not None:
            distances = self.vectors[gradient.rows, : self.prior.shape[1]] - self.prior[gradient.rows]
            gradients[:, : self.prior.shape[1]] += pulls[:, None] * distances
        # On an accelerator each piece is ten launches.
        at_once = ROWS_AT_ONCE if self.vectors.device.type == "cpu" else len(gradient.rows)
        pieces = zip(torch.split(gradient.rows, at_once), torch.split(gradients, at_once), strict=True)
        for rows, values in pieces:
            first = self.first.index_select(0, rows).lerp_(values, 1 - BETA1)
            second = self.second.index_select(0, rows).mul_(BETA2).addcmul_(values, values, value=1 - BETA2)
            self.first.index_copy_(0, rows, first)
            self.second.index_copy_(0, rows, second)
            # Epsilon is added before the bias correction, which sits in the step size: SparseAdam's order, not Adam's.
            moved = self.vectors.index_select(0, rows).addcdiv_(first, second.sqrt_().add_(EPSILON), value=-step_size)
            self.vectors.index_copy_(0, rows, moved)

    def update_compiled(self, gradient: Gradient, step_size: float, pulls: Tensor | None = None) -> None:
        """Do what `update_plain` does."""
        share_threads()
        pool_row, pool_values = gradient.pool or (torch.full_like(gradient.rows, -1), gradient.contexts[:0])
        prior = self.vectors[:0] if self.prior is None else self.prior
        pulls = torch.zeros(len(gradient.rows)) if pulls is None else pulls
        _update(
            (self.vectors.numpy(), self.first.numpy(), self.second.numpy()),
            gradient.rows.numpy(),
            gradient.starts.numpy(),
            (gradient.context_of.numpy(), gradient.slopes.numpy(), gradient.contexts.numpy()),
            (pool_row.numpy(), pool_values.numpy()),
            (pulls.numpy(), prior.numpy()),
            np.array([step_size, 1 - BETA1, BETA2, 1 - BETA2, EPSILON], np.float32),
        )


def pays(device: torch.device, n_values: int, dtype: torch.dtype = torch.float32) -> bool:
    """Return whether so many values of vectors, on that device, are worth compiling for."""
    return device.type == "cpu" and n_values >= FEWEST_VALUES and dtype == torch.float32


@cache
def compiling() -> Future[None]:
    """Begin to compile in a thread; what is returned tells when that is done, and compiled code may be called."""

    def call_once() -> None:
        learner, row = Learner.zeros((1, 1), torch.device("cpu")), torch.zeros(1, dtype=torch.int64)
        scores = compiled_scores(learner.vectors, learner.vectors, row, row)
        learner.update_compiled(Gradient(row, torch.tensor([0, 1]), row, scores, learner.vectors), 0.0)

    return in_background(call_once)


def compiled_scores(vectors: Tensor, contexts: Tensor, words: Tensor, context_of: Tensor) -> Tensor:
    """Do what `score_pairs` does."""
    share_threads()
    scores = np.empty(len(words), np.float32)
    _score(vectors.numpy(), contexts.numpy(), words.numpy(), context_of.numpy(), scores)
    return torch.from_numpy(scores)


def share_threads() -> None:
    """Compute with as many threads as PyTorch does."""
    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(torch.get_num_threads(), most))


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
    pull: tuple[Floats, Floats],
    constants: Floats,
) -> None:
    vectors, firsts, seconds = matrices
    context_of, slopes, contexts = pairs
    pool_row, pool_values = pool
    pulls, prior = pull
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
        if pulls[number] > 0:
            for i in range(prior.shape[1]):
                gradient[i] += pulls[number] * (vector[i] - prior[row, i])
        for i in range(len(gradient)):
            first[i] += rate1 * (gradient[i] - first[i])
            second[i] = beta2 * second[i] + rate2 * gradient[i] * gradient[i]
            vector[i] -= step_size * first[i] / (np.sqrt(second[i]) + epsilon)
