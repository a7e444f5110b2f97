"""Negatives that a batch shares: the same expectation as fresh ones for each target, in two matrix products."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.stage2_train.autograd import assert_like_autograd
from x2static.stage2_train.negatives import NoiseDistribution
from x2static.stage2_train.objectives.objective import Targets
from x2static.stage2_train.objectives.shared import SharedTargets


def shared(scale: float = 1.0, n: int = 40) -> tuple[torch.Tensor, SharedTargets]:
    draw = torch.Generator().manual_seed(3)
    vectors = scale * torch.randn(30, 6, generator=draw, dtype=torch.float64)
    return vectors, SharedTargets(
        contexts=torch.randn(9, 6, generator=draw, dtype=torch.float64),
        context_of=torch.randint(0, 8, (n,), generator=draw),  # the last context has no target
        words=torch.randint(0, 30, (n,), generator=draw),
        pool=torch.tensor([2, 3, 5, 7, 11, 29]),
        weights=torch.tensor([1.0, 0.5, 0.5, 1.5, 0.5, 1.0], dtype=torch.float64),
        product_type=torch.float64,
    )


def plain(vectors: torch.Tensor, batch: SharedTargets) -> torch.Tensor:
    """Word for word: every target against all of the pool."""
    total = torch.zeros((), dtype=vectors.dtype)
    for context_of, word in zip(batch.context_of.tolist(), batch.words.tolist(), strict=True):
        context = batch.contexts[context_of]
        total = total + torch.log(1 + torch.exp(-torch.clamp(vectors[word] @ context, -20, 20)))
        for negative, weight in zip(batch.pool.tolist(), batch.weights.tolist(), strict=True):
            total = total + weight * torch.log(1 + torch.exp(torch.clamp(vectors[negative] @ context, -20, 20)))
    return total / len(batch.words)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_loss_and_gradient_are_those_of_the_plain_formula_by_autograd(scale: float):
    vectors, batch = shared(scale)
    assert_like_autograd(plain, vectors, batch)


def test_rows_are_those_of_targets_and_pool_in_order():
    vectors, batch = shared()
    _, gradient = batch.loss_and_gradient(vectors)
    assert gradient.rows.tolist() == sorted({*batch.words.tolist(), *batch.pool.tolist()})


def test_over_many_pools_the_gradient_is_that_of_fresh_negatives():
    vectors, batch = shared(0.7)
    counts = np.arange(30, 0, -1) ** 2
    noise = NoiseDistribution(counts, 0.5)
    share = torch.from_numpy(np.sqrt(counts) / np.sqrt(counts).sum())
    # The expectation over fresh negatives, exactly: every word is one, with ten times its noise probability.
    exact = torch.zeros_like(vectors)
    for context_of, word in zip(batch.context_of.tolist(), batch.words.tolist(), strict=True):
        context = batch.contexts[context_of]
        exact[word] -= torch.sigmoid(-vectors[word] @ context) * context / len(batch.words)
        exact += (10 * share * torch.sigmoid(vectors @ context))[:, None] * context / len(batch.words)

    def mean_gradient(draw, repeats: int) -> torch.Tensor:
        total = torch.zeros_like(vectors)
        for number in range(repeats):
            _, gradient = draw(np.random.default_rng(number)).loss_and_gradient(vectors)
            total[gradient.rows] += gradient.values() / repeats
        return total

    def pooled(numbers: np.random.Generator) -> SharedTargets:
        pool, times = np.unique(noise.draw((12,), numbers), return_counts=True)
        return replace(batch, pool=torch.from_numpy(pool), weights=torch.from_numpy(times * (10 / 12)))

    def fresh(numbers: np.random.Generator) -> Targets:
        negatives = torch.from_numpy(noise.draw((len(batch.words), 10), numbers))
        return Targets(batch.contexts, batch.context_of, torch.cat([batch.words[:, None], negatives], dim=1))

    distance = (mean_gradient(pooled, 3000) - exact).norm() / exact.norm()
    assert distance < 0.05
    assert (mean_gradient(fresh, 600) - exact).norm() / exact.norm() < 0.05
    assert (mean_gradient(pooled, 30) - exact).norm() / exact.norm() > 2 * distance  # it is the mean that comes close


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("row", [11, 26])
def test_a_score_that_is_not_finite_shows_in_the_loss_despite_the_clamp(bad: float, row: int):
    vectors, batch = shared()
    assert (row in batch.pool.tolist()) != (row in batch.words.tolist())
    vectors[row] = bad
    loss, _ = batch.loss_and_gradient(vectors)
    assert not np.isfinite(loss)
