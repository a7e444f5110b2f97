"""The arithmetic of a step on a processor, compiled: each row is read and written once, and nothing lies in between.

Against PyTorch's operations, two cores, 3,300 pairs and 3,300 rows of 384: scores 0.3 ms instead of 1.1, gradient and
Adam 1.2 ms instead of 5.5 (docs/LOG.md, 2026-11-21). `objective.score_pairs` and `adam.RowAdam.update` say the same in
plain operations, and the tests compare. A row is one thread's, always in the same order: the bits do not depend on how
many threads there are.
"""

from concurrent.futures import Future
from functools import cache

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.machine.background import in_background
from x2static.stage2_train.adam import BETA1, BETA2, EPSILON, RowAdam
from x2static.stage2_train.objectives.objective import Gradient

# Compiling takes two seconds, which training pays back on a vocabulary of so many values.
FEWEST_VALUES = 1_000_000
# Sums may be reordered, so that the processor adds 16 numbers at once; numbers that are not finite stay what they are.
REORDERED = {"reassoc", "contract", "nsz"}

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def pays(vectors: Tensor) -> bool:
    """Return whether the vectors of a training are on a processor, in float32, and enough to be worth compiling."""
    return vectors.dtype == torch.float32 and is_large(vectors.device, vectors.numel())


def is_large(device: torch.device, n_values: int) -> bool:
    """Return whether so many values of vectors, on that device, are worth compiling."""
    return device.type == "cpu" and n_values >= FEWEST_VALUES


def score_pairs(vectors: Tensor, contexts: Tensor, words: Tensor, context_of: Tensor) -> Tensor:
    """Do what `objective.score_pairs` does."""
    share_threads()
    scores = np.empty(len(words), np.float32)
    _score(vectors.numpy(), contexts.numpy(), words.numpy(), context_of.numpy(), scores)
    return torch.from_numpy(scores)


def update(adam: RowAdam, vectors: Tensor, gradient: Gradient) -> None:
    """Do what `RowAdam.update` does."""
    share_threads()
    pool_row, pool_values = gradient.pool_row, gradient.pool_values
    if pool_row is None or pool_values is None:
        pool_row, pool_values = torch.full_like(gradient.rows, -1), gradient.contexts[:0]
    _update(
        (vectors.numpy(), adam.first.numpy(), adam.second.numpy()),
        gradient.rows.numpy(),
        gradient.starts.numpy(),
        (gradient.context_of.numpy(), gradient.slopes.numpy(), gradient.contexts.numpy()),
        (pool_row.numpy(), pool_values.numpy()),
        np.array([adam.next_step_size(vectors.dtype), 1 - BETA1, BETA2, 1 - BETA2, EPSILON], np.float32),
    )


@cache
def compiling() -> Future[None]:
    """Begin to compile in a thread, which takes two seconds; what is returned tells when that is done.

    Nothing here may be called before: numba's own threads are for one caller at a time.
    """
    return in_background(_compile)


def _compile() -> None:
    vectors, rows = torch.zeros((1, 1)), torch.zeros(1, dtype=torch.int64)
    pairs = Gradient(rows, torch.tensor([0, 1]), rows, score_pairs(vectors, vectors, rows, rows), vectors)
    update(RowAdam(0.0, torch.zeros((1, 1)), torch.zeros((1, 1))), vectors, pairs)


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
