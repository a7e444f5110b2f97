"""How far a rank correlation may be trusted: percentile bootstrap over the pairs of a data set.

Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13. 1,000 resamples of 3,500 pairs take half a
second on one core.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from x2static.evaluation.draws import Draws

Floats = npt.NDArray[np.float64]

LEVEL = 0.95  # of the confidence intervals
MAX_UNDEFINED = 0.01  # share of the resamples; where more have no correlation, the pairs are too few for an interval
BLOCK_VALUES = 1 << 20  # drawn pairs that are worked on at a time: 8 MB


class Interval(NamedTuple):
    """A confidence interval; both ends belong to it."""

    low: float
    high: float


def resampled_rhos(human: Floats, cosines: Sequence[Floats], draws: Draws, task: str) -> Floats:
    """Return Spearman's rho of every resample, (n_sets, n_resamples), the same resamples for each set of vectors.

    It is NaN where all cosines, or all human scores, of a resample are equal. `human` and each set's cosines are
    (n_pairs,) of the same pairs, at least one.
    """
    from scipy.stats import rankdata  # an extra

    blocks = []
    for drawn in draw_pairs(len(human), draws, task):
        # Ranks from the middle, in each resample, ties sharing their mean: (n_resamples, n_pairs). They are halves of
        # integers, so a variance of nothing is exactly 0.
        people, *sets = (rankdata(values[drawn], axis=1) - (len(human) + 1) / 2 for values in (human, *cosines))
        rhos = np.full((len(sets), len(drawn)), np.nan)
        for row, ranks in zip(rhos, sets, strict=True):
            squares = np.einsum("rn,rn->r", people, people) * np.einsum("rn,rn->r", ranks, ranks)
            np.divide(np.einsum("rn,rn->r", people, ranks), np.sqrt(squares), out=row, where=squares > 0)
        blocks.append(rhos)
    return np.concatenate(blocks, axis=1)


def draw_pairs(n_pairs: int, draws: Draws, task: str) -> Iterator[npt.NDArray[np.int64]]:
    """Yield which pairs were drawn, with replacement: blocks of (some resamples, n_pairs) int64.

    They depend on the seed and on the name of the data set, and not on what other sets are there.
    """
    generator = np.random.default_rng([draws.seed, zlib.crc32(task.encode())])
    block = max(1, BLOCK_VALUES // n_pairs)
    for first in range(0, draws.n, block):
        yield generator.integers(n_pairs, size=(min(block, draws.n - first), n_pairs))


def percentile_interval(resampled: Floats) -> Interval | None:
    """Return the interval between the percentiles that leave out (1 - LEVEL) / 2 on either side.

    Of `resampled`, (n_resamples,), those that are NaN are left out; None where they are more than MAX_UNDEFINED.
    """
    defined = resampled[~np.isnan(resampled)]
    if len(defined) < (1 - MAX_UNDEFINED) * len(resampled):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
