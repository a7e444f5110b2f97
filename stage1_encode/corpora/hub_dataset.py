"""Hugging Face data sets as a corpus: `hf://name/config:split#column`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetNotFoundError

from x2static.durable.errors import X2StaticError, first_line
from x2static.durable.storage import hash_file
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.manifest import Plan, Unit
from x2static.stage1_encode.corpora.corpus import UnitText
from x2static.stage1_encode.corpora.dataset_rows import ParquetRows, Rows, open_rows
from x2static.stage1_encode.corpora.retries import HTTP_ERROR, retried, rows_retried
from x2static.stage1_encode.corpora.sampling import Sample
from x2static.stage1_encode.hub import CORPUS_WAYS_OUT, dataset_revision, unreachable

PATTERN = re.compile(r"hf://(?P<name>[^:#]+)(:(?P<split>[^#]+))?(#(?P<column>.+))?")
# Rows are often sorted (a Wikipedia by age, and so by length), so their paragraphs are counted at several places.
COUNTED_PLACES, COUNTED_ROWS = 4, 1000


@dataclass
class HubDataset:
    """A data set, a row of which may hold several paragraphs, one a line.

    Parquet files tell their number of rows, so without a limit their plan is closed: a unit is a range of rows. Every
    other plan is open: where a unit ended stands in the shard's marker, and the next one begins at that row and line.

    Attributes:
        spec: `hf://name/config:split#column`; without split "train", without column "text". A name that begins with
            "/" or "." is a local folder of data files.
        config: for `unit`, `limit`, `sample`, `seed`, `on_bad_text` and `max_paragraph_bytes` (here: characters).
    """

    spec: str
    config: EncodeConfig
    _source: Rows | None = field(default=None, init=False)
    _rows: Iterator[tuple[int, Any]] | None = field(default=None, init=False)
    _row: int = field(default=0, init=False)
    _unfinished: tuple[int, str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Take the name apart.

        Raises:
            X2StaticError: it is not of that form, or names a folder that is not there.
        """
        match = PATTERN.fullmatch(self.spec)
        if not match:
            raise X2StaticError(f"corpus {self.spec}: expected hf://name/config:split#column")
        name = match["name"]
        self.local = name.startswith(("/", "."))
        if self.local and not Path(name).is_dir():
            raise X2StaticError(f"corpus {self.spec}: no such folder: {name}")
        parts = name.split("/")
        self.name = name if self.local else "/".join(parts[:2])
        self.subset = None if self.local or len(parts) < 3 else "/".join(parts[2:])
        self.split, self.column = match["split"] or "train", match["column"] or "text"
        self.sample = Sample(self.config.sample, self.config.seed)

    def seen(self) -> dict[str, Any]:
        """Return what was asked for; of a local folder, also the sizes and times of its files."""
        what: dict[str, Any] = {"spec": self.spec}
        if self.local:
            states = {path.relative_to(self.name).as_posix(): path.stat() for path in self._files()}
            what["files"] = {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}
        return what

    def identity(self) -> dict[str, Any]:
        """Return the data set's name and commit; of a local folder, the hashes of its files.

        Raises:
            X2StaticError: the hub cannot be reached, or has no such data set.
        """
        what: dict[str, Any] = {"kind": "dataset", "split": self.split, "column": self.column}
        if self.local:
            return what | {"files": {path.relative_to(self.name).as_posix(): hash_file(path) for path in self._files()}}
        return what | {"name": self.name, "config": self.subset, "revision": dataset_revision(self.name, self.spec)}

    def plan(self, identity: dict[str, Any], first: int, after: Unit | None) -> Plan:
        """Return a closed plan for Parquet files without a limit, and an open one for everything else.

        Raises:
            X2StaticError: the data set has no such split or column, or cannot be read.
        """
        licence, source = self._open(identity)
        start, start_line = ((after.stop or 0), after.stop_line) if after else (0, 0)
        units = None
        if isinstance(source, ParquetRows) and self.config.limit is None:
            units = self._units(source, start, start_line)
        return Plan(
            corpus=self.spec,
            identity=identity,
            seen=self.seen(),
            licence=licence,
            unit=self.config.unit,
            sample=self.config.sample,
            seed=self.config.seed,
            on_bad_text=self.config.on_bad_text,
            max_paragraph_bytes=self.config.max_paragraph_bytes,
            skipped=0,
            first=first,
            limit=None if self.config.limit is None else self.config.limit - first,
            ended=None if units is None else True,
            units=units,
            start=start,
            start_line=start_line,
        )

    def connect(self, plan: Plan) -> None:
        """Open the very commit that the plan names."""
        if self._source is None:
            if not self.local:  # a hub that does not answer is told of now; the library would try for minutes
                dataset_revision(self.name, self.spec)
            self._open(plan.identity)

    def read(self, unit: Unit) -> UnitText:
        """Return the paragraphs of a unit.

        From row `unit.start`, line `unit.start_line` on these are all up to row `unit.stop`, or, where that is not
        known, `unit.paragraphs` of them; the unit that comes back says where they ended.
        """
        most = unit.paragraphs if unit.stop is None else None
        paragraphs: list[str] = []
        skipped, row, line, last = 0, unit.start, unit.start_line, True
        for row, text in self._texts(unit.start):
            lines, too_long = self._lines(text, row)
            begin = line if row == unit.start else 0
            skipped += 0 if begin else too_long  # the unit that begins a row counts for it
            taken = lines[begin:] if most is None else lines[begin : begin + most - len(paragraphs)]
            paragraphs += taken
            line = begin + len(taken)
            if line < len(lines):
                self._unfinished, last = (row, text), False  # the next unit begins in this row
                break
            row, line = row + 1, 0
            if row == unit.stop or len(paragraphs) == most:
                last = False
                break
        found = {"stop": row, "stop_line": line, "paragraphs": len(paragraphs), "counted": True, "skipped": skipped}
        return UnitText(paragraphs, unit.model_copy(update=found), last)

    def close(self) -> None:
        """Forget the connection."""
        self._source = self._rows = self._unfinished = None

    def _units(self, source: ParquetRows, start: int, start_line: int) -> tuple[Unit, ...]:
        """Cut rows into ranges of about `unit` paragraphs each, as far as some rows from all over let one know."""
        try:
            total = retried(source.total, f"corpus {self.spec}")
            values = retried(lambda: source.spread(COUNTED_PLACES, COUNTED_ROWS), f"corpus {self.spec}")
        except X2StaticError:
            raise
        except Exception as error:  # as in _texts
            raise X2StaticError(f"corpus {self.spec}: {first_line(error)}") from error
        lines = sum(bool(line.strip()) for value in values for line in self._text(value, 0).split("\n"))
        per_row = (self.config.sample or 1) * lines / max(len(values), 1)
        n_rows = max(1, round(self.config.unit / per_row)) if per_row else self.config.unit
        return tuple(
            Unit(
                source=self.spec,
                start=row,
                stop=min(row + n_rows, total),
                paragraphs=round(per_row * (min(row + n_rows, total) - row)),
                counted=False,
                start_line=start_line if row == start else 0,
            )
            for row in range(start, total, n_rows)
        )

    def _lines(self, text: str, row: int) -> tuple[list[str], int]:
        """Return the paragraphs of a row's text that the sample takes, and how many more are too long."""
        lines, too_long = [], 0
        for number, part in enumerate(text.split("\n")):
            if not part.strip() or not self.sample.takes(row, number):
                continue
            if len(part) <= self.config.max_paragraph_bytes:
                lines.append(part.strip())
            elif self.config.on_bad_text == "skip":
                too_long += 1
            else:
                raise X2StaticError(
                    f"corpus {self.spec}: row {row} holds a line of {len(part)} characters; is it a paragraph? "
                    "(--max-paragraph-bytes allows more, --on-bad-text skip leaves it out)"
                )
        return lines, too_long

    def _texts(self, start: int) -> Iterator[tuple[int, str]]:
        """Yield (row, text) from a row on; reading on where the last call ended costs nothing."""
        if self._unfinished and self._unfinished[0] == start:
            unfinished, self._unfinished = self._unfinished, None
            yield unfinished
        elif self._rows is None or self._row != start:
            if self._source is None:
                raise RuntimeError("connect to the data set before reading")
            self._unfinished = None
            self._rows = rows_retried(self._source.values, start, f"corpus {self.spec}")
            self._row = start
        if self._rows is None:
            return
        try:
            for row, value in self._rows:
                self._row = row + 1
                yield row, self._text(value, row)
        except X2StaticError:
            raise
        except Exception as error:  # files of every format, and the HTTP library of the day, fail in ways of their own
            self._rows = None
            raise X2StaticError(
                f"corpus {self.spec}: reading failed at row {self._row}: {first_line(error)}; run again to go on there"
            ) from error

    def _text(self, value: Any, row: int) -> str:
        if not isinstance(value, str | None):
            raise X2StaticError(
                f"corpus {self.spec}: column {self.column!r} holds {type(value).__name__} in row {row}, not text"
            )
        return value or ""

    def _open(self, identity: dict[str, Any]) -> tuple[str | None, Rows]:
        """Connect to a commit; return its licence, and its rows."""
        # The library would try twenty times, five seconds apart and unheard, before `rows_retried` gets to know.
        datasets.config.STREAMING_READ_MAX_RETRIES, datasets.config.STREAMING_READ_RETRY_INTERVAL = 1, 0

        def opened() -> tuple[datasets.DatasetBuilder, Rows, list[str]]:
            builder = datasets.load_dataset_builder(self.name, self.subset, revision=identity.get("revision"))
            source = open_rows(builder, self.split, self.column)
            return builder, source, source.columns()

        try:
            builder, source, columns = retried(opened, f"corpus {self.spec}")
        except (DatasetNotFoundError, FileNotFoundError, ValueError) as error:
            raise X2StaticError(f"corpus {self.spec}: {first_line(error)}") from error
        except (OSError, HTTP_ERROR) as error:
            if self.local:
                raise
            raise unreachable(f"corpus {self.spec}", error, CORPUS_WAYS_OUT) from error
        if self.column not in columns:
            raise X2StaticError(f"corpus {self.spec}: no column {self.column!r}; it has {', '.join(sorted(columns))}")
        self._source = source
        return builder.info.license or None, source

    def _files(self) -> list[Path]:
        return sorted(path for path in Path(self.name).rglob("*") if path.is_file())
