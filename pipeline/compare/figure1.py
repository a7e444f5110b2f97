"""The paper's figure 1: quality against the size of the corpus, as a picture and as a table."""

from dataclasses import dataclass

from x2static.durable.errors import X2StaticError
from x2static.evaluation.word_similarity import score_together
from x2static.pipeline.compare import curve, similarity
from x2static.pipeline.compare.kept import Kept
from x2static.pipeline.compare.methods import Method
from x2static.pipeline.compare.plots import Line, size_curves
from x2static.pipeline.compare.scores import rows_of_pairs, said_before
from x2static.pipeline.compare.sections import Picture, Section
from x2static.pipeline.compare.tables import Cell, Row, Table

SETS = ("SL-999", "RW-2034")
Common = dict[str, dict[str, float | None]]  # by the names of steps and data sets
FEW = 5  # points, with fewer a curve says little


@dataclass(frozen=True)
class Scored:
    """A point of the curve on one data set: all pairs it covers, and those that all points cover."""

    method: Method
    size: curve.Size
    own: similarity.TaskResult
    common: float | None


def figure1(kept: Kept) -> Section | None:
    """Return the section; None where no point of the curve beyond the whole corpus is there.

    Raises:
        X2StaticError: the figure was asked for, and the data has none of its sets.
    """
    # The tables have the whole corpus too.
    if not any(kept.pairs(point.step.name) for point in kept.comparison.points if not point.size.whole):
        return None
    columns = [(name, head) for name, head, _ in similarity.columns_of(_sets(kept)) if head in SETS]
    common = kept.comparison.attempt("the curve's common pairs", lambda: common_scores(kept)) or {}
    points = {head: found for name, head in columns if (found := _points(kept, name, common))}
    if not points and "figure1" in kept.comparison.config.only:
        raise X2StaticError(f"figure 1 is of {' and '.join(SETS)}, and the data has none of them; give --data")
    if not points:
        return None
    sizes = sorted({point.size.units for found in points.values() for point in found})
    text = [
        "Nested samples of the cache: the first units of each size. Solid: all pairs that the vectors cover at that "
        "size. Dotted: the pairs that every method covers at every size.",
    ]
    if len(sizes) < FEW:
        text.append(f"The cache has {kept.comparison.sizes[-1].units} units, which gives {len(sizes)} sizes only.")
    panels = {f"{head} (Spearman's rho)": _lines(found) for head, found in points.items()}
    caption = (
        "Word similarity (Spearman's rho) against the size of the corpus in words, seed 0 of each method. Dotted: on "
        "the pairs that every method covers at every size."
    )
    picture = Picture("figure1", caption, size_curves(panels))
    return Section("Quality against corpus size (figure 1)", tuple(text), (), (_table(points),), (picture,))


def _sets(kept: Kept) -> list[str]:
    return list(dict.fromkeys(task for name in kept.records for task in kept.pairs(name)))


def _points(kept: Kept, task: str, common: Common) -> list[Scored]:
    """Return the points of one data set that are there, the smallest size first."""
    there = [
        (point, results[task]) for point in kept.comparison.points if task in (results := kept.pairs(point.step.name))
    ]
    return [Scored(point.method, point.size, own, common.get(point.step.name, {}).get(task)) for point, own in there]


def _lines(points: list[Scored]) -> list[Line]:
    lines = []
    for name in dict.fromkeys(point.method.name for point in points):
        some = [point for point in points if point.method.name == name]
        common = [point.common for point in some]
        shown = common if any(score is not None for score in common) else []
        lines.append(
            Line(some[0].method.label, [one.size.words for one in some], [one.own.score for one in some], shown)
        )
    return lines


def _table(points: dict[str, list[Scored]]) -> Table:
    """Return the points as a table: a row a size and method."""
    by_row: dict[tuple[int, str], dict[str, Scored]] = {}
    for head, some in points.items():
        for point in some:
            by_row.setdefault((point.size.units, point.method.label), {})[head] = point
    rows = []
    for (units, label), found in sorted(by_row.items(), key=lambda item: item[0][0]):
        size = next(iter(found.values())).size
        cells = [Cell(f"{size.paragraphs:,}", size.paragraphs), Cell(f"{size.words:,}", size.words)]
        for head in points:
            cells += _cells(found.get(head))
        # A label of its own for each row: CSV and JSON tell rows apart by nothing else.
        rows.append(Row(f"{units} unit{'s' if units > 1 else ''}, {label}", tuple(cells)))
    heads = [text for head in points for text in (head, f"{head} pairs", f"{head}, same pairs")]
    caption = "The points of figure 1: Spearman's rho, the pairs covered, and rho on the pairs that all points cover."
    return Table("figure1", caption, ("size and method", "paragraphs", "words", *heads), tuple(rows))


def _cells(point: Scored | None) -> list[Cell]:
    if point is None:
        return [Cell(""), Cell(""), Cell("")]
    own, common = point.own, point.common
    return [
        Cell("none" if own.score is None else f"{own.score:.3f}", own.score, None, own.covered, own.total),
        Cell(f"{own.covered:,} of {own.total:,}", own.covered),
        Cell("none" if common is None else f"{common:.3f}", common),
    ]


def common_scores(kept: Kept) -> Common:
    """Return the curve's scores on the pairs that all its points cover, by the steps' names and the data sets'.

    Raises:
        X2StaticError: no pair is covered by all.
    """
    config = kept.comparison.config
    there = {point.step.name: point.step for point in kept.comparison.points if kept.pairs(point.step.name)}
    with said_before():
        found = score_together(rows_of_pairs(there, config), config.data) if len(there) > 1 else {}
    return {name: {one.task: one.score for one in results} for name, results in found.items()}
