"""The tables of a comparison: figures by row and column, in the form of the paper's tables and with its figures."""

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from x2static.durable.errors import X2StaticError
from x2static.evaluation.misspellings import MADE
from x2static.evaluation.word_similarity import SimilarityScore
from x2static.pipeline.terminal import duration
from x2static.report.table import Cell, Column, Table, figure

Measures = Mapping[str, Callable[[Any], float | None]]  # of a score, by what a column's head ends in
COLUMNS = ("table", "source", "row", "column", "value", "deviation", "covered", "total", "text")  # of compare.csv
MEASURES = {"F1": ("macro_f1", "f1"), "acc.": ("accuracy", "acc")}  # their fields, and the ends of the paper's columns
SIMILARITY, CLASSIFICATION = "word_similarity.csv", "classification.csv"
# Table 3: the paper's name of a data set, the column of its figures, and the names of its file.
PAIRS = {
    "RG-65": ("rg65", {"rg65", "rg-65"}),
    "WS-353": ("ws353", {"ws353", "wordsim353", "ws-353"}),
    "SL-999": ("sl999", {"simlex999", "sl999", "simlex-999"}),
    "SV-3500": ("sv3500", {"simverb3500", "sv3500", "simverb-3500"}),
    "RW-2034": ("rw2034", {"rw2034", "rw", "rareword"}),
}
# Table 4: the name of a task without what is no letter or digit, and the paper's name.
TASKS = {"cr": "CR", "mr": "MR", "mpqa": "MPQA", "subj": "SUBJ", "trec": "TREC", "sst5": "SST-5"}


def heads_of(data_sets: Iterable[str]) -> dict[str, str]:
    """Return the heads of data sets of word pairs: the paper's own first, by its names and in its order."""
    names = list(dict.fromkeys(data_sets))
    heads = {name: head for head, (_, files) in PAIRS.items() for name in names if name.lower() in files}
    return heads | {name: name for name in names if name not in heads}


def averaged(data_sets: Sequence[str]) -> list[str]:
    """Return the data sets that the average is over: the paper's, if any is there; else all of word pairs."""
    papers = [name for name, head in heads_of(data_sets).items() if head in PAIRS]
    return papers or [name for name in data_sets if name != MADE]


class Published(NamedTuple):
    """A row of one of the paper's tables: what it is of, and its figures by the names of the columns."""

    label: str
    figures: dict[str, float]


def read_tables(folder: Path | None) -> dict[str, list[Published]]:
    """Return the rows of both tables, by their files' names. Raises X2StaticError: the folder has neither file."""
    if folder is None:
        return {}
    files = [folder / name for name in (SIMILARITY, CLASSIFICATION) if (folder / name).is_file()]
    if not files:
        raise X2StaticError(f"{folder}: no {SIMILARITY} and no {CLASSIFICATION} here; --reference takes their folder")
    return {file.name: read_published(file) for file in files}


def read_published(file: Path) -> list[Published]:
    """Return the rows of a CSV file; what is no `method`, `parent` or `dim` is a figure. Raises X2StaticError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise X2StaticError(f"{file}: not valid UTF-8; save the file as UTF-8") from error
    reader = csv.DictReader(text.splitlines())
    if not {"method", "parent", "dim"} <= set(reader.fieldnames or ()):
        raise X2StaticError(f"{file}: expected the columns method, parent, dim and figures in its first line")
    published = []
    for number, row in enumerate(reader, start=2):
        if None in row or None in row.values():
            raise X2StaticError(f"{file}, line {number}: not as many columns as the first line has")
        parts = [row.pop(name).strip() for name in ("method", "parent", "dim")]
        try:
            figures = {name: float(value) for name, value in row.items() if value.strip()}
        except ValueError as error:
            raise X2StaticError(f"{file}, line {number}: a figure is no number ({error})") from error
        if not all(map(math.isfinite, figures.values())):
            raise X2StaticError(f"{file}, line {number}: a figure is not finite")
        published.append(Published(", ".join(part for part in parts if part), figures))
    return published


class Figure(NamedTuple):
    """A figure in a table."""

    value: float | None = None
    text: str = ""  # what people read
    deviation: float | None = None  # over seeds
    covered: int | None = None  # pairs that it is over
    total: int | None = None  # pairs that there are
    bold: bool = False


class Row(NamedTuple):
    """A row of figures, by the heads of their columns; it may have none in some."""

    label: str
    figures: dict[str, Figure]
    source: str = "here"  # the rows of one source are rivals: "here", "teacher" or "paper"

    def figure(self, head: str) -> Figure:
        """Return the figure in a column, an empty one where there is none."""
        return self.figures.get(head, Figure())


class Figures(NamedTuple):
    """A table of figures."""

    name: str
    caption: str  # what is to be known about it
    heads: Sequence[str]  # of its columns, in order
    rows: Sequence[Row]
    contested: Sequence[str] = ()  # heads of the columns whose highest figure of each source is bold; ties share
    corner: str = "method"  # the head above the labels of the rows

    def best(self, head: str, source: str = "here") -> tuple[str, float] | None:
        """Return which row of a source has the highest figure of a column, and the figure; None where none has one."""
        values = [(row.label, row.figure(head).value) for row in self.rows if row.source == source]
        known = [(label, value) for label, value in values if value is not None]
        return max(known, key=lambda one: one[1], default=None)

    def values(self) -> dict[str, dict[str, float | None]]:
        """Return the figures that are no one else's, by row and column."""
        ours = [row for row in self.rows if row.source != "paper"]
        return {row.label: {head: row.figure(head).value for head in self.heads} for row in ours}

    def table(self) -> Table:
        """Return the table for people."""
        rows: list[list[Cell | str]] = []
        for row in self.rows:
            cells: list[Cell | str] = [row.label + (" (paper)" if row.source == "paper" else "")]
            for head in self.heads:
                one, best = row.figure(head), self.best(head, row.source) if head in self.contested else None
                cells.append(Cell(one.text, bold=one.bold or (best is not None and one.value == best[1])))
            rows.append(cells)
        columns = [Column(self.corner, "left"), *map(Column, self.heads)]
        return Table(columns, rows, self.caption, groups=[row.source for row in self.rows])


