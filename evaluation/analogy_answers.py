"""Answering analogies by 3CosAdd and 3CosMul: sums of cosines with every word, a block of the vocabulary at a time."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

EPSILON = 1e-3  # of 3CosMul, keeps it from dividing by zero
AT_ONCE = 2**18  # scores compared at once: 1 MB, which stays in a core's cache


class Spelling:
    """Which words of a vocabulary are one in another case.

    Attributes:
        first: (n_words,) int64, for each row the first (most frequent) of those that are the same word.
    """

    def __init__(self, words: list[str]) -> None:
        """Group the words of a vocabulary, given by descending count."""
        self._rows: dict[str, list[int]] = {}
        for row, word in enumerate(words):
            self._rows.setdefault(word.upper(), []).append(row)
        self.first: Rows = np.empty(len(words), np.int64)
        for rows in self._rows.values():
            self.first[rows] = rows[0]
        self._of_first = {rows[0]: rows for rows in self._rows.values()}

    def row(self, word: str) -> int:
        """Return the row that stands for a word, -1 where it is unknown."""
        return self._rows.get(word.upper(), [-1])[0]

    def banned(self, given: Rows) -> Rows:
        """Return the rows that are no answer to a question, (n_questions, most) int64, filled up with -1."""
        rows = [[row for word in words for row in self._of_first[word]] for words in given.tolist()]
        filled = np.full((len(rows), max(map(len, rows), default=0)), -1, np.int64)
        for question, ban in enumerate(rows):
            filled[question, : len(ban)] = ban
        return filled


def answer(matrix: Floats, given: Rows, banned: Rows, megabytes: float) -> dict[str, Rows]:
    """Return the row of the best answer to each question by each method (`add`, `mul`), -1 where every row is banned.

    With cosines shifted to 0..1, 3CosMul asks for the largest cos(d,b) cos(d,c) / (cos(d,a) + epsilon); its logarithm
    is a sum, as 3CosAdd cos(d,b) + cos(d,c) - cos(d,a) is one (Levy & Goldberg 2014, equations 3 and 4).

    Args:
        matrix: (n_words, dim) float32, of any lengths.
        given: (n_questions, 3) int64, rows of a, b and c.
        banned: (n_questions, most) int64, rows that are no answer, filled up with -1.
        megabytes: bounds the memory for cosines, the vocabulary's blocks included; the result does not depend on it.
    """
    used, places = np.unique(given, return_inverse=True)
    places = places.reshape(given.shape)
    units = _unit(matrix[used])
    best = {"add": _Best(places, banned), "mul": _Best(places, banned)}
    bytes_a_row = 2 * units.itemsize * (len(used) + matrix.shape[1])  # cosines and a copy, the row and its unit
    for start, stop in _blocks(len(matrix), int(megabytes * 2**20 / bytes_a_row)):
        _improve(best, units, matrix[start:stop], start)
    return {method: found.row for method, found in best.items()}


def _improve(best: dict[str, "_Best"], units: Floats, block: Floats, start: int) -> None:
    """Look at a block of rows; a function, so that its cosines are gone before those of the next block are made."""
    cosines = units @ _unit(block).T  # (n_used, n_block)
    best["add"].improve(cosines, cosines, start)
    best["mul"].improve(*_logarithms(cosines), start)


def _logarithms(cosines: Floats) -> tuple[Floats, Floats]:
    """Return log((1 + cosine) / 2) and log((1 + cosine) / 2 + epsilon), the first in the place of the cosines."""
    cosines += 1
    cosines /= 2
    np.maximum(cosines, np.finfo(np.float32).tiny, out=cosines)  # opposite vectors, or less by rounding
    more = cosines + np.float32(EPSILON)
    return np.log(cosines, out=cosines), np.log(more, out=more)


class _Best:
    """The best row for each question among those that were looked at."""

    def __init__(self, places: Rows, banned: Rows) -> None:
        """Begin with no row.

        Args:
            places: (n_questions, 3) int64, a, b and c among the used words.
            banned: (n_questions, most) int64, rows that are no answer.
        """
        self.row: Rows = np.full(len(places), -1, np.int64)
        self._score = np.full(len(places), -np.inf, np.float32)
        self._places, self._banned = places, banned

    def improve(self, plus: Floats, minus: Floats, start: int) -> None:
        """Look at a block of rows.

        Args:
            plus: (n_used, n_block) float32, what b and c add to a row's score.
            minus: (n_used, n_block) float32, what a takes from it.
            start: row of the block's first.
        """
        n_block = plus.shape[1]
        for first, last in _blocks(len(self.row), AT_ONCE // n_block):
            a, b, c = self._places[first:last].T
            scores = plus[b] + plus[c]
            scores -= minus[a]
            banned = self._banned[first:last] - start
            question, which = np.nonzero((banned >= 0) & (banned < n_block))
            scores[question, banned[question, which]] = -np.inf
            found = scores.argmax(axis=1)
            score = scores[np.arange(len(found)), found]
            better = np.flatnonzero(score > self._score[first:last])  # of equals the first: the more frequent word
            self._score[first + better] = score[better]
            self.row[first + better] = start + found[better]


def _blocks(length: int, size: int) -> Iterator[tuple[int, int]]:
    size = max(1, size)
    return ((start, min(start + size, length)) for start in range(0, length, size))


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, np.where(lengths > 0, lengths, 1), dtype=np.float32)
