"""The tables of a comparison: figures in a pandas data frame, a line a figure, in the form of the paper's tables."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from x2static.evaluation.word_similarity import SimilarityScore
from x2static.pipeline.compare.reference import PAIRS, TASKS, Published, averaged, heads_of
from x2static.pipeline.terminal import duration
from x2static.report.table import Cell, Column, Table, figure

COLUMNS = ["table", "source", "row", "column", "value", "deviation", "covered", "total", "text"]  # of compare.csv
MEASURES = {"F1": ("macro_f1", "f1"), "acc.": ("accuracy", "acc")}  # their fields, and the ends of the paper's columns
CURVE_SETS = ("SL-999", "RW-2034")  # of figure 1
Line = dict[str, Any]  # a figure: key (of its row), row, source, column, value, text and so on


@dataclass(frozen=True)
class Figures:
    """A table of figures."""

    name: str
    caption: str
    corner: str
    frame: pd.DataFrame  # a line a cell, row by row: what COLUMNS has, `key` of the row, and `bold`

    @classmethod
    def of(
        cls, name: str, caption: str, heads: Sequence[str], lines: Iterable[Line], corner: str = "method"
    ) -> "Figures":
        """Return a table with a cell for each row and head, empty where there is no line of it.

        Args:
            name: of the table.
            caption: what is to be known about it.
            heads: of its columns, in order.
            lines: the figures, those of the first row first; `source` is "here" where none is given.
            corner: the head above the names of the rows.
        """
        frame = pd.DataFrame(list(lines), columns=["key", "bold", *COLUMNS], dtype=object)
        rows = frame.drop_duplicates("key").set_index("key")[["row", "source"]]
        frame = frame.set_index(["key", "column"]).reindex(pd.MultiIndex.from_product([rows.index, heads]))
        frame.index.names = ["key", "column"]
        frame = frame.drop(columns=["row", "source"]).join(rows, on="key").reset_index()
        frame["table"] = name
        frame = frame.fillna({"source": "here", "text": "", "bold": False})
        return cls(name, caption, corner, frame.astype(object).where(frame.notna(), None))

    def with_best(self, heads: Sequence[str]) -> "Figures":
        """Mark the highest figure of some columns, those of every source on their own: ties share."""
        values = pd.to_numeric(self.frame["value"])
        highest = values.groupby([self.frame["source"], self.frame["column"]]).transform("max")
        bold = self.frame["column"].isin(heads) & values.notna() & (values == highest)
        return Figures(self.name, self.caption, self.corner, self.frame.assign(bold=bold))

    def best(self, head: str) -> tuple[str, float] | None:
        """Return which of our rows has the highest figure of a column, and the figure; None where none has one."""
        ours = self.frame[(self.frame["source"] == "here") & (self.frame["column"] == head)]
        values = pd.to_numeric(ours["value"]).dropna()
        return None if values.empty else (str(ours.loc[values.idxmax(), "row"]), float(values.max()))

    def values(self) -> dict[str, dict[str, float | None]]:
        """Return the figures that are no one else's, by row and column."""
        told: dict[str, dict[str, float | None]] = {}
        for line in self.frame[self.frame["source"] != "paper"].itertuples():
            told.setdefault(line.row, {})[line.column] = line.value
        return told

    def table(self) -> Table:
        """Return the table for people."""
        rows, groups = [], []
        for _, lines in self.frame.groupby("key", sort=False):
            source = lines["source"].iloc[0]
            label = lines["row"].iloc[0] + (" (paper)" if source == "paper" else "")
            rows.append([label, *map(Cell, lines["text"], lines["text"], lines["bold"])])
            groups.append(source)
        heads = [Column(head) for head in dict.fromkeys(self.frame["column"])]
        return Table([Column(self.corner, "left"), *heads], rows, self.caption, groups=groups)


