"""The claim of the whole stage: ten steps of training are ten steps of the paper's formula."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from tests.stage2_train.caches import config
from x2static.schemas.cache import Cache
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.adam import RowAdam
from x2static.stage2_train.buffer import Batch
from x2static.stage2_train.draws import Draw, Position, generator
from x2static.stage2_train.learner import Learner, TargetSampler
from x2static.stage2_train.negatives import NoiseDistribution
from x2static.stage2_train.objectives.objective import CLAMP, Targets, score_pairs
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.subsampling import Subsampling
from x2static.stage2_train.trainer import train
from x2static.stage2_train.vocabulary import build_vocabulary


class Plain:
    """The formula by autograd, with torch's own optimiser."""

    def __init__(self, vectors: torch.Tensor, lr: float):
        self.parameter = torch.nn.Parameter(vectors.clone())
        self.optimiser = torch.optim.SparseAdam([self.parameter], lr=lr)

    def learn(self, targets: Targets) -> float:
        self.optimiser.zero_grad()
        rows = torch.nn.functional.embedding(targets.words, self.parameter, sparse=True)
        contexts = targets.contexts[targets.context_of]
        scores = torch.clamp(torch.einsum("tkd,td->tk", rows, contexts), -20, 20)
        losses = torch.log(1 + torch.exp(-scores[:, 0])) + torch.log(1 + torch.exp(scores[:, 1:])).sum(1)
        losses.mean().backward()
        self.optimiser.step()
        return float(losses.detach().sum())


def setting(cache_path: Path, **changes):
    cache = Cache.open(cache_path)
    wish = config(cache_path, Path("nowhere"), **changes)
    shards = cache.shards()
    vocabulary = build_vocabulary(shards, wish)
    stream = Stream(cache, shards, vocabulary, wish)
    return wish, stream, vocabulary, TargetSampler.of(vocabulary, wish)


@pytest.mark.parametrize("scale", [1.0, 20_000.0])  # with the second, scores are clamped
def test_ten_steps_of_training_are_ten_steps_of_the_plain_formula_and_sparse_adam(cache: Path, scale: float):
    wish, stream, vocabulary, sampler = setting(cache)
    start = Learner.from_seed((len(vocabulary), stream.dim), wish.lr, 0, torch.device("cpu")).vectors.double() * scale
    ours = Learner(start.clone(), RowAdam(wish.lr, torch.zeros_like(start), torch.zeros_like(start)))
    plain = Plain(start, wish.lr)
    clamped = 0
    for position, batch, _ in islice(stream.batches(Position(0), 1), 10):
        targets = sampler.sample(batch, position, like=start)
        scores = score_pairs(ours.vectors, targets.contexts, targets.words[:, 0], targets.context_of)
        clamped += int((scores.abs() > CLAMP).sum())
        loss = ours.learn(targets)
        assert loss == pytest.approx(plain.learn(targets), rel=1e-6)
        expected = plain.parameter.detach()
        assert float((ours.vectors - expected).norm() / expected.norm()) < 1e-6
        torch.testing.assert_close(ours.vectors - start, expected - start, rtol=1e-6, atol=1e-10)
    assert ours.adam.steps == 10
    assert (clamped > 0) == (scale > 1)
    assert not torch.equal(ours.vectors, start)


def test_train_takes_exactly_these_steps(cache: Path, whole_run: Path):
    wish, stream, vocabulary, sampler = setting(cache)
    start = Learner.from_seed((len(vocabulary), stream.dim), wish.lr, wish.seed, torch.device("cpu")).vectors.double()
    plain = Plain(start, wish.lr)
    losses, n_targets = np.zeros(wish.epochs), np.zeros(wish.epochs)
    for position, batch, _ in stream.batches(Position(0), wish.epochs):
        targets = sampler.sample(batch, position, like=start)
        losses[position.epoch] += plain.learn(targets)
        n_targets[position.epoch] += len(targets.words)
    trained = WordVectors.load(whole_run)
    difference = np.abs(trained.matrix - plain.parameter.detach().numpy())
    assert difference.max() < 1e-4  # float32 against float64
    assert trained.run["losses"] == pytest.approx(losses / n_targets, rel=1e-6)
    assert trained.run["targets"] == n_targets.sum()


def test_initial_vectors_are_uniform_between_plus_and_minus_one_over_dim():
    vectors = Learner.from_seed((500, 40), 0.1, seed=3, device=torch.device("cpu")).vectors
    assert vectors.dtype == torch.float32
    assert stats.kstest(vectors.flatten().numpy(), stats.uniform(-1 / 40, 2 / 40).cdf).pvalue > 1e-3
    other = Learner.from_seed((500, 40), 0.1, seed=4, device=torch.device("cpu")).vectors
    assert not torch.equal(vectors, other)


def test_sampled_targets_keep_their_context_and_get_fresh_negatives():
    counts = np.array([50, 30, 20])
    sampler = TargetSampler(0, 4, Subsampling(counts, 0), NoiseDistribution(counts, 0.5))
    batch = Batch(np.ones((3, 2), np.float16), np.array([0, 0, 2]), np.array([2, 0, 1], np.int32))
    like = torch.zeros(1, dtype=torch.float64)
    targets = sampler.sample(batch, Position(0, 0, 0), like)
    assert targets.words[:, 0].tolist() == [2, 0, 1]
    assert targets.words.shape == (3, 5)
    assert targets.context_of.tolist() == [0, 0, 2]
    assert targets.contexts.dtype == torch.float64
    again, later = sampler.sample(batch, Position(0, 0, 0), like), sampler.sample(batch, Position(0, 0, 1), like)
    assert torch.equal(targets.words, again.words)
    assert not torch.equal(targets.words[:, 1:], later.words[:, 1:])


def test_a_batch_that_keeps_no_target_makes_no_step(cache: Path, tmp_path: Path):
    many = train(config(cache, tmp_path / "a", batch_size=1, subsample=0.001, epochs=1))
    batches = sum(1 for _ in setting(cache, batch_size=1)[1].batches(Position(0), 1))
    assert 0 < many["steps"] < batches


@pytest.mark.parametrize("part", ["epoch", "buffer", "batch", "draw", "seed"])
def test_draws_differ_by_every_part_of_their_position(part: str):
    def draw(**changes: int) -> list[float]:
        values = {"seed": 1, "draw": Draw.NEGATIVES, "epoch": 1, "buffer": 1, "batch": 1} | changes
        position = Position(values["epoch"], values["buffer"], values["batch"])
        return generator(values["seed"], Draw(values["draw"]), position).random(8).tolist()

    assert draw() == draw()
    assert not set(draw()) & set(draw(**{part: 2}))
