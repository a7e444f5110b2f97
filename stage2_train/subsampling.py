"""Subsampling of frequent targets, as fastText and the reference implementation do it."""

import numpy as np
import numpy.typing as npt


class Subsampling:
    """Keeps an occurrence of a word with probability min(1, sqrt(t/f) + t/f), f being its share of all occurrences."""

    def __init__(self, counts: npt.NDArray[np.int64], threshold: float) -> None:
        """Work out the probabilities.

        Args:
            counts: (vocabulary,) int64, all positive.
            threshold: t; 0 keeps every target.
        """
        # (vocabulary,) float64
        self.keep_probabilities = keep_probabilities(counts, threshold)

    def keep(self, words: npt.NDArray[np.int32], numbers: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Return which of the targets stay.

        Args:
            words: (n,) rows of the vocabulary, an entry for each occurrence.
            numbers: the generator of this batch.

        Returns:
            (n,) bool.
        """
        return np.less(numbers.random(len(words)), self.keep_probabilities[words])


def keep_probabilities(counts: npt.NDArray[np.int64], threshold: float) -> npt.NDArray[np.float64]:
    """Return min(1, sqrt(t/f) + t/f) for each word, (vocabulary,) float64; ones where t is 0."""
    if threshold == 0:
        return np.ones(len(counts))
    ratios = threshold / (counts / counts.sum())  # t / f
    probabilities: npt.NDArray[np.float64] = np.minimum(1.0, np.sqrt(ratios) + ratios)
    return probabilities
