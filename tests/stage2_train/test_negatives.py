import numpy as np
from scipy import stats

from stage2_train.negatives import NoiseDistribution


def test_negatives_follow_the_square_root_of_the_count():
    counts = np.array([40_000, 10_000, 2_500, 900, 400, 100, 49, 25, 10, 10])
    drawn = NoiseDistribution(counts).draw((40_000, 5), np.random.default_rng(5))
    assert drawn.shape == (40_000, 5)
    expected = np.sqrt(counts) / np.sqrt(counts).sum() * drawn.size
    found = np.bincount(drawn.ravel(), minlength=len(counts))
    assert stats.chisquare(found, expected).pvalue > 1e-3
    unigram = counts / counts.sum() * drawn.size
    assert stats.chisquare(found, unigram).pvalue < 1e-9  # the test can tell


def test_every_word_can_be_drawn_and_none_beyond_the_vocabulary():
    class Extremes:
        def random(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.array([0.0, np.nextafter(1.0, 0.0)])

    assert NoiseDistribution(np.full(1000, 3)).draw((2,), Extremes()).tolist() == [0, 999]
