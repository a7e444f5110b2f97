"""What a sweep came to: the trials ranked, as a table, as a Parquet file and as a page."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from x2static.durable.storage import open_atomically
from x2static.evaluation.measures import MIN_PAIRS
from x2static.pipeline.sweeps.settings import shown
from x2static.pipeline.sweeps.trial import Result
from x2static.pipeline.tables import marked
from x2static.pipeline.terminal import duration
from x2static.report.page import Page, Picture, Section
from x2static.report.table import Column, Table, display_width, end_of, figure

STATES = ("complete", "pruned", "failed")  # in this order in a table
WIDEST = 24  # characters of a value; paths and long words are cut
NAMED_CURVES = 5  # the best trials, whose losses get a colour and a name


class Ranking:
    """Trials and how they compare."""

    def __init__(self, names: list[str], select: tuple[str, ...], results: list[Result]) -> None:
        """Sort results by state, then by score, the mean over the selected data sets (all where none is), then by name.

        The names are those of the settings that were swept.
        """
        self.names, self.select = names, select
        scores = self.scores = {row.name: row.score(select) for row in results}
        self.results = sorted(
            results,
            key=lambda row: (STATES.index(row.state), scores[row.name] is None, -(scores[row.name] or 0), row.name),
        )
        self.best = next((row for row in self.results if scores[row.name] is not None), None)
        self.states = {state: sum(row.state == state for row in results) for state in STATES}  # how many ended so
        sets = {name for result in results for name in result.scores}
        self.sets = sorted(sets, key=lambda name: (not self.counts(name), name))  # those that count first

    def counts(self, name: str) -> bool:
        """Return whether a data set is part of the score."""
        return not self.select or name in self.select

    def errors(self) -> list[str]:
        """Return each error of trials that failed once, after who had it."""
        trials: dict[str, list[str]] = {}
        for row in self.results:
            if row.state == "failed" and row.error is not None:
                trials.setdefault(row.error, []).append(row.name)
        return [f"{one}{f' and {len(more)} more' if more else ''}: {error}" for error, (one, *more) in trials.items()]

    def covered(self, row: Result) -> tuple[int, int]:
        """Return how many pairs the score of a trial is over, and how many the data sets have that are part of it."""
        counting = [score for name, score in row.scores.items() if self.counts(name)]
        return sum(one.covered for one in counting if not one.too_few), sum(one.total for one in counting)

    def warnings(self) -> list[str]:
        """Return what makes the scores say less than they seem to."""
        complete, said = [row for row in self.results if row.state == "complete"], []
        scored = [(name, score) for row in complete for name, score in row.scores.items() if self.counts(name)]
        if few := sorted({name for name, score in scored if score.too_few}):
            what = f"fewer than {MIN_PAIRS} pairs are covered"
            said.append(f"{', '.join(few)}: no part of the score of a trial by which {what}, too few to say much")
        covered = {self.covered(row)[0] for row in complete}
        if len(covered) > 1:
            what = f"trials are scored on {min(covered):,} to {max(covered):,} pairs, as far as they cover them"
            said.append(f"{what}; scores over other pairs can hardly be compared, see the column `pairs`")
        if complete and self.best is None:
            said.append("no trial has a score over enough pairs, so none is the best; give --data more pairs")
        return said

    def table(self, sets: bool = True, ends: bool = True) -> Table:
        """Return a table of all trials, best first; with the scores of single data sets, and with how trials ended.

        A data set that is no part of the score stands in brackets.
        """
        rows = self.results
        scored = [figure(self.scores[row.name]) if row.state == "complete" else "" for row in rows]
        columns = [(Column("score"), scored)]
        if self.sets:
            pairs = [self.covered(row) if row.state == "complete" else None for row in rows]
            columns.append((Column("pairs"), ["" if one is None else f"{one[0]}/{one[1]}" for one in pairs]))
        for name in self.names:
            values = [row.settings.get(name) for row in rows]
            column = Column(name, "left" if any(isinstance(value, str) for value in values) else "right")
            columns.append((column, [end_of(shown(value), WIDEST) for value in values]))
        for name in self.sets if sets else []:
            scores = [row.scores.get(name) for row in rows]
            head = name if self.counts(name) else f"({name})"
            columns.append((Column(head), ["" if score is None else marked(score) for score in scores]))
        if ends and any(row.losses for row in rows):
            columns.append((Column("loss"), ["" if row.loss is None else f"{row.loss:.4f}" for row in rows]))
        if ends:
            columns.append((Column("time"), ["" if row.seconds is None else duration(row.seconds) for row in rows]))
        if ends and any(row.state != "complete" for row in rows):
            columns.append((Column("state", "left"), [row.state for row in rows]))
        return Table([column for column, _ in columns], list(zip(*(cells for _, cells in columns), strict=True)))

    def text(self, width: int) -> str:
        """Return the table for a terminal, and below it the errors of trials that failed.

        Where the terminal has not so many columns, the scores of single data sets are left out, then loss and time.
        """
        tables = [self.table(), self.table(sets=False), self.table(sets=False, ends=False)]
        fitting = [table for table in tables if max(map(display_width, table.lines())) <= width]
        table = (fitting or tables[-1:])[0]
        notes = self.errors()
        if self.sets and table is not tables[0]:
            notes.insert(0, "the scores of each data set are in sweep.parquet; a wider terminal shows them too")
        return Table(table.columns, table.rows, notes=notes).terminal()

    def write(self, file: Path) -> None:
        """Write a Parquet file, a row a trial, best first; for each data set its score, covered and total pairs."""
        rows = self.results
        columns: dict[str, pa.Array] = {"trial": pa.array([row.name for row in rows], pa.string())}
        columns |= {name: pa.array([row.settings.get(name) for row in rows]) for name in self.names}
        columns["score"] = pa.array([self.scores[row.name] for row in rows], pa.float64())
        for name in self.sets:
            scores = [row.scores.get(name) for row in rows]
            for field, kind in (("score", pa.float64()), ("covered", pa.int64()), ("total", pa.int64())):
                columns[f"{field}_{name}"] = pa.array([score and getattr(score, field) for score in scores], kind)
        kinds = {"loss": pa.float64(), "losses": pa.list_(pa.float64()), "seconds": pa.float64()}
        for field, kind in {**kinds, "state": pa.string(), "error": pa.string()}.items():
            columns[field] = pa.array([getattr(row, field) for row in rows], kind)
        with open_atomically(file) as sink:
            pq.write_table(pa.table(columns), sink)

    def pictures(self) -> list[Picture]:
        """Draw the score against each setting and the losses; what would show nothing is left out."""
        from x2static.report.pictures import losses, score_against  # matplotlib, an extra

        drawn = []
        scored = [(row, score) for row in self.results if (score := self.scores[row.name]) is not None]
        for name in self.names if scored else []:
            points = [(row.settings.get(name), score) for row, score in scored]
            caption = f"Score of each trial against {name}; a line joins the best of each value."
            drawn.append(Picture(f"score-{name}", caption, score_against(name, points, shown)))
        curves = [
            (", ".join(f"{name} {shown(row.settings.get(name))}" for name in self.names), row.losses)
            for row in self.results
            if row.losses
        ]
        if curves:
            caption = f"Mean loss of each epoch; the best {NAMED_CURVES} trials are named."
            drawn.append(Picture("losses", caption, losses(curves, NAMED_CURVES)))
        return drawn

    def page(self, facts: Mapping[str, str], pictures: list[Picture]) -> Page:
        """Return the page; a part without anything in it is left out."""
        sections = [
            Section("To be known", listed=self.warnings()),
            Section("Plots", pictures=pictures),
            Section("Trials", tables=[self.table()]),
            Section("Trials that failed", listed=self.errors()),
        ]
        return Page("Sweep over " + ", ".join(self.names), facts, sections)
