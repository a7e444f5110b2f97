"""The rows of a data set, over a network that fails now and then: Parquet files by row groups, others by reading on.

The library's own streaming state skips and repeats rows (datasets#8145, #8308), so positions are numbers of rows. Rows
that are read from the beginning, of a stream or up to a limit, are kept in the cache, in `RowSpool`.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar, cast

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_file_system import HfFileSystemFile

# Its __init__ names no __all__.
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]

from x2static.durable.errors import X2StaticError, first_line
from x2static.durable.storage import open_atomically, remove_leftovers
from x2static.machine.processes import in_background
from x2static.stage1_encode.corpora.parquet import rows_from
from x2static.stage1_encode.hub import HTTP_ERROR

HUB = "hf://"
READ_SECONDS = 10.0  # without a byte from the server
FOOTERS_AT_ONCE = 16  # a data set may have thousands of files
RETRY_WAITS = (1.0, 3.0, 8.0, 18.0, 30.0)  # seconds before each try after the first: a minute together
PART_BYTES = 32 << 20  # of text in a file of the spool; so much is read again after kill -9

Rows: TypeAlias = "ParquetRows | StreamedRows"
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass
class StreamedRows:
    """A column of files that can only be read from their beginning."""

    dataset: datasets.IterableDataset
    column: str

    def columns(self) -> list[str]:
        """Return the names of all columns, by the first row if need be."""
        return self.dataset.column_names or list(next(iter(self.dataset), {}))

    def values(self, start: int) -> Iterator[Any]:
        """Yield the values from row `start` on; the rows before it are read and dropped."""
        return (row[self.column] for row in self.dataset.skip(start))


@dataclass
class ParquetRows:
    """A column of Parquet files, one file after the other; of what stands before a row, only footers are read."""

    paths: list[str]  # the files in their order, local ones or `hf://datasets/name@commit/path`
    column: str
    _counts: list[int] = field(default_factory=list, init=False)

    def columns(self) -> list[str]:
        """Return the names of all columns, by the first file."""
        with open_parquet(self.paths[0]) as file:
            return list(file.schema_arrow.names)

    def total(self, enough: float = inf) -> int:
        """Return the number of all rows, or of those that were counted once they are enough."""
        while sum(self._counts) < enough and (paths := self.paths[len(self._counts) :][:FOOTERS_AT_ONCE]):
            counts = [in_background(partial(_n_rows, path)) for path in paths]
            self._counts += [count.result() for count in counts]
        return sum(self._counts)

    def values(self, start: int) -> Iterator[Any]:
        """Yield the values from row `start` on, a row group in memory at a time."""
        self.total(start)
        first = 0
        for number, path in enumerate(self.paths):
            stop = first + self._counts[number] if number < len(self._counts) else None
            if stop is None or start < stop:
                with open_parquet(path) as file:
                    if self.column not in file.schema_arrow.names:
                        raise X2StaticError(f"{path}: no column {self.column!r}, which the files before it have")
                    yield from (value for _, value in rows_from(file, self.column, max(0, start - first)))
                    stop = first + file.metadata.num_rows
            first = stop

    def spread(self, places: int, most: int) -> list[Any]:
        """Return values from evenly spread places, at most so many rows from each."""
        total = self.total()
        length = min(most, -(-total // places))
        starts = [place * total // places for place in range(places)]
        return [value for start in starts for value in islice(self.values(start), length)]


def _n_rows(path: str) -> int:
    with open_parquet(path) as file:
        return int(file.metadata.num_rows)


class RangeFile(HfFileSystemFile):
    """A file on the hub, each read a request; a failure is raised at once, where the library would retry unheard."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        headers = build_hf_headers(token=self.fs.token) | {"Range": f"bytes={start}-{end - 1}"}
        response = get_session().request("GET", self.url(), headers=headers, timeout=READ_SECONDS)
        hf_raise_for_status(response)
        if len(response.content) != end - start:
            raise ConnectionError(f"{self.path}: {len(response.content)} bytes came, {end - start} were asked for")
        return response.content


