"""Tables of figures, whatever they are of: the same for Markdown, HTML and CSV."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from x2static.evaluation.measures import mean_of_known


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: what people read.
        value: the figure; None where there is none.
        deviation: standard deviation over seeds; None where there was one value.
        covered: pairs that the figure is over.
        total: pairs there are.
        best: whether no other of its kind is better.
    """

    text: str
    value: float | None = None
    deviation: float | None = None
    covered: int | None = None
    total: int | None = None
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A row: whose figures, where they are from ("here", "teacher", "paper"), and a cell for each head."""

    label: str
    cells: tuple[Cell, ...]
    source: str = "here"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: for the CSV file.
        caption: what is to be known about it, for people.
        heads: above the cells; the first column's head comes first.
        rows: in order.
        words: whether the cells are words, and begin at the left.
    """

    name: str
    caption: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    words: bool = False


def mean_cell(values: Sequence[float | None], digits: int = 3, factor: float = 1.0) -> Cell:
    """Return the cell of one figure over seeds: mean and, of several, the sample's standard deviation.

    Args:
        values: of each seed; None where it has none.
        digits: after the point.
        factor: what the values are multiplied by (100 for per cent).
    """
    known = [value * factor for value in values if value is not None]
    centre = mean_of_known(known)
    if centre is None:
        return Cell("none")
    if len(known) == 1:
        return Cell(f"{centre:.{digits}f}", centre)
    deviation = math.sqrt(sum((value - centre) ** 2 for value in known) / (len(known) - 1))
    return Cell(f"{centre:.{digits}f} ± {deviation:.{digits}f}", centre, deviation)


def with_best(rows: Iterable[Row], columns: int) -> tuple[Row, ...]:
    """Mark the highest figure of each of the first columns, those of every source on their own."""
    listed = list(rows)
    highest: dict[tuple[str, int], float] = {}
    for row in listed:
        for column, cell in enumerate(row.cells[:columns]):
            if cell.value is not None:
                key = (row.source, column)
                highest[key] = max(cell.value, highest.get(key, cell.value))
    return tuple(
        replace(
            row,
            cells=tuple(
                replace(cell, best=cell.value is not None and cell.value == highest.get((row.source, column)))
                for column, cell in enumerate(row.cells)
            ),
        )
        for row in listed
    )


def csv_of(tables: Iterable[Table]) -> bytes:
    """Return all figures of some tables, one a line."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["table", "source", "row", "column", "value", "deviation", "covered", "total", "text"])
    for table in tables:
        for row in table.rows:
            for head, cell in zip(table.heads[1:], row.cells, strict=True):
                figures = [cell.value, cell.deviation, cell.covered, cell.total]
                shown = ["" if figure is None else repr(figure) for figure in figures]
                writer.writerow([table.name, row.source, row.label, head, *shown, cell.text])
    return sink.getvalue().encode()
