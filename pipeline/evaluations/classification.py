"""`x2static evaluate --task classification`: the paper's classifier on word vectors."""

from dataclasses import asdict
from statistics import fmean
from typing import Any

from x2static.evaluation.classification.data import read_tasks
from x2static.evaluation.classification.examples import MEAN_LENGTH, Inputs
from x2static.evaluation.classification.protocol import EPOCHS, LEARNING_RATES, evaluate_classification
from x2static.evaluation.classification.scores import ClassificationScore
from x2static.evaluation.classification.training import BATCH
from x2static.pipeline.evaluations.asked import Asked, Evaluated
from x2static.pipeline.evaluations.each import for_each
from x2static.pipeline.terminal import ProgressLine
from x2static.report.grid import grid
from x2static.schemas.vectors import WordVectors

PROTOCOL = {  # what all sets of vectors have in common
    "learning_rates": list(LEARNING_RATES),
    "epochs": [EPOCHS[0], EPOCHS[-1]],
    "batch": BATCH,
    "mean_vector_length": MEAN_LENGTH,
}


def run(vectors: dict[str, WordVectors], asked: Asked) -> Evaluated:
    """Score each set of vectors on every task; macro-F1 and accuracy, with deviations where there are several runs.

    Args:
        vectors: the sets by name.
        asked: `data`, `runs` and `seed` are used.

    Raises:
        X2StaticError: the data cannot be used, or no word of a task is known.
    """
    tasks = read_tasks(asked.data, asked.seed)
    names = [task.name for task in tasks]

    def check(_: str, one: WordVectors) -> None:
        for task in tasks:
            Inputs.of(one, task)

    def score(name: str, one: WordVectors) -> list[ClassificationScore]:
        with ProgressLine(f"classification, {name}") as progress:
            return evaluate_classification(one, asked.data, asked.runs, asked.seed, progress, names)

    for_each(vectors, check)  # what is wrong with the last set is said before the first is scored, for minutes
    results = for_each(vectors, score)
    return Evaluated(
        _table(results), {name: _figures(scores) for name, scores in results.items()}, {"protocol": PROTOCOL}
    )


def _figures(scores: list[ClassificationScore]) -> dict[str, Any]:
    """Return the figures of a set of vectors; `score`, as all tasks have it, is the accuracy."""
    tasks = {score.task: {"score": score.accuracy, **asdict(score)} for score in scores}
    for of_task in tasks.values():
        del of_task["task"]
    return {
        "tasks": tasks,
        "average": fmean(score.accuracy for score in scores),
        "average_macro_f1": fmean(score.macro_f1 for score in scores),
    }


def _table(results: dict[str, list[ClassificationScore]]) -> str:
    """Return a table: a row a task, a column a set of vectors."""
    first = next(iter(results.values()))
    rows = [*(score.task for score in first), "average", "words known"]
    table = grid(rows, {name: _column(scores) for name, scores in results.items()})
    how = f", mean ± standard deviation of {first[0].runs} runs" if first[0].runs > 1 else ""
    return f"{table}\nmacro-F1 / accuracy, in %{how}"


def _column(scores: list[ClassificationScore]) -> list[str]:
    known = sum(score.covered for score in scores) / sum(score.total for score in scores)
    average = _pair(fmean(score.macro_f1 for score in scores), fmean(score.accuracy for score in scores))
    return [*map(_cell, scores), average, f"{known:.1%}"]


def _cell(score: ClassificationScore) -> str:
    if score.accuracy_deviation is None or score.macro_f1_deviation is None:
        return _pair(score.macro_f1, score.accuracy)
    f1 = f"{100 * score.macro_f1:.1f} ± {100 * score.macro_f1_deviation:.1f}"
    return f"{f1} / {100 * score.accuracy:.1f} ± {100 * score.accuracy_deviation:.1f}"


def _pair(f1: float, accuracy: float) -> str:
    return f"{100 * f1:.1f} / {100 * accuracy:.1f}"
