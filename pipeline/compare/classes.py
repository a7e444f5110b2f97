"""The paper's table 4, classification, with the rows of a comparison."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from x2static.evaluation.measures import mean_of_known
from x2static.pipeline.compare.reference import Published
from x2static.pipeline.compare.tables import Cell, Row, Table, mean_cell, with_best
from x2static.pipeline.terminal import duration

PAPER = {"cr": "CR", "mr": "MR", "mpqa": "MPQA", "subj": "SUBJ", "trec": "TREC", "sst5": "SST-5"}
MEASURES = {"f1": "F1", "acc": "acc."}


class Accuracy(NamedTuple):
    """One set of vectors on one task: shares between 0 and 1."""

    f1: float
    acc: float


Results = Mapping[str, Accuracy]  # by the paper's column


class Ours(NamedTuple):
    """A method's row.

    Attributes:
        label: of the method.
        seeds: the results of each seed.
        seconds: that one seed's classifiers took.
        source: the rows of one source are rivals: "here", or "teacher".
    """

    label: str
    seeds: Sequence[Results]
    seconds: float | None
    source: str = "here"


def column_of(task: str) -> str:
    """Return the paper's column for the name of a task: "SST-5" is `sst5`."""
    return re.sub(r"[^a-z0-9]", "", task.lower())


def classification_table(name: str, caption: str, ours: Sequence[Ours], published: Sequence[Published]) -> Table:
    """Return a table in the form of the paper's table 4, in per cent.

    Args:
        name: of the table.
        caption: what is to be known about it.
        ours: a row each.
        published: the paper's rows.
    """
    there = {task for row in ours for seed in row.seeds for task in seed}
    columns = [task for task in PAPER if task in there] + sorted(there - PAPER.keys())
    rows = [_row(row, columns) for row in ours] + [_published(row, columns) for row in published]
    heads = [f"{PAPER.get(task, task)} {measure}" for task in [*columns, "average"] for measure in MEASURES.values()]
    return Table(name, caption, ("method", *heads, "time"), with_best(rows, len(heads)))


def _row(row: Ours, columns: list[str]) -> Row:
    cells = [
        mean_cell([getattr(seed[task], measure) for seed in row.seeds if task in seed], 1, 100)
        for task in columns
        for measure in MEASURES
    ]
    for measure in MEASURES:
        means = [mean_of_known([getattr(found, measure) for found in seed.values()]) for seed in row.seeds]
        cells.append(mean_cell(means, 1, 100))
    time = Cell("") if row.seconds is None else Cell(duration(row.seconds), row.seconds)
    return Row(row.label, (*cells, time), row.source)


def _published(row: Published, columns: list[str]) -> Row:
    figures = [row.figures.get(f"{task}_{measure}") for task in [*columns, "avg"] for measure in MEASURES]
    cells = tuple(Cell("") if figure is None else Cell(f"{figure:.1f}", figure) for figure in figures)
    return Row(row.label, (*cells, Cell("")), "paper")
