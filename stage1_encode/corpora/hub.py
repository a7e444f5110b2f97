"""Hugging Face data sets as a corpus: `hf://name/config:split#column`."""

import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise
from math import ceil
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import xxhash
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub.errors import RepositoryNotFoundError

from x2static.durable.errors import X2StaticError, first_line
from x2static.durable.storage import canonical_json, hash_file
from x2static.machine.processes import ahead
from x2static.schemas.cache import SPOOL
from x2static.schemas.encoding import ReadingOptions
from x2static.schemas.manifest import Unit
from x2static.stage1_encode import hub
from x2static.stage1_encode.corpora.corpus import Corpus, Paragraphs, file_states
from x2static.stage1_encode.corpora.hub_rows import (
    ParquetRows,
    Rows,
    RowSpool,
    may_pass,
    open_rows,
    retried,
    rows_retried,
)
from x2static.stage1_encode.corpora.paragraphs import paragraphs_of_row

WAYS_OUT = "a local text file (--corpus FILE) or --corpus demo"
PATTERN = re.compile(r"hf://(?P<name>[^:#]+)(:(?P<split>[^#]+))?(#(?P<column>.+))?")
# Rows are often sorted (a Wikipedia by age, and so by length), so their paragraphs are counted at several places.
COUNTED_PLACES, COUNTED_ROWS = 4, 1000
ERROR_CHARACTERS = 600

logger = logging.getLogger(__name__)