def csv_of(tables: Sequence[Figures], neighbours: Sequence[Table]) -> str:
    """Return all figures as CSV, one a line, and the neighbours of words as texts."""
    lines: list[Sequence[Any]] = []
    for table in tables:
        for row in table.rows:
            for head in table.heads:
                one = row.figure(head)
                figures = (one.value, one.deviation, one.covered, one.total, one.text)
                lines.append((table.name, row.source, row.label, head, *figures))
    for words in neighbours:
        for method, *near in words.rows:
            for column, word in zip(words.columns[1:], near, strict=True):
                label = f"{words.caption}, {method}"
                lines.append(("neighbours", "here", label, column.head, None, None, None, None, word))
    return Table([Column(name) for name in COLUMNS], lines).csv()


class Entry(NamedTuple):
    """A method with what it came to, for a row of table 3 or 4."""

    label: str
    seeds: Sequence[Sequence[Any]]  # of each seed, one at least, a SimilarityScore or Accuracy a data set
    seconds: float | None  # of one seed; None where nobody knows, since other work was used again
    dim: int = 0
    words: int = 0
    source: str = "here"


def similarity_figures(name: str, caption: str, entries: Sequence[Entry], published: Sequence[Published]) -> Figures:
    """Return a table in the form of the paper's table 3."""
    scores: list[SimilarityScore] = [one for entry in entries for seed in entry.seeds for one in seed]
    heads = heads_of(one.task for one in scores)
    scored = {one.task for one in scores if one.score is not None and not one.too_few}
    over = [task for task in averaged(list(heads)) if task in scored]
    rows = []
    for entry in entries:
        figures: dict[str, Figure] = {}
        by_seed = [{one.task: one.score for one in seed} for seed in entry.seeds]
        for one in entry.seeds[0]:
            mean = over_seeds([seed.get(one.task) for seed in by_seed], 3)
            figures[heads[one.task]] = mean._replace(covered=one.covered, total=one.total)
        # Of a seed that lacks one of these sets there is none: a mean over fewer is of another kind, and no rival.
        enough = [{one.task: one.score for one in seed if not one.too_few} for seed in entry.seeds]
        values = [[score for task in over if (score := seed.get(task)) is not None] for seed in enough]
        figures["average"] = over_seeds([fmean(some) if len(some) == len(over) > 0 else None for some in values], 3)
        pairs = [one for one in entry.seeds[0] if one.task != MADE]
        covered, total = sum(one.covered for one in pairs), sum(one.total for one in pairs)
        share, text = covered / total if total else None, f"{covered:,} of {total:,}"
        figures["pairs covered"] = Figure(share, text, covered=covered, total=total)
        for head, number in (("dim", entry.dim), ("words", entry.words)):
            figures[head] = Figure(number, f"{number:,}") if number else Figure()
        figures["time"] = Figure(entry.seconds, "reused" if entry.seconds is None else duration(entry.seconds))
        rows.append(Row(entry.label, figures, entry.source))
    columns = {head: column for head, (column, _) in PAIRS.items()} | {"average": "average"}
    rows += published_rows(published, columns, 3)
    contested = [*heads.values(), "average"]
    return Figures(name, caption, [*contested, "pairs covered", "dim", "words", "time"], rows, contested)


