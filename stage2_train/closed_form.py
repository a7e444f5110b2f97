"""The closed form: what training would end at if the contexts were Gaussian (DESIGN §1); one pass, no step."""

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from schemas.errors import Interrupted, X2StaticError
from schemas.progress import Progress, Report
from stage2_train.buffer import Buffer
from stage2_train.outcome import Outcome
from stage2_train.stop import StopRequest
from stage2_train.stream import Stream
from stage2_train.vocabulary import Vocabulary

# Share of the covariance that is replaced by a multiple of the identity of equal trace, as Ledoit and Wolf do. Their
# share falls with the number of contexts per dimension; a constant keeps vectors of different corpora comparable. At
# 1 % it floors only directions with less than a hundredth of the average variance, which small corpora cannot estimate.
SHRINKAGE = 0.01
ROWS_AT_ONCE = 4096  # contexts, or words, that are held in float64 at a time


@dataclass
class Moments:
    """Sums over the targets of a cache, in float64. All in PyTorch: so its number of threads is the one that counts.

    Attributes:
        n_targets: targets added up.
        contexts: (dim,), sum of each target's context.
        squares: (dim, dim), sum of the outer products of each target's context with itself.
        words: (vocabulary, dim), for each word the sum of its contexts, an entry for each occurrence.
        counts: (vocabulary,) int64, occurrences.
    """

    n_targets: int
    contexts: Tensor
    squares: Tensor
    words: Tensor
    counts: Tensor

    @classmethod
    def zeros(cls, vocabulary: int, dim: int) -> "Moments":
        """Begin with nothing."""
        words = torch.zeros(vocabulary, dim, dtype=torch.float64)
        return cls(
            0, words.new_zeros(dim), words.new_zeros(dim, dim), words, torch.zeros(vocabulary, dtype=torch.int64)
        )

    def add(self, buffer: Buffer) -> None:
        """Add the targets of a buffer; every word of the vocabulary counts, none is subsampled."""
        for first in range(0, len(buffer.contexts), ROWS_AT_ONCE):
            contexts = torch.from_numpy(buffer.contexts[first : first + ROWS_AT_ONCE]).double()
            starts = buffer.word_starts[first : first + len(contexts) + 1]
            words = torch.from_numpy(buffer.words[starts[0] : starts[-1]])
            self._add_rows(contexts, torch.from_numpy(np.diff(starts)), words)

    def _add_rows(self, contexts: Tensor, lengths: Tensor, words: Tensor) -> None:
        """Add some contexts (n, dim) with lengths (n,) words each."""
        if not len(words):
            return
        weighted = contexts * lengths[:, None]
        self.n_targets += len(words)
        self.contexts += weighted.sum(0)
        self.squares += weighted.T @ contexts
        ordered, order = torch.sort(words.long(), stable=True)
        rows, counts = torch.unique_consecutive(ordered, return_counts=True)
        context_of = torch.repeat_interleave(lengths).index_select(0, order)
        offsets = torch.cumsum(counts, 0) - counts
        self.words[rows] += functional.embedding_bag(context_of, contexts, offsets, mode="sum")
        self.counts[rows] += counts


def fit(
    stream: Stream, vocabulary: Vocabulary, dim: int, transform: Literal["none", "center", "whiten"], report: Report
) -> Outcome:
    """Compute the closed form from a cache.

    Args:
        stream: the cache.
        vocabulary: the words to compute.
        dim: length of a context vector.
        transform: "none" or "whiten".
        report: hears how many words were read.

    Raises:
        X2StaticError: the cache is damaged, or all its contexts are equal.
        Interrupted: by a signal; nothing is kept, a pass takes minutes.
    """
    started = time.monotonic()
    moments = Moments.zeros(len(vocabulary), dim)
    with StopRequest() as stop:
        for buffer in stream.in_order():
            moments.add(buffer)
            report(Progress(moments.n_targets, vocabulary.total, "words"))
            if stop.signal is not None:
                raise Interrupted(
                    f"stopped by {stop.signal.name}; the closed form keeps no state, run the same command again to "
                    f"start over"
                )
    if not np.array_equal(moments.counts.numpy(), vocabulary.counts):
        raise X2StaticError(
            f"the shards hold {moments.n_targets} words of the vocabulary, their lexicons count {vocabulary.total}; "
            f"the cache is damaged, run `x2static cache verify`"
        )
    vectors = solve(moments, transform)
    return Outcome(vectors, epochs=1, steps=0, targets=moments.n_targets, seconds=time.monotonic() - started)


def solve(moments: Moments, transform: Literal["none", "center", "whiten"]) -> npt.NDArray[np.float32]:
    """Return u_w = S^-1 (m_w - m), or S^-1/2 (m_w - m) in the whitened space; (vocabulary, dim) float32.

    m is the mean of the contexts weighted by their numbers of targets, S their shrunk covariance, m_w the mean over the
    contexts of w, an occurrence each.

    Args:
        moments: sums over the whole cache; every word occurs.
        transform: "none" or "whiten".

    Raises:
        X2StaticError: all contexts are equal.
    """
    mean = moments.contexts / moments.n_targets
    second = moments.squares / moments.n_targets
    covariance = second - torch.outer(mean, mean)
    # What float64 leaves of a difference of equal numbers is no variance.
    if float(covariance.trace()) <= 1e-12 * float(second.trace()):
        raise X2StaticError("all contexts of the cache are equal, nothing can be learned from them; check the teacher")
    matrix = symmetric_power(shrink(covariance), -1.0 if transform == "none" else -0.5)
    vectors = torch.empty(moments.words.shape)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        vectors[rows] = ((moments.words[rows] / moments.counts[rows, None] - mean) @ matrix).float()
    return vectors.numpy()


def shrink(covariance: Tensor) -> Tensor:
    """Return (1 - SHRINKAGE) S + SHRINKAGE (trace S / dim) I, which has an inverse whatever the number of contexts."""
    identity = torch.eye(len(covariance), dtype=covariance.dtype)
    return (1 - SHRINKAGE) * covariance + SHRINKAGE * covariance.trace() / len(covariance) * identity


def symmetric_power(matrix: Tensor, power: float) -> Tensor:
    """Return a power of a symmetric, positive definite matrix, (dim, dim)."""
    values, vectors = torch.linalg.eigh(matrix)
    result: Tensor = (vectors * values**power) @ vectors.T
    return result
