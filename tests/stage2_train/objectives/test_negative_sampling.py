"""The claim of the whole stage: ten steps of training are ten steps of the paper's formula."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from tests.stage2_train.caches import config, draws, opened
from tests.stage2_train.objectives.batches import DIM, WORDS, batch_of
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.buffer import Batch
from x2static.stage2_train.learner import Learner, score_pairs
from x2static.stage2_train.objectives.negative_sampling import (
    CLAMP,
    FreshNegatives,
    Objective,
    SharedNegatives,
    uniform_vectors,
)
from x2static.stage2_train.sampling import HostDraws, Position
from x2static.stage2_train.trainer import train


class Plain:
    """The formula by autograd, with torch's own optimiser."""

    def __init__(self, vectors: torch.Tensor, lr: float):
        self.parameter = torch.nn.Parameter(vectors.clone())
        self.optimiser = torch.optim.SparseAdam([self.parameter], lr=lr)

    def learn(self, targets: FreshNegatives) -> float:
        self.optimiser.zero_grad()
        rows = torch.nn.functional.embedding(targets.words, self.parameter, sparse=True)
        contexts = targets.contexts[targets.context_of]
        scores = torch.clamp(torch.einsum("tkd,td->tk", rows, contexts), -20, 20)
        losses = torch.log(1 + torch.exp(-scores[:, 0])) + torch.log(1 + torch.exp(scores[:, 1:])).sum(1)
        losses.mean().backward()
        self.optimiser.step()
        return float(losses.detach().sum())


def initial(wish: TrainConfig, n_words: int, dim: int) -> torch.Tensor:
    return torch.from_numpy(uniform_vectors(wish.seed, n_words, dim)).double()


@pytest.mark.parametrize("scale", [1.0, 20_000.0])  # with the second, scores are clamped
def test_ten_steps_of_training_are_ten_steps_of_the_plain_formula_and_sparse_adam(cache: Path, scale: float):
    wish, stream, vocabulary = opened(cache)
    objective, drawing = Objective(wish), draws(wish, vocabulary.counts)
    start = initial(wish, len(vocabulary), stream.dim) * scale
    ours = Learner(start.clone(), torch.zeros_like(start), torch.zeros_like(start))
    plain = Plain(start, wish.lr)
    clamped = 0
    for position, batch, _ in islice(stream.batches(Position(0), 1), 10):
        targets = objective.draw(batch, position, drawing, start)
        scores = score_pairs(ours.vectors, targets.contexts, targets.words[:, 0], targets.context_of)
        clamped += int((scores.abs() > CLAMP).sum())
        loss = ours.learn(targets, wish.lr)
        assert loss == pytest.approx(plain.learn(targets), rel=1e-6)
        expected = plain.parameter.detach()
        assert float((ours.vectors - expected).norm() / expected.norm()) < 1e-6
        torch.testing.assert_close(ours.vectors - start, expected - start, rtol=1e-6, atol=1e-10)
    assert ours.steps == 10
    assert (clamped > 0) == (scale > 1)
    assert not torch.equal(ours.vectors, start)


def test_train_takes_exactly_these_steps(cache: Path, whole_run: Path):
    wish, stream, vocabulary = opened(cache)
    objective, drawing = Objective(wish), draws(wish, vocabulary.counts)
    start = initial(wish, len(vocabulary), stream.dim)
    plain = Plain(start, wish.lr)
    losses, n_targets = np.zeros(wish.epochs), np.zeros(wish.epochs)
    for position, batch, _ in stream.batches(Position(0), wish.epochs):
        targets = objective.draw(batch, position, drawing, start)
        losses[position.epoch] += plain.learn(targets)
        n_targets[position.epoch] += len(targets)
    trained = WordVectors.load(whole_run)
    difference = np.abs(trained.matrix - plain.parameter.detach().numpy())
    assert difference.max() < 1e-4  # float32 against float64
    assert trained.run["losses"] == pytest.approx(losses / n_targets, rel=1e-6)
    assert trained.run["targets"] == n_targets.sum()


