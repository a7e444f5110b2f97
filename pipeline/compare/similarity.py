"""The paper's table 3, word similarity, with the rows of a comparison."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from x2static.evaluation.measures import mean_of_known
from x2static.pipeline.compare.reference import Published
from x2static.pipeline.compare.tables import Cell, Row, Table, mean_cell, with_best
from x2static.pipeline.terminal import duration


class Task(NamedTuple):
    """A data set of the paper: the column of its figures, the paper's name for it, and the names of its file."""

    column: str
    head: str
    files: tuple[str, ...]


PAPER = (
    Task("rg65", "RG-65", ("rg65", "rg-65")),
    Task("ws353", "WS-353", ("ws353", "wordsim353", "ws-353")),
    Task("sl999", "SL-999", ("simlex999", "sl999", "simlex-999")),
    Task("sv3500", "SV-3500", ("simverb3500", "sv3500", "simverb-3500")),
    Task("rw2034", "RW-2034", ("rw2034", "rw", "rareword")),
)


class TaskResult(NamedTuple):
    """One set of vectors on one data set."""

    score: float | None
    covered: int
    total: int


Results = Mapping[str, TaskResult]  # by the name of the data set


class Ours(NamedTuple):
    """A method's row.

    Attributes:
        label: of the method.
        seeds: the results of each seed.
        seconds: that one seed's vectors took; None where nobody knows, since other work was used again.
        dim: length of a vector.
        words: in the vocabulary.
    """

    label: str
    seeds: Sequence[Results]
    seconds: float | None
    dim: int = 0
    words: int = 0


def columns_of(names: Sequence[str]) -> list[tuple[str, str, Task | None]]:
    """Return the columns: name of the data set, head and, of the paper's sets, which; those first, in its order."""
    found = [(name, task.head, task) for task in PAPER for name in names if name.lower() in task.files]
    taken = {name for name, _, _ in found}
    return [*found, *((name, name, None) for name in names if name not in taken)]


def averaged(names: Sequence[str]) -> list[str]:
    """Return the data sets that the average is over: the paper's, if any is there; else all."""
    columns = columns_of(names)
    return [name for name, _, task in columns if task is not None] or list(names)


def sets_of_average(ours: Sequence[Ours]) -> list[str]:
    """Return the data sets that the average of every row is over: those of `averaged` on which any row has a score."""
    results = [seed for row in ours for seed in row.seeds]
    scored = {name for seed in results for name, found in seed.items() if found.score is not None}
    return [name for name in averaged(_names(ours)) if name in scored]


def average_of(results: Results, names: Sequence[str]) -> float | None:
    """Return the mean score of one set of vectors over some data sets; None where it has no score on one of them.

    A mean over fewer sets than others have is of another kind, and no rival.
    """
    known = [results[name].score for name in names if name in results]
    return mean_of_known(known) if len(known) == len(names) and None not in known else None


def _names(ours: Sequence[Ours]) -> list[str]:
    return list(dict.fromkeys(task for row in ours for seed in row.seeds for task in seed))


def similarity_table(name: str, caption: str, ours: Sequence[Ours], published: Sequence[Published]) -> Table:
    """Return a table in the form of the paper's table 3.

    Args:
        name: of the table.
        caption: what is to be known about it.
        ours: a row each; the data sets are the same for all.
        published: the paper's rows.
    """
    columns, over = columns_of(_names(ours)), sets_of_average(ours)
    rows = [_row(row, columns, over) for row in ours] + [_published(row, columns) for row in published]
    heads = ("method", *(head for _, head, _ in columns), "average", "pairs covered", "dim", "words", "time")
    return Table(name, caption, heads, with_best(rows, len(columns) + 1))


def _row(row: Ours, columns: list[tuple[str, str, Task | None]], over: Sequence[str]) -> Row:
    cells = []
    for name, _, _ in columns:
        found = [seed[name] for seed in row.seeds if name in seed]
        cell = mean_cell([result.score for result in found])
        counts = (found[0].covered, found[0].total) if found else (None, None)
        cells.append(Cell(cell.text, cell.value, cell.deviation, *counts))
    average = mean_cell([average_of(seed, over) for seed in row.seeds])
    covered, total = (sum(getattr(result, field) for result in row.seeds[0].values()) for field in ("covered", "total"))
    share = Cell(f"{covered:,} of {total:,}", covered / total if total else None, None, covered, total)
    sizes = [Cell(f"{number:,}", number) if number else Cell("") for number in (row.dim, row.words)]
    return Row(row.label, (*cells, average, share, *sizes, _time(row.seconds)))


def _published(row: Published, columns: list[tuple[str, str, Task | None]]) -> Row:
    columns_there = [task.column if task else "" for _, _, task in columns]
    figures = [row.figures.get(column) for column in [*columns_there, "average"]]
    cells = tuple(Cell("") if figure is None else Cell(f"{figure:.3f}", figure) for figure in figures)
    return Row(row.label, (*cells, *[Cell("")] * 4), "paper")


def _time(seconds: float | None) -> Cell:
    return Cell("reused") if seconds is None else Cell(duration(seconds), seconds)
