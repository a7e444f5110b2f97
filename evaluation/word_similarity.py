"""Word similarity: Spearman's rank correlation between the cosines of word pairs and what people say of them.

One set of vectors is compared with another by the difference of their scores. Two intervals that overlap say little:
both scores go up and down with the same pairs. So the difference itself is resampled, both sets on the same pairs.
Intervals are percentile bootstraps (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13): 1,000
resamples of 3,500 pairs take half a second on one core.
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
from x2static.evaluation.measures import (
    Floats,
    Score,
    check_covered,
    cosines,
    mean_of_known,
    rows_of,
    spearman,
    why_undefined,
)
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
        """Whether 0 lies outside the interval."""
        return self.interval is not None and not self.interval.low <= 0 <= self.interval.high


def evaluate_word_similarity(
    vectors: WordVectors, data: Path | None = None, draws: Draws | None = None
) -> list[SimilarityScore]:
    """Score word vectors on every word similarity data set, pairs with an unknown word left out and counted.

    `data` is what `find_word_pairs` takes; `draws` are the resamples for the intervals, None for none.
    """
    return score_together({"": vectors}, data, draws)[""]


def score_together(
    vectors: Mapping[str, WordVectors], data: Path | None = None, draws: Draws | None = None
) -> dict[str, list[SimilarityScore]]:
    """Score several sets of word vectors on the pairs that all cover, so that nobody gains by a small vocabulary.

    Returns by the names of the sets a score a data set. Raises X2StaticError: no pair of any task is covered by all.
    """
    scores: dict[str, list[SimilarityScore]] = {name: [] for name in vectors}
    for task, pairs in read_datasets(data).items():
        known = common_pairs(vectors.values(), pairs)
        for name, of_one in scores.items():
            of_one.append(score_pairs(vectors[name], task, pairs, draws, known))
    for of_one in scores.values():
        check_covered(of_one, "word pairs", *vectors.values())
    return scores


def score_pairs(
    vectors: WordVectors, task: str, pairs: list[Pair], draws: Draws | None = None, known: list[Pair] | None = None
) -> SimilarityScore:
    """Score word vectors on the known ones of pairs, None for those that they cover; no score is warned of."""
    known = common_pairs([vectors], pairs) if known is None else known
    human, values = _human_and_cosines(known, vectors)
    score, interval = spearman(human, values[0]), None
    if score is None:
        logger.warning("%s: no score, %s", task, why_undefined(len(known), len(pairs)))
    elif draws is not None:
        interval = percentile_interval(resampled_rhos(human, values, draws, task)[0])
    return SimilarityScore(task, score, len(known), len(pairs), interval)


def average(scores: Iterable[SimilarityScore]) -> float | None:
    """Return the mean score of the tasks that have one, each task counting the same; None where none has.

    A part of another set does not count beside it: ws353-similarity counts where ws353 is not among the tasks.
    """
    by_task = {score.task: score.score for score in scores}
    return mean_of_known(by_task[task] for task in whole_sets(by_task))


def whole_sets(tasks: Iterable[str]) -> list[str]:
    """Return the tasks that are no part of another; a part is called as the whole is, with more behind a dash."""
    names = list(tasks)
    return [name for name in names if not any(name.startswith(f"{other}-") for other in names)]


def read_datasets(data: Path | None) -> dict[str, list[Pair]]:
    """Return the pairs of every data set by its name, see `find_word_pairs`."""
    return {path.stem: read_word_pairs(path) for path in find_word_pairs(data)}


def common_pairs(vectors: Iterable[WordVectors], pairs: list[Pair]) -> list[Pair]:
    """Return the pairs of which every one of the sets of vectors knows both words, in order."""
    for one in vectors:
        pairs = [pair for pair in pairs if len(rows_of(one, pair[:2])) == 2]
    return pairs


def _human_and_cosines(known: list[Pair], *vectors: WordVectors) -> tuple[Floats, list[Floats]]:
    """Return what people say of known pairs and each set's cosines, (n_pairs,); only rows of pairs are copied."""
    values = []
    for one in vectors:
        first, second = rows_of(one, [pair.first for pair in known]), rows_of(one, [pair.second for pair in known])
        values.append(cosines(one.matrix[first].astype(np.float64), one.matrix[second].astype(np.float64)))
    return np.array([pair.score for pair in known], np.float64), values


def paired_differences(
    vectors: Mapping[str, WordVectors],
    data: Path | None,
    draws: Draws,
    common: bool = False,
    averaged: Collection[str] | None = None,
) -> dict[str, list[SimilarityScore]]:
    """Compare each set of word vectors with the first.

    Returns by the names of the others how much their scores are above the first one's: on each data set, and last the
    `average` over those that have an interval; without any, over those that have a difference.

    With `common`, the pairs are those that all sets cover, as in `score_together`, not those that the two cover. The
    average is over the data sets that are named in `averaged`; None is for all but parts of others.
    """
    (_, first), *others = vectors.items()
    sets = read_datasets(data)
    over = whole_sets(sets) if averaged is None else averaged
    compared = {}
    for name, other in others:
        results = []
        for task, pairs in sets.items():
            known = common_pairs(vectors.values() if common else [first, other], pairs)
            results.append(_compare(first, other, task, known, len(pairs), draws))
        compared[name] = [*(difference for difference, _ in results), _average(results, over)]
    return compared


def _compare(
    first: WordVectors, other: WordVectors, task: str, known: list[Pair], total: int, draws: Draws
) -> tuple[SimilarityScore, Floats | None]:
    """Return the difference on one data set and, where it is defined, those of its resamples, (n_resamples,)."""
    human, values = _human_and_cosines(known, first, other)
    before, after = (spearman(human, of_one) for of_one in values)
    if before is None or after is None:
        return SimilarityScore(task, None, len(known), total), None
    rhos = resampled_rhos(human, values, draws, task)
    resampled = rhos[1] - rhos[0]
    return SimilarityScore(task, after - before, len(known), total, percentile_interval(resampled)), resampled


def _average(results: list[tuple[SimilarityScore, Floats | None]], over: Collection[str]) -> SimilarityScore:
    counting = [(one, resampled) for one, resampled in results if one.task in over and resampled is not None]
    # One set of too few pairs would take the interval of all others with it.
    counting = [result for result in counting if result[0].interval is not None] or counting
    if not counting:
        return SimilarityScore("average", None, 0, 0)
    mean = mean_of_known(one.score for one, _ in counting)
    # Data sets are drawn on their own, so their resamples may be put together in any order: the given one.
    interval = percentile_interval(np.mean([resampled for _, resampled in counting], axis=0))
    covered, total = sum(one.covered for one, _ in counting), sum(one.total for one, _ in counting)
    return SimilarityScore("average", mean, covered, total, interval)


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
