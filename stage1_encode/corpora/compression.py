"""Compressed files, read whole or refused: what gzip, bzip2, xz and zstd call good is read to its last stream."""

import bz2
import gzip
import io
import logging
import lzma
import re
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from x2static.durable.errors import X2StaticError

BLOCK = 1 << 20
# What a compressed file begins with: names may be wrong, and standard input has none. No text begins so.
BEGINNINGS = re.compile(
    rb"(?P<gz>\x1f\x8b\x08)|(?P<bz2>BZh[1-9](?:1AY&SY|\x17rE8P\x90))|(?P<xz>\xfd7zXZ\x00)"
    rb"|(?P<zst>\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)|(?P<lzma>\x5d\x00\x00..(?:\xff{8}|.{5}\x00{3}))",
    re.DOTALL,
)
# Before each block of bzip2 and behind the last, at any bit.
BZIP2_MARKS = (b"1AY&SY", b"\x17rE8P\x90")
DAMAGE = (OSError, EOFError, lzma.LZMAError, zlib.error)

logger = logging.getLogger(__name__)


class Streams(io.RawIOBase):
    """Streams of bzip2 or xz, one behind the other; Python's readers take damage behind the first for the end."""

    def __init__(self, decompressor: Callable[[], Any], check: Callable[[Path, int, bytes], bool], path: Path) -> None:
        """Open a file; `check` gets how many zeros stand behind a stream, and what follows: whether it is a stream."""
        self._path, self._decompressor, self._check = path, decompressor, check
        self._file = path.open("rb")
        self._stream = decompressor()

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes. Raises EOFError, OSError or LZMAError: the file is damaged, or has more than streams."""
        while True:
            if self._stream.eof:
                data = self._behind()
                if not data:
                    return 0
                self._stream = self._decompressor()
            else:
                data = self._file.read(BLOCK) if self._stream.needs_input else b""
                if self._stream.needs_input and not data:
                    raise EOFError("it ends within a compressed stream")
            data = self._stream.decompress(data, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)

    def _behind(self) -> bytes:
        """Return what the next stream begins with; nothing if there is none."""
        n_zeros, behind = 0, self._stream.unused_data
        while behind or (behind := self._file.read(BLOCK)):
            data = behind.lstrip(b"\0")
            n_zeros += len(behind) - len(data)
            if data:
                data += self._file.read(BLOCK)
                return data if self._check(self._path, n_zeros, data) else b""
            behind = b""
        self._check(self._path, n_zeros, b"")
        return b""


def _is_xz(path: Path, n_zeros: int, data: bytes) -> bool:
    if n_zeros % 4 or (data and not data.startswith(b"\xfd")):
        raise lzma.LZMAError("what stands behind the end of a stream is neither padding nor a stream")
    return True


def _is_lzma(path: Path, n_zeros: int, data: bytes) -> bool:
    if n_zeros or data:
        raise lzma.LZMAError("something stands behind the end of its one stream")
    return False


def _is_bzip2(path: Path, n_zeros: int, data: bytes) -> bool:
    """Tell a stream from what `bzip2 -t` ignores behind the last, though that may be a stream with a damaged head."""
    if not n_zeros and data[:3] == b"BZh"[: len(data)]:
        return True
    bits, length = int.from_bytes(data), len(data)
    if any(mark in (bits >> shift).to_bytes(length) for shift in range(8) for mark in BZIP2_MARKS):
        raise OSError("a stream behind the first has a damaged head")
    if data:
        _say_ignored(path, len(data))
    return False


@cache
def _say_ignored(path: Path, n_bytes: int) -> None:
    """Say it once, however often the file is read."""
    logger.warning("%s: the %s bytes or more behind its bzip2 streams are no such stream; left out", path, n_bytes)


def _zstd(path: Path) -> io.BufferedReader:
    return io.BufferedReader(pa.input_stream(str(path), compression="zstd"), BLOCK)


def _streams(decompressor: Callable[[], Any], check: Callable[[Path, int, bytes], bool], path: Path) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(Streams(decompressor, check, path), BLOCK))


OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.GzipFile,
    ".bz2": partial(_streams, bz2.BZ2Decompressor, _is_bzip2),
    ".xz": partial(_streams, partial(lzma.LZMADecompressor, lzma.FORMAT_XZ), _is_xz),
    ".lzma": partial(_streams, partial(lzma.LZMADecompressor, lzma.FORMAT_ALONE), _is_lzma),
    ".zst": _zstd,
}


def open_stream(path: Path) -> BinaryIO:
    """Open a file for reading bytes, decompressed by its first bytes or, where they say nothing, by its ending."""
    file = io.BufferedReader(io.FileIO(path), BLOCK)
    head = file.peek(16)
    match = BEGINNINGS.match(head)
    ending = f".{match.lastgroup}" if match else path.suffix.lower()
    if not head or ending not in OPENERS:  # a file of no bytes holds no paragraph, even where it is no archive
        return cast(BinaryIO, file)
    file.close()
    return cast(BinaryIO, OPENERS[ending](path))


def read_head(path: Path, size: int, name: str) -> bytes:
    """Return the first bytes of a file, decompressed; `name` is the file's, in errors."""
    try:
        with open_stream(path) as stream:
            return stream.read(size)
    except DAMAGE as error:
        raise damage(name, 0, error) from error


def damage(name: str, position: int, error: Exception) -> X2StaticError:
    """Return the error for a damaged file, read up to a byte of its text; raise what the system says of it as it is."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    why = f"the compressed file is damaged or cut short after byte {position} of its text ({error})"
    return X2StaticError(f"{name}: {why}")