def open_parquet(path: str) -> pq.ParquetFile:
    """Open a Parquet file, a local one or one on the hub."""
    if not path.startswith(HUB):
        return pq.ParquetFile(path)
    return pq.ParquetFile(cast(BinaryIO, RangeFile(HfFileSystem(), path, mode="rb", cache_type="none")))


def open_rows(builder: datasets.DatasetBuilder, split: str, column: str) -> Rows:
    """Return the rows of a split. Raises ValueError: there is no such split."""
    config = builder.config
    if builder.name == "parquet" and config.filters is None and getattr(config, "on_bad_files", "error") == "error":
        paths = list((config.data_files or {}).get(split) or ())
        if paths and all(path.startswith(HUB) or Path(path).is_file() for path in paths):
            return ParquetRows(paths, column)
    return StreamedRows(builder.as_streaming_dataset(split=split), column)


def may_pass(error: BaseException) -> bool:
    """Return whether an error may be gone the next time; what the server says of the request (404) stays."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, HfHubHTTPError):
            return cause.response.status_code in (408, 429) or cause.response.status_code >= 500
        if isinstance(cause, (FileNotFoundError, X2StaticError)):  # the latter has been tried again already
            return False
        if isinstance(cause, (HTTP_ERROR, ConnectionError, TimeoutError)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def rows_retried(
    read_from: Callable[[int], Iterable[Any]], start: int, what: str, place: str = ": row {}"
) -> Iterator[tuple[int, Any]]:
    """Yield (row, value) from a row on; when the network fails, go on with the row in hand, up to five times."""
    row, failures = start, 0
    while True:
        try:
            for value in read_from(row):
                yield row, value
                row, failures = row + 1, 0
            return
        except Exception as error:
            if failures == len(RETRY_WAITS) or not may_pass(error):
                raise
            seconds = RETRY_WAITS[failures]
            failures += 1
            tries = f"trying again in {seconds:g} s ({failures} of {len(RETRY_WAITS)})"
            where = what + place.format(row)
            logger.warning("%s: the network failed (%s); %s", where, first_line(error)[:200], tries)
            time.sleep(seconds)


def retried(call: Callable[[], Result], what: str) -> Result:
    """Return what a call returns, tried again while the network fails; it raises what the call raises."""
    # A thread that hangs cannot be interrupted, waiting for it can.
    ((_, result),) = rows_retried(lambda _: [in_background(call).result()], 0, what, place="")
    return cast(Result, result)


@dataclass(frozen=True)
class RowSpool:
    """The texts of rows from the first one on, in Parquet files that are named by the row they begin with."""

    folder: Path  # where they are; it need not exist

    def rows(self) -> ParquetRows:
        """Return the rows that are here, as the bytes that they were or in UTF-8."""
        paths, first = [], 0
        while (path := self.folder / f"{first:012}.parquet").is_file():
            paths.append(str(path))
            first += pq.read_metadata(path).num_rows
        return ParquetRows(paths, "text")

    def keeping(self, read: Callable[[int], Iterator[str | bytes | None]], start: int) -> Iterator[str | bytes | None]:
        """Yield the texts from row `start` on: those that are here, then what `read` yields, kept however it ends."""
        here = self.rows()
        yield from here.values(start)
        row = first = here.total()
        kept: list[bytes | None] = []
        n_bytes = 0
        try:
            for text in read(first):
                kept.append(text.encode() if isinstance(text, str) else text)
                n_bytes += len(kept[-1] or b"")
                if n_bytes >= PART_BYTES:
                    self._write(first, kept)
                    first, kept, n_bytes = row + 1, [], 0
                if row >= start:
                    yield text
                row += 1
        finally:
            self._write(first, kept)

    def _write(self, first: int, texts: list[bytes | None]) -> None:
        if texts:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.folder)
            with open_atomically(self.folder / f"{first:012}.parquet") as file:
                pq.write_table(pa.table({"text": pa.array(texts, pa.binary())}), file, compression="zstd")
