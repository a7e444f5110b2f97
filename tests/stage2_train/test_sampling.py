"""Random draws: of the host and, done on a CPU, of an accelerator; both follow the same distributions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from tests.stage2_train.caches import config, opened, result
from tests.stage2_train.stops import stop_at
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import sampling
from x2static.stage2_train.sampling import Draw, Draws, Position, generator
from x2static.stage2_train.trainer import train
from x2static.stage2_train.transform import IDENTITY, Transform

COUNTS = np.array([40_000, 10_000, 2_500, 900, 400, 100, 49, 25, 10, 10])


@pytest.fixture(params=["host", "device"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the two ways to draw."""
    monkeypatch.setattr(sampling, "drawn_on_device", lambda device: request.param == "device")


def make(counts: np.ndarray, seed: int = 3, threshold: float = 0.0, power: float = 0.5) -> Draws:
    return Draws.of(seed, counts, threshold, power, torch.device("cpu"))


@pytest.mark.parametrize("power", [0.0, 0.5, 0.75, 1.0])
def test_words_are_drawn_by_a_power_of_their_count(kind: None, power: float):
    drawn = make(COUNTS, power=power).noise((40_000, 5), Position(0)).flatten().numpy()
    drawn = np.bincount(drawn, minlength=len(COUNTS))
    assert stats.chisquare(drawn, COUNTS**power / (COUNTS**power).sum() * 200_000).pvalue > 1e-3
    other = COUNTS ** (1 - power / 2)
    assert stats.chisquare(drawn, other / other.sum() * 200_000).pvalue < 1e-9  # the test can tell


def test_occurrences_stay_with_their_probability(kind: None):
    counts, n_each = np.array([5000, 3000, 1500, 400, 100]), 20_000
    words = torch.arange(5, dtype=torch.int32).repeat_interleave(n_each)
    kept = make(counts, threshold=1e-2).subsample(words, Position(0))
    assert torch.equal(kept, kept.unique())
    f = counts / counts.sum()
    stayed, chances = np.bincount(words[kept], minlength=5), np.minimum(1, np.sqrt(1e-2 / f) + 1e-2 / f)  # the paper's
    assert len(make(counts).subsample(words, Position(0))) == len(words)  # a threshold of 0 keeps all
    rare = chances == 1
    assert 0 < rare.sum() < 5
    assert (stayed[rare] == n_each).all()
    # A binomial per word: its squared deviation over its variance, summed, is chi-square.
    deviations = (stayed - n_each * chances)[~rare] ** 2 / (n_each * chances * (1 - chances))[~rare]
    assert stats.chi2.sf(deviations.sum(), len(deviations)) > 1e-3


def test_numbers_differ_by_every_part_of_their_position():
    places = [*(1 + np.eye(5, dtype=int)).tolist(), [1] * 5, [1] * 5]
    drawn = [generator(seed, Draw(draw), Position(*place)).random(8).tolist() for seed, draw, *place in places]
    assert drawn[-1] == drawn[-2]
    assert len(np.unique(drawn[:-1])) == 6 * 8


@pytest.mark.parametrize("whitened", [False, True])
def test_batches_of_a_device_are_the_hosts(cache: Path, monkeypatch: pytest.MonkeyPatch, whitened: bool):
    _, stream, _ = opened(cache)
    draw = torch.Generator().manual_seed(0)
    matrix = torch.randn((stream.dim, 7), dtype=torch.float64, generator=draw)
    transform = Transform(matrix[:, 0], matrix, bias=True) if whitened else IDENTITY
    for start in (Position(0), Position(1, 1, 2)):
        hosts = list(stream.batches(start, 2, transform))
        with monkeypatch.context() as patch:
            patch.setattr(sampling, "drawn_on_device", lambda device: True)
            ours = list(stream.batches(start, 2, transform))
        assert len(ours) >= 8
        for (position, batch, after), (expected, host, behind) in zip(ours, hosts, strict=True):
            assert (position, after) == (expected, behind)
            assert batch.contexts.dtype == torch.float16
            for name in ("contexts", "context_of", "words"):
                assert torch.equal(getattr(batch, name), getattr(host, name))


def test_training_with_a_devices_draws_learns(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sampling, "drawn_on_device", lambda device: True)
    changes = {"negatives_mode": "shared", "transform": "center"}
    train(config(cache, tmp_path / "whole", **changes))
    stop_at(5, config(cache, tmp_path / "run", **changes))
    assert train(config(cache, tmp_path / "run", **changes))["resumed"]
    assert result(tmp_path / "run") == result(tmp_path / "whole")
    monkeypatch.undo()
    train(config(cache, tmp_path / "host", **changes))
    ours, host = (WordVectors.load(tmp_path / name) for name in ("whole", "host"))
    assert not np.array_equal(ours.matrix, host.matrix), "other numbers are drawn"
    assert ours.run["losses"] == pytest.approx(host.run["losses"], rel=0.02)
