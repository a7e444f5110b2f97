"""Analogy questions: text files of sections `: name` and lines of four words, a is to b as c is to d."""

from pathlib import Path
from typing import NamedTuple

from x2static.durable.errors import X2StaticError
from x2static.evaluation.task_files import find_files, gensim_file, numbered_lines

QUESTIONS = "questions-words.txt"  # Mikolov et al. 2013, as gensim ships it
EXPECTED = "a file of analogy questions (sections `: name`, lines of four words)"


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

    Raises:
        X2StaticError: the file is no UTF-8 or holds no question, a line is not four words, or the first question comes
            before the first section.
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
