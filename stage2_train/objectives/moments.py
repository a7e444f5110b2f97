"""Sums over the targets of a cache, in float64, in one pass: all that transforms and closed forms are solved from."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from x2static.durable.errors import Interrupted, X2StaticError
from x2static.machine.progress import Progress, Report
from x2static.stage2_train.buffer import Buffer
from x2static.stage2_train.objectives.objective import runs
from x2static.stage2_train.stop import StopRequest
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.vocabulary import Vocabulary

# Share of the covariance that is replaced by a multiple of the identity of equal trace, as Ledoit and Wolf do. Their
# share falls with the number of contexts per dimension; a constant keeps vectors of different corpora comparable. At
# 1 % it floors only directions with less than a hundredth of the average variance, which small corpora cannot estimate.
SHRINKAGE = 0.01
ROWS_AT_ONCE = 4096  # contexts, or words, that are held in float64 at a time


@dataclass
class Moments:
    """Sums over the targets of a cache, in float64. All in PyTorch: so its number of threads is the one that counts.

    The sums of the words take 8 bytes x vocabulary x dim (4.6 GB for 750,000 words of 768 dimensions), all else little;
    a transform alone does not need them.

    Attributes:
        n_targets: targets added up.
        contexts: (dim,), sum of each target's context.
        squares: (dim, dim), sum of the outer products of each target's context with itself.
        words: (vocabulary, dim), for each word the sum of its contexts, an entry for each occurrence; None where only
            the contexts as a whole are of interest.
        counts: (vocabulary,) int64, occurrences.
    """

    n_targets: int
    contexts: Tensor
    squares: Tensor
    words: Tensor | None
    counts: Tensor

    @classmethod
    def zeros(cls, vocabulary: int, dim: int, of_words: bool) -> "Moments":
        """Begin with nothing.

        Args:
            vocabulary: number of words.
            dim: length of a context vector.
            of_words: whether to add up the contexts of each word.
        """
        contexts = torch.zeros(dim, dtype=torch.float64)
        words = contexts.new_zeros(vocabulary, dim) if of_words else None
        return cls(0, contexts, contexts.new_zeros(dim, dim), words, torch.zeros(vocabulary, dtype=torch.int64))

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
        rows, starts = runs(ordered)
        self.counts[rows] += starts.diff()
        if self.words is not None:
            context_of = torch.repeat_interleave(lengths).index_select(0, order)
            self.words[rows] += functional.embedding_bag(context_of, contexts, starts[:-1], mode="sum")

    @property
    def mean(self) -> Tensor:
        """m, the mean of the contexts weighted by their numbers of targets; (dim,)."""
        return self.contexts / self.n_targets

    @property
    def second_moment(self) -> Tensor:
        """Mean of c c^T, not centred, weighted likewise; (dim, dim)."""
        return self.squares / self.n_targets

    def covariance(self) -> Tensor:
        """Return S, the shrunk covariance of the contexts, weighted likewise; (dim, dim).

        Raises:
            X2StaticError: all contexts are equal.
        """
        second = self.second_moment
        covariance = second - torch.outer(self.mean, self.mean)
        # What float64 leaves of a difference of equal numbers is no variance.
        if float(covariance.trace()) <= 1e-12 * float(second.trace()):
            raise X2StaticError(
                "all contexts of the cache are equal, nothing can be learned from them; check the teacher"
            )
        return shrink(covariance)

    def differences(self, rows: slice) -> Tensor:
        """Return m_w - m for some words, m_w being the mean over the contexts of w, an occurrence each; (n, dim)."""
        if self.words is None:
            raise ValueError("the contexts of each word were not added up")
        return self.words[rows] / self.counts[rows, None] - self.mean


def gather(stream: Stream, vocabulary: Vocabulary, report: Report, of_words: bool) -> Moments:
    """Add up a whole cache.

    Args:
        stream: the cache, its contexts as they are.
        vocabulary: the words that are targets.
        report: hears how many words were read.
        of_words: whether to add up the contexts of each word.

    Raises:
        X2StaticError: the cache is damaged.
        Interrupted: by a signal; nothing is kept, a pass takes minutes.
    """
    moments = Moments.zeros(len(vocabulary), stream.dim, of_words)
    with StopRequest() as stop:
        for buffer in stream.in_order():
            moments.add(buffer)
            report(Progress(moments.n_targets, vocabulary.total, "words", "moments of the contexts"))
            if stop.signal is not None:
                raise Interrupted(
                    f"stopped by {stop.signal.name} while the contexts were added up, of which nothing is kept; run "
                    f"the same command again to start over"
                )
    if not np.array_equal(moments.counts.numpy(), vocabulary.counts):
        raise X2StaticError(
            f"the shards hold {moments.n_targets} words of the vocabulary, their lexicons count {vocabulary.total}; "
            f"the cache is damaged, run `x2static cache verify`"
        )
    return moments


def shrink(covariance: Tensor) -> Tensor:
    """Return (1 - SHRINKAGE) S + SHRINKAGE (trace S / dim) I, which has an inverse whatever the number of contexts."""
    identity = torch.eye(len(covariance), dtype=covariance.dtype)
    return (1 - SHRINKAGE) * covariance + SHRINKAGE * covariance.trace() / len(covariance) * identity


def symmetric_power(matrix: Tensor, power: float) -> Tensor:
    """Return a power of a symmetric, positive definite matrix, (dim, dim)."""
    values, vectors = torch.linalg.eigh(matrix)
    result: Tensor = (vectors * values**power) @ vectors.T
    return result


def principal_axes(matrix: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return the n largest eigenvalues of a symmetric matrix, largest first, (n,), and their axes, (dim, n)."""
    values, vectors = torch.linalg.eigh(matrix)
    return values.flip(0)[:n], vectors.flip(1)[:, :n].contiguous()
