"""Word similarity: Spearman's rank correlation between the cosines of word pairs and what people say of them.

Sets of word vectors are scored alone, or together on the pairs that all cover; and one is compared with another by the
difference of their scores. Two intervals that overlap say little: both scores go up and down with the same pairs. So
the difference itself is resampled, both sets of vectors on the same pairs each time.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from x2static.durable.errors import X2StaticError
from x2static.evaluation.intervals import Bootstrap, Interval, percentile_interval, resampled_rhos
from x2static.evaluation.measures import Floats, cosines, mean_of_known, rows_of, spearman
from x2static.evaluation.word_pairs import Pair, find_word_pairs, read_word_pairs
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """The result of one task."""

    task: str  # name of the data set
    # Spearman's rho, -1 to 1; None where it is not defined: fewer than two pairs are covered, or all cosines (or all
    # human scores) are equal
    score: float | None
    covered: int  # pairs that the score is over: those of which both words are known
    total: int  # pairs in the data set
    # of the score, 95 %; None without resamples, and where the pairs are too few for one
    interval: Interval | None = None


def evaluate_word_similarity(
    vectors: WordVectors, data: Path | None = None, bootstrap: Bootstrap | None = None
) -> list[Score]:
    """Score word vectors on every word similarity data set, pairs with an unknown word left out and counted.

    Args:
        vectors: the word vectors.
        data: where the data sets are, see `find_word_pairs`.
        bootstrap: how to resample for the intervals; None for none.

    Raises:
        X2StaticError: the data cannot be read, scipy is missing, or no pair of any task is covered.
    """
    scores = [score_pairs(vectors, task, pairs, bootstrap) for task, pairs in read_datasets(data).items()]
    _check_covered(scores, f"the {len(vectors)} words of the vectors; check that vectors and data are of one language")
    return scores


def score_together(
    vectors: Mapping[str, WordVectors], data: Path | None = None, bootstrap: Bootstrap | None = None
) -> dict[str, list[Score]]:
    """Score several sets of word vectors on the pairs that all cover, so that nobody gains by a small vocabulary.

    Returns:
        By the names of the sets a score a data set; `covered`, the pairs that all cover, is the same for all.

    Raises:
        X2StaticError: the data cannot be read, scipy is missing, or no pair of any task is covered by all.
    """
    scores: dict[str, list[Score]] = {name: [] for name in vectors}
    for task, pairs in read_datasets(data).items():
        known = common_pairs(vectors.values(), pairs)
        for name, of_one in scores.items():
            of_one.append(_score(vectors[name], task, known, len(pairs), bootstrap))
    for of_one in scores.values():
        _check_covered(
            of_one,
            f"all {len(vectors)} sets of vectors; score them without --common, and leave out the one that covers too "
            "little",
        )
    return scores


def score_pairs(vectors: WordVectors, task: str, pairs: list[Pair], bootstrap: Bootstrap | None = None) -> Score:
    """Score word vectors on one data set; a task without a score is warned of.

    Raises X2StaticError: scipy is missing.
    """
    return _score(vectors, task, common_pairs([vectors], pairs), len(pairs), bootstrap)


def average(scores: Iterable[Score]) -> float | None:
    """Return the mean score of the tasks that have one, each task counting the same; None where none has.

    A part of another set does not count beside it: ws353-similarity counts where ws353 is not among the tasks.
    """
    scores = list(scores)
    whole = whole_sets(score.task for score in scores)
    return mean_of_known(score.score for score in scores if score.task in whole)


def whole_sets(tasks: Iterable[str]) -> set[str]:
    """Return the tasks that are no part of another; a part is called as the whole is, with more behind a dash."""
    names = set(tasks)
    return {name for name in names if not any(name.startswith(f"{other}-") for other in names)}


def read_datasets(data: Path | None) -> dict[str, list[Pair]]:
    """Return the pairs of every data set by its name, see `find_word_pairs`.

    Raises X2StaticError: there are none, or one cannot be read.
    """
    return {path.stem: read_word_pairs(path) for path in find_word_pairs(data)}


def common_pairs(vectors: Iterable[WordVectors], pairs: list[Pair]) -> list[Pair]:
    """Return the pairs of which every one of the sets of vectors knows both words, in order."""
    for one in vectors:
        pairs = [pair for pair in pairs if len(rows_of(one, pair[:2])) == 2]
    return pairs


def _check_covered(scores: list[Score], by: str) -> None:
    if not any(score.covered for score in scores):
        names = ", ".join(score.task for score in scores)
        total = sum(score.total for score in scores)
        raise X2StaticError(f"none of the {total} word pairs of {names} is covered by {by}")


def _score(vectors: WordVectors, task: str, known: list[Pair], total: int, bootstrap: Bootstrap | None) -> Score:
    human, values = _human_scores(known), _pair_cosines(vectors, known)
    score = spearman(human, values)
    if score is None:
        why = f"{len(known)} of {total} word pairs are covered"
        if len(known) >= 2:
            why = f"all {len(known)} cosines or human scores are equal"
        logger.warning("%s: no score, %s", task, why)
    if score is None or bootstrap is None:
        return Score(task, score, len(known), total)
    interval = percentile_interval(resampled_rhos(human, [values], bootstrap, task)[0])
    return Score(task, score, len(known), total, interval)


def _human_scores(pairs: list[Pair]) -> Floats:
    return np.array([pair.score for pair in pairs], np.float64)


def _pair_cosines(vectors: WordVectors, known: list[Pair]) -> Floats:
    """Return the cosine of each pair, (n_pairs,), of known words; only their rows are copied, not a large matrix."""
    first, second = rows_of(vectors, [pair.first for pair in known]), rows_of(vectors, [pair.second for pair in known])
    return cosines(vectors.matrix[first].astype(np.float64), vectors.matrix[second].astype(np.float64))


@dataclass(frozen=True)
class Difference:
    """Another set of vectors' score minus the first one's."""

    task: str  # name of the data set; `average` for the mean over several
    difference: float | None  # of the two values of Spearman's rho, -2 to 2; None where one is not defined
    interval: Interval | None  # of the difference, 95 %; None where the pairs are too few for one
    covered: int  # pairs that the difference is over; of the average, the sum of those that count in it
    total: int  # pairs in the data set; of the average, likewise

    @property
    def is_clear(self) -> bool:
        """Whether 0, no difference, lies outside the interval."""
        return self.interval is not None and not self.interval.holds(0)


@dataclass(frozen=True)
class Differences:
    """The differences on all data sets."""

    tasks: list[Difference]  # one a data set
    # over those that have an interval, each counting the same; without any, over those that have a difference, and
    # without an interval
    average: Difference


def paired_differences(
    vectors: Mapping[str, WordVectors],
    data: Path | None,
    bootstrap: Bootstrap,
    common: bool = False,
    averaged: Collection[str] | None = None,
) -> dict[str, Differences]:
    """Compare each set of word vectors with the first; return the differences by the names of the others.

    Args:
        vectors: the sets of word vectors, by name.
        data: where the data sets are, see `find_word_pairs`.
        bootstrap: how to resample.
        common: take the pairs that all sets cover, as `score_together` does, not those that the two cover.
        averaged: names of the data sets that the average is over; None for all but parts of others.

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
        compared[name] = Differences([difference for difference, _ in results], _average_difference(results, over))
    return compared


