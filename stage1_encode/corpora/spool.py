"""What can be read only once, kept in the cache: standard input as a file, the rows of a stream as Parquet files.

A run that was broken off goes on with it. It stays until the user removes the folder `spool/` of the cache.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically, remove_leftovers
from x2static.schemas.cache import MANIFEST, SPOOL, SPOOLED
from x2static.schemas.encoding import TextFormat
from x2static.stage1_encode.corpora.local_files import FileSet
from x2static.stage1_encode.corpora.parquet import rows_from

SPEC = re.compile(r"-(#(?P<column>.+))?")
BLOCK = 1 << 20
PART_BYTES = 32 << 20  # of text in a file of rows; so much is read again after kill -9


def is_standard_input(spec: str) -> bool:
    """Return whether a --corpus names standard input: `-` or `-#column`."""
    return SPEC.fullmatch(spec) is not None


def spooled_input(spec: str, text_format: TextFormat, cache: Path, stream: BinaryIO | None) -> FileSet:
    """Return standard input as a file in the cache.

    Called again without text, it is the text from before; with text, that must be the same once units are planned of
    it, which they are if there is a manifest.

    Args:
        spec: `-` or `-#column`.
        text_format: how it is to be read.
        cache: the folder, whose lock the caller holds where there is a stream.
        stream: standard input; None if it is not to be read, but was read by an earlier run.

    Raises:
        X2StaticError: there is no text, neither in the stream nor from an earlier run, or the two differ.
    """
    path = cache / SPOOL / SPOOLED
    match = SPEC.fullmatch(spec)
    files = FileSet({"-": path}, "-", text_format, match and match["column"], alone=True)
    if stream is None:
        if not path.is_file():
            raise X2StaticError(
                f"corpus {spec}: --plan would use standard input up, and leave nothing to encode; write the text to a "
                "file and name that, or run without --plan"
            )
        return files
    block = b"" if stream.isatty() else stream.read(BLOCK)
    if not block and path.is_file():  # no text stands for the text from before
        return files
    if not block:
        what = "is a terminal" if stream.isatty() else "is empty"
        raise X2StaticError(f"corpus {spec}: standard input {what}; pipe text into it")
    if path.is_file() and (cache / MANIFEST).is_file():
        _compare(spec, block, stream, path)
    else:
        _write(block, stream, path)
    return files


def _write(block: bytes, stream: BinaryIO, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    remove_leftovers(path.parent)
    with open_atomically(path) as file:
        while block:
            file.write(block)
            block = stream.read(BLOCK)
        file.flush()
        os.utime(file.fileno(), (0, 0))  # plans name the time of a file, and are to be the same from run to run


def _compare(spec: str, block: bytes, stream: BinaryIO, path: Path) -> None:
    """Refuse text that is not what was read before."""
    position = 0
    with path.open("rb") as file:
        while block and file.read(len(block)) == block:
            position, block = position + len(block), stream.read(BLOCK)
        if block or file.read(1):
            raise X2StaticError(
                f"corpus {spec}: standard input brings other text than the run before, from somewhere after byte "
                f"{position} on; bring the same text or none (< /dev/null) to go on, or use another --cache"
            )


@dataclass(frozen=True)
class RowSpool:
    """The texts of rows from the first one on, in Parquet files that are named by the row they begin with."""

    folder: Path  # where they are; it need not exist

    def _parts(self) -> Iterator[tuple[int, int, Path]]:
        """Yield the first row of each file, the row behind it, and where the file is."""
        first = 0
        while (path := self.folder / f"{first:012}.parquet").is_file():
            stop = first + pq.read_metadata(path).num_rows
            yield first, stop, path
            first = stop

    def __len__(self) -> int:
        """Return the number of rows."""
        return max((stop for _, stop, _ in self._parts()), default=0)

    def values(self, start: int) -> Iterator[bytes | None]:
        """Yield the texts from row `start` on, in UTF-8 as far as they were."""
        for first, stop, path in self._parts():
            if start < stop:
                with pq.ParquetFile(path) as file:
                    for _, value in rows_from(file, "text", max(0, start - first)):
                        yield value

    def keeping(self, read: Callable[[int], Iterator[str | bytes | None]], start: int) -> Iterator[str | bytes | None]:
        """Yield the texts from row `start` on: first those that are here, then what `read` yields, which is kept.

        However the reading ends, but by kill -9, all that was read is kept.
        """
        yield from self.values(start)
        row = first = len(self)
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
