"""Local text files, one paragraph a line, plain or compressed, read as a corpus."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from schemas.encoding import EncodeConfig
from schemas.errors import X2StaticError
from schemas.manifest import Plan, Unit
from schemas.storage import hash_file
from stage1_encode.corpora.corpus import UnitText
from stage1_encode.corpora.sampling import Sample


@dataclass(frozen=True)
class Line:
    """A paragraph and where it stands.

    Attributes:
        start: byte of the decompressed file where it begins.
        stop: byte behind its line end.
        text: without surrounding white space; None for bad text that is to be skipped.
    """

    start: int
    stop: int
    text: str | None


@dataclass
class TextFile:
    """A text file: its units are byte ranges, found in one quick pass before anything is encoded.

    Attributes:
        spec: the file's name as the user gave it.
        config: for `unit`, `limit`, `sample`, `seed`, `on_bad_text` and `max_paragraph_bytes`.
        path: the file.
    """

    spec: str
    config: EncodeConfig
    path: Path
    _stream: BinaryIO | None = field(default=None, init=False)
    _position: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Check that the file is there.

        Raises:
            X2StaticError: there is no such file.
        """
        if not self.path.is_file():
            what = "is a folder; name its files" if self.path.is_dir() else "no such file"
            raise X2StaticError(f"corpus {self.spec}: {what} (or hf://name/config:split#column, or demo)")

    def seen(self) -> dict[str, Any]:
        """Return where the file is and when it changed: equal values need no second hashing."""
        status = self.path.stat()
        return {"path": str(self.path.resolve()), "size": status.st_size, "mtime_ns": status.st_mtime_ns}

    def identity(self) -> dict[str, Any]:
        """Return size and hash of the file as it is stored."""
        return {"kind": "text", "size": self.path.stat().st_size, "xxh3": hash_file(self.path)}

    def plan(self, identity: dict[str, Any], first: int, after: Unit | None) -> Plan:
        """Cut what follows `after` into units; every byte is read once and checked to be UTF-8.

        Args:
            identity: of this file.
            first: paragraphs of this file that earlier plans hold.
            after: the last unit of the earlier plans.

        Raises:
            X2StaticError: bad text (with `on_bad_text` "fail"), a damaged archive, a file without a paragraph.
        """
        limit = None if self.config.limit is None else self.config.limit - first
        units: list[Unit] = []
        skipped, count, taken, ended = 0, 0, 0, True
        start = stop = after.stop if after and after.stop else 0
        for line in self._lines(start):
            if line.text is None:
                skipped += taken != limit  # what stands behind the limit is the next plan's
                continue
            if taken == limit:
                ended = False
                break
            stop, count, taken = line.stop, count + 1, taken + 1
            if count == self.config.unit:
                units.append(Unit(source=self.path.name, start=start, stop=stop, paragraphs=count))
                start, count = stop, 0
        if count:
            units.append(Unit(source=self.path.name, start=start, stop=stop, paragraphs=count))
        if not units and not first:
            which = "no line with text" if self.config.sample is None else "no line with text that the sample takes"
            raise X2StaticError(f"corpus {self.spec}: the file holds no paragraph ({which}); nothing to encode")
        return Plan(
            corpus=self.spec,
            identity=identity,
            seen=self.seen(),
            licence=None,
            unit=self.config.unit,
            sample=self.config.sample,
            seed=self.config.seed,
            on_bad_text=self.config.on_bad_text,
            max_paragraph_bytes=self.config.max_paragraph_bytes,
            skipped=skipped,
            first=first,
            limit=limit,
            ended=ended,
            units=tuple(units),
        )

    def connect(self, plan: Plan) -> None:
        """Do nothing: a file needs no connection."""

    def read(self, unit: Unit) -> UnitText:
        """Return the paragraphs of a unit.

        Raises:
            X2StaticError: the file does not hold what the plan says, or is damaged.
        """
        paragraphs = []
        for line in self._lines(unit.start):
            if line.text is not None:
                paragraphs.append(line.text)
            if line.stop == unit.stop:
                break
        if len(paragraphs) != unit.paragraphs:
            raise X2StaticError(
                f"corpus {self.spec}: expected {unit.paragraphs} paragraphs in bytes {unit.start} to {unit.stop}, "
                f"found {len(paragraphs)}; the file has changed since it was planned"
            )
        return UnitText(paragraphs, unit, last=False)

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    def _lines(self, start: int) -> Iterator[Line]:
        """Yield the sample's lines from byte `start`; reading on where the last call ended costs no seek."""
        sample = Sample(self.config.sample, self.config.seed)
        try:
            stream = self._at(start)
            while data := stream.readline(self.config.max_paragraph_bytes + 1):
                begin = self._position
                self._position += len(data)
                whole = data.endswith(b"\n") or len(data) <= self.config.max_paragraph_bytes
                if not whole:
                    self._skip_rest(stream)
                if (data.strip() or not whole) and sample.takes(begin):
                    yield Line(begin, self._position, self._text(data, begin, whole))
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise X2StaticError(
                f"corpus {self.spec}: the compressed file is damaged or cut short after byte {self._position} "
                f"of its text ({error})"
            ) from error

    def _at(self, start: int) -> BinaryIO:
        if self._stream is None or self._position > start:
            self.close()
            self._stream, self._position = open_stream(self.path), 0
        if self._position == 0 and self._stream.seekable():
            self._stream.seek(start)
            self._position = start
        while self._position < start:
            data = self._stream.read(min(1 << 20, start - self._position))
            if not data:
                break
            self._position += len(data)
        return self._stream

    def _skip_rest(self, stream: BinaryIO) -> None:
        while data := stream.readline(1 << 20):
            self._position += len(data)
            if data.endswith(b"\n"):
                break

    def _text(self, data: bytes, begin: int, whole: bool) -> str | None:
        policy = self.config.on_bad_text
        if not whole:
            if policy == "skip":
                return None
            raise X2StaticError(
                f"corpus {self.spec}: the line at byte {begin} is longer than {self.config.max_paragraph_bytes} bytes; "
                "is this one paragraph a line? (--max-paragraph-bytes allows more, --on-bad-text skip leaves it out)"
            )
        try:
            text = data.decode("utf-8", errors="replace" if policy == "replace" else "strict")
            return (text if begin else text.removeprefix("\ufeff")).strip()  # files from Windows begin with that mark
        except UnicodeDecodeError as error:
            if policy == "skip":
                return None
            raise X2StaticError(
                f"corpus {self.spec}: byte {begin + error.start} is not valid UTF-8 ({error.reason}); mend the file, "
                "or choose --on-bad-text replace or --on-bad-text skip"
            ) from error


def open_stream(path: Path) -> BinaryIO:
    """Open a file for reading bytes, decompressing .gz, .bz2, .xz and .zst by their ending."""
    match path.suffix:
        case ".gz":
            return cast(BinaryIO, gzip.open(path, "rb"))
        case ".bz2":
            return cast(BinaryIO, bz2.open(path, "rb"))
        case ".xz":
            return cast(BinaryIO, lzma.open(path, "rb"))
        case ".zst":
            return cast(BinaryIO, io.BufferedReader(pa.input_stream(str(path), compression="zstd"), 1 << 20))
    return path.open("rb", buffering=1 << 20)
