"""Sentence similarity: cosines of averaged word vectors against what people say, plain and with SIF weights.

Smooth inverse frequency (SIF): Arora, Liang & Ma, A Simple but Tough-to-Beat Baseline for Sentence Embeddings, 2017.
The pairs come in plain tab-separated files, or in the STS benchmark's own.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import find_files, finite_score, numbered_lines
from x2static.evaluation.measures import Floats, cosines, mean_of_known, spearman
from x2static.schemas.vectors import WordVectors, sif_weights

logger = logging.getLogger(__name__)

EXPECTED = "a file of sentence<TAB>sentence<TAB>score, or of the STS benchmark (sts-test.csv)"
SIF_A = 1e-3  # a of the weights a / (a + p(w)), the paper's
ROUNDING = 1e-9  # share of a vector's length that is no more than rounding


class SentencePair(NamedTuple):
    """Two sentences and how similar people find them, on whatever scale the data set has."""

    first: str
    second: str
    score: float


def find_sentence_pairs(data: Path | None) -> list[Path]:
    """Return the files of sentence pairs.

    Args:
        data: a file; or a folder whose `sentence-similarity/*.tsv`, `*.csv` and `*.txt` are the files or, where it has
            no such folder, its own.

    Raises:
        X2StaticError: there are none, or no data is given: no library ships sentence pairs.
    """
    if data is None:
        raise X2StaticError(
            f"no library ships sentence pairs; get some with `x2static data fetch`, or give {EXPECTED} with --data"
        )
    return find_files(data, "sentence-similarity", ("*.tsv", "*.csv", "*.txt"), EXPECTED)


def read_sentence_pairs(path: Path) -> list[SentencePair]:
    """Return the pairs of a data set, in order; its first line tells which form all lines have.

    A line that begins with `#` is a pair like others: sentences do. Raises X2StaticError: the file is no UTF-8, holds
    no pair, or a line is not two sentences and a finite number.
    """
    lines = [(f"{path}, line {number}", line.split("\t")) for number, line in numbered_lines(path)]
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
        score = finite_score(number, where, "remove a header line")
        if not first or not second:
            raise X2StaticError(f"{where}: a sentence is empty; mend or remove the line")
        pairs.append(SentencePair(first, second, score))
    return pairs


class Correlation(NamedTuple):
    """How cosines go with human scores: Spearman's rho of the ranks and Pearson's r, -1 to 1."""

    spearman: float
    pearson: float


@dataclass(frozen=True)
class SentenceScore:
    """The result of one data set."""

    task: str  # name of the data set
    # of averaged vectors; None where it is not defined: fewer than two pairs are covered, or all cosines (or all human
    # scores) are equal
    mean: Correlation | None
    # of averages weighted by a / (a + p(w)), their first principal component removed; None likewise, and where the
    # vectors come without counts
    sif: Correlation | None
    covered: int  # pairs of which each sentence has a known word
    total: int  # pairs in the data set


def evaluate_sentence_similarity(vectors: WordVectors, data: Path | None) -> list[SentenceScore]:
    """Score averaged word vectors on every data set, pairs with a sentence without a known word left out and counted.

    Raises X2StaticError: the data cannot be read, scipy is missing, or no pair of any data set is covered.
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
    Raises X2StaticError: scipy is missing.
    """
    known = covered_pairs(vectors, pairs)
    if len(known) < 2:
        logger.warning("%s: no score, %d of %d sentence pairs are covered", task, len(known), len(pairs))
        return SentenceScore(task, None, None, len(known), len(pairs))
    mean = correlate(task, average_sentences(vectors, known), known)
    if not vectors.counts.any():
        logger.warning("%s: no SIF score, the vectors come without counts of their words", task)
        return SentenceScore(task, mean, None, len(known), len(pairs))
    weights = sif_weights(vectors.counts, SIF_A)
    weighted = without_first_component(average_sentences(vectors, known, weights))
    return SentenceScore(task, mean, correlate(f"{task}, SIF", weighted, known), len(known), len(pairs))


def covered_pairs(vectors: WordVectors, pairs: Iterable[SentencePair]) -> list[SentencePair]:
    """Return the pairs of which each sentence has a known word, in order; text is cut as in `score_sentences`."""
    return [pair for pair in pairs if _rows(vectors, pair.first) and _rows(vectors, pair.second)]


def average_sentences(vectors: WordVectors, pairs: list[SentencePair], weights: Floats | None = None) -> Floats:
    """Return the mean of each sentence's known words, each occurrence counting, (2 n, dim) float64 for n pairs.

    Args:
        vectors: the word vectors.
        pairs: n pairs that the vectors cover.
        weights: (n_words,) float64, of the words; None for ones.
    """
    averages = np.empty((2 * len(pairs), vectors.dim))
    for number, sentence in enumerate(sentences_of(pairs)):
        rows = _rows(vectors, sentence)
        weight = np.ones(len(rows)) if weights is None else weights[rows]
        averages[number] = weight @ vectors.matrix[rows] / len(rows)
    return averages


def sentences_of(pairs: Iterable[SentencePair]) -> list[str]:
    """Return the sentences, the two of a pair side by side, as `correlate` takes their vectors."""
    return [sentence for pair in pairs for sentence in (pair.first, pair.second)]


def correlate(task: str, sentences: Floats, pairs: list[SentencePair]) -> Correlation | None:
    """Correlate the cosines of n pairs with what people say; where there is no correlation, that is warned of.

    Args:
        task: what the pairs are called, for the warning.
        sentences: (2 n, dim) float64, a vector a sentence, in the order of `sentences_of`.
        pairs: the n pairs.

    Raises:
        X2StaticError: scipy is missing.
    """
    human = np.array([pair.score for pair in pairs], np.float64)
    values = cosines(sentences[::2], sentences[1::2])
    rho = spearman(human, values)
    if rho is None:
        why = f"all {len(pairs)} cosines or human scores are equal"
        if len(pairs) < 2:
            why = f"only {len(pairs)} sentence pairs are covered"
        logger.warning("%s: no score, %s", task, why)
        return None
    from scipy.stats import pearsonr  # an extra, which is there: `spearman` needs it too

    return Correlation(rho, float(pearsonr(human, values).statistic))


def average(scores: Iterable[SentenceScore]) -> float | None:
    """Return the mean of Spearman's rho of plain averages over the tasks that have one; None where none has."""
    return mean_of_known(score.mean.spearman for score in scores if score.mean is not None)


def without_first_component(vectors: Floats) -> Floats:
    """Return vectors, (n, dim) float64, without their part along the first singular vector of all, not centred.

    Of a vector that lies along it, zeros are left.
    """
    _, axes = np.linalg.eigh(vectors.T @ vectors)  # by ascending eigenvalue
    first = axes[:, -1]
    rest: Floats = vectors - np.outer(vectors @ first, first)
    rest[np.linalg.norm(rest, axis=1) <= ROUNDING * np.linalg.norm(vectors, axis=1)] = 0
    return rest


def _rows(vectors: WordVectors, text: str) -> list[int]:
    words = text.lower().split() if vectors.segmentation is None else vectors.split(text)
    return [vectors.index[word] for word in words if word in vectors.index]
