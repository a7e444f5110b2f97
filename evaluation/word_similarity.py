"""Word similarity: Spearman's rank correlation between the cosines of word pairs and what people say of them.

Intervals are percentile bootstraps (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13). Of two
sets of vectors the difference is resampled, both on the same pairs: that the intervals of their scores overlap says
little, since both scores go up and down with the pairs.
"""

import logging
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from x2static.evaluation.draws import Draws
from x2static.evaluation.files import Pair
from x2static.evaluation.measures import Floats, Score, check_covered, cosines, known_mean, rows_of, spearman, why_none
from x2static.evaluation.word_pairs import find_word_pairs, read_word_pairs
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

LEVEL = 0.95  # of the confidence intervals
MAX_UNDEFINED = 0.01  # share of the resamples; where more have no correlation, the pairs are too few for an interval
BLOCK_VALUES = 1 << 20  # drawn pairs that are worked on at a time: 8 MB


class Interval(NamedTuple):
    """A confidence interval; both ends belong to it."""

    low: float
    high: float


@dataclass(frozen=True)
class SimilarityScore(Score):
    """Spearman's rho on one data set, -1 to 1, or how much more it is than another's, -2 to 2."""

    interval: Interval | None = None  # 95 %; None without resamples, and where the pairs are too few for one

    @property
    def is_clear(self) -> bool:
        """Whether 0 lies outside the interval, which is over enough pairs."""
        return self.interval is not None and not self.too_few and not self.interval.low <= 0 <= self.interval.high


def evaluate_word_similarity(
    vectors: WordVectors, data: Path | None = None, draws: Draws | None = None
) -> list[SimilarityScore]:
    """Score word vectors on every data set of `find_word_pairs`, on the pairs they know; with draws, with intervals."""
    return score_together({"": vectors}, data, draws)[""]


def score_together(
    vectors: Mapping[str, WordVectors], data: Path | None = None, draws: Draws | None = None
) -> dict[str, list[SimilarityScore]]:
    """Score several sets of word vectors on the pairs that all cover, so that nobody gains by a small vocabulary.

    Returns by the names of the sets a score a data set. Raises X2StaticError: no pair of any task is covered by all.
    """
    scores: dict[str, list[SimilarityScore]] = {name: [] for name in vectors}
    sets = read_datasets(data)
    vectors = _knowing(vectors, sets)
    for task, pairs in sets.items():
        known = common_pairs(vectors.values(), pairs)
        for name, of_one in scores.items():
            score, _ = _score_known([vectors[name]], task, known, len(pairs), draws)
            if score.score is None:
                logger.warning("%s: no score, %s", task, why_none(len(known), len(pairs)))
            of_one.append(score)
    check_covered(next(iter(scores.values())), "word pairs", *vectors.values())  # all have the same pairs
    return scores


def average(scores: Iterable[SimilarityScore]) -> float | None:
    """Return the mean score of the `whole_sets` that have one over enough pairs, each counting the same, or None."""
    by_task = {score.task: None if score.too_few else score.score for score in scores}
    return known_mean(by_task[task] for task in whole_sets(by_task))


def whole_sets(tasks: Iterable[str]) -> list[str]:
    """Return the tasks that are no part of another of them, as ws353-similarity is of ws353."""
    names = list(tasks)
    return [name for name in names if not any(name.startswith(f"{other}-") for other in names)]


def read_datasets(data: Path | None) -> dict[str, list[Pair]]:
    """Return the pairs of every data set by its name, see `find_word_pairs`."""
    return {path.stem: read_word_pairs(path) for path in find_word_pairs(data)}


def words_of(sets: Mapping[str, list[Pair]]) -> set[str]:
    """Return the words of data sets, as they are written there."""
    return {word for pairs in sets.values() for pair in pairs for word in (pair.first, pair.second)}


def _knowing(vectors: Mapping[str, WordVectors], sets: Mapping[str, list[Pair]]) -> dict[str, WordVectors]:
    """Return the vectors with those of the data's words that their subwords know."""
    words = sorted(words_of(sets))
    return {name: one.knowing(words) for name, one in vectors.items()}


def common_pairs(vectors: Iterable[WordVectors], pairs: list[Pair]) -> list[Pair]:
    """Return the pairs of which every one of the sets of vectors knows both words, in order."""
    for one in vectors:
        pairs = [pair for pair in pairs if len(rows_of(one, pair[:2])) == 2]
    return pairs


