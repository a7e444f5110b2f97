"""How much better one set of word vectors is than another, on the pairs that both cover, and how sure that is.

Two intervals that overlap say little: both scores go up and down with the same pairs. So the difference itself is
resampled, both sets of vectors on the same pairs each time.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x2static.evaluation.datasets import Pair
from x2static.evaluation.intervals import Bootstrap, Interval, percentile_interval, resampled_rhos
from x2static.evaluation.word_similarity import (
    common_pairs,
    human_scores,
    pair_cosines,
    read_datasets,
    spearman,
    whole_sets,
)
from x2static.schemas.vectors import WordVectors


@dataclass(frozen=True)
class Difference:
    """Another set of vectors' score minus the first one's.

    Attributes:
        task: name of the data set; `average` for the mean over several.
        difference: of the two values of Spearman's rho, -2 to 2; None where one is not defined.
        interval: of the difference, 95 %; None where the pairs are too few for one.
        covered: pairs that the difference is over; of the average, the sum of those that count in it.
        total: pairs in the data set; of the average, likewise.
    """

    task: str
    difference: float | None
    interval: Interval | None
    covered: int
    total: int

    @property
    def is_clear(self) -> bool:
        """Whether 0, no difference, lies outside the interval."""
        return self.interval is not None and not self.interval.holds(0)


@dataclass(frozen=True)
class Differences:
    """The differences on all data sets.

    Attributes:
        tasks: one a data set.
        average: over those that have an interval, each counting the same; without any, over those that have a
            difference, and without an interval.
    """

    tasks: list[Difference]
    average: Difference


def paired_differences(
    vectors: Mapping[str, WordVectors],
    data: Path | None,
    bootstrap: Bootstrap,
    common: bool = False,
    averaged: Collection[str] | None = None,
) -> dict[str, Differences]:
    """Compare each set of word vectors with the first.

    Args:
        vectors: the sets of word vectors, by name.
        data: where the data sets are, see `find_datasets`; None for those that come with gensim.
        bootstrap: how to resample.
        common: take the pairs that all sets cover, as `score_together` does, not those that the two cover.
        averaged: names of the data sets that the average is over; None for all but parts of others.

    Returns:
        By the names of all sets but the first.

    Raises:
        X2StaticError: the data cannot be read, or scipy is missing.
    """
    (_, first), *others = vectors.items()
    sets = read_datasets(data)
    over = whole_sets(sets) if averaged is None else averaged
    compared = {}
    for name, other in others:
        covering = list(vectors.values()) if common else [first, other]
        known = {task: common_pairs(covering, pairs) for task, pairs in sets.items()}
        results = [_compare(first, other, task, known[task], len(pairs), bootstrap) for task, pairs in sets.items()]
        compared[name] = Differences([difference for difference, _ in results], _average(results, over))
    return compared


Resampled = npt.NDArray[np.float64]  # (n_resamples,) differences


def _compare(
    first: WordVectors, other: WordVectors, task: str, known: list[Pair], total: int, bootstrap: Bootstrap
) -> tuple[Difference, Resampled | None]:
    human = human_scores(known)
    cosines = [pair_cosines(first, known), pair_cosines(other, known)]
    before, after = (spearman(human, values) for values in cosines)
    if before is None or after is None:
        return Difference(task, None, None, len(known), total), None
    rhos = resampled_rhos(human, cosines, bootstrap, task)
    resampled = rhos[1] - rhos[0]
    return Difference(task, after - before, percentile_interval(resampled), len(known), total), resampled


def _average(results: list[tuple[Difference, Resampled | None]], over: Collection[str]) -> Difference:
    counting = [result for result in results if result[0].task in over and result[0].difference is not None]
    # One set of too few pairs would take the interval of all others with it.
    counting = [result for result in counting if result[0].interval is not None] or counting
    known = [difference.difference for difference, _ in counting if difference.difference is not None]
    if not known:
        return Difference("average", None, None, 0, 0)
    covered = sum(difference.covered for difference, _ in counting)
    total = sum(difference.total for difference, _ in counting)
    # Data sets are drawn on their own, so their resamples may be put together in any order: the given one.
    resampled = np.mean([values for _, values in counting if values is not None], axis=0)
    return Difference("average", sum(known) / len(known), percentile_interval(resampled), covered, total)
