"""Analogies: which word is to c as b is to a, by 3CosAdd and 3CosMul (Levy & Goldberg 2014).

The questions are text files of sections `: name` and lines of four words, a is to b as c is to d.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import find_files, gensim_file, numbered_lines
from x2static.evaluation.measures import mean_of_known
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

QUESTIONS = "questions-words.txt"  # Mikolov et al. 2013, as gensim ships it
EXPECTED = "a file of analogy questions (sections `: name`, lines of four words)"
SYNTACTIC = "gram"  # sections that begin so are syntactic, the others semantic (gram1-adjective-to-adverb)

EPSILON = 1e-3  # of 3CosMul, keeps it from dividing by zero
MEGABYTES = 64  # cosines held at once
SCORES_AT_ONCE = 2**18  # compared at once: 1 MB, which stays in a core's cache


class Question(NamedTuple):
    """A question: given[0] is to given[1] as given[2] is to the answer."""

    section: str
    given: tuple[str, str, str]
    answer: str


def find_questions(data: Path | None) -> list[Path]:
    """Return the files of questions.

    Args:
        data: a file; or a folder whose `analogy/*.txt` are the files or, where it has no folder `analogy`, its own
            `*.txt`; None for questions-words.txt (Mikolov et al. 2013), which gensim ships with its tests.

    Raises:
        X2StaticError: there are none.
    """
    if data is not None:
        return find_files(data, "analogy", ("*.txt",), EXPECTED)
    path = gensim_file(QUESTIONS)
    if path is None:
        raise X2StaticError(
            f"{QUESTIONS} comes with gensim, which is not installed (or not whole): `pip install x2static[evaluate]`, "
            f"or `x2static data fetch`, or give {EXPECTED} with --data"
        )
    return [path]


def read_questions(path: Path) -> list[Question]:
    """Return the questions of a file, in order.

    Raises X2StaticError: the file is no UTF-8 or holds no question, a line is not four words, or the first question
    comes before the first section.
    """
    section, questions = None, []
    for number, line in numbered_lines(path):
        if line.startswith(": "):
            section = line.removeprefix(": ").strip()
            continue
        words = line.split()
        if len(words) != 4:
            raise X2StaticError(
                f"{path}, line {number}: expected four words, or a section `: name`; got {len(words)}: {line.strip()!r}"
            )
        if section is None:
            raise X2StaticError(f"{path}, line {number}: a question before the first section; put `: name` above it")
        questions.append(Question(section, (words[0], words[1], words[2]), words[3]))
    if not questions:
        raise X2StaticError(f"{path}: no questions in it; expected {EXPECTED}")
    return questions


@dataclass(frozen=True)
class Accuracy:
    """Shares of the covered questions that were answered rightly."""

    cos_add: float | None  # by 3CosAdd, 0 to 1; None where no question is covered
    cos_mul: float | None  # by 3CosMul, the same
    covered: int  # questions of which all four words are known
    total: int  # all questions


@dataclass(frozen=True)
class AnalogyScore:
    """The result of one file of questions."""

    task: str  # name of the file, without its ending
    all: Accuracy  # over all questions, each counting the same
    # over the sections that do not begin with `gram`; None where the file does not tell the two apart
    semantic: Accuracy | None = None
    syntactic: Accuracy | None = None  # over those that do; None likewise
    sections: dict[str, Accuracy] = field(default_factory=dict)  # of each section, in the order of the file


def evaluate_analogies(vectors: WordVectors, data: Path | None = None) -> list[AnalogyScore]:
    """Answer analogy questions, those with an unknown word left out and counted.

    Raises X2StaticError: the questions cannot be read, or none of them is covered.
    """
    files = {path.stem: read_questions(path) for path in find_questions(data)}
    check_covered(vectors, files)
    return [score_questions(vectors, task, questions) for task, questions in files.items()]


def check_covered(vectors: WordVectors, files: Mapping[str, list[Question]]) -> None:
    """Check that there is something to answer in the files, by name, which takes less long than answers.

    Raises X2StaticError: no question is covered.
    """
    spelling = Spelling(vectors.words)
    if any(spelling.rows(questions).min(axis=1).max() >= 0 for questions in files.values()):
        return
    total, names = sum(map(len, files.values())), ", ".join(files)
    raise X2StaticError(
        f"none of the {total} analogy questions of {names} is covered by the {len(vectors)} words of the vectors; "
        "check that vectors and data are of one language"
    )


def score_questions(
    vectors: WordVectors, task: str, questions: list[Question], megabytes: float = MEGABYTES
) -> AnalogyScore:
    """Answer questions and count the right answers.

    Case is ignored, as in word2vec and gensim: of two spellings the more frequent one stands for a given word, and an
    answer is right in either. Every word of the vocabulary may be the answer but the three given ones.

    `megabytes` bounds the memory for cosines; the result does not depend on it.
    """
    spelling = Spelling(vectors.words)
    rows = spelling.rows(questions)
    covered: Flags = np.all(rows >= 0, axis=1)
    if not covered.any():
        logger.warning("%s: no score, none of the %d analogy questions is covered", task, len(questions))
    right = {method: np.zeros(len(questions), np.bool_) for method in ("add", "mul")}
    given = rows[covered, :3]
    for method, answers in answer(vectors.matrix, given, spelling.banned(given), megabytes).items():
        right[method][covered] = (answers >= 0) & (spelling.first[answers] == rows[covered, 3])

    def accuracy(among: Flags) -> Accuracy:
        counting = np.flatnonzero(among & covered)
        add, mul = (float(right[method][counting].mean()) if len(counting) else None for method in ("add", "mul"))
        return Accuracy(add, mul, len(counting), int(among.sum()))

    sections = np.array([question.section for question in questions])
    syntactic = np.char.startswith(sections, SYNTACTIC)
    both_kinds = bool(syntactic.any() and not syntactic.all())
    return AnalogyScore(
        task,
        accuracy(np.ones_like(covered)),
        accuracy(~syntactic) if both_kinds else None,
        accuracy(syntactic) if both_kinds else None,
        {name: accuracy(sections == name) for name in dict.fromkeys(sections.tolist())},
    )


def average(scores: Iterable[AnalogyScore]) -> float | None:
    """Return the mean accuracy of 3CosAdd of the tasks that have one, each counting the same; None where none has."""
    return mean_of_known(score.all.cos_add for score in scores)


class Spelling:
    """Which words of a vocabulary are one in another case."""

    def __init__(self, words: list[str]) -> None:
        """Group the words of a vocabulary, given by descending count."""
        self._rows: dict[str, list[int]] = {}
        for row, word in enumerate(words):
            self._rows.setdefault(word.upper(), []).append(row)
        # (n_words,) int64, for each row the first (most frequent) of those that are the same word
        self.first: Rows = np.empty(len(words), np.int64)
        for rows in self._rows.values():
            self.first[rows] = rows[0]
        self._of_first = {rows[0]: rows for rows in self._rows.values()}

    def rows(self, questions: list[Question]) -> Rows:
        """Return the rows that stand for the words of each question, (n_questions, 4), -1 for an unknown word."""
        words = ((*question.given, question.answer) for question in questions)
        return np.array([[self._rows.get(word.upper(), [-1])[0] for word in four] for four in words], np.int64)

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
        cosines = units @ _unit(matrix[start:stop]).T  # (n_used, n_block)
        best["add"].improve(cosines, cosines, start)
        cosines += 1
        cosines /= 2
        np.maximum(cosines, np.finfo(np.float32).tiny, out=cosines)  # opposite vectors, or less by rounding
        minus = cosines + np.float32(EPSILON)
        best["mul"].improve(np.log(cosines, out=cosines), np.log(minus, out=minus), start)
        del cosines, minus  # they are gone before those of the next block are made
    return {method: of_method.row for method, of_method in best.items()}


class _Best:
    """The best row for each question among those that were looked at."""

    def __init__(self, places: Rows, banned: Rows) -> None:
        """Begin with no row; `places` are those of a, b and c among the used words, (n_questions, 3) int64."""
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
        for first, last in _blocks(len(self.row), SCORES_AT_ONCE // n_block):
            a, b, c = self._places[first:last].T
            scores = plus[b] + plus[c]
            scores -= minus[a]
            banned = self._banned[first:last] - start
            question, which = np.nonzero((banned >= 0) & (banned < n_block))
            scores[question, banned[question, which]] = -np.inf
            highest = scores.argmax(axis=1)
            score = scores[np.arange(len(highest)), highest]
            better = np.flatnonzero(score > self._score[first:last])  # of equals the first: the more frequent word
            self._score[first + better] = score[better]
            self.row[first + better] = start + highest[better]


def _blocks(length: int, size: int) -> Iterator[tuple[int, int]]:
    size = max(1, size)
    return ((start, min(start + size, length)) for start in range(0, length, size))


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, np.where(lengths > 0, lengths, 1), dtype=np.float32)
