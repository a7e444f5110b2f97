"""What the tasks measure with: rows of words, cosines, correlations, averages."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from x2static.machine.packages import require_modules
from x2static.schemas.vectors import WordVectors

Floats = npt.NDArray[np.float64]

# Cosines that differ by less are equal: parallel vectors stored in float32 differ by about 1e-15, and ranks of
# rounding errors are no result.
SAME_COSINE = 1e-9


def rows_of(vectors: WordVectors, words: Iterable[str]) -> list[int]:
    """Return the rows of the words of a data set, unknown words left out.

    A word is looked up as it is written, else lower-cased: vectors are trained on lower-cased text, data sets are not
    ("Jerusalem").
    """
    rows = (vectors.index.get(word, vectors.index.get(word.lower())) for word in words)
    return [row for row in rows if row is not None]


def cosines(left: Floats, right: Floats) -> Floats:
    """Return the cosine of each pair of rows, (n,) float64; 0 where a vector is all zeros.

    Args:
        left: (n, dim) float64, so that ranks of cosines are exact.
        right: (n, dim) float64.
    """
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    values: Floats = np.einsum("nd,nd->n", left, right) / np.where(lengths > 0, lengths, 1)
    return values


def spearman(human: Floats, values: Floats) -> float | None:
    """Return Spearman's rho; None for fewer than two pairs, and where all cosines or all human scores are equal.

    Args:
        human: (n,), what people say.
        values: (n,), cosines.

    Raises:
        X2StaticError: scipy is missing.
    """
    require_modules("evaluate", "scipy")
    from scipy.stats import spearmanr  # an extra

    if len(human) < 2 or np.ptp(values) < SAME_COSINE or np.ptp(human) == 0:
        return None
    return float(spearmanr(human, values).statistic)


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are there, each counting the same; None where there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
