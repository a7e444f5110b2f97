"""The objective with negatives that a whole batch shares: two matrix products instead of a gather for each target.

A pool of P words is drawn from the noise distribution, and every target of the batch is scored against all of it, with
weights of negatives / P. A word's expected weight is negatives times its noise probability, as with fresh negatives for
each target, and so the expected loss and gradient are the paper's (eq. 1, tested).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from x2static.stage2_train.objectives.objective import CLAMP, Gradient, ScorePairs, loss_and_slopes, runs, score_pairs

# A CPU's matrix library makes code for every shape it meets, which takes as long as the product itself: 6.6 ms a batch
# where few shapes take 3.2 (docs/LOG.md, 2026-11-21).
ROWS_TOGETHER = 64


@dataclass(frozen=True)
class SharedTargets:
    """The targets of a batch, and the negatives of them all.

    Attributes:
        contexts: (n_contexts, dim), in the vectors' dtype.
        context_of: (n_targets,) int64, the context of each target.
        words: (n_targets,) int64, rows of the vocabulary.
        pool: (n_pool,) int64, rows of the vocabulary, ascending, each once.
        weights: (n_pool,), in the vectors' dtype: negatives times the share of the draws that gave the word.
        product_type: number format of the factors of the two matrix products.
    """

    contexts: Tensor
    context_of: Tensor
    words: Tensor
    pool: Tensor
    weights: Tensor
    product_type: torch.dtype

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

    def loss_and_gradient(self, vectors: Tensor, score: ScorePairs | None = None) -> tuple[float, Gradient]:
        """Return the summed loss and the gradient of the mean; see `Targets.loss_and_gradient`.

        The rows are those of targets and pool, those without a gradient included.
        """
        # Sorted by word, stably: each row is one run.
        words, order = torch.sort(self.words, stable=True)
        context_of = self.context_of.index_select(0, order)
        scores = (score or score_pairs)(vectors, self.contexts, words, context_of)
        positive, slopes = loss_and_slopes(scores, torch.ones_like(scores[:1]))
        negative, pool_values = self._negatives(vectors)
        words_once, starts = runs(words)
        rows, place = torch.cat([words_once, self.pool]).unique(return_inverse=True)  # type: ignore[no-untyped-call]
        counts = torch.zeros_like(rows)
        counts[place[: len(words_once)]] = starts.diff()
        pool_row = torch.full_like(rows, -1)
        pool_row[place[len(words_once) :]] = torch.arange(len(self.pool), device=rows.device)
        return float(positive + negative), Gradient(
            rows=rows,
            starts=functional.pad(torch.cumsum(counts, 0), (1, 0)),
            context_of=context_of,
            slopes=slopes / len(self),
            contexts=self.contexts,
            pool_row=pool_row,
            pool_values=pool_values,
        )

    def _negatives(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Score every context against the pool once, however many targets it has; return loss and gradient."""
        contexts, pool = (_padded(rows.to(self.product_type)) for rows in (self.contexts, vectors[self.pool]))
        n_targets = torch.bincount(self.context_of, minlength=len(contexts)).to(vectors.dtype)  # none in the padding
        scores = (contexts @ pool.T).to(vectors.dtype)  # (n_contexts, n_pool), padded
        low, high = scores.aminmax()
        outside = None if max(-float(low), float(high)) <= CLAMP else scores.abs() > CLAMP
        scores.clamp_(-CLAMP, CLAMP)
        losses = (n_targets @ functional.softplus(scores))[: len(self.pool)]
        slopes = scores.sigmoid_().mul_((n_targets / len(self))[:, None])
        if outside is not None:
            slopes.masked_fill_(outside, 0)
        values = (slopes.to(self.product_type).T @ contexts)[: len(self.pool)].to(vectors.dtype)
        loss = losses.double() @ self.weights.double() + 0.0 * (high.double() - low.double())  # infinity shows in it
        return loss, values.mul_(self.weights[:, None])


def _padded(rows: Tensor) -> Tensor:
    """Return rows with zeros below them, up to the next multiple of ROWS_TOGETHER."""
    return functional.pad(rows, (0, 0, 0, -len(rows) % ROWS_TOGETHER))