def csv_of(figures: Sequence[Figures], neighbours: Sequence[Table]) -> str:
    """Return all figures as CSV, one a line, and the neighbours of words as texts."""
    rows = [row for some in figures for row in some.frame[COLUMNS].itertuples(index=False, name=None)]
    for table in neighbours:
        for place, *words in table.rows:
            for column, word in zip(table.columns[1:], words, strict=True):
                rows.append(("neighbours", "here", place, column.head, None, None, None, None, word))
    return Table([Column(name) for name in COLUMNS], rows).csv()


class Row(NamedTuple):
    """A method in a table."""

    key: str
    label: str
    # the results of each seed, one seed at least: TaskScore or TaskAccuracy, one a data set
    seeds: Sequence[Sequence[Any]]
    seconds: float | None  # of one seed; None where nobody knows, since other work was used again
    dim: int = 0
    words: int = 0
    source: str = "here"  # the rows of one source are rivals: "here", or "teacher"

    def line(self, column: str, value: float | None, text: str, **more: Any) -> Line:
        """Return a figure of this row."""
        row = {"key": self.key, "row": self.label, "source": self.source}
        return row | {"column": column, "value": value, "text": text} | more


def similarity_figures(name: str, caption: str, rows: Sequence[Row], published: Sequence[Published]) -> Figures:
    """Return a table in the form of the paper's table 3."""
    heads = heads_of(one.task for row in rows for seed in row.seeds for one in seed)
    lines = [
        row.line(heads[one.task], one.score, "", seed=number, covered=one.covered, total=one.total)
        for row in rows
        for number, seed in enumerate(row.seeds)
        for one in seed
    ]
    scores = pd.DataFrame(lines).astype({"value": float})
    scored = set(scores.loc[scores["value"].notna(), "column"])
    over = [heads[one] for one in averaged(list(heads)) if heads[one] in scored]
    # Of a row that lacks one of these sets there is none: a mean over fewer is of another kind, and no rival.
    by_set = scores.pivot(index=["key", "row", "source", "seed"], columns="column", values="value")
    means = by_set[over].mean(axis=1, skipna=False).rename("value").reset_index().assign(column="average")
    sizes = []
    for row in rows:
        covered, total = (sum(getattr(one, field) for one in row.seeds[0]) for field in ("covered", "total"))
        share = covered / total if total else None
        sizes.append(row.line("pairs covered", share, f"{covered:,} of {total:,}", covered=covered, total=total))
        for column, number in (("dim", row.dim), ("words", row.words)):
            sizes.append(row.line(column, number or None, f"{number:,}" if number else ""))
        time = "reused" if row.seconds is None else duration(row.seconds)
        sizes.append(row.line("time", row.seconds, time))
    paper = {head: column for head, (column, _) in PAIRS.items()} | {"average": "average"}
    shown = [*heads.values(), "average"]
    lines = [*over_seeds(pd.concat([scores, means]), 3), *sizes, *published_lines(published, paper, 3)]
    return Figures.of(name, caption, [*shown, "pairs covered", "dim", "words", "time"], lines).with_best(shown)


def classification_figures(caption: str, rows: Sequence[Row], published: Sequence[Published]) -> Figures:
    """Return a table in the form of the paper's table 4, in per cent."""
    lines = [
        row.line("", 100 * getattr(one, field), "", seed=number, task=task_of(one.task), measure=measure)
        for row in rows
        for number, seed in enumerate(row.seeds)
        for one in seed
        for measure, (field, _) in MEASURES.items()
    ]
    scores = pd.DataFrame(lines)
    by_seed = scores.groupby(["key", "row", "source", "seed", "measure"], sort=False)["value"]
    scores = pd.concat([scores, by_seed.mean().reset_index().assign(task="average")])
    there = set(scores["task"])
    tasks = {task: head for task, head in TASKS.items() if task in there}
    tasks |= {task: task for task in sorted(there - tasks.keys() - {"average"})} | {"average": "average"}
    scores["column"] = scores["task"].map(tasks) + " " + scores["measure"]
    paper = {
        f"{head} {measure}": f"{'avg' if task == 'average' else task}_{end}"
        for task, head in tasks.items()
        for measure, (_, end) in MEASURES.items()
    }
    times = [row.line("time", row.seconds, "" if row.seconds is None else duration(row.seconds)) for row in rows]
    lines = [*over_seeds(scores, 1), *times, *published_lines(published, paper, 1)]
    return Figures.of("table4", caption, [*paper, "time"], lines).with_best(list(paper))


