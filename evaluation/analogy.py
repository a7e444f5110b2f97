"""Analogies: which word is to c as b is to a, by 3CosAdd and 3CosMul (Levy & Goldberg 2014)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import QUESTIONS, numbered_lines
from x2static.evaluation.measures import MIN_PAIRS, Score, check_covered, unit
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

SYNTACTIC = "gram"  # sections that begin so are syntactic, the others semantic (gram1-adjective-to-adverb)
EPSILON = 1e-3  # of 3CosMul, keeps it from dividing by zero
MEGABYTES = 64  # cosines held at once
SCORES_AT_ONCE = 2**18  # compared at once: 1 MB, which stays in a core's cache


class Question(NamedTuple):
    """A question: given[0] is to given[1] as given[2] is to the answer."""

    section: str
    given: tuple[str, str, str]
    answer: str


def read_questions(path: Path) -> list[Question]:
    """Return the questions of a file, in order. Raises X2StaticError: there is none, or a line is none."""
    section, questions = None, []
    for where, line in numbered_lines(path):
        if line.startswith(": "):
            section = line.removeprefix(": ").strip()
            continue
        words = line.split()
        if len(words) != 4:
            wanted = "four words, or a section `: name`"
            raise X2StaticError(f"{where}: expected {wanted}; got {len(words)}: {line.strip()!r}")
        if section is None:
            raise X2StaticError(f"{where}: a question before the first section; put `: name` above it")
        questions.append(Question(section, (words[0], words[1], words[2]), words[3]))
    if not questions:
        raise X2StaticError(f"{path}: no questions in it; expected {QUESTIONS.expected}")
    return questions


@dataclass(frozen=True)
class Accuracy:
    """Shares of the covered questions that were answered rightly, 0 to 1; None where no question is covered."""

    score: float | None  # by 3CosAdd
    cos_mul: float | None  # by 3CosMul
    covered: int  # questions of which all four words are known
    total: int  # all questions

    @property
    def too_few(self) -> bool:
        """Whether the shares rest on too few questions to mean something."""
        return self.covered < MIN_PAIRS


@dataclass(frozen=True)
class AnalogyScore(Score):
    """The accuracy on one file, over all its questions; `score` is by 3CosAdd."""

    cos_mul: float | None  # by 3CosMul
    semantic: Accuracy | None  # over the sections that do not begin with `gram`; None where the file has not both kinds
    syntactic: Accuracy | None  # over the others; None likewise
    sections: dict[str, Accuracy]  # of each section, in the order of the file


def check_questions(vectors: WordVectors, datasets: Mapping[str, list[Question]]) -> None:
    """Raise X2StaticError where no question is covered; to look words up takes less long than to answer."""
    known = set(map(str.upper, vectors.words))
    covered = {task: sum(known.issuperset(_words(one)) for one in questions) for task, questions in datasets.items()}
    scores = [Score(task, None, covered[task], len(questions)) for task, questions in datasets.items()]
    check_covered(scores, "analogy questions", vectors)


def score_questions(vectors: WordVectors, task: str, questions: list[Question]) -> AnalogyScore:
    """Answer questions and count the right answers.

    Case is ignored, as in word2vec and gensim: of two spellings the more frequent one stands for a given word, and an
    answer is right in either. Every word of the vocabulary may be the answer but the three given ones.
    """
    alike: dict[str, list[int]] = {}  # rows of the words that are one in another case, the most frequent first
    for row, word in enumerate(vectors.words):
        alike.setdefault(word.upper(), []).append(row)
    covered = np.array([all(word in alike for word in _words(question)) for question in questions])
    if not covered.any():
        logger.warning("%s: no score, none of the %d analogy questions is covered", task, len(questions))
    spelt = [[alike[word] for word in _words(question)] for question in compress(questions, covered)]
    given = np.array([(a[0], b[0], c[0]) for a, b, c, _ in spelt], np.int64).reshape(-1, 3)
    banned = np.array(list(zip_longest(*([*a, *b, *c] for a, b, c, _ in spelt), fillvalue=-1)), np.int64).T
    right = np.zeros((2, len(questions)), np.bool_)
    for method, answers in enumerate(answer(vectors.matrix, given, banned)):
        right[method, covered] = [row in rows for row, (*_, rows) in zip(answers, spelt, strict=True)]

    def accuracy(among: npt.NDArray[np.bool_]) -> Accuracy:
        counting = among & covered
        add, mul = right[:, counting].mean(axis=1).tolist() if counting.any() else (None, None)
        return Accuracy(add, mul, int(counting.sum()), int(among.sum()))

    sections = np.array([question.section for question in questions])
    gram = np.char.startswith(sections, SYNTACTIC)
    semantic, syntactic = (accuracy(~gram), accuracy(gram)) if gram.any() and not gram.all() else (None, None)
    whole = vars(accuracy(np.ones_like(covered)))
    by_section = {name: accuracy(sections == name) for name in dict.fromkeys(sections.tolist())}
    return AnalogyScore(task, **whole, semantic=semantic, syntactic=syntactic, sections=by_section)


def _words(question: Question) -> list[str]:
    return [word.upper() for word in (*question.given, question.answer)]


def answer(matrix: Floats, given: Rows, banned: Rows) -> Rows:
    """Return the rows of the best answers by 3CosAdd and by 3CosMul, (2, n_questions), -1 where every row is banned.

    With cosines shifted to 0..1, 3CosMul asks for the largest cos(d,b) cos(d,c) / (cos(d,a) + epsilon); its logarithm
    is a sum, as 3CosAdd cos(d,b) + cos(d,c) - cos(d,a) is one (Levy & Goldberg 2014, equations 3 and 4).

    The matrix is (n_words, dim) float32, with rows of any lengths; `given` are its rows of a, b and c, (n_questions, 3)
    int64, and `banned` those that are no answer, (n_questions, most) int64, filled up with -1.
    """
    used, places = np.unique(given, return_inverse=True)
    places = places.reshape(given.shape)
    units = unit(matrix[used])
    best: Rows = np.full((2, len(given)), -1, np.int64)
    highest = np.full((2, len(given)), -np.inf, np.float32)
    bytes_a_row = 2 * units.itemsize * (len(used) + matrix.shape[1])  # cosines and a copy, the row and its unit
    n_block = max(1, int(MEGABYTES * 2**20 / bytes_a_row))
    for start in range(0, len(matrix), n_block):
        cosines = units @ unit(matrix[start : start + n_block]).T  # (n_used, n_block)
        _improve(best[0], highest[0], cosines, cosines, places, banned, start)
        cosines += 1
        cosines /= 2
        np.maximum(cosines, np.finfo(np.float32).tiny, out=cosines)  # opposite vectors, or less by rounding
        minus = cosines + np.float32(EPSILON)
        np.log(cosines, out=cosines)
        np.log(minus, out=minus)
        _improve(best[1], highest[1], cosines, minus, places, banned, start)
        del cosines, minus  # they are gone before those of the next block are made
    return best


def _improve(best: Rows, highest: Floats, plus: Floats, minus: Floats, places: Rows, banned: Rows, start: int) -> None:
    """Look at a block of rows, of which `start` is the first; write better answers and their scores in place.

    `plus` is what b and c add to a row's score, `minus` what a takes from it, both (n_used, n_block); `places` are
    those of a, b and c among the used words, (n_questions, 3).
    """
    n_block = plus.shape[1]
    step = max(1, SCORES_AT_ONCE // n_block)
    for first in range(0, len(best), step):
        some = slice(first, first + step)
        a, b, c = places[some].T
        scores = plus[b] + plus[c]
        scores -= minus[a]
        rows = banned[some] - start
        question, which = np.nonzero((rows >= 0) & (rows < n_block))
        scores[question, rows[question, which]] = -np.inf
        top = scores.argmax(axis=1)
        score = scores[np.arange(len(top)), top]
        better = np.flatnonzero(score > highest[some])  # of equals the first: the more frequent word
        highest[first + better] = score[better]
        best[first + better] = start + top[better]
