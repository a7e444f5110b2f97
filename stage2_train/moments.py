"""Sums over the targets of a cache, in float64, in one pass: all that transforms and closed forms are solved from."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from x2static.durable.errors import Interrupted, X2StaticError
from x2static.machine.progress import Progress, Report, StopRequest
from x2static.stage2_train.learner import runs
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.transform import Kind, Transform

# Share of the covariance that is replaced by a multiple of the identity of equal trace, as Ledoit and Wolf do. Their
# share falls with the number of contexts per dimension; a constant keeps vectors of different corpora comparable. At
# 1 % it floors only directions with less than a hundredth of the average variance, which small corpora cannot estimate.
SHRINKAGE = 0.01
ROWS_AT_ONCE = 4096  # contexts, or words, that are held in float64 at a time


class Moments:
    """Sums over the targets of a cache, in float64. All in PyTorch: so its number of threads is the one that counts.

    The sums of the words take 8 bytes x vocabulary x dim (4.6 GB for 750,000 words of 768 dimensions), all else little;
    a transform alone does not need them.
    """

    def __init__(self, vocabulary: int, dim: int, of_words: bool) -> None:
        """Begin with nothing; `of_words`: whether to add up the contexts of each word."""
        self.n_targets = 0
        self.contexts = torch.zeros(dim, dtype=torch.float64)  # sum of each target's context
        self.squares = self.contexts.new_zeros(dim, dim)  # sum of their outer products with themselves
        self.words = self.contexts.new_zeros(vocabulary, dim) if of_words else None  # sums of each word's contexts
        self.counts = torch.zeros(vocabulary, dtype=torch.int64)  # occurrences

    def add(self, contexts: Tensor, lengths: Tensor, words: Tensor) -> None:
        """Add contexts, (n, dim) float64, with their targets: rows of the vocabulary, lengths[i] of context i."""
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
        """Return S, the covariance of the contexts, weighted likewise and shrunk; (dim, dim).

        It is (1 - SHRINKAGE) S' + SHRINKAGE (trace S' / dim) I, which has an inverse whatever the number of contexts.
        Raises X2StaticError: all contexts are equal.
        """
        second = self.second_moment
        covariance = second - torch.outer(self.mean, self.mean)
        # What float64 leaves of a difference of equal numbers is no variance.
        if float(covariance.trace()) <= 1e-12 * float(second.trace()):
            raise X2StaticError("all contexts of the cache are equal; nothing can be learned, check the teacher")
        identity = torch.eye(len(covariance), dtype=covariance.dtype)
        return (1 - SHRINKAGE) * covariance + SHRINKAGE * covariance.trace() / len(covariance) * identity

    def differences(self, rows: slice) -> Tensor:
        """Return m_w - m for some words, m_w being the mean over the contexts of w, an occurrence each; (n, dim)."""
        if self.words is None:
            raise ValueError("the contexts of each word were not added up")
        return self.words[rows] / self.counts[rows, None] - self.mean


def gather(stream: Stream, report: Report, of_words: bool) -> Moments:
    """Add up a whole cache; `of_words`: also the contexts of each word. Raises Interrupted: by a signal."""
    vocabulary = stream.vocabulary
    moments = Moments(len(vocabulary), stream.dim, of_words)
    with StopRequest() as stop:
        for buffer in stream.in_order():
            for rows in pieces(len(buffer.contexts)):
                starts = buffer.word_starts[rows.start : rows.stop + 1]
                words = buffer.words[starts[0] : starts[-1]]
                moments.add(buffer.contexts[rows].double(), starts.diff(), words)
            report(Progress(moments.n_targets, vocabulary.total, "words", "moments of the contexts"))
            if stop.signal is not None:
                hint = "nothing of them is kept, run the same command again to start over"
                raise Interrupted(f"stopped by {stop.signal.name} while the contexts were added up; {hint}")
    if not np.array_equal(moments.counts.numpy(), vocabulary.counts):
        raise stream.miscount(moments.n_targets, vocabulary.total)
    return moments


def pieces(n_rows: int) -> Iterator[slice]:
    """Yield the rows of a matrix, some at a time."""
    for start in range(0, n_rows, ROWS_AT_ONCE):
        yield slice(start, start + ROWS_AT_ONCE)


def fit_transform(kind: Kind, dim: int | None, moments: Moments, content: str) -> Transform:
    """Solve for a transform to `dim` dimensions (None for all), of the cache with this content."""
    if kind == "none":
        matrix = None if dim is None else principal_axes(moments.second_moment, dim)[1]
        return Transform(matrix=matrix, fitted_on=content)
    covariance = moments.covariance()
    matrix = None
    if dim is not None:
        variances, matrix = principal_axes(covariance, dim)
        matrix = matrix / variances.sqrt() if kind == "whiten" else matrix
    elif kind == "whiten":
        matrix = symmetric_power(covariance, -0.5)
    return Transform(moments.mean, matrix, bias=True, fitted_on=content)


def symmetric_power(matrix: Tensor, power: float) -> Tensor:
    """Return a power of a symmetric, positive definite matrix, (dim, dim)."""
    values, vectors = torch.linalg.eigh(matrix)
    return torch.mm(vectors * values**power, vectors.T)


def principal_axes(matrix: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return the n largest eigenvalues of a symmetric matrix, largest first, (n,), and their axes, (dim, n)."""
    values, vectors = torch.linalg.eigh(matrix)
    return values.flip(0)[:n], vectors.flip(1)[:, :n].contiguous()
