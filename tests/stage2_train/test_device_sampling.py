"""What an accelerator does with its own buffers and numbers, done on a CPU: equal batches, equal distributions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from tests.stage2_train.caches import config, result
from x2static.durable.errors import Interrupted
from x2static.schemas.cache import Cache
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import sampling
from x2static.stage2_train.device_buffer import DeviceBatch
from x2static.stage2_train.device_sampler import DeviceSampler
from x2static.stage2_train.draws import Position
from x2static.stage2_train.learner import TargetSampler
from x2static.stage2_train.objectives.objective import Targets
from x2static.stage2_train.objectives.shared import SharedTargets
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.trainer import train
from x2static.stage2_train.transform import Transform
from x2static.stage2_train.vocabulary import Vocabulary, build_vocabulary

CPU = torch.device("cpu")
LIKE = torch.zeros(1)


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training draw its batches as it does on an accelerator."""
    monkeypatch.setattr(sampling, "draws_itself", lambda device: True)


def setting(path: Path, **changes: object) -> tuple[Stream, Vocabulary, DeviceSampler]:
    cache, wish = Cache.open(path), config(path, Path("nowhere"), **changes)
    shards = cache.shards()
    vocabulary = build_vocabulary(shards, wish)
    return Stream(cache, shards, vocabulary, wish), vocabulary, DeviceSampler.of(vocabulary, wish, CPU)


def sampler(counts: list[int], **changes: object) -> DeviceSampler:
    weights = np.sqrt(np.array(counts, np.float64))
    plain = DeviceSampler(
        seed=3,
        negatives=10,
        keep=torch.ones(len(counts), dtype=torch.float64),
        cumulative=torch.from_numpy(np.cumsum(weights)),
        pool=None,
        numbers=torch.Generator(),
    )
    return replace(plain, **changes)


def batch_of(words: list[int]) -> DeviceBatch:
    numbers = torch.arange(len(words))
    return DeviceBatch(torch.ones((len(words), 2), dtype=torch.float16), numbers, torch.tensor(words).int())


@pytest.mark.parametrize("transform", ["none", "whiten"])
def test_batches_are_those_of_the_host_to_the_bit_wherever_one_begins(cache: Path, tmp_path: Path, transform: str):
    train(config(cache, tmp_path / "run", transform=transform, epochs=1))
    stream = setting(cache)[0].transformed(Transform.load(tmp_path / "run"))
    for start in (Position(0), Position(1, 1, 2)):
        ours, hosts = list(stream.batches_on(CPU, start, 2)), list(stream.batches(start, 2))
        assert len(ours) >= 8
        for (position, batch, after), (expected, host, behind) in zip(ours, hosts, strict=True):
            assert (position, after) == (expected, behind)
            assert batch.contexts.dtype == torch.float16
            np.testing.assert_array_equal(batch.contexts.numpy(), host.contexts)
            np.testing.assert_array_equal(batch.context_of.numpy(), host.context_of)
            np.testing.assert_array_equal(batch.words.numpy(), host.words)


def test_occurrences_stay_with_the_probabilities_of_the_host(cache: Path):
    _, vocabulary, ours = setting(cache, subsample=0.02)
    host = TargetSampler.of(vocabulary, config(cache, Path("nowhere"), subsample=0.02))
    n_each = 2000
    words = np.repeat(np.arange(len(vocabulary)), n_each)
    targets = ours.sample(batch_of(words.tolist()), Position(0), LIKE)
    chances = host.subsampling.keep_probabilities
    assert 0.01 < chances.min() < 0.9 < chances.max()
    found = np.bincount(words[targets.context_of.numpy()], minlength=len(vocabulary))
    deviations = (found - n_each * chances) / np.sqrt(np.maximum(n_each * chances * (1 - chances), 1e-9))
    assert np.abs(deviations[chances < 1]).max() < 4.5
    assert (found[chances == 1] == n_each).all()
    kept = targets.words if isinstance(targets, SharedTargets) else targets.words[:, 0]
    np.testing.assert_array_equal(kept.numpy(), words[targets.context_of.numpy()])


