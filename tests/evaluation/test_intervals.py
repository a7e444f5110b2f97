"""Bootstrap intervals are those of a naive loop, and hold the true correlation as often as they say."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import spearmanr

from x2static.evaluation import intervals
from x2static.evaluation.intervals import LEVEL, Bootstrap, Interval, draw_counts, percentile_interval, resampled_rhos


def normal_pairs(n: int, seed: int, rho: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Values of which Pearson's correlation is rho, and Spearman's 6/pi asin(rho/2) (Pearson 1907)."""
    draw = np.random.default_rng(seed)
    first = draw.normal(size=n)
    return first, rho * first + np.sqrt(1 - rho**2) * draw.normal(size=n)


def naive(human: np.ndarray, cosines: np.ndarray, bootstrap: Bootstrap, task: str) -> list[float]:
    """Repeat each pair as often as it was drawn, and ask scipy, resample by resample."""
    counts = np.concatenate(list(draw_counts(len(human), bootstrap, task)))
    return [spearmanr(np.repeat(human, row), np.repeat(cosines, row)).statistic for row in counts]


@pytest.mark.parametrize("ties", [False, True])
def test_resampled_correlations_are_those_of_a_naive_loop_over_resamples(ties):
    human, cosines = normal_pairs(83, seed=1)
    other = normal_pairs(83, seed=2)[1]
    if ties:
        human, other = np.round(human), np.round(other, 1)
    bootstrap = Bootstrap(200, seed=3)
    rhos = resampled_rhos(human, [cosines, other], bootstrap, "t")
    np.testing.assert_allclose(rhos[0], naive(human, cosines, bootstrap, "t"), atol=1e-12)
    np.testing.assert_allclose(rhos[1], naive(human, other, bootstrap, "t"), atol=1e-12)
    low, high = np.percentile(naive(human, cosines, bootstrap, "t"), [2.5, 97.5])
    assert percentile_interval(rhos[0]) == pytest.approx((low, high))


def test_the_interval_is_that_of_scipy_but_for_its_draws():
    human, cosines = normal_pairs(300, seed=4)
    ours = percentile_interval(resampled_rhos(human, [cosines], Bootstrap(4000), "t")[0])
    theirs = scipy_bootstrap(
        (human, cosines),
        lambda x, y: spearmanr(x, y).statistic,
        paired=True,
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.01)


@pytest.mark.exhaustive
def test_the_interval_holds_the_true_correlation_about_95_times_in_100():
    truth = 6 / np.pi * np.arcsin(0.6 / 2)
    trials = 400
    held = 0
    for seed in range(trials):
        human, cosines = normal_pairs(150, seed)
        interval = percentile_interval(resampled_rhos(human, [cosines], Bootstrap(400, seed), "t")[0])
        held += interval is not None and interval.holds(truth)
    assert held / trials == pytest.approx(LEVEL, abs=0.035)  # three standard errors


def test_every_resample_is_as_large_as_the_data_and_every_pair_is_as_likely():
    counts = np.concatenate(list(draw_counts(50, Bootstrap(4000), "t")))
    assert counts.shape == (4000, 50)
    assert (counts.sum(axis=1) == 50).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.08)
    np.testing.assert_allclose(counts.var(axis=0), 1 - 1 / 50, atol=0.15)


def test_draws_depend_on_seed_and_data_set_and_on_nothing_else(monkeypatch):
    def first(bootstrap: Bootstrap, task: str) -> bytes:
        return np.concatenate(list(draw_counts(7, bootstrap, task))).tobytes()

    drawn = first(Bootstrap(30, 1), "a")
    assert first(Bootstrap(30, 2), "a") != drawn != first(Bootstrap(30, 1), "b")
    monkeypatch.setattr(intervals, "BLOCK_VALUES", 20)  # two resamples at a time
    assert first(Bootstrap(30, 1), "a") == drawn


def test_resamples_without_a_correlation_are_told():
    human, cosines = np.array([1.0, 2.0]), np.array([0.1, 0.2])
    rhos = resampled_rhos(human, [cosines], Bootstrap(400), "t")[0]
    assert set(rhos[~np.isnan(rhos)]) == {1.0}
    assert np.isnan(rhos).mean() == pytest.approx(0.5, abs=0.1)  # both draws are the same pair


@pytest.mark.parametrize(("n", "there"), [(2, False), (3, False), (6, True)])
def test_too_few_pairs_have_no_interval(n, there):
    human = np.arange(n, dtype=np.float64)
    cosines = np.array([0.1, 0.5, 0.3, 0.2, 0.7, 0.6])[:n]
    interval = percentile_interval(resampled_rhos(human, [cosines], Bootstrap(1000), "t")[0])
    assert (interval is not None) == there


def test_the_ends_belong_to_the_interval():
    assert Interval(0.0, 1.0).holds(0)
    assert Interval(0.0, 1.0).holds(1)
    assert not Interval(0.1, 1.0).holds(0)