def classification_figures(caption: str, entries: Sequence[Entry], published: Sequence[Published]) -> Figures:
    """Return a table in the form of the paper's table 4, in per cent."""
    tasks = {task_of(one.task) for entry in entries for seed in entry.seeds for one in seed}
    heads = {task: head for task, head in TASKS.items() if task in tasks}
    heads |= {task: task for task in sorted(tasks - heads.keys())} | {"average": "average"}
    rows = []
    for entry in entries:
        figures: dict[str, Figure] = {}
        for measure, (attribute, _) in MEASURES.items():
            by_seed = [{task_of(one.task): 100 * getattr(one, attribute) for one in seed} for seed in entry.seeds]
            by_seed = [seed | {"average": fmean(seed.values())} for seed in by_seed]
            for task in by_seed[0]:
                figures[f"{heads[task]} {measure}"] = over_seeds([seed.get(task) for seed in by_seed], 1)
        figures["time"] = Figure(entry.seconds, "" if entry.seconds is None else duration(entry.seconds))
        rows.append(Row(entry.label, figures, entry.source))
    columns = {
        f"{head} {measure}": f"{'avg' if task == 'average' else task}_{end}"
        for task, head in heads.items()
        for measure, (_, end) in MEASURES.items()
    }
    rows += published_rows(published, columns, 1)
    return Figures("table4", caption, [*columns, "time"], rows, list(columns))


def text_figures(name: str, caption: str, entries: Sequence[Entry], measures: Measures, items: str) -> Figures:
    """Return a table of scores of averaged vectors: of each data set and measure, with the mean over data sets.

    That mean is without those called `...-dev`, on which settings are chosen; they come last.
    """
    there = list(dict.fromkeys(one.task for entry in entries for one in entry.seeds[0]))
    over = [task for task in there if not task.endswith("-dev")]
    tasks = [*over, *(task for task in there if task not in over)]
    columns = {f"{task}{ending}": ([task], measure) for task in tasks for ending, measure in measures.items()}
    if len(over) > 1:
        columns |= {f"average{ending}": (over, measure) for ending, measure in measures.items()}
    rows = []
    for entry in entries:
        figures: dict[str, Figure] = {}
        for head, (some, measure) in columns.items():
            by_seed = [[measure(one) for one in seed if one.task in some] for seed in entry.seeds]
            known = [[value for value in values if value is not None] for values in by_seed]
            whole = [fmean(values) if len(values) == len(some) else None for values in known]
            counts = [(one.covered, one.total) for one in entry.seeds[0] if one.task in some]
            covered, total = (sum(numbers) for numbers in zip(*counts, strict=True))
            figures[head] = over_seeds(whole, 3)._replace(covered=covered, total=total)
        covered, total = (sum(getattr(one, kind) for one in entry.seeds[0]) for kind in ("covered", "total"))
        figures[f"{items} covered"] = Figure(covered / total if total else None, f"{covered:,} of {total:,}")
        rows.append(Row(entry.label, figures, entry.source))
    return Figures(name, caption, [*columns, f"{items} covered"], rows, list(columns))


def task_of(name: str) -> str:
    """Return the paper's column for the name of a task: "SST-5" is `sst5`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def difference_figures(caption: str, differences: Mapping[str, list[SimilarityScore]]) -> Figures:
    """Return a table of differences with their intervals; bold are those that are beyond chance."""
    heads = heads_of(one.task for one in next(iter(differences.values()))[:-1]) | {"average": "average"}
    rows = []
    for label, of_one in differences.items():
        figures = {}
        for one in of_one:
            text = figure(one.score, signed=True)
            if one.score is not None and one.interval is not None:
                text += f" [{one.interval.low:+.3f}, {one.interval.high:+.3f}]"
            figures[heads[one.task]] = Figure(one.score, text, bold=one.score is not None and one.is_clear)
        rows.append(Row(label, figures))
    return Figures("differences", caption, list(heads.values()), rows)


def over_seeds(values: Sequence[float | None], digits: int) -> Figure:
    """Return the mean of the seeds' values that are there and, of several, the sample's standard deviation."""
    known = [value for value in values if value is not None]
    mean, deviation = fmean(known) if known else None, stdev(known) if len(known) > 1 else None
    text = figure(mean, digits) + (f" ± {figure(deviation, digits)}" if deviation is not None else "")
    return Figure(mean, text, deviation)


def published_rows(published: Sequence[Published], columns: Mapping[str, str], digits: int) -> list[Row]:
    """Return the paper's figures, by the heads of their columns."""
    rows = []
    for one in published:
        values = {head: one.figures[column] for head, column in columns.items() if column in one.figures}
        figures = {head: Figure(value, figure(value, digits)) for head, value in values.items()}
        rows.append(Row(one.label, figures, "paper"))
    return rows