def _score_known(
    vectors: Sequence[WordVectors], task: str, known: list[Pair], total: int, draws: Draws | None
) -> tuple[SimilarityScore, Floats | None]:
    """Return the score of one set of vectors, or of two the second's minus the first's, on pairs that they cover.

    After it comes the same of every resample, (n_resamples,); None without draws, and where there is no score.
    """
    human = np.array([pair.score for pair in known], np.float64)
    values = []
    for one in vectors:  # only rows of pairs are copied
        first, second = rows_of(one, [pair.first for pair in known]), rows_of(one, [pair.second for pair in known])
        values.append(cosines(one.matrix[first].astype(np.float64), one.matrix[second].astype(np.float64)))
    rhos = [rho for of_one in values if (rho := spearman(human, of_one)) is not None]
    if len(rhos) < len(values):
        return SimilarityScore(task, None, len(known), total), None
    score = rhos[0] if len(rhos) == 1 else rhos[1] - rhos[0]
    if draws is None:
        return SimilarityScore(task, score, len(known), total), None
    of_sets = resampled_rhos(human, values, draws, task)
    resampled = of_sets[0] if len(rhos) == 1 else of_sets[1] - of_sets[0]
    return SimilarityScore(task, score, len(known), total, percentile_interval(resampled)), resampled


def paired_differences(
    vectors: Mapping[str, WordVectors],
    data: Path | None,
    draws: Draws,
    common: bool = False,
    averaged: Collection[str] | None = None,
) -> dict[str, list[SimilarityScore]]:
    """Return by their names how much the scores of all sets of word vectors but the first are above the first one's.

    After all data sets comes the `average` over those that have an interval; without any, that have a difference; what
    rests on too few pairs is in neither. With
    `common`, the pairs are those that all sets cover, as in `score_together`, not those that the two cover. The average
    is over the data sets that are named in `averaged`; None is for all but parts of others.
    """
    sets = read_datasets(data)
    vectors = _knowing(vectors, sets)
    (_, first), *others = vectors.items()
    over = whole_sets(sets) if averaged is None else averaged
    compared = {}
    for name, other in others:
        results = []
        for task, pairs in sets.items():
            known = common_pairs(vectors.values() if common else [first, other], pairs)
            results.append(_score_known([first, other], task, known, len(pairs), draws))
        compared[name] = [*(difference for difference, _ in results), _average(results, over)]
    return compared


def _average(results: list[tuple[SimilarityScore, Floats | None]], over: Collection[str]) -> SimilarityScore:
    enough = ((one, resampled) for one, resampled in results if one.task in over and not one.too_few)
    counting = [(one, resampled) for one, resampled in enough if resampled is not None]
    # One set of too few pairs would take the interval of all others with it.
    counting = [result for result in counting if result[0].interval is not None] or counting
    if not counting:
        return SimilarityScore("average", None, 0, 0)
    # Data sets are drawn on their own, so their resamples may be put together in any order: the given one.
    interval = percentile_interval(np.mean([resampled for _, resampled in counting], axis=0))
    covered, total = sum(one.covered for one, _ in counting), sum(one.total for one, _ in counting)
    return SimilarityScore("average", known_mean(one.score for one, _ in counting), covered, total, interval)


def resampled_rhos(human: Floats, cosines: Sequence[Floats], draws: Draws, task: str) -> Floats:
    """Return Spearman's rho of every resample, (n_sets, n_resamples), the same resamples for each set of vectors.

    It is NaN where all cosines or human scores of a resample are equal. Each is (n_pairs,), at least one pair.
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
    """Yield which pairs were drawn, with replacement, (some resamples, n_pairs) int64, by the seed and task alone."""
    generator = np.random.default_rng([draws.seed, zlib.crc32(task.encode())])
    block = max(1, BLOCK_VALUES // n_pairs)
    for first in range(0, draws.n, block):
        yield generator.integers(n_pairs, size=(min(block, draws.n - first), n_pairs))


def percentile_interval(resampled: Floats) -> Interval | None:
    """Return the middle LEVEL of (n_resamples,), NaN left out; None where those are more than MAX_UNDEFINED."""
    defined = resampled[~np.isnan(resampled)]
    if len(defined) < (1 - MAX_UNDEFINED) * len(resampled):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
