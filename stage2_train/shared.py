"""The objective with negatives that a whole batch shares: two matrix products instead of a gather for each target.

A pool of P words is drawn from the noise distribution, and every target of the batch is scored against all of it, with
weights of negatives / P. A word's expected weight is negatives times its noise probability, as with fresh negatives for
each target, and so the expected loss and gradient are the paper's (eq. 1, tested).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stage2_train.objective import CLAMP, RowGradient


@dataclass(frozen=True)
class SharedTargets:
    """The targets of a batch, and the negatives of them all.

    Attributes:
        contexts: (n_contexts, dim), in the vectors' dtype.
        context_of: (n_targets,) int64, the context of each target.
        words: (n_targets,) int64, rows of the vocabulary.
        pool: (n_pool,) int64, rows of the vocabulary, ascending, each once.
        weights: (n_pool,), in the vectors' dtype: negatives times the share of the draws that gave the word.
    """

    contexts: Tensor
    context_of: Tensor
    words: Tensor
    pool: Tensor
    weights: Tensor

    def __len__(self) -> int:
        """Return the number of targets."""
        return len(self.words)

    def mean_loss(self, vectors: Tensor) -> Tensor:
        """Return the loss of the batch as it is written, averaged over its targets; for autograd and for reading."""
        contexts = self.contexts[self.context_of]  # (n_targets, dim)
        positive = (vectors[self.words] * contexts).sum(1).clamp(-CLAMP, CLAMP)
        negative = (contexts @ vectors[self.pool].T).clamp(-CLAMP, CLAMP)
        losses = torch.log1p(torch.exp(-positive)) + torch.log1p(torch.exp(negative)) @ self.weights
        return losses.mean()

    def loss_and_gradient(self, vectors: Tensor) -> tuple[float, RowGradient]:
        """Return the summed loss and the gradient of the mean, that of `mean_loss`, without autograd.

        Args:
            vectors: (vocabulary, dim), float32 or float64.

        Returns:
            See `Targets.loss_and_gradient`; the rows are those of targets and pool, those without a gradient included.
        """
        positive_loss, positives = self._positives(vectors)
        negative_loss, negatives = self._negatives(vectors)
        return float(positive_loss + negative_loss), add(positives, negatives)

    def _positives(self, vectors: Tensor) -> tuple[Tensor, RowGradient]:
        # Sorted by word, stably: each row is one run, always added up in the same order, so the bits repeat.
        words, order = torch.sort(self.words, stable=True)
        context_of = self.context_of.index_select(0, order)
        rows, counts = torch.unique_consecutive(words, return_counts=True)
        scores = torch.linalg.vecdot(vectors.index_select(0, words), self.contexts.index_select(0, context_of))
        slopes = -torch.sigmoid(-scores) * (scores.abs() <= CLAMP) / len(self)
        values = functional.embedding_bag(
            context_of,
            self.contexts,
            offsets=torch.cumsum(counts, 0) - counts,
            mode="sum",
            per_sample_weights=slopes,
        )
        loss = functional.softplus(-scores.clamp(-CLAMP, CLAMP)).sum(dtype=torch.float64)
        return loss + 0.0 * scores.sum(dtype=torch.float64), RowGradient(rows, values)

    def _negatives(self, vectors: Tensor) -> tuple[Tensor, RowGradient]:
        """Score every context against the pool once, however many targets it has."""
        n_targets = torch.bincount(self.context_of, minlength=len(self.contexts)).to(vectors.dtype)
        scores = self.contexts @ vectors.index_select(0, self.pool).T  # (n_contexts, n_pool)
        clamped = scores.clamp(-CLAMP, CLAMP)
        losses = n_targets @ functional.softplus(clamped)  # (n_pool,)
        slopes = torch.sigmoid(clamped).mul_(scores.abs() <= CLAMP)
        values = slopes.T @ (self.contexts * (n_targets / len(self))[:, None])
        loss = (losses.double() @ self.weights.double()) + 0.0 * scores.sum(dtype=torch.float64)
        return loss, RowGradient(self.pool, values * self.weights[:, None])


def add(first: RowGradient, second: RowGradient) -> RowGradient:
    """Return the sum of two gradients."""
    rows = torch.cat([first.rows, second.rows]).unique()  # type: ignore[no-untyped-call]
    values = torch.zeros((len(rows), first.values.shape[1]), dtype=first.values.dtype, device=rows.device)
    values[torch.searchsorted(rows, first.rows)] = first.values
    values[torch.searchsorted(rows, second.rows)] += second.values  # each row once: the order does not matter
    return RowGradient(rows, values)
