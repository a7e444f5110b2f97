"""Word similarity: Spearman's rank correlation between the cosines of word pairs and what people say of them."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evaluation.datasets import Pair, find_datasets, read_pairs
from schemas.errors import X2StaticError
from schemas.vectors import WordVectors

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
        covered: pairs of which both words are known.
        total: pairs in the data set.
    """

    task: str
    score: float | None
    covered: int
    total: int


def evaluate_word_similarity(vectors: WordVectors, data: Path | None = None) -> list[Score]:
    """Score word vectors on every word similarity data set, pairs with an unknown word left out and counted.

    Args:
        vectors: the word vectors.
        data: where the data sets are, see `find_datasets`; None for those that come with gensim.

    Raises:
        X2StaticError: the data cannot be read, scipy is missing, or no pair of any task is covered.
    """
    files = find_datasets(data)
    scores = [score_pairs(vectors, file.name, read_pairs(file.path)) for file in files]
    if not any(score.covered for score in scores):
        total = sum(score.total for score in scores)
        names = ", ".join(score.task for score in scores)
        raise X2StaticError(
            f"none of the {total} word pairs of {names} is covered by the {len(vectors)} words of the vectors; "
            "check that vectors and data are of one language"
        )
    return scores


def score_pairs(vectors: WordVectors, task: str, pairs: list[Pair]) -> Score:
    """Score word vectors on one data set; a task without a score is warned of.

    Raises:
        X2StaticError: scipy is missing.
    """
    rows = [(_row(vectors, pair.first), _row(vectors, pair.second), pair.score) for pair in pairs]
    known = [(first, second, score) for first, second, score in rows if first is not None and second is not None]
    if len(known) < 2:
        logger.warning("%s: no score, %d of %d word pairs are covered", task, len(known), len(pairs))
        return Score(task, None, len(known), len(pairs))
    cosines = _cosines(vectors, [first for first, _, _ in known], [second for _, second, _ in known])
    human = np.array([score for _, _, score in known])
    if np.ptp(cosines) < SAME_COSINE or np.ptp(human) == 0:
        logger.warning("%s: no score, all %d cosines or human scores are equal", task, len(known))
        return Score(task, None, len(known), len(pairs))
    return Score(task, _spearman(human, cosines), len(known), len(pairs))


def average(scores: Iterable[Score]) -> float | None:
    """Return the mean score of the tasks that have one, each task counting the same; None where none has."""
    known = [score.score for score in scores if score.score is not None]
    return sum(known) / len(known) if known else None


def _row(vectors: WordVectors, word: str) -> int | None:
    # Vectors are trained on lower-cased text, data sets are not ("Jerusalem").
    return vectors.index.get(word, vectors.index.get(word.lower()))


def _cosines(vectors: WordVectors, first: list[int], second: list[int]) -> npt.NDArray[np.float64]:
    # Only the rows that are asked for, so that a large matrix is not copied; in float64, so that ranks are exact.
    left, right = vectors.matrix[first].astype(np.float64), vectors.matrix[second].astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines: npt.NDArray[np.float64] = np.einsum("nd,nd->n", left, right) / np.where(lengths > 0, lengths, 1)
    return cosines


def _spearman(human: npt.NDArray[np.float64], cosines: npt.NDArray[np.float64]) -> float:
    try:
        from scipy.stats import spearmanr
    except ImportError as error:
        raise X2StaticError("word similarity needs scipy: `pip install x2static[evaluate]`") from error
    return float(spearmanr(human, cosines).statistic)
