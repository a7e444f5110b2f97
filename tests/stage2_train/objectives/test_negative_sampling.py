"""The claim of the whole stage: ten steps of training are ten steps of the paper's formula."""

import math
from itertools import islice
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from tests.stage2_train.caches import config, draws, opened, result
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
from x2static.stage2_train.trainer import train

WORDS, DIM, CONTEXTS, TARGETS = 50, 19, 12, 40


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


def batch_of(seed: int, shared: bool, dtype: torch.dtype = torch.float32) -> FreshNegatives | SharedNegatives:
    """Forty targets; the last context has none."""
    draw = torch.Generator().manual_seed(seed)
    contexts = torch.randn(CONTEXTS, DIM, generator=draw, dtype=dtype)
    context_of = torch.randint(0, CONTEXTS - 1, (TARGETS,), generator=draw)
    if not shared:
        return FreshNegatives(contexts, context_of, torch.randint(0, WORDS, (TARGETS, 4), generator=draw))
    pool = torch.randperm(WORDS, generator=draw)[:9].sort().values
    words = torch.randint(0, WORDS, (TARGETS,), generator=draw)
    return SharedNegatives(contexts, context_of, words, pool, torch.rand(9, generator=draw, dtype=dtype), dtype)


def plain_loss(vectors: torch.Tensor, batch: FreshNegatives | SharedNegatives) -> torch.Tensor:
    """The formula, every target scored against all words: weighted by how often they are its negatives."""
    if isinstance(batch, SharedNegatives):
        words, weights = batch.words, vectors.new_zeros(WORDS).index_put((batch.pool,), batch.weights)
    else:
        words, weights = batch.words[:, 0], torch.nn.functional.one_hot(batch.words[:, 1:], WORDS).sum(1)
    scores = torch.clamp(batch.contexts[batch.context_of] @ vectors.T, -20, 20)
    losses = torch.log(1 + torch.exp(-scores[torch.arange(len(batch)), words]))
    return (losses + (weights * torch.log(1 + torch.exp(scores))).sum(1)).mean()


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


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile, for vectors in float32, although the vocabulary is too small to pay for it."""
    monkeypatch.setattr(learner, "FEWEST_VALUES", 0)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_score_that_is_not_finite_shows_in_the_loss_despite_the_clamp(
    compiled: None, bad: float, shared: bool, dtype: torch.dtype
):
    batch = batch_of(3, shared, dtype)
    words = {*batch.words.flatten().tolist(), *(batch.pool.tolist() if isinstance(batch, SharedNegatives) else [])}
    for word in words:  # a target, or a negative
        vectors = vectors_of(1.0).to(dtype)
        vectors[word] = bad
        assert not np.isfinite(batch.loss_and_gradient(vectors)[0])


@pytest.mark.parametrize(("mode", "repeats"), [("target", 600), ("shared", 3000)])
def test_over_many_draws_the_gradient_is_the_expectation_over_the_noise_distribution(mode: str, repeats: int):
    vectors, batch = vectors_of(0.4), batch_of(3, True, torch.float64)
    counts = np.arange(WORDS, 0, -1) ** 2
    share = torch.from_numpy(np.sqrt(counts) / np.sqrt(counts).sum())
    # Every word is a negative, with ten times its noise probability.
    contexts = batch.contexts[batch.context_of]
    scores = contexts @ vectors.T
    slopes = 10 * share * torch.sigmoid(scores)
    slopes[torch.arange(len(batch)), batch.words] -= torch.sigmoid(-scores)[torch.arange(len(batch)), batch.words]
    exact = slopes.T @ contexts / len(batch)
    wish = config(Path(), Path(), negatives_mode=mode, pool=12, negatives=10, subsample=0)
    objective, drawing = Objective(wish), draws(wish, counts)
    words = Batch(batch.contexts, batch.context_of, batch.words.int(), torch.arange(len(batch.contexts)))

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


# The compiled arithmetic against the plain one.


def begin(seed: int) -> Learner:
    vectors = torch.randn(WORDS, DIM, generator=torch.Generator().manual_seed(seed))
    return Learner(vectors, torch.zeros_like(vectors), torch.zeros_like(vectors))


@pytest.mark.parametrize("shared", [False, True])
def test_ten_compiled_steps_are_plain_ones(shared: bool, compiled: None, monkeypatch: pytest.MonkeyPatch):
    plain, fast, faster = begin(0), begin(0), begin(0)
    for step in range(10):
        batch = batch_of(step, shared)
        loss = fast.learn(batch, 0.05)
        torch.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        assert faster.learn(batch, 0.05) == pytest.approx(loss, rel=1e-6)
        torch.set_num_threads(1)
        with monkeypatch.context() as patch:
            patch.setattr(learner, "FEWEST_VALUES", 10**9)
            assert plain.learn(batch, 0.05) == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(fast.vectors, plain.vectors, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast.first, plain.first, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(fast.second, plain.second, rtol=1e-4, atol=1e-8)
    assert all(torch.equal(tensor, faster.tensors()[name]) for name, tensor in fast.tensors().items())
    assert fast.steps == plain.steps == 10
    assert (fast.vectors - begin(0).vectors).abs().max() > 0.1


@pytest.mark.parametrize("mode", ["target", "shared"])
def test_compiled_runs_go_on(mode: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    changes = {"negatives_mode": mode, "pool": 16}
    plain, once, twice = (config(cache, tmp_path / name, **changes) for name in ("plain", "once", "twice"))
    train(plain)
    monkeypatch.setattr(learner, "FEWEST_VALUES", 0)
    train(once)
    train(twice.model_copy(update={"epochs": 1}))
    train(twice)
    assert result(once.out) == result(twice.out)
    ours, theirs = (WordVectors.load(run).matrix for run in (once.out, plain.out))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
