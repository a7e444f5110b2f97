"""The tasks of `x2static evaluate`: where each is, and which options it uses."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from x2static.evaluation.analogy_questions import QUESTIONS
from x2static.evaluation.datasets import WORD_PAIRS
from x2static.evaluation.task_files import gensim_file
from x2static.pipeline.data.fetch import data_folder
from x2static.pipeline.evaluations.asked import Asked, Evaluated
from x2static.schemas.vectors import WordVectors

Run = Callable[[dict[str, WordVectors], Asked], Evaluated]


class Task(NamedTuple):
    """A task.

    Attributes:
        module: in `x2static.pipeline.evaluations`; it has the function `run`.
        folder: of a folder of data, where its files are.
        options: those of `evaluate` that it uses beside --data, by parameter name.
        shipped: the files that gensim ships for it.
    """

    module: str
    folder: str
    options: frozenset[str]
    shipped: tuple[str, ...] = ()


TASKS = {
    "word-similarity": Task(
        "word_similarity", "wordsim", frozenset({"seed", "common", "intervals", "resamples"}), WORD_PAIRS
    ),
    "classification": Task("classification", "classification", frozenset({"seed", "runs"})),
    "analogy": Task("analogy", "analogy", frozenset(), (QUESTIONS,)),
    "bias": Task("bias", "bias", frozenset({"seed", "resamples"})),
    "sentence-similarity": Task("sentence_similarity", "sentence-similarity", frozenset()),
}


def fetched_data(task: str) -> Path | None:
    """Return the folder of fetched data where a task finds some in it; None where gensim ships all that it needs."""
    shipped = TASKS[task].shipped
    if shipped and all(gensim_file(name) for name in shipped):
        return None
    folder = data_folder()
    inner = folder / TASKS[task].folder
    # A fetch that was killed leaves hidden files.
    return folder if inner.is_dir() and any(not path.name.startswith(".") for path in inner.iterdir()) else None


def runner(task: str) -> Run:
    """Return the function that runs a task; only now is its module imported, with the libraries it needs."""
    module = importlib.import_module(f"x2static.pipeline.evaluations.{TASKS[task].module}")
    run: Run = module.run
    return run