def task_of(name: str) -> str:
    """Return the paper's column for the name of a task: "SST-5" is `sst5`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def difference_figures(caption: str, differences: Mapping[str, list[SimilarityScore]]) -> Figures:
    """Return a table of differences with their intervals; bold are those that are beyond chance."""
    heads = heads_of(one.task for one in next(iter(differences.values()))[:-1]) | {"average": "average"}
    lines = []
    for label, found in differences.items():
        for one in found:
            text = figure(one.score, signed=True)
            if one.score is not None and one.interval is not None:
                text += f" [{one.interval.low:+.3f}, {one.interval.high:+.3f}]"
            bold = one.score is not None and one.is_clear
            lines.append(Row(label, label, (), None).line(heads[one.task], one.score, text, bold=bold))
    return Figures.of("differences", caption, list(heads.values()), lines)


def curve_figures(caption: str, curve: pd.DataFrame) -> Figures:
    """Return the points of figure 1 as a table: a row a size and method."""
    lines: dict[tuple[str, str], Line] = {}
    for point in curve.itertuples():
        # A label of its own for each row: CSV and JSON tell rows apart by nothing else.
        row = Row(point.key, f"{point.units} unit{'s' if point.units > 1 else ''}, {point.method}", (), None)
        score, common = (None if pd.isna(value) else value for value in (point.score, point.common))
        covered = f"{point.covered:,} of {point.total:,}"
        for line in (
            row.line("paragraphs", point.paragraphs, figure(point.paragraphs)),
            row.line("words", point.words, figure(point.words)),
            row.line(point.set, score, figure(score), covered=point.covered, total=point.total),
            row.line(f"{point.set} pairs", point.covered, covered),
            row.line(f"{point.set}, same pairs", common, figure(common)),
        ):
            lines[line["key"], line["column"]] = line
    sets = [name for name in CURVE_SETS if name in set(curve["set"])]
    heads = [text for name in sets for text in (name, f"{name} pairs", f"{name}, same pairs")]
    return Figures.of("figure1", caption, ["paragraphs", "words", *heads], lines.values(), "size and method")


def over_seeds(scores: pd.DataFrame, digits: int) -> list[Line]:
    """Return mean and, of several seeds, the sample's standard deviation of each row and column.

    Args:
        scores: key, row, source, column and `value` of each seed, NaN where there is none; perhaps pairs `covered` and
            `total`, those of the first seed being told.
        digits: after the point.
    """
    lines = []
    for (key, column), group in scores.groupby(["key", "column"], sort=False):
        values, first = group["value"].dropna(), group.iloc[0]
        mean, deviation = (float(values.mean()), float(values.std())) if len(values) else (None, None)
        line = {"key": key, "row": first["row"], "source": first["source"], "column": column, "value": mean}
        text = figure(mean, digits)
        if len(values) > 1:
            line["deviation"] = deviation
            text += f" ± {figure(deviation, digits)}"
        for name in ("covered", "total"):
            if name in group and pd.notna(first[name]):
                line[name] = int(first[name])
        lines.append(line | {"text": text})
    return lines


def published_lines(published: Sequence[Published], columns: Mapping[str, str], digits: int) -> list[Line]:
    """Return the paper's figures."""
    lines = []
    for place, row in enumerate(published):
        for head, column in columns.items():
            value = row.figures.get(column)
            text = "" if value is None else figure(value, digits)
            lines.append(Row(f"paper {place}", row.label, (), None, source="paper").line(head, value, text))
    return lines