def test_fresh_negatives_follow_the_square_root_of_the_count():
    counts = [40_000, 10_000, 2_500, 900, 400, 100, 49, 25, 10, 10]
    targets = sampler(counts).sample(batch_of([4] * 20_000), Position(0), LIKE)
    assert isinstance(targets, Targets)
    assert targets.words.shape == (20_000, 11)
    assert (targets.words[:, 0] == 4).all()
    expected = np.sqrt(counts) / np.sqrt(counts).sum() * 200_000
    found = np.bincount(targets.words[:, 1:].flatten().numpy(), minlength=len(counts))
    assert stats.chisquare(found, expected).pvalue > 1e-3


def test_a_pool_weighs_each_word_with_negatives_times_its_noise_probability():
    counts = [400, 100, 25, 9]
    one = sampler(counts, pool=64)
    total = torch.zeros(4, dtype=torch.float64)
    for number in range(400):
        targets = one.sample(batch_of([0, 1]), Position(0, 0, number), LIKE.double())
        assert isinstance(targets, SharedTargets)
        assert targets.pool.tolist() == sorted(set(targets.pool.tolist()))
        assert float(targets.weights.sum()) == pytest.approx(10)
        total[targets.pool] += targets.weights
    share = np.sqrt(counts) / np.sqrt(counts).sum()
    np.testing.assert_allclose(total / 400, 10 * share, rtol=0.03)


def test_draws_depend_on_seed_and_position_alone():
    counts, batch = [400, 100, 25, 9], batch_of([0] * 50)
    one, other = sampler(counts), sampler(counts, seed=4)
    first = one.sample(batch, Position(0, 0, 0), LIKE).words
    one.sample(batch, Position(0, 0, 1), LIKE)
    assert torch.equal(one.sample(batch, Position(0, 0, 0), LIKE).words, first)
    assert not torch.equal(one.sample(batch, Position(0, 0, 1), LIKE).words, first)
    assert not torch.equal(other.sample(batch, Position(0, 0, 0), LIKE).words, first)


def test_every_word_can_be_drawn_and_none_beyond_the_vocabulary(monkeypatch: pytest.MonkeyPatch):
    edges = torch.tensor([0.0, np.nextafter(1.0, 0.0)], dtype=torch.float64)
    one = sampler([3] * 1000, negatives=2)
    monkeypatch.setattr(DeviceSampler, "_uniform", lambda self, shape, draw, position: edges[: shape[-1]].expand(shape))
    assert one.sample(batch_of([7]), Position(0), LIKE).words.tolist() == [[7, 0, 999]]


@pytest.mark.parametrize("mode", ["shared", "target"])
def test_training_learns_what_the_host_learns_and_goes_on_to_the_same_bytes(
    cache: Path, tmp_path: Path, on_device: None, monkeypatch: pytest.MonkeyPatch, mode: str
):
    changes = {"negatives_mode": mode, "transform": "center"}
    train(config(cache, tmp_path / "whole", **changes))

    def stop(losses: list[float]) -> None:
        raise Interrupted("stopped by the test")

    with pytest.raises(Interrupted):
        train(config(cache, tmp_path / "run", **changes), after_epoch=stop)
    assert train(config(cache, tmp_path / "run", **changes))["resumed"]
    assert result(tmp_path / "run") == result(tmp_path / "whole")
    monkeypatch.undo()
    train(config(cache, tmp_path / "host", **changes))
    ours, host = (WordVectors.load(tmp_path / name) for name in ("whole", "host"))
    assert not np.array_equal(ours.matrix, host.matrix), "other numbers are drawn"
    assert ours.run["losses"] == pytest.approx(host.run["losses"], rel=0.02)