def plain_loss(vectors: torch.Tensor, batch: FreshNegatives | SharedNegatives) -> torch.Tensor:
    """The formula word for word: every target against its own negatives, or against all of the pool."""
    total = torch.zeros((), dtype=vectors.dtype)
    for context_of, words in zip(batch.context_of.tolist(), batch.words.tolist(), strict=True):
        if isinstance(batch, SharedNegatives):
            target, negatives, weights = words, batch.pool.tolist(), batch.weights.tolist()
        else:
            target, *negatives = words
            weights = [1] * len(negatives)
        scores = torch.clamp(vectors @ batch.contexts[context_of], -20, 20)
        total = total + torch.log(1 + torch.exp(-scores[target]))
        for negative, weight in zip(negatives, weights, strict=True):
            total = total + weight * torch.log(1 + torch.exp(scores[negative]))
    return total / len(batch)


def vectors_of(scale: float) -> torch.Tensor:
    return scale * torch.randn(WORDS, DIM, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])  # with the last, scores are clamped
def test_loss_and_gradient_are_those_of_the_plain_formula_by_autograd(scale: float, shared: bool):
    vectors, batch = vectors_of(scale).requires_grad_(), batch_of(3, shared, torch.float64)
    expected = plain_loss(vectors, batch)
    expected.backward()
    loss, gradient = batch.loss_and_gradient(vectors.detach())
    assert loss / len(batch) == pytest.approx(float(expected.detach()), rel=1e-9)
    dense = torch.zeros_like(vectors.detach())
    dense[gradient.rows] = gradient.values()
    torch.testing.assert_close(dense, vectors.grad, rtol=1e-9, atol=1e-12)
    pool = batch.pool.tolist() if isinstance(batch, SharedNegatives) else []
    assert gradient.rows.tolist() == sorted({*batch.words.flatten().tolist(), *pool})


def test_a_clamped_score_gives_its_loss_but_no_gradient_and_one_on_the_edge_still_has_one():
    contexts = torch.tensor([[1.0, 0.0]])
    batch = FreshNegatives(contexts, torch.tensor([0]), torch.tensor([[0, 1]]))
    loss, gradient = batch.loss_and_gradient(torch.tensor([[-25.0, 0.0], [-3.0, 0.0]]))
    assert loss == pytest.approx(20 + math.log1p(math.exp(-20)) + math.log1p(math.exp(-3)), rel=1e-6)
    assert gradient.values()[0].tolist() == [0.0, 0.0]
    assert gradient.values()[1, 0] == pytest.approx(1 / (1 + math.exp(3)), rel=1e-6)
    _, gradient = batch.loss_and_gradient(torch.tensor([[-20.0, 0.0], [-20.1, 0.0]]))
    assert gradient.values()[0, 0] < -0.9
    assert gradient.values()[1, 0] == 0


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("where", ["fresh", "shared target", "pool"])
def test_a_score_that_is_not_finite_shows_in_the_loss_despite_the_clamp(bad: float, where: str):
    vectors, batch = vectors_of(1.0), batch_of(3, where != "fresh", torch.float64)
    row = batch.words.flatten()[7]
    if isinstance(batch, SharedNegatives):
        apart = [set(batch.words.tolist()), set(batch.pool.tolist())]
        row = min(apart[0] - apart[1] if where == "shared target" else apart[1] - apart[0])
    vectors[row] = bad
    assert not np.isfinite(batch.loss_and_gradient(vectors)[0])


