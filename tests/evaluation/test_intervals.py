"""Bootstrap intervals are those of a naive loop."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from x2static.evaluation import intervals
from x2static.evaluation.draws import Draws
from x2static.evaluation.intervals import draw_pairs, percentile_interval, resampled_rhos


def correlated(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    first = draw.normal(size=n)
    return first, first + draw.normal(size=n)


def naive(human: np.ndarray, cosines: np.ndarray, draws: Draws, task: str) -> list[float]:
    """Ask scipy, resample by resample."""
    drawn = np.concatenate(list(draw_pairs(len(human), draws, task)))
    return [spearmanr(human[row], cosines[row]).statistic for row in drawn]


@pytest.mark.parametrize("ties", [False, True])
def test_resampled_correlations_are_those_of_a_naive_loop_over_resamples(ties):
    human, cosines = correlated(83, seed=1)
    other = correlated(83, seed=2)[1]
    if ties:
        human, other = np.round(human), np.round(other, 1)
    rhos = resampled_rhos(human, [cosines, other], Draws(200, seed=3), "t")
    np.testing.assert_allclose(rhos[0], naive(human, cosines, Draws(200, seed=3), "t"), atol=1e-12)
    np.testing.assert_allclose(rhos[1], naive(human, other, Draws(200, seed=3), "t"), atol=1e-12)
    assert percentile_interval(rhos[0]) == pytest.approx(tuple(np.percentile(rhos[0], [2.5, 97.5])))


def test_draws_depend_on_seed_and_data_set_and_on_nothing_else(monkeypatch):
    def first(draws: Draws, task: str) -> bytes:
        return np.concatenate(list(draw_pairs(7, draws, task))).tobytes()

    drawn = first(Draws(31, 1), "a")
    assert first(Draws(31, 2), "a") != drawn != first(Draws(31, 1), "b")
    monkeypatch.setattr(intervals, "BLOCK_VALUES", 20)  # two resamples at a time
    assert first(Draws(31, 1), "a") == drawn


@pytest.mark.parametrize(("n", "there"), [(2, False), (3, False), (6, True)])
def test_too_few_pairs_have_no_interval(n, there):
    human = np.arange(n, dtype=np.float64)
    cosines = np.array([0.1, 0.5, 0.3, 0.2, 0.7, 0.6])[:n]
    rhos = resampled_rhos(human, [cosines], Draws(1000), "t")[0]
    assert np.isnan(rhos).mean() == pytest.approx(n ** (1 - n), abs=0.05)  # every draw is the same pair
    assert (percentile_interval(rhos) is not None) == there
