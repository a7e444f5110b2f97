"""Sentence similarity: cosines of averaged word vectors against what people say, plain and with SIF weights.

Smooth inverse frequency (SIF): Arora, Liang & Ma, A Simple but Tough-to-Beat Baseline for Sentence Embeddings, 2017.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.evaluation.averages import mean_of_known
from x2static.evaluation.sentence_pairs import SentencePair, find_sentence_pairs, read_sentence_pairs
from x2static.evaluation.word_similarity import SAME_COSINE
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

SIF_A = 1e-3  # a of the weights a / (a + p(w)), the paper's
ROUNDING = 1e-9  # share of a vector's length that is no more than rounding

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """How cosines go with human scores.

    Attributes:
        spearman: rho of the ranks, -1 to 1.
        pearson: r, -1 to 1.
    """

    spearman: float
    pearson: float


@dataclass(frozen=True)
class SentenceScore:
    """The result of one data set.

    Attributes:
        task: name of the data set.
        mean: of averaged vectors; None where it is not defined: fewer than two pairs are covered, or all cosines (or
            all human scores) are equal.
        sif: of averages weighted by a / (a + p(w)), their first principal component removed; None likewise, and where
            the vectors come without counts.
        covered: pairs of which each sentence has a known word.
        total: pairs in the data set.
    """

    task: str
    mean: Correlation | None
    sif: Correlation | None
    covered: int
    total: int


def evaluate_sentence_similarity(vectors: WordVectors, data: Path | None) -> list[SentenceScore]:
    """Score averaged word vectors on every data set, pairs with a sentence without a known word left out and counted.

    Args:
        vectors: the word vectors.
        data: where the data sets are, see `find_sentence_pairs`.

    Raises:
        X2StaticError: the data cannot be read, scipy is missing, or no pair of any data set is covered.
    """
    scores = [score_sentences(vectors, path.stem, read_sentence_pairs(path)) for path in find_sentence_pairs(data)]
    if not any(score.covered for score in scores):
        total, names = sum(score.total for score in scores), ", ".join(score.task for score in scores)
        raise X2StaticError(
            f"none of the {total} sentence pairs of {names} is covered by the {len(vectors)} words of the vectors; "
            "check that vectors and data are of one language"
        )
    return scores


def score_sentences(vectors: WordVectors, task: str, pairs: list[SentencePair]) -> SentenceScore:
    """Score averaged word vectors on one data set; what has no score is warned of.

    Text is cut as training cut it or, where the vectors came without rules for that, lower-cased and at white space.

    Raises:
        X2StaticError: scipy is missing.
    """
    known = covered_pairs(vectors, pairs)
    if len(known) < 2:
        logger.warning("%s: no score, %d of %d sentence pairs are covered", task, len(known), len(pairs))
        return SentenceScore(task, None, None, len(known), len(pairs))
    mean = correlate(task, average_sentences(vectors, known), known)
    weights = sif_weights(vectors)
    if weights is None:
        logger.warning("%s: no SIF score, the vectors come without counts of their words", task)
        return SentenceScore(task, mean, None, len(known), len(pairs))
    weighted = without_first_component(average_sentences(vectors, known, weights))
    return SentenceScore(task, mean, correlate(f"{task}, SIF", weighted, known), len(known), len(pairs))


def covered_pairs(vectors: WordVectors, pairs: Iterable[SentencePair]) -> list[SentencePair]:
    """Return the pairs of which each sentence has a known word, in order; text is cut as in `score_sentences`."""
    return [pair for pair in pairs if _known(vectors, pair.first) and _known(vectors, pair.second)]


def average_sentences(vectors: WordVectors, pairs: list[SentencePair], weights: Floats | None = None) -> Floats:
    """Return the mean of each sentence's known words, each occurrence counting.

    Args:
        vectors: the word vectors.
        pairs: n pairs that the vectors cover.
        weights: (n_words,) float64, of the words; None for ones.

    Returns:
        (2 n, dim) float64, the first sentence of the first pair, the second one, and so on.
    """
    averages = np.empty((2 * len(pairs), vectors.dim))
    for number, sentence in enumerate(sentences_of(pairs)):
        rows = _known(vectors, sentence)
        weight = np.ones(len(rows)) if weights is None else weights[rows]
        averages[number] = weight @ vectors.matrix[rows] / len(rows)
    return averages


def sentences_of(pairs: Iterable[SentencePair]) -> list[str]:
    """Return the sentences, the two of a pair side by side, as `correlate` takes their vectors."""
    return [sentence for pair in pairs for sentence in (pair.first, pair.second)]


def correlate(task: str, sentences: Floats, pairs: list[SentencePair]) -> Correlation | None:
    """Correlate the cosines of pairs with what people say; where there is no correlation, that is warned of.

    Args:
        task: what the pairs are called.
        sentences: (2 n, dim) float64, a vector a sentence, in the order of `sentences_of`.
        pairs: the n pairs.

    Returns:
        None for fewer than two pairs, and where all cosines or all human scores are equal.

    Raises:
        X2StaticError: scipy is missing.
    """
    if len(pairs) < 2:
        logger.warning("%s: no score, only %d sentence pairs are covered", task, len(pairs))
        return None
    human = np.array([pair.score for pair in pairs], np.float64)
    left, right = sentences[::2], sentences[1::2]
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines = np.einsum("nd,nd->n", left, right) / np.where(lengths > 0, lengths, 1)
    if np.ptp(cosines) < SAME_COSINE or np.ptp(human) == 0:
        logger.warning("%s: no score, all %d cosines or human scores are equal", task, len(human))
        return None
    try:
        from scipy.stats import pearsonr, spearmanr
    except ImportError as error:
        raise X2StaticError("sentence similarity needs scipy: `pip install x2static[evaluate]`") from error
    return Correlation(float(spearmanr(human, cosines).statistic), float(pearsonr(human, cosines).statistic))


def average(scores: Iterable[SentenceScore]) -> float | None:
    """Return the mean of Spearman's rho of plain averages over the tasks that have one; None where none has."""
    return mean_of_known(score.mean.spearman for score in scores if score.mean is not None)


def sif_weights(vectors: WordVectors, a: float = SIF_A) -> Floats | None:
    """Return the weight of each word, (n_words,) float64 in (0, 1]; None where all counts are zero.

    Args:
        vectors: the word vectors; a word's probability is its share of their counts.
        a: the smaller, the less frequent words weigh.
    """
    total = int(vectors.counts.sum())
    if total == 0:
        return None
    weights: Floats = a / (a + vectors.counts / total)
    return weights


def without_first_component(vectors: Floats) -> Floats:
    """Return vectors, (n, dim) float64, without their part along the first singular vector of all, not centred.

    Of a vector that lies along it, zeros are left.
    """
    _, axes = np.linalg.eigh(vectors.T @ vectors)  # by ascending eigenvalue
    first = axes[:, -1]
    rest: Floats = vectors - np.outer(vectors @ first, first)
    rest[np.linalg.norm(rest, axis=1) <= ROUNDING * np.linalg.norm(vectors, axis=1)] = 0
    return rest


def _known(vectors: WordVectors, text: str) -> list[int]:
    words = text.lower().split() if vectors.segmentation is None else vectors.split(text)
    return [vectors.index[word] for word in words if word in vectors.index]
