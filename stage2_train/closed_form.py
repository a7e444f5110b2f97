"""The closed form: what training would end at if the contexts were Gaussian (DESIGN §1); one pass, no step."""

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
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

Float64 = npt.NDArray[np.float64]


@dataclass
class Moments:
    """Sums over the targets of a cache, in float64.

    Attributes:
        n_targets: targets added up.
        contexts: (dim,), sum of each target's context.
        squares: (dim, dim), sum of the outer products of each target's context with itself.
        words: (vocabulary, dim), for each word the sum of its contexts, an entry for each occurrence.
        counts: (vocabulary,) int64, occurrences.
    """

    n_targets: int
    contexts: Float64
    squares: Float64
    words: Float64
    counts: npt.NDArray[np.int64]

    @classmethod
    def zeros(cls, vocabulary: int, dim: int) -> "Moments":
        """Begin with nothing."""
        counts = np.zeros(vocabulary, np.int64)
        return cls(0, np.zeros(dim), np.zeros((dim, dim)), np.zeros((vocabulary, dim)), counts)

    def add(self, buffer: Buffer) -> None:
        """Add the targets of a buffer; every word of the vocabulary counts, none is subsampled."""
        for first in range(0, len(buffer.contexts), ROWS_AT_ONCE):
            contexts = buffer.contexts[first : first + ROWS_AT_ONCE].astype(np.float64)
            starts = buffer.word_starts[first : first + len(contexts) + 1]
            self._add_rows(contexts, np.diff(starts), buffer.words[starts[0] : starts[-1]])

    def _add_rows(self, contexts: Float64, lengths: npt.NDArray[np.int64], words: npt.NDArray[np.int32]) -> None:
        if not len(words):
            return
        weighted = contexts * lengths[:, None]
        self.n_targets += len(words)
        self.contexts += weighted.sum(axis=0)
        self.squares += weighted.T @ contexts
        order = np.argsort(words, kind="stable")
        rows, offsets, counts = np.unique(words[order], return_index=True, return_counts=True)
        context_of = np.repeat(np.arange(len(contexts)), lengths)[order]
        sums = functional.embedding_bag(
            torch.from_numpy(context_of), torch.from_numpy(contexts), torch.from_numpy(offsets), mode="sum"
        )
        self.words[rows] += sums.numpy()
        self.counts[rows] += counts


def fit(
    stream: Stream, vocabulary: Vocabulary, dim: int, transform: Literal["none", "whiten"], report: Report
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
    if not np.array_equal(moments.counts, vocabulary.counts):
        raise X2StaticError(
            f"the shards hold {moments.n_targets} words of the vocabulary, their lexicons count {vocabulary.total}; "
            f"the cache is damaged, run `x2static cache verify`"
        )
    vectors = solve(moments, transform)
    return Outcome(vectors, epochs=1, steps=0, targets=moments.n_targets, seconds=time.monotonic() - started)


def solve(moments: Moments, transform: Literal["none", "whiten"]) -> npt.NDArray[np.float32]:
    """Return u_w = S^-1 (m_w - m), or S^-1/2 (m_w - m) in the whitened space; (vocabulary, dim) float32.

    m is the mean of the contexts weighted by their numbers of targets, S their shrunk covariance, m_w the mean over the
    contexts of w, an occurrence each.

    Args:
        moments: sums over the whole cache; its `words` are used up.
        transform: "none" or "whiten".

    Raises:
        X2StaticError: all contexts are equal.
    """
    mean = moments.contexts / moments.n_targets
    second = moments.squares / moments.n_targets
    covariance = second - np.outer(mean, mean)
    # What float64 leaves of a difference of equal numbers is no variance.
    if np.trace(covariance) <= 1e-12 * np.trace(second):
        raise X2StaticError("all contexts of the cache are equal, nothing can be learned from them; check the teacher")
    power = -1.0 if transform == "none" else -0.5
    matrix = symmetric_power(shrink(covariance), power)
    vectors = np.empty(moments.words.shape, np.float32)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        vectors[rows] = (moments.words[rows] / moments.counts[rows, None] - mean) @ matrix
    return vectors


def shrink(covariance: Float64) -> Float64:
    """Return (1 - SHRINKAGE) S + SHRINKAGE (trace S / dim) I, which has an inverse whatever the number of contexts."""
    dim = len(covariance)
    shrunk: Float64 = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / dim * np.eye(dim)
    return shrunk


def symmetric_power(matrix: Float64, power: float) -> Float64:
    """Return a power of a symmetric, positive definite matrix, (dim, dim)."""
    values, vectors = np.linalg.eigh(matrix)
    result: Float64 = (vectors * values**power) @ vectors.T
    return result