class HubDataset(Corpus):
    """A data set, a row of which may hold several paragraphs, one a line; "/" or "." begins the name of a local folder.

    Parquet files tell their number of rows, so without a limit a unit is a range of rows, and nothing is read to plan
    it. Everything else is read into the spool in the folder `cache` first, and planned and read from there; without
    `spool` (--plan), what would be kept is planned by an estimate.
    """

    def __init__(self, spec: str, options: ReadingOptions, cache: Path, spool: bool) -> None:
        super().__init__(spec, options)
        match = PATTERN.fullmatch(spec)
        if not match:
            raise X2StaticError(f"corpus {spec}: expected hf://name/config:split#column")
        name = match["name"]
        self.local = name.startswith(("/", "."))
        if self.local and not Path(name).is_dir():
            raise X2StaticError(f"corpus {spec}: no such folder: {name}")
        parts = name.split("/")
        self.name = name if self.local else "/".join(parts[:2])
        self.subset = None if self.local or len(parts) < 3 else "/".join(parts[2:])
        self.split, self.column = match["split"] or "train", match["column"] or "text"
        self._cache, self._may_spool, self._keeping = cache, spool, False
        self._rows: Rows | None = None
        self._hub_answers = self.local

    def seen(self) -> dict[str, Any]:
        """Return what was asked for; of a local folder, also the sizes and times of its files."""
        return {"spec": self.spec, **({"files": file_states(self._files())} if self.local else {})}

    def identity(self) -> dict[str, Any]:
        """Return the data set's name and commit; of a local folder, the hashes of its files."""
        what: dict[str, Any] = {"kind": "dataset", "split": self.split, "column": self.column}
        if self.local:
            return what | {"files": {name: hash_file(path) for name, path in self._files().items()}}
        return what | {"name": self.name, "config": self.subset, "revision": self._revision()}

    def _files(self) -> dict[str, Path]:
        files = sorted(path for path in Path(self.name).rglob("*") if path.is_file())
        return {path.relative_to(self.name).as_posix(): path for path in files}

    def _revision(self) -> str:
        """Return the data set's commit on the hub."""
        seconds = hub.PATIENCE_SECONDS
        try:
            info = hub.answered(lambda: huggingface_hub.dataset_info(self.name, timeout=seconds), seconds)
        except (RepositoryNotFoundError, ValueError) as error:
            raise self.rules.refusal(f"not on the Hugging Face hub ({first_line(error)})") from error
        except hub.UNREACHABLE as error:
            raise hub.unreachable(f"corpus {self.spec}", error, WAYS_OUT) from error
        self._hub_answers = True
        return str(info.sha)

    def _cut(self, size: int, limit: int | None, start: tuple[int, int]) -> tuple[list[Unit], int]:
        """Return ranges of rows of Parquet files without a limit; of all else, read what is asked for, and cut that."""
        rows = self._connected()
        counts = limit is None and isinstance(rows, ParquetRows)
        if counts or (limit is not None and not self._may_spool):
            return self._ranges(rows, size, start, limit), 0
        if not self._may_spool:
            why = "how long it is, is only known when it was read, since it is not in Parquet"
            raise self.rules.refusal(f"{why}; --plan needs a --limit, or the text in a file")
        logger.info("corpus %s: reading it into %s", self.spec, self._spool.folder)
        self._keeping = True
        try:
            return super()._cut(size, limit, start)
        finally:
            self.close()
            self._keeping = False

    def _ranges(self, rows: Rows, size: int, start: tuple[int, int], limit: int | None) -> list[Unit]:
        """Cut rows into ranges of about `size` paragraphs each, as far as some rows let one know."""

        def counted() -> tuple[list[Any], int]:
            if isinstance(rows, ParquetRows):
                return rows.spread(COUNTED_PLACES, COUNTED_ROWS), rows.total()
            values = list(islice(rows.values(start[0]), COUNTED_ROWS))
            return values, sys.maxsize if len(values) == COUNTED_ROWS else start[0] + len(values)

        try:
            values, total = retried(counted, f"corpus {self.spec}")
        except X2StaticError:
            raise
        except Exception as error:  # as in _read
            raise self.rules.refusal(first_line(error)) from error
        lenient = replace(self.rules, on_bad_text="skip")
        texts = [text for value in values for text in lenient.texts_of_row(self._text(value, 0), "") if text]
        per_row = (self.options.sample or 1) * len(texts) / max(len(values), 1)
        n_rows = max(1, round(size / per_row)) if per_row else size
        if limit is not None:
            total = min(total, start[0] + (ceil(limit / per_row) if per_row else len(values)))
        stops = [(min(row + n_rows, total), 0) for row in range(start[0], total, n_rows)]
        cuts = pairwise([start, *stops])
        return [self._unit(place, stop, round(per_row * (stop[0] - place[0])), counted=False) for place, stop in cuts]

    def _read(self, start: int, line: int) -> Paragraphs:
        """Yield the paragraphs from a row on, and an empty one for a row without any."""
        row = start - 1
        try:
            for row, value in rows_retried(self._values, start, f"corpus {self.spec}"):
                texts = self.rules.texts_of_row(value, f"row {row}") or [""]
                yield from paragraphs_of_row(row, row + 1, texts, line if row == start else 0)
        except X2StaticError:
            raise
        except Exception as error:  # files of every format, and the HTTP library of the day, fail in ways of their own
            why = f"reading failed at row {row + 1}"
            if may_pass(error):
                raise self.rules.refusal(f"{why}: {first_line(error)}; run again to go on there") from error
            # What columns differ stands behind the first line.
            reason = " ".join(str(error).split())[:ERROR_CHARACTERS] or type(error).__name__
            remedy = "mend the data set; running again does not help"
            if self.local:
                remedy += f"; --corpus {self.name} without hf:// reads its files one by one, each with its columns"
            raise self.rules.refusal(f"{why}: {reason}; {remedy}") from error

    def _values(self, start: int) -> Iterator[str | bytes | None]:
        """Yield the texts of the rows from `start` on, from the spool as far as they are there, then from the hub."""
        if self._keeping:
            # In a thread of its own, so that an interrupt is heard though a read hangs.
            yield from self._spool.keeping(lambda row: ahead(self._from_hub(row)), start)
        else:
            here = self._spool.rows()
            yield from here.values(start)
            yield from self._from_hub(max(start, here.total()))

    def _from_hub(self, start: int) -> Iterator[str | bytes | None]:
        return (self._text(value, row) for row, value in enumerate(self._connected().values(start), start))

    def _text(self, value: Any, row: int) -> str | bytes | None:
        if not isinstance(value, str | bytes | None):
            raise self.rules.refusal(f"column {self.column!r} holds {type(value).__name__} in row {row}, not text")
        return value

    @property
    def _spool(self) -> RowSpool:
        return RowSpool(self._cache / SPOOL / xxhash.xxh3_128_hexdigest(canonical_json(self._identity)))

    def _connected(self) -> Rows:
        """Return the rows of the commit, from the hub."""
        if self._rows is not None:
            return self._rows
        revision = self._identity.get("revision")
        if not self._hub_answers:  # a hub that does not answer is named now; the library would try for minutes
            self._revision()
        # The library would try twenty times, five seconds apart and unheard, before `rows_retried` gets to know.
        datasets.config.STREAMING_READ_MAX_RETRIES, datasets.config.STREAMING_READ_RETRY_INTERVAL = 1, 0

        def opened() -> tuple[str | None, Rows, list[str]]:
            builder = datasets.load_dataset_builder(self.name, self.subset, revision=revision)
            rows = open_rows(builder, self.split, self.column)
            return builder.info.license or None, rows, rows.columns()

        try:
            self.licence, rows, columns = retried(opened, f"corpus {self.spec}")
        except (DatasetNotFoundError, FileNotFoundError, ValueError) as error:
            raise self.rules.refusal(first_line(error)) from error
        except (OSError, hub.HTTP_ERROR) as error:
            if self.local:
                raise
            raise hub.unreachable(f"corpus {self.spec}", error, WAYS_OUT) from error
        if self.column not in columns:
            raise self.rules.refusal(f"no column {self.column!r}; it has {', '.join(sorted(columns))}")
        self._rows, self.sequential = rows, not isinstance(rows, ParquetRows)
        return rows
