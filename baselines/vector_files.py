"""Files of word vectors that others made: which format one is in, by its content, and their rows."""

import logging
import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from x2static.baselines.vector_rows import VectorRows
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.corpora.byte_lines import BLOCK, byte_lines, open_stream

logger = logging.getLogger(__name__)

Kind = Literal["word2vec", "word2vec-bin", "glove", "fasttext-bin"]
FASTTEXT_MAGIC = (793712314).to_bytes(4, "little")
HEAD = 1 << 20  # bytes: more than two rows
LONGEST_LINE = 10_000_000  # bytes
HEADER = re.compile(rb"[ \t]*([0-9]+)[ \t]+([0-9]+)[ \t\r]*")
REFUSED = {
    rb"\x80[\x02-\x05]": "is a pickle (a .model or .kv of gensim?), which can run any code when it is read; in gensim, "
    "save the vectors with save_word2vec_format",
    rb"\x93NUMPY": "is an array without words (of numpy); give a file of word2vec, GloVe or fastText",
    rb"PK\x03\x04": "is a zip archive; unpack it and name the file in it",
}


@dataclass(frozen=True)
class Layout:
    """How a file of word vectors is read.

    Attributes:
        kind: "word2vec" (text with a header, which fastText's .vec is too), "word2vec-bin", "glove" (text without a
            header) or "fasttext-bin".
        rows: in the file, as its header says; None without one.
        dim: numbers in a row; 0 for "fasttext-bin", which says it itself.
    """

    kind: Kind
    rows: int | None
    dim: int


def layout_of(path: Path) -> Layout:
    """Return how a file is read, by its first bytes; compressed ones (.gz, .bz2, .xz, .zst) are looked into.

    Raises:
        X2StaticError: it is missing, empty, a pickle, or nothing that this version reads.
    """
    if not path.is_file():
        raise X2StaticError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; --vectors takes a file")
    head = _head(path)
    for begin, why in REFUSED.items():
        if re.match(begin, head, re.DOTALL):
            raise X2StaticError(f"{path}: {why}")
    if head.startswith(FASTTEXT_MAGIC):
        return Layout("fasttext-bin", None, 0)
    first, _, rest = head.partition(b"\n")
    if header := HEADER.fullmatch(first):
        rows, dim = int(header[1]), int(header[2])
        if not rows or not dim or not rest:
            raise X2StaticError(f"{path}: its header says {rows} words of {dim} dimensions; there is nothing to load")
        is_text = _trailing_numbers(rest.partition(b"\n")[0]) >= dim
        return Layout("word2vec" if is_text else "word2vec-bin", rows, dim)
    if dim := _trailing_numbers(first):
        return Layout("glove", None, dim)
    raise X2StaticError(
        f"{path}: {'is empty' if not head else 'holds no word vectors'}; --vectors takes text or binary of word2vec, "
        "text of GloVe, .vec or .bin of fastText"
    )


def _head(path: Path) -> bytes:
    with open_stream(path) as stream:
        try:
            return stream.read(HEAD)
        except (EOFError, lzma.LZMAError, zlib.error, OSError) as error:
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> X2StaticError:
    return X2StaticError(f"{path}: cannot be read, or unpacked ({error}); get it again")


def _trailing_numbers(line: bytes) -> int:
    """Return how many numbers a line ends with, its first field left out: that is the word, even if it is a number."""
    fields = line.split()[1:]
    for count, item in enumerate(reversed(fields)):
        if not _is_number(item):
            return count
    return len(fields)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def read_text(layout: Layout, rows: VectorRows) -> None:
    """Read text: a word and its numbers a line, between spaces; a word may hold spaces itself, as some of GloVe's do.

    Raises:
        X2StaticError: a line has too few numbers or too many, or the file is damaged or cut short.
    """
    first = 2 if layout.kind == "word2vec" else 1
    for number, line in enumerate(byte_lines(rows.file, 0, LONGEST_LINE, str(rows.file)), 1):
        data = line.data.rstrip(b" \t\r\n")
        if number < first or not data:
            continue
        if rows.full:
            return
        if rows.read == layout.rows:
            logger.warning("%s: its header says %s words; the rows behind them are left out", rows.file, layout.rows)
            return
        name, *fields = data.replace(b"\t", b" ").rsplit(b" ", layout.dim)
        name = name.strip()  # of a file whose columns two spaces part
        word = rows.wants(name)
        if len(fields) < layout.dim or (b" " in name and _is_number(name.rsplit(b" ", 1)[1])):
            found = len(data.split()) - 1
            raise _wrong_line(
                rows.file, number, f"expected a word and {layout.dim} numbers, found {found} after the word"
            )
        if word is not None:
            rows.add(word, _numbers(fields, rows.file, number))
    if layout.rows is not None and rows.read < layout.rows and not rows.full:
        raise _cut_short(rows, layout.rows)


def _numbers(fields: list[bytes], file: Path, number: int) -> npt.NDArray[np.float32]:
    try:
        values = np.array([float(item) for item in fields])
    except ValueError as error:
        raise _wrong_line(file, number, str(error)) from error
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused
        return values.astype(np.float32)


def _wrong_line(file: Path, number: int, what: str) -> X2StaticError:
    return X2StaticError(f"{file}, line {number}: {what}; the file is damaged, or no file of word vectors")


def _cut_short(rows: VectorRows, expected: int) -> X2StaticError:
    return X2StaticError(
        f"{rows.file}: its header says {expected} words, it holds {rows.read}; it was cut short, get it again"
    )


def read_binary(layout: Layout, rows: VectorRows) -> None:
    """Read what Google's C program writes: a word, a space, the numbers as float32, and perhaps a line end.

    Raises:
        X2StaticError: the file is damaged or cut short.
    """
    with open_stream(rows.file) as stream:
        stream.readline()
        try:
            for raw, vector in _binary_rows(stream, layout.rows or 0, 4 * layout.dim):
                if rows.full:
                    return
                if (word := rows.wants(raw)) is not None:
                    rows.add(word, np.frombuffer(vector, "<f4"))
        except (EOFError, lzma.LZMAError, zlib.error) as error:
            raise _damaged(rows.file, error) from error
    if rows.read < (layout.rows or 0):
        raise _cut_short(rows, layout.rows or 0)


def _binary_rows(stream: BinaryIO, rows: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield words with their vectors of `size` bytes, fewer than `rows` where the file ends before."""
    buffer, start = b"", 0
    for _ in range(rows):
        while (space := buffer.find(b" ", start)) < 0 or len(buffer) < space + 1 + size:
            more = stream.read(BLOCK)
            if not more or (space < 0 and len(buffer) - start > BLOCK):
                return
            buffer, start = buffer[start:] + more, 0
        yield buffer[start:space].lstrip(b"\n"), buffer[space + 1 : space + 1 + size]
        start = space + 1 + size
