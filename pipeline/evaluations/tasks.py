"""The tasks of `x2static evaluate`: where each is, and which options it uses."""

import importlib
from collections.abc import Callable
from typing import NamedTuple

from pipeline.evaluations.asked import Asked, Evaluated
from schemas.vectors import WordVectors

Run = Callable[[dict[str, WordVectors], Asked], Evaluated]


class Task(NamedTuple):
    """A task.

    Attributes:
        module: in `pipeline.evaluations`; it has the function `run`.
        options: those of `evaluate` that it uses beside --data, by parameter name.
        shipped: whether gensim has data for it; otherwise it takes what was fetched, where --data is not given.
    """

    module: str
    options: frozenset[str]
    shipped: bool = False


TASKS = {
    "word-similarity": Task("word_similarity", frozenset({"seed", "common", "intervals", "resamples"}), shipped=True),
    "classification": Task("classification", frozenset({"seed", "runs"})),
    "analogy": Task("analogy", frozenset(), shipped=True),
    "bias": Task("bias", frozenset({"seed", "resamples"})),
    "sentence-similarity": Task("sentence_similarity", frozenset()),
}


def runner(task: str) -> Run:
    """Return the function that runs a task; only now is its module imported, with the libraries it needs."""
    module = importlib.import_module(f"pipeline.evaluations.{TASKS[task].module}")
    run: Run = module.run
    return run
