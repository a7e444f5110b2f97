"""The closed form: what training would end at if the contexts were Gaussian (DESIGN §1); one pass, no step."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.machine.progress import Report
from x2static.schemas.training import TrainConfig
from x2static.stage2_train.objectives.moments import ROWS_AT_ONCE, Moments, gather, principal_axes, symmetric_power
from x2static.stage2_train.outcome import Outcome
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.subsampling import keep_probabilities
from x2static.stage2_train.transform import Transform, is_identity
from x2static.stage2_train.vocabulary import Vocabulary


def fit(stream: Stream, vocabulary: Vocabulary, config: TrainConfig, content: str, report: Report) -> Outcome:
    """Compute the closed form from a cache.

    Args:
        stream: the cache, its contexts as they are.
        vocabulary: the words to compute.
        config: `transform` and `dim` are used.
        content: hash of the cache's markers.
        report: hears how many words were read.

    Raises:
        X2StaticError: the cache is damaged, or all its contexts are equal.
        Interrupted: by a signal; nothing is kept, a pass takes minutes.
    """
    started = time.monotonic()
    moments = gather(stream, vocabulary, report, of_words=True)
    solution = Solution.of(moments, fit_transform(config, moments, content))
    vectors = np.empty((len(vocabulary), len(solution.slopes[0])), np.float32)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        vectors[rows] = (moments.differences(rows) @ solution.slopes).numpy()
    return Outcome(
        vectors,
        epochs=1,
        steps=0,
        targets=moments.n_targets,
        seconds=time.monotonic() - started,
        seconds_waited=stream.seconds_waited,
    )


def fit_transform(config: TrainConfig, moments: Moments, content: str) -> Transform:
    """Solve for the transform that a configuration asks for.

    Args:
        config: `transform` and `dim` are used.
        moments: sums over the whole cache.
        content: hash of the cache's markers.

    Raises:
        X2StaticError: all contexts are equal.
    """
    if is_identity(config):
        return Transform()
    kind, dim = config.transform, config.dim
    if kind == "none" and dim is not None:
        return Transform(matrix=principal_axes(moments.second_moment, dim)[1], fitted_on=content)
    covariance = moments.covariance()
    matrix = None
    if dim is not None:
        variances, matrix = principal_axes(covariance, dim)
        matrix = matrix / variances.sqrt() if kind == "whiten" else matrix
    elif kind == "whiten":
        matrix = symmetric_power(covariance, -0.5)
    return Transform(moments.mean, matrix, bias=True, fitted_on=content)


@dataclass(frozen=True, eq=False)
class Solution:
    """The closed form in the space of a transform with matrix A (I where it has none).

    If the contexts of w and all contexts are Gaussian with means m_w and m and one covariance S, then

        log p(c | w) / p(c) = (m_w - m)^T S^-1 (c - m) - (m_w - m)^T S^-1 (m_w - m) / 2,

    which in c' = c A has slopes u_w = (m_w - m) A (A^T S A)^-1: S^-1 (m_w - m) for A = I, S^-1/2 (m_w - m) where
    A = S^-1/2. Negative sampling with k negatives of probability q_w, for targets of which the share p_w is w, is
    at its optimum where a score is log p_w p(c | w) / (k q_w p(c)); so the score at c = m, the bias, is

        b_w = log p_w / (k q_w) - u_w A^T (m_w - m) / 2.

    Attributes:
        moments: sums over the whole cache, with those of the words.
        transform: the space.
        slopes: (teacher's dim, dim), A (A^T S A)^-1.
        inverse: (dim, dim), (A^T S A)^-1.
    """

    moments: Moments
    transform: Transform
    slopes: Tensor
    inverse: Tensor

    @classmethod
    def of(cls, moments: Moments, transform: Transform) -> "Solution":
        """Solve what all words share.

        Raises:
            X2StaticError: all contexts are equal.
        """
        covariance = moments.covariance()
        inner = transform.map_differences(transform.map_differences(covariance).T)  # A^T S A
        inverse = symmetric_power((inner + inner.T) / 2, -1.0)
        slopes = inverse if transform.matrix is None else transform.matrix @ inverse
        return cls(moments, transform, slopes, inverse)

    def write(self, log_odds: npt.NDArray[np.float64], vectors: Tensor) -> None:
        """Write the optimum of negative sampling.

        Contexts without a bias's coordinate get the constant b_w - u_w m' out of their common mean m': the linear
        function that is nearest to the constant 1, in the mean of squares, is g = (S' + m' m'^T)^-1 m', and u_w has a
        multiple of it added.

        Args:
            log_odds: (vocabulary,) log p_w / (k q_w), see `log_odds_of`.
            vectors: (vocabulary, width) float32, overwritten; on any device. The last column is the bias, if any.
        """
        mean = self.transform.map_contexts(self.moments.mean[None])[0]  # m', 0 where the moments are the transform's
        constant = self.inverse @ mean
        constant = constant / (1 + mean @ constant)  # g, by Sherman and Morrison
        odds = torch.from_numpy(log_odds)
        for start in range(0, len(vectors), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            differences = self.moments.differences(rows)
            u = differences @ self.slopes
            at_mean = odds[rows] - (u * self.transform.map_differences(differences)).sum(1) / 2
            offset = (at_mean - u @ mean)[:, None]
            found = torch.cat([u, offset], 1) if self.transform.bias else u + offset * constant
            vectors[rows] = found.to(vectors.device, vectors.dtype)


def log_odds_of(vocabulary: Vocabulary, config: TrainConfig) -> npt.NDArray[np.float64]:
    """Return log p_w / (k q_w), (vocabulary,).

    p_w is the share of w among the targets that subsampling keeps, q_w its probability as a negative, k the number of
    negatives.

    Args:
        vocabulary: the words.
        config: `subsample`, `noise_power` and `negatives` are used.
    """
    targets = vocabulary.counts * keep_probabilities(vocabulary.counts, config.subsample)
    noise = vocabulary.counts.astype(np.float64) ** config.noise_power
    odds: npt.NDArray[np.float64] = np.log(targets / targets.sum()) - np.log(config.negatives * noise / noise.sum())
    return odds
