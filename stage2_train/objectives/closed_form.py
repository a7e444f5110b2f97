"""The closed form: what training would end at if the contexts were Gaussian; one pass, no step.

If the contexts of w and all contexts are Gaussian with means m_w and m and one covariance S, then

    log p(c | w) / p(c) = (m_w - m)^T S^-1 (c - m) - (m_w - m)^T S^-1 (m_w - m) / 2,

which in the space of a transform with matrix A (I where it has none), c' = c A, has slopes
u_w = (m_w - m) A (A^T S A)^-1: S^-1 (m_w - m) for A = I, S^-1/2 (m_w - m) where A = S^-1/2.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.stage2_train.objectives.objective import BaseObjective
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.transform import Moments, Transform, pieces, symmetric_power


class Objective(BaseObjective):
    """The slopes themselves; of the settings, only the transform counts."""

    takes_steps = draws = False
    needs_words = True

    def begin(self, vectors: Tensor, stream: Stream, transform: Transform, moments: Callable[[], Moments]) -> None:
        """Write the slopes of all words; the bias stays 0."""
        sums = moments()
        slopes, _ = solve(sums, transform)
        for rows in pieces(len(vectors)):
            vectors[rows, : slopes.shape[1]] = (sums.differences(rows) @ slopes).to(vectors.device, vectors.dtype)


def solve(moments: Moments, transform: Transform) -> tuple[Tensor, Tensor]:
    """Return A (A^T S A)^-1, (teacher's dim, dim) float64, and (A^T S A)^-1, (dim, dim), which all words share."""
    covariance = moments.covariance()
    inner = transform.map_differences(transform.map_differences(covariance).T)  # A^T S A
    inverse = symmetric_power((inner + inner.T) / 2, -1.0)
    return inverse if transform.matrix is None else transform.matrix @ inverse, inverse


def whitened_slopes(moments: Moments) -> Tensor:
    """Return S^-1/2 (m_w - m) of all words, (vocabulary, teacher's dim) float32, in the axes of the teacher."""
    root = symmetric_power(moments.covariance(), -0.5)
    return torch.cat([(moments.differences(rows) @ root).float() for rows in pieces(len(moments.counts))])


def turned(views: Tensor, transform: Transform) -> Iterator[tuple[slice, Tensor]]:
    """Yield views, (vocabulary, teacher's dim) float32, in the axes of a space, some rows at a time: (n, dim) float64.

    They have to keep their cosines, so they are turned but not stretched: A (A^T A)^-1/2 is the rotation in a transform
    with matrix A, and I where A is symmetric.
    """
    matrix = transform.matrix
    rotation = None if matrix is None else matrix @ symmetric_power(matrix.T @ matrix, -0.5)
    for rows in pieces(len(views)):
        yield rows, views[rows].double() if rotation is None else views[rows].double() @ rotation


def write_views(
    views: Tensor, moments: Moments, transform: Transform, log_odds: npt.NDArray[np.float64], vectors: Tensor
) -> None:
    """Write views, (vocabulary, teacher's dim) float32, as vectors of negative sampling.

    They are turned into the axes of the space. One factor for all brings them as near to the slopes of the
    closed form as it can, by least squares. The bias is that of slopes u_w, log p_w / (k q_w) - u_w A^T S A u_w / 2;
    without its coordinate, there is none. `log_odds` and `vectors` as in `write_optimum`.
    """
    slopes, _ = solve(moments, transform)
    products = squares = 0.0
    for rows, some in turned(views, transform):
        products += float((some * (moments.differences(rows) @ slopes)).sum())
        squares += float(some.square().sum())
        vectors[rows, : some.shape[1]] = some.to(vectors.device, vectors.dtype)
    # Views that point away from their contexts say nothing of lengths; so do views of zeros.
    vectors *= products / squares if products > 0 else 1.0
    if transform.bias:
        inner = transform.map_differences(transform.map_differences(moments.covariance()).T)  # A^T S A
        for rows in pieces(len(vectors)):
            u = vectors[rows, :-1].double().cpu()
            bias = torch.from_numpy(log_odds)[rows] - ((u @ inner) * u).sum(1) / 2
            vectors[rows, -1] = bias.to(vectors.device, vectors.dtype)


def write_optimum(moments: Moments, transform: Transform, log_odds: npt.NDArray[np.float64], vectors: Tensor) -> None:
    """Write the optimum of negative sampling.

    With k negatives of probability q_w, for targets (those kept) of which the share p_w is w, it is where a score is
    log p_w p(c | w) / (k q_w p(c)); so the score at c = m, the bias, is

        b_w = log p_w / (k q_w) - u_w A^T (m_w - m) / 2.

    Contexts without a bias's coordinate get the constant b_w - u_w m' out of their common mean m': the linear function
    that is nearest to the constant 1, in the mean of squares, is g = (S' + m' m'^T)^-1 m', and u_w has a multiple of it
    added.

    `log_odds`, (vocabulary,), are log p_w / (k q_w); the bias is the last column of the vectors, (vocabulary, width).
    """
    slopes, inverse = solve(moments, transform)
    mean = transform.map_contexts(moments.mean[None])[0]  # m', 0 where the moments are the transform's
    constant = inverse @ mean
    constant = constant / (1 + mean @ constant)  # g, by Sherman and Morrison
    odds = torch.from_numpy(log_odds)
    for rows in pieces(len(vectors)):
        differences = moments.differences(rows)
        u = differences @ slopes
        at_mean = odds[rows] - (u * transform.map_differences(differences)).sum(1) / 2
        offset = (at_mean - u @ mean)[:, None]
        optimum = torch.cat([u, offset], 1) if transform.bias else u + offset * constant
        vectors[rows] = optimum.to(vectors.device, vectors.dtype)
