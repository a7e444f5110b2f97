"""Word similarity: Spearman's rank correlation between the cosines of word pairs and what people say of them."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.evaluation.averages import mean_of_known
from x2static.evaluation.datasets import Pair, find_datasets, read_pairs
from x2static.evaluation.intervals import Bootstrap, Interval, percentile_interval, resampled_rhos
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

# Cosines that differ by less are equal: parallel vectors stored in float32 differ by about 1e-15, and ranks of
# rounding errors are no result.
SAME_COSINE = 1e-9


@dataclass(frozen=True)
class Score:
    """The result of one task.

    Attributes:
        task: name of the data set.
        score: Spearman's rho, -1 to 1; None where it is not defined: fewer than two pairs are covered, or all
            cosines (or all human scores) are equal.
        covered: pairs that the score is over: those of which both words are known.
        total: pairs in the data set.
        interval: of the score, 95 %; None where it was not asked for, or the pairs are too few for one.
    """

    task: str
    score: float | None
    covered: int
    total: int
    interval: Interval | None = None


def evaluate_word_similarity(
    vectors: WordVectors, data: Path | None = None, bootstrap: Bootstrap | None = None
) -> list[Score]:
    """Score word vectors on every word similarity data set, pairs with an unknown word left out and counted.

    Args:
        vectors: the word vectors.
        data: where the data sets are, see `find_datasets`; None for those that come with gensim.
        bootstrap: how to resample for the intervals; None for none.

    Raises:
        X2StaticError: the data cannot be read, scipy is missing, or no pair of any task is covered.
    """
    sets = read_datasets(data)
    scores = [score_pairs(vectors, task, pairs, bootstrap) for task, pairs in sets.items()]
    if not any(score.covered for score in scores):
        raise X2StaticError(
            f"none of {_counted(scores)} is covered by the {len(vectors)} words of the vectors; "
            "check that vectors and data are of one language"
        )
    return scores


def score_together(
    vectors: Mapping[str, WordVectors], data: Path | None = None, bootstrap: Bootstrap | None = None
) -> dict[str, list[Score]]:
    """Score several sets of word vectors on the pairs that all cover, so that nobody gains by a small vocabulary.

    Args:
        vectors: the sets of word vectors, by name.
        data: where the data sets are, see `find_datasets`; None for those that come with gensim.
        bootstrap: how to resample for the intervals; None for none.

    Returns:
        For each set of vectors a score a data set; `covered`, the pairs that all cover, is the same for all.

    Raises:
        X2StaticError: the data cannot be read, scipy is missing, or no pair of any task is covered by all.
    """
    together: dict[str, list[Score]] = {name: [] for name in vectors}
    for task, pairs in read_datasets(data).items():
        known = common_pairs(vectors.values(), pairs)
        for name, scores in together.items():
            scores.append(_score(vectors[name], task, known, len(pairs), bootstrap))
    for scores in together.values():
        if not any(score.covered for score in scores):
            raise X2StaticError(
                f"none of {_counted(scores)} is covered by all {len(vectors)} sets of vectors; "
                "score them without --common, and leave out the one that covers too little"
            )
    return together


def score_pairs(vectors: WordVectors, task: str, pairs: list[Pair], bootstrap: Bootstrap | None = None) -> Score:
    """Score word vectors on one data set; a task without a score is warned of.

    Raises:
        X2StaticError: scipy is missing.
    """
    return _score(vectors, task, common_pairs([vectors], pairs), len(pairs), bootstrap)


def average(scores: Iterable[Score]) -> float | None:
    """Return the mean score of the tasks that have one, each task counting the same; None where none has.

    A part of another set does not count beside it: ws353-similarity counts where ws353 is not among the tasks.
    """
    found = list(scores)
    whole = whole_sets([score.task for score in found])
    return mean_of_known(score.score for score in found if score.task in whole)


def whole_sets(tasks: Iterable[str]) -> set[str]:
    """Return the tasks that are no part of another; a part is called as the whole is, with more behind a dash."""
    names = set(tasks)
    return {name for name in names if not any(name.startswith(f"{other}-") for other in names)}


def read_datasets(data: Path | None) -> dict[str, list[Pair]]:
    """Return the pairs of every data set by its name, see `find_datasets`.

    Raises:
        X2StaticError: there are none, or one cannot be read.
    """
    return {file.name: read_pairs(file.path) for file in find_datasets(data)}


def common_pairs(vectors: Iterable[WordVectors], pairs: list[Pair]) -> list[Pair]:
    """Return the pairs of which every one of the sets of vectors knows both words, in order."""
    for words in vectors:
        pairs = [pair for pair in pairs if _knows(words, pair.first) and _knows(words, pair.second)]
    return pairs


def pair_cosines(vectors: WordVectors, pairs: list[Pair]) -> npt.NDArray[np.float64]:
    """Return the cosine of each pair, (n_pairs,); 0 where a vector is all zeros.

    Raises:
        KeyError: a word is unknown.
    """
    first = [_row(vectors, pair.first) for pair in pairs]
    second = [_row(vectors, pair.second) for pair in pairs]
    # Only the rows that are asked for, so that a large matrix is not copied; in float64, so that ranks are exact.
    left, right = vectors.matrix[first].astype(np.float64), vectors.matrix[second].astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines: npt.NDArray[np.float64] = np.einsum("nd,nd->n", left, right) / np.where(lengths > 0, lengths, 1)
    return cosines


def human_scores(pairs: list[Pair]) -> npt.NDArray[np.float64]:
    """Return what people say of each pair, (n_pairs,)."""
    return np.array([pair.score for pair in pairs], np.float64)


def spearman(human: npt.NDArray[np.float64], cosines: npt.NDArray[np.float64]) -> float | None:
    """Return Spearman's rho; None for fewer than two pairs, and where all cosines or all human scores are equal.

    Raises:
        X2StaticError: scipy is missing.
    """
    if len(human) < 2 or np.ptp(cosines) < SAME_COSINE or np.ptp(human) == 0:
        return None
    try:
        from scipy.stats import spearmanr
    except ImportError as error:
        raise X2StaticError("word similarity needs scipy: `pip install x2static[evaluate]`") from error
    return float(spearmanr(human, cosines).statistic)


def _score(vectors: WordVectors, task: str, known: list[Pair], total: int, bootstrap: Bootstrap | None) -> Score:
    human, cosines = human_scores(known), pair_cosines(vectors, known)
    score = spearman(human, cosines)
    if score is None and len(known) < 2:
        logger.warning("%s: no score, %d of %d word pairs are covered", task, len(known), total)
    elif score is None:
        logger.warning("%s: no score, all %d cosines or human scores are equal", task, len(known))
    if score is None or bootstrap is None:
        return Score(task, score, len(known), total)
    interval = percentile_interval(resampled_rhos(human, [cosines], bootstrap, task)[0])
    return Score(task, score, len(known), total, interval)


def _knows(vectors: WordVectors, word: str) -> bool:
    return word in vectors or word.lower() in vectors


def _row(vectors: WordVectors, word: str) -> int:
    # Vectors are trained on lower-cased text, data sets are not ("Jerusalem").
    return vectors.index[word if word in vectors else word.lower()]


def _counted(scores: list[Score]) -> str:
    names = ", ".join(score.task for score in scores)
    return f"the {sum(score.total for score in scores)} word pairs of {names}"
