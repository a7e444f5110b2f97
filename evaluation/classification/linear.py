"""A linear classifier on sentence vectors: what the teacher itself, or any sentence encoder, is worth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

STRENGTHS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # of the penalty, for vectors at a mean square distance of 1 from their mean
MOST_STEPS = 500


@dataclass(frozen=True, eq=False)
class Linear:
    """Multinomial logistic regression."""

    mean: Tensor  # (dim,) float64, of the vectors that it was trained on
    scale: float  # root of their mean square distance from it
    weights: Tensor  # (dim + 1, n_classes) float64, the constants in the last row

    @classmethod
    def fit(cls, vectors: Tensor, labels: Tensor, n_classes: int, strength: float) -> "Linear":
        """Minimise the mean cross-entropy + strength / 2 times the sum of squares of the weights, constants excepted.

        The vectors are centred and scaled to a mean square length of 1 before, so that a strength means the same for
        vectors of any length. The problem is convex; L-BFGS over all the data solves it.
        Vectors are (n, dim) float64, labels (n,) int64, classes from 0.
        """
        mean = vectors.mean(dim=0)
        distance = float((vectors - mean).square().sum(dim=1).mean().sqrt())
        scale = distance if distance > 0 else 1.0  # all vectors equal: the constants decide
        inputs = _inputs(vectors, mean, scale)
        weights = torch.zeros(inputs.shape[1], n_classes, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [weights], max_iter=MOST_STEPS, tolerance_grad=1e-6, tolerance_change=1e-10, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = F.cross_entropy(inputs @ weights, labels) + strength / 2 * weights[:-1].square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        return cls(mean, scale, weights.detach())

    def predict(self, vectors: Tensor) -> npt.NDArray[np.int64]:
        """Return the class of each vector, (n,) int64 for (n, dim) float64."""
        classes: npt.NDArray[np.int64] = (_inputs(vectors, self.mean, self.scale) @ self.weights).argmax(dim=1).numpy()
        return classes


def _inputs(vectors: Tensor, mean: Tensor, scale: float) -> Tensor:
    return torch.cat([(vectors - mean) / scale, torch.ones(len(vectors), 1, dtype=torch.float64)], dim=1)
