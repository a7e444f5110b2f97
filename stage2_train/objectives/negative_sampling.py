"""Negative sampling, the paper's training (eq. 1), with fresh negatives for each target or a pool for a whole batch.

    f(u_w, c_S) = l(u_w . c_S) + sum over w' in N of l(-u_w' . c_S),      l(x) = log(1 + exp(-x))

A pool of P words is drawn from the noise distribution, and every target of the batch is scored against all of it, with
weights of negatives / P: two matrix products instead of a gather for each target. A word's expected weight, and so the
expected loss and gradient, are those of fresh negatives for each target (tested).

With a prior of strength s, s |u_w - v_w|^2 / 2 is added for each word and epoch: a Gaussian about v_w, the vector that
the word begins at, as precise as s targets whose loss has curvature 1. Words with few targets stay there, words with
many follow the corpus. Where v_w are views: `write_views`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from x2static.machine.device import has_bfloat16
from x2static.schemas.training import TrainConfig
from x2static.stage2_train.learner import Gradient, Targets, runs, score_pairs
from x2static.stage2_train.objectives import views
from x2static.stage2_train.objectives.closed_form import write_optimum, write_views
from x2static.stage2_train.objectives.objective import BaseObjective
from x2static.stage2_train.sampling import Draw, Draws, Position, generator, keep_probabilities
from x2static.stage2_train.stream import Batch, Stream
from x2static.stage2_train.transform import Moments, Transform

CLAMP = 20.0  # scores are cut to [-20, 20], as in the reference implementation
# A CPU's matrix library makes code for every shape it meets, which takes as long as the product itself: 6.6 ms a batch
# where few shapes take 3.2 (docs/LOG.md, 2026-11-21).
ROWS_TOGETHER = 64


class Objective(BaseObjective):
    """Negative sampling as a configuration asks for it."""

    by_word = True
    loss_settings = ("negatives", "noise_power", "subsample", "prior", "context_map")

    def __init__(self, config: TrainConfig) -> None:
        self.init, self.seed = config.init, config.seed
        self.views: views.Objective | None = views.Objective(config) if config.init == "views" else None
        self.negatives, self.noise_power, self.subsample = config.negatives, config.noise_power, config.subsample
        self.pool = config.pool if config.negatives_mode == "shared" else None
        self.prior = config.prior or 0.0
        self.needs_words = config.init in ("closed-form", "views")
        self.loss_of_zeros = (1 + config.negatives) * math.log(2)

    def begin(self, vectors: Tensor, stream: Stream, transform: Transform, moments: Callable[[], Moments]) -> None:
        """Write uniform vectors in +-1/width, zeros, the optimum for Gaussian contexts, or views; else a bias is 0."""
        if self.init == "closed-form":
            write_optimum(moments(), transform, self._log_odds(stream.vocabulary.counts), vectors)
        elif self.views is not None:
            together = self.views.put_together(stream, moments)
            write_views(together, moments(), transform, self._log_odds(stream.vocabulary.counts), vectors)
        elif self.init == "uniform":
            vectors.copy_(torch.from_numpy(uniform_vectors(self.seed, *vectors.shape)))
            if transform.bias:
                vectors[:, -1] = 0

    def pulls(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
        """Return for each word the prior's strength over the targets that an epoch has of it on average."""
        return self.prior / (counts * keep_probabilities(counts, self.subsample)) if self.prior else None

    def _log_odds(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return log p_w / (k q_w), k negatives of probability q_w for targets of which the share p_w is w."""
        targets = counts * keep_probabilities(counts, self.subsample)
        noise = counts.astype(np.float64) ** self.noise_power
        return np.asarray(np.log(targets / targets.sum()) - np.log(self.negatives * noise / noise.sum()))

    def draw(self, batch: Batch, position: Position, draws: Draws, like: Tensor) -> Targets:
        """Return the words that subsampling keeps, with their negatives."""
        kept = draws.subsample(batch.words, position)
        words, context_of = batch.words[kept].long(), batch.context_of[kept]
        contexts = batch.contexts.to(like.dtype)
        if self.pool is None:
            negatives = draws.noise((len(words), self.negatives), position)
            return FreshNegatives(contexts, context_of, torch.cat([words[:, None], negatives], dim=1), part=draws.part)
        pool, times = draws.noise((self.pool,), position).unique(return_counts=True)  # type: ignore[no-untyped-call]
        pool, places = draws.part.ascending(pool)
        weights = (times[places].double() * (self.negatives / self.pool)).to(like.dtype)
        # With bfloat16 a score is off by less than 1 %, a gradient's value by less than 0.5 %: Adam keeps its sign.
        fast = like.dtype == torch.float32 and has_bfloat16(like.device)
        product_type = torch.bfloat16 if fast else like.dtype
        return SharedNegatives(contexts, context_of, words, pool, weights, product_type, part=draws.part)


def uniform_vectors(seed: int, n_words: int, width: int) -> npt.NDArray[np.float32]:
    """Return U ~ uniform(-1/width, 1/width), (n_words, width); drawn on the CPU, so equal on every device."""
    drawn = np.empty((n_words, width), np.float32)
    generator(seed, Draw.INITIAL, Position(0)).random(dtype=np.float32, out=drawn)
    drawn *= np.float32(2 / width)
    drawn -= np.float32(1 / width)
    return drawn


def loss_and_slopes(scores: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of l(sign * score), and its derivatives by the scores, (n_pairs,); the sign of a target is 1."""
    margins = scores.clamp(-CLAMP, CLAMP) * signs
    loss = functional.softplus(-margins).sum(dtype=torch.float64)
    slopes = -signs * torch.sigmoid(-margins) * (scores.abs() <= CLAMP)
    # The clamp would hide an infinite score; 0 * inf is not a number, and the caller looks at the loss.
    return loss + 0.0 * scores.sum(dtype=torch.float64), slopes


@dataclass(frozen=True)
class FreshNegatives(Targets):
    """The targets of a batch, each with negatives of its own behind it: words are (n_targets, 1 + negatives)."""

    def loss_and_gradient(self, vectors: Tensor) -> tuple[float, Gradient]:
        """Return the summed loss and the gradient of the mean."""
        width = self.words.shape[1]
        # Sorted by word, stably: each row is one run.
        words, order = self.part.ascending(self.words.flatten())
        context_of = self.context_of.index_select(0, order // width)
        signs = torch.where(order % width == 0, 1.0, -1.0).to(vectors.dtype)
        loss, slopes = loss_and_slopes(score_pairs(vectors, self.contexts, words, context_of), signs)
        rows, starts = runs(words)
        return float(loss), Gradient(rows, starts, context_of, slopes / len(self), self.contexts)


@dataclass(frozen=True)
class SharedNegatives(Targets):
    """The targets of a batch, (n_targets,), and the negatives of them all."""

    pool: Tensor  # (n_pool,) int64, rows of the vectors, ascending, each once
    weights: Tensor  # (n_pool,), in the vectors' dtype: negatives times the share of the draws that gave the word
    product_type: torch.dtype  # number format of the factors of the two matrix products

    def loss_and_gradient(self, vectors: Tensor) -> tuple[float, Gradient]:
        """Return the summed loss and the gradient of the mean, whose rows are those of targets and pool."""
        # Sorted by word, stably: each row is one run.
        words, order = self.part.ascending(self.words)
        context_of = self.context_of.index_select(0, order)
        scores = score_pairs(vectors, self.contexts, words, context_of)
        positive, slopes = loss_and_slopes(scores, torch.ones_like(scores[:1]))
        negative, pool_values, pool_slopes = self._negatives(vectors)
        rows = torch.cat([words, self.pool]).unique()  # type: ignore[no-untyped-call]
        starts = functional.pad(torch.searchsorted(words, rows), (0, 1), value=len(words))
        pool_row = torch.full_like(rows, -1)
        pool_row[torch.searchsorted(rows, self.pool)] = torch.arange(len(self.pool), device=rows.device)
        of_pool = (pool_row, pool_values), (self.pool, self.weights, pool_slopes)
        gradient = Gradient(rows, starts, context_of, slopes / len(self), self.contexts, *of_pool)
        return float(positive + negative), gradient

    def _negatives(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss, gradient, and the derivatives by the scores before weights, (n_contexts, n_pool).

        Every context is scored against the pool once, however many targets it has.
        """
        if not len(self.pool):  # of a part
            return self.weights.double().sum(), vectors[:0], vectors.new_zeros((len(self.contexts), 0))
        contexts, pool = (
            functional.pad(rows.to(self.product_type), (0, 0, 0, -len(rows) % ROWS_TOGETHER))
            for rows in (self.contexts, vectors[self.pool])
        )
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
        return loss, values.mul_(self.weights[:, None]), slopes[: len(self.contexts), : len(self.pool)]
