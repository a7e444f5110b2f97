"""Analogies: the share of questions that 3CosAdd and 3CosMul answer rightly, by section."""

from typing import Any

from x2static.evaluation.analogy import (
    Accuracy,
    AnalogyScore,
    average,
    check_covered,
    evaluate_analogies,
    find_questions,
    read_questions,
)
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import score_table
from x2static.report.table import figure
from x2static.schemas.vectors import WordVectors

NOTE = "3CosAdd, 3CosMul: share of right answers (questions covered/total); every known word may be the answer"


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Answer analogy questions with sets of word vectors; of the configuration, `data` is used. `score` is 3CosAdd's.

    Raises X2StaticError: the questions cannot be read, or nothing is covered.
    """
    files = {path.stem: read_questions(path) for path in find_questions(config.data)}
    for_each(vectors, lambda _, one: check_covered(one, files))  # of the last set before the first is scored
    scores = for_each(vectors, lambda _, one: evaluate_analogies(one, config.data))
    columns, figures = {}, {}
    for name, of_one in scores.items():
        rows = [row for score in of_one for row in _rows(score)]  # the same for all sets of vectors
        columns[name] = [
            f"{figure(one.cos_add):<5} {figure(one.cos_mul):<5} ({one.covered}/{one.total})" for _, one in rows
        ]
        figures[name] = {"tasks": {score.task: _figures(score) for score in of_one}, "average": average(of_one)}
    return Results([score_table([head for head, _ in rows], columns, NOTE)], figures)


def _rows(score: AnalogyScore) -> list[tuple[str, Accuracy]]:
    """Return sections and sums with what stands before their rows."""
    sums = {"semantic": score.semantic, "syntactic": score.syntactic, "all": score.all}
    return [(f"  {section}", accuracy) for section, accuracy in score.sections.items()] + [
        (f"{score.task}, {name}", accuracy) for name, accuracy in sums.items() if accuracy is not None
    ]


def _figures(score: AnalogyScore) -> dict[str, Any]:
    return {
        **_accuracy(score.all),
        "semantic": score.semantic and _accuracy(score.semantic),
        "syntactic": score.syntactic and _accuracy(score.syntactic),
        "sections": {section: _accuracy(accuracy) for section, accuracy in score.sections.items()},
    }


def _accuracy(one: Accuracy) -> dict[str, Any]:
    return {"score": one.cos_add, "cos_mul": one.cos_mul, "covered": one.covered, "total": one.total}
