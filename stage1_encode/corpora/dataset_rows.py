"""The rows of a data set from any row on: Parquet files go there by their row groups, all others by reading on.

The library's own streaming state skips and repeats rows (datasets#8145, #8308), so positions are numbers of rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import datasets
import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem
from huggingface_hub.hf_file_system import HfFileSystemFile
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # its __init__ names no __all__
    build_hf_headers,
    get_session,
    hf_raise_for_status,
)

from x2static.durable.errors import X2StaticError
from x2static.machine.background import in_background
from x2static.stage1_encode.corpora.parquet_rows import rows_from

HUB = "hf://"
READ_SECONDS = 10.0  # without a byte from the server
FOOTERS_AT_ONCE = 16  # a data set may have thousands of files


class Rows(Protocol):
    """A column of a data set, by the numbers of its rows."""

    def columns(self) -> list[str]:
        """Return the names of all columns."""
        ...

    def values(self, start: int) -> Iterator[Any]:
        """Yield the values from row `start` on."""
        ...


@dataclass
class StreamedRows:
    """Rows of files that can only be read from their beginning.

    Attributes:
        dataset: the stream.
        column: name of the column.
    """

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
    """Rows of Parquet files, one file after the other; of what stands before a row, only footers are read.

    Attributes:
        paths: the files in their order, local ones or `hf://datasets/name@commit/path`.
        column: name of the column.
    """

    paths: list[str]
    column: str
    _counts: list[int] = field(default_factory=list, init=False)

    def columns(self) -> list[str]:
        """Return the names of all columns, by the first file."""
        with open_parquet(self.paths[0]) as file:
            return list(file.schema_arrow.names)

    def total(self) -> int:
        """Return the number of all rows."""
        while self._count_more():
            pass
        return sum(self._counts)

    def values(self, start: int) -> Iterator[Any]:
        """Yield the values from row `start` on, a row group in memory at a time."""
        while sum(self._counts) < start and self._count_more():
            pass
        first = 0
        for number, path in enumerate(self.paths):
            stop = first + self._counts[number] if number < len(self._counts) else None
            if stop is None or start < stop:
                with open_parquet(path) as file:
                    if self.column not in file.schema_arrow.names:
                        raise X2StaticError(f"{path}: no column {self.column!r}, which the files before it have")
                    for _, value in rows_from(file, self.column, max(0, start - first)):
                        yield value
                    stop = first + file.metadata.num_rows
            first = stop

    def spread(self, places: int, most: int) -> list[Any]:
        """Return values from evenly spread places, at most so many rows from each."""
        total = self.total()
        length = min(most, -(-total // places))
        starts = [place * total // places for place in range(places)]
        return [value for start in starts for value in islice(self.values(start), length)]

    def _count_more(self) -> bool:
        """Read the footers of the next files; False if there are no more."""
        paths = self.paths[len(self._counts) :][:FOOTERS_AT_ONCE]
        counts = [in_background(lambda path=path: _n_rows(path)) for path in paths]  # type: ignore[misc]
        self._counts += [count.result() for count in counts]
        return bool(paths)


class RangeFile(HfFileSystemFile):
    """A file on the hub, each read a request; what fails is told at once, where the library would retry unheard."""

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
    source = RangeFile(HfFileSystem(), path, mode="rb", cache_type="none")
    return pq.ParquetFile(cast(BinaryIO, source))


def open_rows(builder: datasets.DatasetBuilder, split: str, column: str) -> Rows:
    """Return the rows of a split.

    Raises:
        ValueError: there is no such split.
    """
    config = builder.config
    if builder.name == "parquet" and config.filters is None and getattr(config, "on_bad_files", "error") == "error":
        paths = list((config.data_files or {}).get(split) or ())
        if paths and all(path.startswith(HUB) or Path(path).is_file() for path in paths):
            return ParquetRows(paths, column)
    return StreamedRows(builder.as_streaming_dataset(split=split), column)


def _n_rows(path: str) -> int:
    with open_parquet(path) as file:
        return int(file.metadata.num_rows)
