"""Tables of several sets of word vectors: a row an item, a column a set."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from x2static.report.table import Column, Table, end_of, figure

if TYPE_CHECKING:  # `evaluate --help` needs none of it
    from x2static.evaluation.analogy import Accuracy
    from x2static.evaluation.measures import Score
    from x2static.pipeline.sweeps.trial import TaskScore

Pair = tuple[float | None, float | None]
FEW = "?"  # marks a score that rests on too few items


def score_table(rows: Sequence[str], columns: Mapping[str, Sequence[str]], *notes: str, few: str = "") -> Table:
    """Return a table of texts: what stands before each row, each set's cells by its name, and notes below.

    Where a cell has the mark of scores that rest on too few items, a note says what are too `few`.
    """
    if any(FEW in cell for cells in columns.values() for cell in cells):
        notes += (f"{FEW} rests on fewer than {few}: says little, and is in no average",)
    heads = [Column(end_of(head), "left") for head in ("", *columns)]
    return Table(heads, list(zip(rows, *columns.values(), strict=True)), notes=notes)


def marked(score: "Score | Accuracy | TaskScore", signed: bool = False) -> str:
    """Return the figure of a score, with a mark where it rests on too few items."""
    return figure(score.score, signed=signed) + (FEW if score.too_few and score.score is not None else "")


def averages_table(
    tasks: Sequence[str],
    scores: "Mapping[str, Sequence[Score]]",
    measures: "Callable[[Any], tuple[Pair, Pair]]",
    note: str,
    few: str,
) -> Table:
    """Return a table of averaged vectors' scores by set: two rows a task, of plain means and with SIF weights.

    `measures` returns the two figures of a score, and the two with SIF weights.
    """
    columns: dict[str, list[str]] = {}
    for name, of_one in scores.items():
        columns[name] = []
        for score in of_one:
            for first, second in measures(score):
                mark = FEW if score.too_few and first is not None else ""
                columns[name].append(f"{figure(first) + mark:<6} {figure(second):<6} ({score.covered}/{score.total})")
    return score_table([f"{task}, {kind}" for task in tasks for kind in ("mean", "SIF")], columns, note, few=few)


def over_some(cell: str, counting: int, tasks: int) -> str:
    """Return the cell of an average, which says so where it is over fewer than all tasks: others may be over more."""
    return cell if counting in (0, tasks) else f"{cell} over {counting} of {tasks}"


def short_names(folders: list[Path]) -> dict[str, Path]:
    """Return folders by a name for each: the end of its path that tells it from the others, the shortest."""
    names = {}
    for folder in folders:
        others = [other for other in folders if other != folder]
        tails = (folder.parts[-length:] for length in range(1, len(folder.parts)))
        unlike = (tail for tail in tails if all(other.parts[-len(tail) :] != tail for other in others))
        names[str(Path(*next(unlike, folder.parts)))] = folder
    return names