def _compare(
    first: WordVectors, other: WordVectors, task: str, known: list[Pair], total: int, bootstrap: Bootstrap
) -> tuple[Difference, Floats | None]:
    """Return the difference on one data set and, where it is defined, those of its resamples, (n_resamples,)."""
    human = _human_scores(known)
    values = [_pair_cosines(first, known), _pair_cosines(other, known)]
    before, after = (spearman(human, of_one) for of_one in values)
    if before is None or after is None:
        return Difference(task, None, None, len(known), total), None
    rhos = resampled_rhos(human, values, bootstrap, task)
    resampled = rhos[1] - rhos[0]
    return Difference(task, after - before, percentile_interval(resampled), len(known), total), resampled


def _average_difference(results: list[tuple[Difference, Floats | None]], over: Collection[str]) -> Difference:
    counting = [result for result in results if result[0].task in over and result[0].difference is not None]
    # One set of too few pairs would take the interval of all others with it.
    counting = [result for result in counting if result[0].interval is not None] or counting
    mean = mean_of_known(difference.difference for difference, _ in counting)
    if mean is None:
        return Difference("average", None, None, 0, 0)
    covered = sum(difference.covered for difference, _ in counting)
    total = sum(difference.total for difference, _ in counting)
    # Data sets are drawn on their own, so their resamples may be put together in any order: the given one.
    resampled = np.mean([values for _, values in counting if values is not None], axis=0)
    return Difference("average", mean, percentile_interval(resampled), covered, total)
