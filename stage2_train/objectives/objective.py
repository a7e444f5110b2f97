"""The objective (eq. 1) and its gradient, vectorised over the targets of a batch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

CLAMP = 20.0  # scores are cut to [-20, 20], as in the reference implementation
PAIRS_AT_ONCE = 32_768  # pairs whose vectors are gathered at a time: bounds memory, 50 MB at 384 float32

# (vectors, contexts, words, context_of) -> scores: u_w . c of pairs of a word and a context
ScorePairs = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Gradient:
    """A gradient that is zero but for some rows, as the sums that it consists of.

    Row r of it is the sum of slope * context over its pairs, starts[r] ... starts[r + 1] - 1, and, where a word of a
    pool is in it, that word's row of `pool_values`.

    Attributes:
        rows: (n_rows,) int64, rows of the vocabulary, ascending, each once.
        starts: (n_rows + 1,) int64.
        context_of: (n_pairs,) int64, rows of `contexts`.
        slopes: (n_pairs,), in the vectors' dtype.
        contexts: (n_contexts, dim), in the vectors' dtype.
        pool_row: (n_rows,) int64, the row of `pool_values` that is in it, or -1; None for no pool.
        pool_values: (n_pool, dim), in the vectors' dtype; None for no pool.
    """

    rows: Tensor
    starts: Tensor
    context_of: Tensor
    slopes: Tensor
    contexts: Tensor
    pool_row: Tensor | None = None
    pool_values: Tensor | None = None

    def values(self) -> Tensor:
        """Return the sums, (n_rows, dim); always added up in the same order, so the bits repeat."""
        values = functional.embedding_bag(
            self.context_of, self.contexts, offsets=self.starts[:-1], mode="sum", per_sample_weights=self.slopes
        )
        if self.pool_row is not None and self.pool_values is not None:
            pooled = self.pool_row >= 0
            values[pooled] += self.pool_values[self.pool_row[pooled]]
        return values


@dataclass(frozen=True)
class Targets:
    """The targets of a batch, with fresh negatives for each.

    Attributes:
        contexts: (n_contexts, dim), in the vectors' dtype.
        context_of: (n_targets,) int64, the context of each target.
        words: (n_targets, 1 + negatives) int64, rows of the vocabulary: the target, then its negatives.
    """

    contexts: Tensor
    context_of: Tensor
    words: Tensor

    def __len__(self) -> int:
        """Return the number of targets."""
        return len(self.words)

    def mean_loss(self, vectors: Tensor) -> Tensor:
        """Return the loss of the batch as the paper writes it, averaged over its targets; for autograd and for reading.

        f(u_w, c_S) = l(u_w . c_S) + sum over w' in N of l(-u_w' . c_S), l(x) = log(1 + exp(-x))
        """
        contexts = self.contexts[self.context_of]  # (n_targets, dim)
        scores = (vectors[self.words] * contexts[:, None]).sum(-1).clamp(-CLAMP, CLAMP)
        positive, negative = scores[:, 0], scores[:, 1:]
        losses = torch.log1p(torch.exp(-positive)) + torch.log1p(torch.exp(negative)).sum(-1)
        return losses.mean()

    def loss_and_gradient(self, vectors: Tensor, score: ScorePairs | None = None) -> tuple[float, Gradient]:
        """Return the summed loss and the gradient of the mean, that of `mean_loss`, without autograd.

        Args:
            vectors: (vocabulary, dim), float32 or float64.
            score: scores pairs; `score_pairs` by default.

        Returns:
            The loss, summed over the targets in float64 (not finite where any score is not), and the gradient of the
            mean loss. Its rows are all words of the batch, those whose gradient is zero included, as autograd has it.
        """
        width = self.words.shape[1]
        # Sorted by word, stably: each row is one run.
        words, order = torch.sort(self.words.flatten(), stable=True)
        context_of = self.context_of.index_select(0, order // width)
        signs = torch.where(order % width == 0, 1.0, -1.0).to(vectors.dtype)
        scores = (score or score_pairs)(vectors, self.contexts, words, context_of)
        loss, slopes = loss_and_slopes(scores, signs)
        rows, starts = runs(words)
        return float(loss), Gradient(rows, starts, context_of, slopes / len(self), self.contexts)


def score_pairs(vectors: Tensor, contexts: Tensor, words: Tensor, context_of: Tensor) -> Tensor:
    """Return u_w . c of pairs of a word and a context, (n_pairs,).

    Args:
        vectors: (vocabulary, dim).
        contexts: (n_contexts, dim).
        words: (n_pairs,) int64.
        context_of: (n_pairs,) int64.
    """
    scores = [
        torch.linalg.vecdot(
            vectors.index_select(0, words[first : first + PAIRS_AT_ONCE]),
            contexts.index_select(0, context_of[first : first + PAIRS_AT_ONCE]),
        )
        for first in range(0, len(words), PAIRS_AT_ONCE)
    ]
    return torch.cat(scores)


def loss_and_slopes(scores: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of l(sign * score) in float64, and its derivatives by the scores; both respect the clamp.

    Args:
        scores: (n_pairs,).
        signs: (n_pairs,) or a single one: 1 for a target, -1 for a negative.
    """
    margins = scores.clamp(-CLAMP, CLAMP) * signs
    loss = functional.softplus(-margins).sum(dtype=torch.float64)
    slopes = -signs * torch.sigmoid(-margins) * (scores.abs() <= CLAMP)
    # The clamp would hide an infinite score; 0 * inf is not a number, and the caller looks at the loss.
    return loss + 0.0 * scores.sum(dtype=torch.float64), slopes


def runs(words: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct words of an ascending list, and where the run of each begins, with the end of the last."""
    rows, counts = torch.unique_consecutive(words, return_counts=True)
    return rows, functional.pad(torch.cumsum(counts, 0), (1, 0))
