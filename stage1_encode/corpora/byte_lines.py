"""Lines of a file as bytes, from any byte on, plain or compressed, with no more than the longest line in memory."""

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow as pa

from x2static.durable.errors import X2StaticError

BLOCK = 1 << 20
OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": lambda path: io.BufferedReader(pa.input_stream(str(path), compression="zstd"), BLOCK),
}
# What a compressed file begins with: standard input has no name. No text begins so, "BZh" alone might.
BEGINNINGS = {
    ".gz": rb"\x1f\x8b",
    ".bz2": rb"BZh[1-9]1AY&SY",
    ".xz": rb"\xfd7zXZ\x00",
    ".zst": rb"\x28\xb5\x2f\xfd",
}


class ByteLine(NamedTuple):
    """A line and where it stands."""

    start: int  # byte of the decompressed file where it begins
    stop: int  # byte behind its line end
    data: bytes  # the line with its end; of one that is too long, the beginning
    whole: bool  # whether `data` is all of it


def open_stream(path: Path) -> BinaryIO:
    """Open a file for reading bytes, decompressed by its ending or, where that says nothing, by its first bytes."""
    file = io.BufferedReader(io.FileIO(path), BLOCK)
    head = file.peek(10)
    ending = path.suffix.lower()
    if ending not in OPENERS:
        ending = next((ending for ending, begin in BEGINNINGS.items() if re.match(begin, head, re.DOTALL)), "")
    if not head or not ending:  # a file of no bytes holds no paragraph, even where it is no archive
        return cast(BinaryIO, file)
    file.close()
    return cast(BinaryIO, OPENERS[ending](path))


def byte_lines(path: Path, start: int, longest: int, name: str) -> Iterator[ByteLine]:
    """Yield lines from byte `start` of the decompressed file on; a plain file is not read before it.

    Args:
        path: the file.
        start: where a line begins.
        longest: bytes of a line, its end left out, that are kept in memory.
        name: what the file is called in messages.

    Raises:
        X2StaticError: a compressed file is damaged.
    """
    position = 0
    try:
        with open_stream(path) as stream:
            if stream.seekable():
                position = stream.seek(start)
            while position < start and (data := stream.read(min(BLOCK, start - position))):
                position += len(data)
            while data := stream.readline(longest + 1):
                begin, position = position, position + len(data)
                whole = data.endswith(b"\n") or len(data) <= longest
                rest = b"" if whole else stream.readline(BLOCK)
                while rest:
                    position += len(rest)
                    rest = b"" if rest.endswith(b"\n") else stream.readline(BLOCK)
                yield ByteLine(begin, position, data, whole)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise X2StaticError(
            f"{name}: the compressed file is damaged or cut short after byte {position} of its text ({error})"
        ) from error


def line_number(path: Path, start: int) -> int:
    """Return the number, from 1, of the line that begins at a byte of the decompressed file."""
    number = 1
    with open_stream(path) as stream:
        while start and (data := stream.read(min(BLOCK, start))):
            number, start = number + data.count(b"\n"), start - len(data)
    return number