def test_over_many_pools_the_gradient_is_that_of_fresh_negatives():
    vectors, batch = vectors_of(0.4), batch_of(3, True, torch.float64)
    counts = np.arange(WORDS, 0, -1) ** 2
    noise = HostDraws(0, np.ones(WORDS), np.cumsum(np.sqrt(counts)))
    share = torch.from_numpy(np.sqrt(counts) / np.sqrt(counts).sum())
    # The expectation over fresh negatives, exactly: every word is one, with ten times its noise probability.
    exact = torch.zeros_like(vectors)
    for context_of, word in zip(batch.context_of.tolist(), batch.words.tolist(), strict=True):
        context = batch.contexts[context_of]
        exact[word] -= torch.sigmoid(-vectors[word] @ context) * context / len(batch)
        exact += (10 * share * torch.sigmoid(vectors @ context))[:, None] * context / len(batch)

    def mean_gradient(draw: Callable[[Position], FreshNegatives | SharedNegatives], repeats: int) -> torch.Tensor:
        total = torch.zeros_like(vectors)
        for number in range(repeats):
            _, gradient = draw(Position(number)).loss_and_gradient(vectors)
            total[gradient.rows] += gradient.values() / repeats
        return total

    def pooled(position: Position) -> SharedNegatives:
        pool, times = noise.noise((12,), position).unique(return_counts=True)
        return replace(batch, pool=pool, weights=times.double() * (10 / 12))

    def fresh(position: Position) -> FreshNegatives:
        negatives = noise.noise((len(batch), 10), position)
        return FreshNegatives(batch.contexts, batch.context_of, torch.cat([batch.words[:, None], negatives], dim=1))

    distance = (mean_gradient(pooled, 3000) - exact).norm() / exact.norm()
    assert distance < 0.05
    assert (mean_gradient(fresh, 600) - exact).norm() / exact.norm() < 0.05
    assert (mean_gradient(pooled, 30) - exact).norm() / exact.norm() > 2 * distance  # it is the mean that comes close


def test_initial_vectors_are_uniform_between_plus_and_minus_one_over_the_width():
    vectors = uniform_vectors(3, 500, 40)
    assert vectors.dtype == np.float32
    assert stats.kstest(vectors.flatten(), stats.uniform(-1 / 40, 2 / 40).cdf).pvalue > 1e-3
    assert not np.array_equal(uniform_vectors(4, 500, 40), vectors)


BATCH = Batch(torch.ones((3, 2), dtype=torch.float16), torch.tensor([0, 0, 2]), torch.tensor([2, 0, 1]).int())


@pytest.mark.parametrize("mode", ["target", "shared"])
def test_targets_keep_their_context_and_get_negatives_by_position(mode: str):
    counts, like = np.array([50, 30, 20]), torch.zeros(1, dtype=torch.float64)
    wish = config(Path(), Path(), negatives_mode=mode, pool=8, subsample=0)
    one, again, later = (
        Objective(wish).draw(BATCH, Position(0, 0, batch), draws(wish, counts), like) for batch in (0, 0, 1)
    )
    assert one.context_of.tolist() == [0, 0, 2]
    assert one.contexts.dtype == torch.float64
    if mode == "target":
        assert one.words[:, 0].tolist() == [2, 0, 1]
        assert one.words.shape == (3, 1 + wish.negatives)
        assert torch.equal(one.words, again.words)
        assert not torch.equal(one.words[:, 1:], later.words[:, 1:])
    else:
        assert one.words.tolist() == [2, 0, 1]
        assert one.pool.tolist() == sorted(set(one.pool.tolist()))
        assert float(one.weights.sum()) == pytest.approx(wish.negatives)


def test_a_pool_weighs_each_word_with_negatives_times_its_noise_probability():
    counts, like = np.array([400, 100, 25, 9]), torch.zeros(1, dtype=torch.float64)
    wish = config(Path(), Path(), negatives_mode="shared", pool=64, negatives=10)
    objective, drawing, total = Objective(wish), draws(wish, counts), torch.zeros(4, dtype=torch.float64)
    for number in range(400):
        targets = objective.draw(BATCH, Position(0, 0, number), drawing, like)
        total[targets.pool] += targets.weights
    np.testing.assert_allclose(total / 400, 10 * np.sqrt(counts) / np.sqrt(counts).sum(), rtol=0.03)


def test_a_batch_that_keeps_no_target_makes_no_step(cache: Path, tmp_path: Path):
    figures = train(config(cache, tmp_path / "a", batch_size=1, subsample=0.001, epochs=1))
    batches = sum(1 for _ in opened(cache, batch_size=1)[1].batches(Position(0), 1))
    assert 0 < figures["steps"] < batches
