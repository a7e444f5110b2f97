"""The claim of the whole stage: ten steps of training are ten steps of the paper's formula."""

import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stage2_train.caches import config, draws, opened
from tests.stage2_train.objectives.batches import DIM, WORDS, batch_of
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import learner
from x2static.stage2_train.learner import Learner, score_pairs
from x2static.stage2_train.objectives.negative_sampling import (
    CLAMP,
    FreshNegatives,
    Objective,
    SharedNegatives,
    uniform_vectors,
)
from x2static.stage2_train.sampling import Position
from x2static.stage2_train.stream import Batch


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
def test_ten_steps_are_those_of_the_formula(cache: Path, scale: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(learner, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(learner, "PAIRS_AT_ONCE", 12)
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


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("shared", [False, True])
def test_a_score_that_is_not_finite_shows_in_the_loss_despite_the_clamp(bad: float, shared: bool):
    batch = batch_of(3, shared, torch.float64)
    words = {*batch.words.flatten().tolist(), *(batch.pool.tolist() if isinstance(batch, SharedNegatives) else [])}
    for word in words:  # a target, or a negative
        vectors = vectors_of(1.0)
        vectors[word] = bad
        assert not np.isfinite(batch.loss_and_gradient(vectors)[0])


@pytest.mark.parametrize(("mode", "repeats"), [("target", 600), ("shared", 3000)])
def test_over_many_draws_the_gradient_is_the_expectation_over_the_noise_distribution(mode: str, repeats: int):
    vectors, batch = vectors_of(0.4), batch_of(3, True, torch.float64)
    counts = np.arange(WORDS, 0, -1) ** 2
    share = torch.from_numpy(np.sqrt(counts) / np.sqrt(counts).sum())
    # Every word is a negative, with ten times its noise probability.
    exact = torch.zeros_like(vectors)
    for context_of, word in zip(batch.context_of.tolist(), batch.words.tolist(), strict=True):
        context = batch.contexts[context_of]
        exact[word] -= torch.sigmoid(-vectors[word] @ context) * context / len(batch)
        exact += (10 * share * torch.sigmoid(vectors @ context))[:, None] * context / len(batch)
    wish = config(Path(), Path(), negatives_mode=mode, pool=12, negatives=10, subsample=0)
    objective, drawing = Objective(wish), draws(wish, counts)
    words = Batch(batch.contexts, batch.context_of, batch.words.int())

    def distance(n: int) -> float:
        total = torch.zeros_like(vectors)
        for number in range(n):
            targets = objective.draw(words, Position(0, 0, number), drawing, vectors)
            _, gradient = targets.loss_and_gradient(vectors)
            total[gradient.rows] += gradient.values() / n
        return float((total - exact).norm() / exact.norm())

    far, near = distance(30), distance(repeats)
    assert near < 0.05
    assert far > 2 * near  # it is the mean that comes close
