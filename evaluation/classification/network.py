"""The paper's classifier (§4.3): a convolution over frozen word vectors, the maximum over the text, a linear layer."""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from x2static.evaluation.classification.examples import Batch

FILTERS, WIDTH, DROPOUT = 100, 3, 0.5


class Network:
    """100 filters over three neighbouring words, ReLU, the maximum over all positions, dropout, a linear layer.

    A text has as many positions as words; zeros stand beside its first and its last one.

    Attributes:
        filters: (dim, WIDTH * FILTERS) float32, those of the word before, of the word, and of the word after.
        bias: (FILTERS,) float32.
        weights: (FILTERS, n_classes) float32.
        offsets: (n_classes,) float32.
    """

    def __init__(self, dim: int, n_classes: int, random: torch.Generator) -> None:
        """Draw the parameters, uniform within 1 / sqrt(inputs), as PyTorch's layers do."""

        def draw(inputs: int, *shape: int) -> Tensor:
            bound = 1 / math.sqrt(inputs)
            return torch.empty(shape).uniform_(-bound, bound, generator=random).requires_grad_()

        self.filters = draw(WIDTH * dim, dim, WIDTH * FILTERS)
        self.bias = draw(WIDTH * dim, FILTERS)
        self.weights = draw(FILTERS, FILTERS, n_classes)
        self.offsets = draw(FILTERS, n_classes)

    @property
    def parameters(self) -> list[Tensor]:
        """All that is learned."""
        return [self.filters, self.bias, self.weights, self.offsets]

    def scores(self, matrix: Tensor, batch: Batch, dropout: torch.Generator | None = None) -> Tensor:
        """Return the classes' scores, (n, n_classes) float32, before the softmax.

        Args:
            matrix: (n_words + 1, dim) float32, the word vectors.
            batch: texts.
            dropout: draws what is dropped; None for prediction, without dropout.
        """
        features = self._features(matrix, batch)
        if dropout is not None:
            kept = torch.empty_like(features).bernoulli_(1 - DROPOUT, generator=dropout)
            features = features * kept / (1 - DROPOUT)
        return features @ self.weights + self.offsets

    def _features(self, matrix: Tensor, batch: Batch) -> Tensor:
        # Each distinct word times each filter once, then gathered and added up: 1.1 s an epoch of MR on one core,
        # 1.8 s by conv1d and 2.0 s by unfolding.
        products = (F.embedding(batch.words, matrix) @ self.filters).view(-1, WIDTH, FILTERS)
        longest = batch.inside.shape[1]
        found = [F.embedding(batch.ids[:, at : at + longest], products[:, at]) for at in range(WIDTH)]
        # A position past the end becomes 0, which changes no maximum: ReLU would cut it off there anyway.
        values = (sum(found[1:], found[0]) + self.bias) * batch.inside[:, :, None]
        return torch.relu(values.amax(dim=1))  # (n, FILTERS); ReLU before the maximum is the same, and slower
