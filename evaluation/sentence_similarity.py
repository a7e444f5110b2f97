"""Sentence similarity: cosines of averaged word vectors against what people say, plain and with SIF weights.

Smooth inverse frequency (SIF): Arora, Liang & Ma, A Simple but Tough-to-Beat Baseline for Sentence Embeddings, 2017.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import SENTENCE_PAIRS, Pair, find_files, finite_score, numbered_lines
from x2static.evaluation.measures import Floats, Score, cosines, spearman, why_none
from x2static.schemas.vectors import WordVectors, sif_weights

logger = logging.getLogger(__name__)

EXPECTED = SENTENCE_PAIRS.expected
SIF_A = 1e-3  # a of the weights a / (a + p(w)), the paper's
ROUNDING = 1e-9  # share of a vector's length that is no more than rounding


def read_all(data: Path | None) -> dict[str, list[Pair]]:
    """Return the pairs of every file of a task, by name. Raises X2StaticError: there is none, or one is damaged."""
    return {path.stem: read_sentence_pairs(path) for path in find_files(SENTENCE_PAIRS, data)}


def read_sentence_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a file, those that begin with `#` too; its first line tells which form all lines have."""
    lines = [(where, line.split("\t")) for where, line in numbered_lines(path)]
    if not lines:
        raise X2StaticError(f"{path}: no sentence pairs in it; expected {EXPECTED}")
    n_columns, wanted, places = range(3, 4), "3 columns", (0, 1, 2)
    if len(lines[0][1]) in range(7, 10):
        # genre, file, year, id, score, sentence, sentence; some lines end with where the sentences come from.
        n_columns, wanted, places = range(7, 10), "7 to 9 columns, as in the first line", (5, 6, 4)
    pairs = []
    for where, columns in lines:
        if len(columns) not in n_columns:
            raise X2StaticError(f"{where}: expected {wanted}, got {len(columns)}; --data takes {EXPECTED}")
        first, second, number = (columns[place].strip() for place in places)
        if not first or not second:
            raise X2StaticError(f"{where}: a sentence is empty; mend or remove the line")
        pairs.append(Pair(first, second, finite_score(number, where)))
    return pairs


@dataclass(frozen=True)
class Correlation:
    """How cosines go with human scores: Spearman's rho of the ranks and Pearson's r, -1 to 1."""

    spearman: float
    pearson: float


@dataclass(frozen=True)
class SentenceScore(Score):
    """Spearman's rho of averaged vectors on one data set, over pairs with a known word in each sentence."""

    pearson: float | None  # Pearson's r of the same; None where the score is
    sif: Correlation | None  # of weighted ones, their first component removed; None where undefined or without counts


def score_sentences(vectors: WordVectors, task: str, pairs: list[Pair]) -> SentenceScore:
    """Score averaged word vectors on the pairs with a known word in each sentence; what has no score is warned of.

    Text is cut as training cut it or, where the vectors came without rules for that, lower-cased and at white space.
    """
    vectors = vectors.knowing(word for text in sentences_of(pairs) for word in words_of(vectors, text))
    known = covered_pairs(vectors, pairs)
    mean = correlate(task, average_sentences(vectors, known), known, len(pairs))
    sif = None
    if not vectors.counts.any():
        logger.warning("%s: no SIF score, the vectors come without counts of their words", task)
    elif len(known) >= 2:
        weights = sif_weights(vectors.counts, SIF_A)
        weighted = without_first_component(average_sentences(vectors, known, weights))
        sif = correlate(f"{task}, SIF", weighted, known, len(pairs))
    rho, r = (mean.spearman, mean.pearson) if mean else (None, None)
    return SentenceScore(task, rho, len(known), len(pairs), r, sif)


def score_encoder(encode: Callable[[list[str]], Floats], task: str, pairs: list[Pair]) -> SentenceScore:
    """Score what gives one vector a text, (n, dim); it knows every sentence."""
    whole = correlate(task, encode(sentences_of(pairs)), pairs, len(pairs))
    rho, r = (whole.spearman, whole.pearson) if whole else (None, None)
    return SentenceScore(task, rho, len(pairs), len(pairs), r, None)


def covered_pairs(vectors: WordVectors, pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs of which each sentence has a known word, in order; text is cut as in `score_sentences`."""
    return [pair for pair in pairs if _rows(vectors, pair.first) and _rows(vectors, pair.second)]


def average_sentences(vectors: WordVectors, pairs: list[Pair], weights: Floats | None = None) -> Floats:
    """Return the mean of the known words of both sentences of n pairs, (2 n, dim) float64; weights are (n_words,)."""
    averages = np.empty((2 * len(pairs), vectors.dim))
    for number, sentence in enumerate(sentences_of(pairs)):
        rows = _rows(vectors, sentence)
        weight = np.ones(len(rows)) if weights is None else weights[rows]
        averages[number] = weight @ vectors.matrix[rows] / len(rows)
    return averages


def sentences_of(pairs: Iterable[Pair]) -> list[str]:
    """Return the sentences, the two of a pair side by side, as `correlate` takes their vectors."""
    return [sentence for pair in pairs for sentence in (pair.first, pair.second)]


def correlate(task: str, sentences: Floats, pairs: list[Pair], total: int) -> Correlation | None:
    """Correlate the cosines of n pairs with what people say; where there is no correlation, that is warned of.

    Sentences are (2 n, dim) float64 in the order of `sentences_of`; `total` is how many pairs there are.
    """
    human = np.array([pair.score for pair in pairs], np.float64)
    values = cosines(sentences[::2], sentences[1::2])
    rho = spearman(human, values)
    if rho is None:
        logger.warning("%s: no score, %s", task, why_none(len(pairs), total))
        return None
    from scipy.stats import pearsonr  # an extra, which is there: `spearman` needs it too

    return Correlation(rho, float(pearsonr(human, values).statistic))


def without_first_component(vectors: Floats) -> Floats:
    """Return vectors, (n, dim) float64, without their part along the first singular vector of all, not centred."""
    first = np.linalg.eigh(vectors.T @ vectors).eigenvectors[:, -1]  # by ascending eigenvalue
    rest: Floats = vectors - np.outer(vectors @ first, first)
    rest[np.linalg.norm(rest, axis=1) <= ROUNDING * np.linalg.norm(vectors, axis=1)] = 0  # those along it
    return rest


def words_of(vectors: WordVectors, text: str) -> list[str]:
    """Return the words of a text as training cut it or, without rules for that, lower-cased and cut at white space."""
    return text.lower().split() if vectors.segmentation is None else vectors.split(text)


def _rows(vectors: WordVectors, text: str) -> list[int]:
    return [vectors.index[word] for word in words_of(vectors, text) if word in vectors.index]
