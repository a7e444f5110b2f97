import math

import numpy as np
import pytest
from scipy import stats

from x2static.stage2_train.subsampling import Subsampling, keep_probabilities


def test_keep_probability_is_the_formula_of_the_paper():
    counts = np.array([900_000, 90_000, 9_000, 1_000])
    found = keep_probabilities(counts, 1e-3)
    for count, probability in zip(counts, found, strict=True):
        frequency = count / 1_000_000
        assert probability == pytest.approx(min(1, math.sqrt(1e-3 / frequency) + 1e-3 / frequency))
    assert found[-1] == 1


def test_targets_are_kept_with_their_probability():
    counts = np.array([5000, 3000, 1500, 400, 100])
    subsampling = Subsampling(counts, 1e-2)
    words = np.repeat(np.arange(5, dtype=np.int32), 20_000)
    kept = np.bincount(words[subsampling.keep(words, np.random.default_rng(1))], minlength=5)
    expected = keep_probabilities(counts, 1e-2) * 20_000
    below_one = expected < 20_000
    # A binomial per word: its squared deviation over its variance, summed, is chi-square.
    variance = expected * (1 - expected / 20_000)
    statistic = ((kept - expected)[below_one] ** 2 / variance[below_one]).sum()
    assert 2 <= below_one.sum() <= 4
    assert stats.chi2(below_one.sum()).sf(statistic) > 1e-3
    assert (kept[~below_one] == 20_000).all()


def test_a_threshold_of_zero_keeps_every_target():
    words = np.zeros(1000, np.int32)
    assert Subsampling(np.array([10]), 0.0).keep(words, np.random.default_rng(0)).all()
