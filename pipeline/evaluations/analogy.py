"""Analogies: the share of questions that 3CosAdd and 3CosMul answer rightly, by section."""

from typing import Any

from x2static.evaluation.analogy import Accuracy, AnalogyScore, average, check_covered, evaluate_analogies
from x2static.evaluation.analogy_questions import find_questions, read_questions
from x2static.pipeline.evaluations.asked import Asked, Evaluated
from x2static.pipeline.evaluations.each import for_each
from x2static.report.grid import grid, number
from x2static.schemas.vectors import WordVectors

NOTE = "3CosAdd, 3CosMul: share of right answers (questions covered/total); every known word may be the answer"


def run(vectors: dict[str, WordVectors], asked: Asked) -> Evaluated:
    """Answer analogy questions with sets of word vectors; `asked.data` is used.

    Raises:
        X2StaticError: the questions cannot be read, or nothing is covered.
    """
    files = {path.stem: read_questions(path) for path in find_questions(asked.data)}
    for_each(vectors, lambda _, one: check_covered(one, files))  # of the last set before the first is scored
    scores = for_each(vectors, lambda _, one: evaluate_analogies(one, asked.data))
    parts = [_parts(score) for score in next(iter(scores.values()))]
    rows = [part for of_task in parts for part in of_task]
    cells = {
        name: [_cell(accuracy) for score in of_one for accuracy in _parts(score).values()]
        for name, of_one in scores.items()
    }
    return Evaluated(
        f"{grid(rows, cells)}\n{NOTE}",
        {name: _figures(of_one) for name, of_one in scores.items()},
    )


def _parts(score: AnalogyScore) -> dict[str, Accuracy]:
    """Return sections and sums by what stands before their rows."""
    sums = {"semantic": score.semantic, "syntactic": score.syntactic, "all": score.all}
    return {f"  {section}": accuracy for section, accuracy in score.sections.items()} | {
        f"{score.task}, {name}": accuracy for name, accuracy in sums.items() if accuracy is not None
    }


def _cell(accuracy: Accuracy) -> str:
    found = f"{number(accuracy.cos_add):<5} {number(accuracy.cos_mul):<5}"
    return f"{found} ({accuracy.covered}/{accuracy.total})"


def _figures(scores: list[AnalogyScore]) -> dict[str, Any]:
    """Return the figures of a set of vectors; `score` is 3CosAdd's."""
    return {
        "tasks": {
            score.task: {
                **(_accuracy(score.all) or {}),
                "semantic": _accuracy(score.semantic),
                "syntactic": _accuracy(score.syntactic),
                "sections": {section: _accuracy(accuracy) for section, accuracy in score.sections.items()},
            }
            for score in scores
        },
        "average": average(scores),
    }


def _accuracy(accuracy: Accuracy | None) -> dict[str, Any] | None:
    if accuracy is None:
        return None
    return {
        "score": accuracy.cos_add,
        "cos_mul": accuracy.cos_mul,
        "covered": accuracy.covered,
        "total": accuracy.total,
    }
