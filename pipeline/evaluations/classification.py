"""`x2static evaluate --task classification`: the paper's classifier on word vectors."""

from dataclasses import asdict
from statistics import fmean
from typing import Any

from evaluation.classification import ClassificationScore, evaluate_classification
from evaluation.classification.examples import MEAN_LENGTH
from evaluation.classification.protocol import EPOCHS, LEARNING_RATES
from evaluation.classification.training import BATCH
from pipeline.evaluations.asked import Asked, Evaluated
from pipeline.terminal import ProgressLine
from schemas.vectors import WordVectors

WIDTH = len("100.0 ± 10.0 / 100.0 ± 10.0")  # of a column

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
    results = {}
    for name, of_name in vectors.items():
        with ProgressLine(f"classification, {name}") as progress:
            results[name] = evaluate_classification(of_name, asked.data, asked.runs, asked.seed, progress)
    figures = {name: _figures(scores) for name, scores in results.items()}
    return Evaluated(_table(results), {"protocol": PROTOCOL, "vectors": figures})


def _figures(scores: list[ClassificationScore]) -> dict[str, Any]:
    tasks = {score.task: {key: value for key, value in asdict(score).items() if key != "task"} for score in scores}
    return {
        "tasks": tasks,
        "average": fmean(score.accuracy for score in scores),
        "average_macro_f1": fmean(score.macro_f1 for score in scores),
    }


def _table(results: dict[str, list[ClassificationScore]]) -> str:
    """Return a table: a row a task, a column a set of vectors."""
    names = list(results)
    tasks = [score.task for score in results[names[0]]]
    cells = {task: [_cell(results[name][row]) for name in names] for row, task in enumerate(tasks)}
    cells["average"] = [
        _pair(fmean(score.macro_f1 for score in scores), fmean(score.accuracy for score in scores))
        for scores in results.values()
    ]
    cells["words known"] = [
        f"{sum(score.covered for score in scores) / sum(score.total for score in scores):.1%}"
        for scores in results.values()
    ]
    first = max(map(len, cells))
    lines = [f"{'':{first}}  " + "  ".join(f"{_short(name):>{WIDTH}}" for name in names)]
    lines += [f"{task:{first}}  " + "  ".join(f"{cell:>{WIDTH}}" for cell in row) for task, row in cells.items()]
    runs = results[names[0]][0].runs
    how = f", mean ± standard deviation of {runs} runs" if runs > 1 else ""
    return "\n".join([*lines, f"macro-F1 / accuracy, in %{how}"])


def _cell(score: ClassificationScore) -> str:
    if score.accuracy_deviation is None or score.macro_f1_deviation is None:
        return _pair(score.macro_f1, score.accuracy)
    f1 = f"{100 * score.macro_f1:.1f} ± {100 * score.macro_f1_deviation:.1f}"
    return f"{f1} / {100 * score.accuracy:.1f} ± {100 * score.accuracy_deviation:.1f}"


def _pair(f1: float, accuracy: float) -> str:
    return f"{100 * f1:.1f} / {100 * accuracy:.1f}"


def _short(name: str) -> str:
    return name if len(name) <= WIDTH else "..." + name[3 - WIDTH :]
