"""Analogies: which word is to c as b is to a, by 3CosAdd and 3CosMul (Levy & Goldberg 2014)."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.evaluation.analogy_answers import Spelling, answer
from x2static.evaluation.analogy_questions import Question, find_questions, read_questions
from x2static.evaluation.averages import mean_of_known
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

Flags = npt.NDArray[np.bool_]

SYNTACTIC = "gram"  # sections that begin so are syntactic, the others semantic (gram1-adjective-to-adverb)
MEGABYTES = 64  # cosines held at once


@dataclass(frozen=True)
class Accuracy:
    """Shares of the covered questions that were answered rightly.

    Attributes:
        cos_add: by 3CosAdd, 0 to 1; None where no question is covered.
        cos_mul: by 3CosMul, the same.
        covered: questions of which all four words are known.
        total: all questions.
    """

    cos_add: float | None
    cos_mul: float | None
    covered: int
    total: int


@dataclass(frozen=True)
class AnalogyScore:
    """The result of one file of questions.

    Attributes:
        task: name of the file, without its ending.
        all: over all questions, each counting the same.
        semantic: over the sections that do not begin with `gram`; None where the file does not tell the two apart.
        syntactic: over those that do; None likewise.
        sections: of each section, in the order of the file.
    """

    task: str
    all: Accuracy
    semantic: Accuracy | None = None
    syntactic: Accuracy | None = None
    sections: dict[str, Accuracy] = field(default_factory=dict)


def evaluate_analogies(vectors: WordVectors, data: Path | None = None) -> list[AnalogyScore]:
    """Answer analogy questions, those with an unknown word left out and counted.

    Args:
        vectors: the word vectors.
        data: where the questions are, see `find_questions`; None for those that come with gensim.

    Raises:
        X2StaticError: the questions cannot be read, or none of them is covered.
    """
    files = {path.stem: read_questions(path) for path in find_questions(data)}
    check_covered(vectors, files)
    return [score_questions(vectors, task, questions) for task, questions in files.items()]


def check_covered(vectors: WordVectors, files: Mapping[str, list[Question]]) -> None:
    """Check that there is something to answer, which takes less long than answers.

    Args:
        vectors: the word vectors.
        files: the questions of each file, by its name.

    Raises:
        X2StaticError: no question is covered.
    """
    spelling = Spelling(vectors.words)
    if any(_rows(spelling, questions).min(axis=1).max() >= 0 for questions in files.values()):
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

    Args:
        vectors: the word vectors.
        task: what the questions are called.
        questions: the questions.
        megabytes: bounds the memory for cosines; the result does not depend on it.
    """
    spelling = Spelling(vectors.words)
    rows = _rows(spelling, questions)
    covered: Flags = np.all(rows >= 0, axis=1)
    if not covered.any():
        logger.warning("%s: no score, none of the %d analogy questions is covered", task, len(questions))
    right = {method: np.zeros(len(questions), np.bool_) for method in ("add", "mul")}
    given = rows[covered, :3]
    for method, found in answer(vectors.matrix, given, spelling.banned(given), megabytes).items():
        right[method][covered] = (found >= 0) & (spelling.first[found] == rows[covered, 3])
    sections = np.array([one.section for one in questions])
    syntactic = np.char.startswith(sections, SYNTACTIC)
    split = bool(syntactic.any() and not syntactic.all())
    return AnalogyScore(
        task,
        _accuracy(right, covered, np.ones_like(covered)),
        _accuracy(right, covered, ~syntactic) if split else None,
        _accuracy(right, covered, syntactic) if split else None,
        {name: _accuracy(right, covered, sections == name) for name in dict.fromkeys(sections.tolist())},
    )


def _rows(spelling: Spelling, questions: list[Question]) -> npt.NDArray[np.int64]:
    """Return the rows of the words of each question, (n_questions, 4), -1 for an unknown one."""
    return np.array([[spelling.row(word) for word in (*one.given, one.answer)] for one in questions], np.int64)


def _accuracy(right: dict[str, Flags], covered: Flags, among: Flags) -> Accuracy:
    rows = np.flatnonzero(among & covered)
    add, mul = (float(right[method][rows].mean()) if len(rows) else None for method in ("add", "mul"))
    return Accuracy(add, mul, len(rows), int(among.sum()))


def average(scores: Iterable[AnalogyScore]) -> float | None:
    """Return the mean accuracy of 3CosAdd of the tasks that have one, each counting the same; None where none has."""
    return mean_of_known(score.all.cos_add for score in scores)
