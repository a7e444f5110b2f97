"""Hugging Face data sets, streamed, as a corpus: `hf://name/config:split#column`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import IterableDataset, load_dataset
from datasets.exceptions import DatasetNotFoundError

from schemas.encoding import EncodeConfig
from schemas.errors import X2StaticError
from schemas.manifest import Plan, Unit
from schemas.storage import hash_file
from stage1_encode.corpora.corpus import UnitText
from stage1_encode.hub import CORPUS_WAYS_OUT, dataset_revision, unreachable
from stage1_encode.tokens import first_line

PATTERN = re.compile(r"hf://(?P<name>[^:#]+)(:(?P<split>[^#]+))?(#(?P<column>.+))?")


@dataclass
class HubDataset:
    """A data set, a row of which may hold several paragraphs, one a line.

    Its length is not known beforehand, so its plan is open: where a unit ended stands in the shard's marker, and a
    resumed run begins at that row. (The library's own streaming state skips and repeats rows: datasets#8145, #8308.)

    Attributes:
        spec: `hf://name/config:split#column`; without split "train", without column "text". A name that begins with
            "/" or "." is a local folder of data files.
        config: for `unit`, `limit`, `on_bad_text` and `max_paragraph_bytes` (here: characters).
    """

    spec: str
    config: EncodeConfig
    _dataset: IterableDataset | None = field(default=None, init=False)
    _rows: Iterator[str] | None = field(default=None, init=False)
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
        """Return an open plan: its units are found as they are read.

        Raises:
            X2StaticError: the data set has no such split or column, or cannot be read.
        """
        dataset = self._open(identity)
        return Plan(
            corpus=self.spec,
            identity=identity,
            seen=self.seen(),
            licence=dataset.info.license or None,
            unit=self.config.unit,
            on_bad_text=self.config.on_bad_text,
            max_paragraph_bytes=self.config.max_paragraph_bytes,
            skipped=0,
            first=first,
            limit=None if self.config.limit is None else self.config.limit - first,
            ended=None,
            units=None,
            start=(after.stop or 0) if after else 0,
            start_line=after.stop_line if after else 0,
        )

    def connect(self, plan: Plan) -> None:
        """Open the very commit that the plan names."""
        if self._dataset is None:
            if not self.local:  # a hub that does not answer is told of now; the library would try for minutes
                dataset_revision(self.name, self.spec)
            self._open(plan.identity)

    def read(self, unit: Unit) -> UnitText:
        """Return at most `unit.paragraphs` paragraphs from row `unit.start` on, and where they ended."""
        paragraphs: list[str] = []
        row, line = unit.start, unit.start_line
        for row, text in self._texts(unit.start):
            lines = self._lines(text, row)
            begin = line if row == unit.start else 0
            taken = lines[begin : begin + unit.paragraphs - len(paragraphs)]
            paragraphs += taken
            line = begin + len(taken)
            if line < len(lines):
                self._unfinished = (row, text)  # the next unit begins in this row
                break
            row, line = row + 1, 0
            if len(paragraphs) == unit.paragraphs:
                break
        else:
            return UnitText(paragraphs, self._read_so_far(unit, paragraphs, row, line), last=True)
        return UnitText(paragraphs, self._read_so_far(unit, paragraphs, row, line), last=False)

    def close(self) -> None:
        """Forget the connection."""
        self._dataset = self._rows = self._unfinished = None

    def _lines(self, text: str, row: int) -> list[str]:
        """Return the paragraphs of a row's text; one that is too long is bad text."""
        lines = []
        for part in text.split("\n"):
            if len(part) <= self.config.max_paragraph_bytes:
                lines += [stripped] if (stripped := part.strip()) else []
            elif self.config.on_bad_text != "skip":
                raise X2StaticError(
                    f"corpus {self.spec}: row {row} holds a line of {len(part)} characters; is it a paragraph? "
                    "(--max-paragraph-bytes allows more, --on-bad-text skip leaves it out)"
                )
        return lines

    def _read_so_far(self, unit: Unit, paragraphs: list[str], row: int, line: int) -> Unit:
        return unit.model_copy(update={"stop": row, "stop_line": line, "paragraphs": len(paragraphs)})

    def _texts(self, start: int) -> Iterator[tuple[int, str]]:
        """Yield (row, text) from a row on; reading on where the last call ended costs nothing."""
        if self._unfinished and self._unfinished[0] == start:
            unfinished, self._unfinished = self._unfinished, None
            yield unfinished
        elif self._rows is None or self._row != start:
            if self._dataset is None:
                raise RuntimeError("connect to the data set before reading")
            self._unfinished = None
            self._rows = (row[self.column] for row in self._dataset.skip(start))
            self._row = start
        if self._rows is None:
            return
        try:
            for text in self._rows:
                row, self._row = self._row, self._row + 1
                if not isinstance(text, str | None):
                    raise X2StaticError(
                        f"corpus {self.spec}: column {self.column!r} holds {type(text).__name__} in row {row}, not text"
                    )
                yield row, text or ""
        except X2StaticError:
            raise
        except Exception as error:  # files of every format, and the HTTP library of the day, fail in ways of their own
            raise X2StaticError(
                f"corpus {self.spec}: reading failed at row {self._row}: {first_line(error)}; run again to go on there"
            ) from error

    def _open(self, identity: dict[str, Any]) -> IterableDataset:
        try:
            dataset = load_dataset(
                self.name, self.subset, split=self.split, revision=identity.get("revision"), streaming=True
            )
            columns = dataset.column_names or list(next(iter(dataset), {}))
        except ConnectionError as error:
            raise unreachable(f"corpus {self.spec}", error, CORPUS_WAYS_OUT) from error
        except (DatasetNotFoundError, FileNotFoundError, ValueError) as error:
            raise X2StaticError(f"corpus {self.spec}: {first_line(error)}") from error
        if self.column not in columns:
            raise X2StaticError(f"corpus {self.spec}: no column {self.column!r}; it has {', '.join(sorted(columns))}")
        self._dataset = dataset
        return dataset

    def _files(self) -> list[Path]:
        return sorted(path for path in Path(self.name).rglob("*") if path.is_file())
