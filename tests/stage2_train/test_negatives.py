from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.stage2_train.caches import config, result
from x2static.stage2_train.negatives import NoiseDistribution
from x2static.stage2_train.trainer import train


def test_negatives_follow_the_square_root_of_the_count():
    counts = np.array([40_000, 10_000, 2_500, 900, 400, 100, 49, 25, 10, 10])
    drawn = NoiseDistribution(counts, 0.5).draw((40_000, 5), np.random.default_rng(5))
    assert drawn.shape == (40_000, 5)
    expected = np.sqrt(counts) / np.sqrt(counts).sum() * drawn.size
    found = np.bincount(drawn.ravel(), minlength=len(counts))
    assert stats.chisquare(found, expected).pvalue > 1e-3
    unigram = counts / counts.sum() * drawn.size
    assert stats.chisquare(found, unigram).pvalue < 1e-9  # the test can tell


@pytest.mark.parametrize(("power", "weights"), [(0.0, [1, 1, 1, 1]), (1.0, [900, 400, 100, 9]), (0.75, None)])
def test_the_noise_power_leads_from_uniform_draws_to_draws_by_count(power: float, weights: list[int] | None):
    counts = np.array([900, 400, 100, 9])
    expected = np.array(weights if weights is not None else [900**0.75, 400**0.75, 100**0.75, 9**0.75])
    drawn = NoiseDistribution(counts, power).draw((40_000,), np.random.default_rng(3))
    found = np.bincount(drawn, minlength=len(counts))
    assert stats.chisquare(found, expected / expected.sum() * drawn.size).pvalue > 1e-3


def test_another_noise_power_gives_other_vectors(cache: Path, whole_run: Path, tmp_path: Path):
    train(config(cache, tmp_path / "run", noise_power=1))
    train(config(cache, tmp_path / "paper", noise_power=0.5))
    assert result(tmp_path / "run")[0] != result(whole_run)[0]
    assert result(tmp_path / "paper") == result(whole_run)


def test_every_word_can_be_drawn_and_none_beyond_the_vocabulary():
    class Extremes:
        def random(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.array([0.0, np.nextafter(1.0, 0.0)])

    assert NoiseDistribution(np.full(1000, 3), 0.5).draw((2,), Extremes()).tolist() == [0, 999]
