"""The trials of a sweep, best first, and as a Parquet file."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from x2static.durable.storage import open_atomically
from x2static.pipeline.sweeps.trial import Result

STATES = ("complete", "pruned", "failed")  # in this order in a table


@dataclass(frozen=True)
class Ranking:
    """Trials and how they compare.

    Attributes:
        names: of the settings that were swept.
        select: names of the data sets that the score is the mean of; all where there is none.
        results: the trials, best first; those without a score last.
    """

    names: list[str]
    select: tuple[str, ...]
    results: list[Result]

    @classmethod
    def of(cls, names: list[str], select: tuple[str, ...], results: list[Result]) -> "Ranking":
        """Sort results: by state, then by score, ties by name."""

        def key(result: Result) -> tuple[int, float, str]:
            score = result.score(select)
            return STATES.index(result.state), -score if score is not None else 2.0, result.name

        return cls(names, select, sorted(results, key=key))

    def score(self, result: Result) -> float | None:
        """Return what a trial is ranked by."""
        return result.score(self.select)

    @property
    def best(self) -> Result | None:
        """The trial with the highest score; None where no trial has one."""
        return next((result for result in self.results if self.score(result) is not None), None)

    @property
    def sets(self) -> list[str]:
        """Names of the data sets, those that the score is the mean of first."""
        names = list(dict.fromkeys(name for result in self.results for name in result.scores))
        return sorted(names, key=lambda name: (not self.counts(name), name))

    def counts(self, name: str) -> bool:
        """Return whether a data set is part of the score."""
        return not self.select or name in self.select

    def count(self, state: str) -> int:
        """Return how many trials ended in a state."""
        return sum(result.state == state for result in self.results)

    def write(self, file: Path) -> None:
        """Write a Parquet file, a row a trial, best first.

        Columns: trial, the settings, score, for each data set its score, covered and total pairs, loss, losses,
        seconds, state, error.

        Raises:
            OSError: the file cannot be written.
        """
        rows = self.results
        columns: dict[str, pa.Array] = {"trial": pa.array([row.name for row in rows], pa.string())}
        columns |= {name: pa.array([row.settings.get(name) for row in rows]) for name in self.names}
        columns["score"] = pa.array([self.score(row) for row in rows], pa.float64())
        for name in self.sets:
            tasks = [row.scores.get(name) for row in rows]
            columns[f"score_{name}"] = pa.array([task and task.score for task in tasks], pa.float64())
            columns[f"covered_{name}"] = pa.array([task and task.covered for task in tasks], pa.int64())
            columns[f"total_{name}"] = pa.array([task and task.total for task in tasks], pa.int64())
        columns["loss"] = pa.array([row.loss for row in rows], pa.float64())
        columns["losses"] = pa.array([row.losses for row in rows], pa.list_(pa.float64()))
        columns["seconds"] = pa.array([row.seconds for row in rows], pa.float64())
        columns["state"] = pa.array([row.state for row in rows], pa.string())
        columns["error"] = pa.array([row.error for row in rows], pa.string())
        with open_atomically(file) as sink:
            pq.write_table(pa.table(columns), sink)
