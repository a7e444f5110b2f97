"""The tasks of `x2static evaluate`: each is a file here with a function `run`, and a line in EVALUATIONS."""

import importlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from x2static.evaluation import files
from x2static.machine.packages import require_modules
from x2static.pipeline.data.fetch import data_folder
from x2static.pipeline.terminal import about
from x2static.report.table import Table

if TYPE_CHECKING:
    from x2static.schemas.vectors import WordVectors

Result = TypeVar("Result")


@dataclass(frozen=True)
class EvaluateConfig:
    """What the user wants to know of word vectors; a task reads what concerns it."""

    data: Path | None  # where the task's data is; None for what comes with the libraries
    seed: int = 0  # of every draw
    common: bool = False  # score all sets of vectors on the items that all of them cover
    resamples: int = 0  # bootstrap resamples or permutations; 0 for no intervals, and for the task's own number
    runs: int = 1  # repetitions with other seeds, at least 1


@dataclass(frozen=True)
class Results:
    """What a task finds."""

    tables: list[Table]  # for the terminal
    vectors: dict[str, dict[str, Any]]  # for --json, the figures of each set of vectors by its name
    figures: dict[str, Any] = field(default_factory=dict)  # for --json, what all sets have in common


class Evaluation(NamedTuple):
    """A task of the command; its module is called as it is."""

    data: files.DataFiles
    options: frozenset[str]  # those of `evaluate` that it uses beside --data, by parameter name
    packages: tuple[str, ...] = ("evaluate", "scipy")  # what it needs beside the base, after the extra that brings it


EVALUATIONS = {
    "word-similarity": Evaluation(files.WORD_PAIRS, frozenset({"seed", "common", "intervals", "resamples", "unknown"})),
    "classification": Evaluation(files.CLASSIFICATION, frozenset({"seed", "runs", "unknown"}), ("train", "torch")),
    "analogy": Evaluation(files.QUESTIONS, frozenset(), ()),
    "bias": Evaluation(files.WORD_LISTS, frozenset({"seed", "resamples", "unknown"})),
    "sentence-similarity": Evaluation(files.SENTENCE_PAIRS, frozenset({"unknown"})),
    "misspellings": Evaluation(files.MISSPELLINGS, frozenset({"seed", "unknown"}), ()),
    "translation": Evaluation(files.DICTIONARIES, frozenset(), ()),
    "retrieval": Evaluation(files.RETRIEVAL, frozenset({"unknown"}), ("evaluate", "pytrec_eval")),
}


def fetched_data(task: str) -> Path | None:
    """Return the folder of fetched data where a task finds some in it; None where gensim ships all that it needs."""
    kind = EVALUATIONS[task].data
    if files.shipped_files(kind):
        return None
    inner = data_folder() / kind.folder
    # A fetch that was killed leaves hidden files.
    there = inner.is_dir() and any(not path.name.startswith(".") for path in inner.iterdir())
    return data_folder() if there else None


def runner(task: str) -> "Callable[[dict[str, WordVectors], EvaluateConfig], Results]":
    """Return the function that runs a task; only now is its module imported, with the libraries it needs.

    Raises X2StaticError: a package that it needs is missing.
    """
    if packages := EVALUATIONS[task].packages:
        require_modules(*packages)
    module = importlib.import_module(f"x2static.pipeline.evaluations.{task.replace('-', '_')}")
    return cast("Callable[[dict[str, WordVectors], EvaluateConfig], Results]", module.run)


def for_each(vectors: "dict[str, WordVectors]", do: "Callable[[str, WordVectors], Result]") -> dict[str, Result]:
    """Return what is done with each set of word vectors, by its name; `do` takes the name and the set.

    Where there are several, errors and warnings say which one they are about; so data is read before, whose errors
    are about none.
    """
    results = {}
    for name, of_name in vectors.items():
        with about(name) if len(vectors) > 1 else nullcontext():
            results[name] = do(name, of_name)
    return results
