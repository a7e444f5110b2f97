"""Word vectors that others made: files of word2vec, GloVe and fastText, text or binary; their content tells which.

Readers of our own, for gensim's (4.4.0; 100,000 words of 300 dimensions, a busy machine) are slower or hold more:

| file | gensim | here | here, a tenth of the words |
|---|---|---|---|
| text of word2vec | 137 s, 247 MB | 36 s, 225 MB | 8 s, 110 MB |
| text of GloVe | 204 s, 247 MB | 62 s, 224 MB | 16 s, 110 MB |
| binary of word2vec | 5 s, 248 MB | 6 s, 226 MB | 2 s, 113 MB |
| .bin of fastText | 38 s, 961 MB | 54 s, 661 MB | 20 s, 544 MB, of which 480 are the file, mapped |

and 11 s of imports, 4 here. Nor does gensim say where a file is damaged: it fills up a row that is too short, stops at
a word that is no UTF-8, must be told that there is no header, and gives </s> n-grams, which fastText does not.
"""

import logging
import lzma
import mmap
import re
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from x2static.baselines.request import Request, Result
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import hash_file
from x2static.machine.packages import require_modules
from x2static.machine.progress import Progress, Report
from x2static.stage1_encode.corpora.byte_lines import BLOCK, byte_lines, open_stream

logger = logging.getLogger(__name__)

Format = Literal["word2vec", "word2vec-bin", "glove", "fasttext-bin"]
Vector = npt.NDArray[np.float32]  # (dim,)

REPORT_ROWS = 100_000
NOT_UTF8, EMPTY, DUPLICATE = "not UTF-8", "empty", "duplicate"
HEAD = 1 << 20  # bytes: more than two rows
LONGEST_LINE = 10_000_000  # bytes
HEADER = re.compile(rb"[ \t]*([0-9]+)[ \t]+([0-9]+)[ \t\r]*")
REFUSED = {
    rb"\x80[\x02-\x05]": "is a pickle (a .model or .kv of gensim?), which can run any code when it is read; in gensim, "
    "save the vectors with save_word2vec_format",
    rb"\x93NUMPY": "is an array without words (of numpy); give a file of word2vec, GloVe or fastText",
    rb"PK\x03\x04": "is a zip archive; unpack it and name the file in it",
}
# fastText's .bin, as its Args::save, Dictionary::save and Matrix::save write it, little-endian, nothing in between.
FASTTEXT_MAGIC = (793712314).to_bytes(4, "little")
ARGUMENTS = struct.Struct("<4si12id")
DICTIONARY = struct.Struct("<3iqq")
ENTRY = struct.Struct("<qb")
MATRIX = struct.Struct("<?qq")
VERSION = 12
END_OF_SENTENCE = "</s>"  # the one word that fastText gives no n-grams


def make(request: Request) -> Result:
    """Read the vectors of the vocabulary, or, without a cache and a list of words, the first `max_vocab` of the file.

    Words must be written as they are in the vocabulary. Counts are the cache's where there is one, the file's where it
    has them, else zeros. Raises X2StaticError: no file is named, it cannot be read, or holds none of the words.
    """
    path = request.config.vectors
    if path is None:
        raise X2StaticError("load needs a file of word vectors: give --vectors FILE")
    layout = layout_of(path)
    rows = Rows(path, layout, frozenset(request.words), request.config.max_vocab, request.report)
    {"fasttext-bin": _read_fasttext, "word2vec-bin": _read_binary}.get(layout.format, _read_text)(layout, rows)
    for why, count in rows.left_out.items():
        if count:
            logger.warning("%s: %s rows left out: their words are %s", path, f"{count:,}", why)
    if not rows.words:
        what = f"none of the {len(request.words):,} words asked for" if request.words else "no word that can be used"
        raise X2StaticError(
            f"{path}: {what} is among its {rows.read:,} rows; is it of the same language, in UTF-8, and lower-cased "
            "where the vocabulary is?"
        )
    file = {"format": layout.format, "xxh3": hash_file(path), "rows_read": rows.read, "rows_left_out": rows.left_out}
    origin: dict[str, Any] = {"file": file, "words_absent": max(0, len(request.words) - len(rows.words))}
    if request.words:
        logger.info("%s of %s words have a vector", f"{len(rows.words):,}", f"{len(request.words):,}")
    if request.cache is None:
        return Result(list(rows.words), np.array(rows.counts, np.int64), rows.matrix, origin)
    order = [row for row, word in enumerate(request.words) if word in rows.words]
    words = [request.words[row] for row in order]
    return Result(words, request.counts[order], rows.matrix[[rows.words[word] for word in words]], origin)


@dataclass(frozen=True)
class Layout:
    """How a file of word vectors is read."""

    # "word2vec" (text with a header, which fastText's .vec is too), "word2vec-bin", "glove" (text without a header) or
    # "fasttext-bin"
    format: Format
    dim: int  # numbers in a row
    n_rows: int | None = None  # rows in the file, as its header says; None without one
    fasttext: "FastText | None" = None  # what else the beginning of fastText's .bin says


@dataclass(frozen=True)
class FastText:
    """What the beginning of fastText's .bin says."""

    entries: list[tuple[bytes, int]]  # words, with their counts, in the order of their rows
    n_buckets: int  # rows for n-grams, behind those of the words
    shortest: int  # characters of the shortest n-gram
    longest: int  # characters of the longest one; 0 for none
    offset: int  # byte of the file where the matrix begins


@dataclass
class Rows:
    """The rows of a file that are kept; memory holds no row of another word."""

    file: Path  # the file, for messages
    layout: Layout  # how it is read
    wanted: Collection[str]  # the words to keep; empty for all
    most: int  # words to keep at most, in the file's order
    report: Report  # hears of the progress
    words: dict[str, int] = field(default_factory=dict, init=False)  # the words kept, with their rows
    counts: list[int] = field(default_factory=list, init=False)  # occurrences of each, where the file says; else zeros
    read: int = field(default=0, init=False)  # rows read so far
    # rows that cannot be used, by reason
    left_out: dict[str, int] = field(default_factory=lambda: {NOT_UTF8: 0, EMPTY: 0, DUPLICATE: 0}, init=False)
    _data: bytearray = field(default_factory=bytearray, init=False)

    @property
    def full(self) -> bool:
        """Whether nothing further can be kept."""
        return len(self.words) == self.most or (bool(self.wanted) and len(self.words) == len(self.wanted))

    @property
    def matrix(self) -> npt.NDArray[np.float32]:
        """The vectors, (len(words), dim) float32."""
        return np.frombuffer(self._data, np.float32).reshape(len(self.words), self.layout.dim)

    def next_word(self, raw: bytes) -> str | None:
        """Return the word of the next row if its vector is to be kept; of a word that is there twice, the first is."""
        self.read += 1
        if self.read % REPORT_ROWS == 0:
            self.report(Progress(self.read, self.layout.n_rows, "rows"))
        try:
            word = raw.decode()
        except UnicodeDecodeError:
            self.left_out[NOT_UTF8] += 1
            return None
        if self.wanted and word not in self.wanted:
            return None
        if not word or word in self.words:
            self.left_out[DUPLICATE if word else EMPTY] += 1
            return None
        return word

    def add(self, word: str, vector: Vector, count: int = 0) -> None:
        """Keep the row read last. Raises X2StaticError: it holds values that are not finite."""
        if not np.isfinite(vector).all():
            raise X2StaticError(
                f"{self.file}: row {self.read}, {word!r}: holds values that are not finite numbers of 32 bits; the "
                "file is damaged, get it again"
            )
        self._data += vector.astype(np.float32).tobytes()
        self.words[word] = len(self.words)
        self.counts.append(count)

    def check_number(self) -> None:
        """Refuse a file that holds fewer rows than its header says."""
        if self.layout.n_rows is not None and self.read < self.layout.n_rows and not self.full:
            raise X2StaticError(
                f"{self.file}: its header says {self.layout.n_rows} words, it holds {self.read}; it was cut short, get "
                "it again"
            )


def layout_of(path: Path) -> Layout:
    """Return how a file is read, by its first bytes; compressed ones (.gz, .bz2, .xz, .zst) are looked into.

    Raises X2StaticError: it is missing, empty, a pickle, damaged, or nothing that this version reads.
    """
    if not path.is_file():
        raise X2StaticError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; --vectors takes a file")
    try:
        with open_stream(path) as stream:
            head = stream.read(HEAD)
    except (EOFError, lzma.LZMAError, zlib.error, OSError) as error:
        raise _damaged(path, error) from error
    for begin, why in REFUSED.items():
        if re.match(begin, head, re.DOTALL):
            raise X2StaticError(f"{path}: {why}")
    if head.startswith(FASTTEXT_MAGIC):
        return _fasttext_layout(path)
    first, _, rest = head.partition(b"\n")
    if header := HEADER.fullmatch(first):
        n_rows, dim = int(header[1]), int(header[2])
        if not n_rows or not dim or not rest:
            raise X2StaticError(f"{path}: its header says {n_rows} words of {dim} dimensions; there is nothing to load")
        is_text = _trailing_numbers(rest.partition(b"\n")[0]) >= dim
        return Layout("word2vec" if is_text else "word2vec-bin", dim, n_rows)
    if dim := _trailing_numbers(first):
        return Layout("glove", dim)
    raise X2StaticError(
        f"{path}: {'is empty' if not head else 'holds no word vectors'}; --vectors takes text or binary of word2vec, "
        "text of GloVe, .vec or .bin of fastText"
    )


def _damaged(path: Path, error: Exception) -> X2StaticError:
    return X2StaticError(f"{path}: cannot be read, or unpacked ({error}); get it again")


def _trailing_numbers(line: bytes) -> int:
    """Return how many numbers a line ends with, its first field left out: that is the word, even if it is a number."""
    fields = line.split()[1:]
    for count, item in enumerate(reversed(fields)):
        if not _is_number(item):
            return count
    return len(fields)


def _is_number(item: bytes) -> bool:
    try:
        float(item)
    except ValueError:
        return False
    return True


def _read_text(layout: Layout, rows: Rows) -> None:
    """Read text: a word and its numbers a line, between spaces; a word may hold spaces, as some of GloVe's do."""
    first = 2 if layout.format == "word2vec" else 1
    for number, line in enumerate(byte_lines(rows.file, 0, LONGEST_LINE, str(rows.file)), 1):
        data = line.data.rstrip(b" \t\r\n")
        if number < first or not data:
            continue
        if rows.full:
            return
        if rows.read == layout.n_rows:
            logger.warning("%s: its header says %s words; the rows behind them are left out", rows.file, layout.n_rows)
            return
        name, *fields = data.replace(b"\t", b" ").rsplit(b" ", layout.dim)
        name = name.strip()  # of a file whose columns two spaces part
        word = rows.next_word(name)
        try:
            if len(fields) < layout.dim or (b" " in name and _is_number(name.rsplit(b" ", 1)[1])):
                n_fields = len(data.split()) - 1
                raise ValueError(f"expected a word and {layout.dim} numbers, found {n_fields} after the word")
            values = np.array([float(item) for item in fields]) if word is not None else None
        except ValueError as error:
            raise X2StaticError(
                f"{rows.file}, line {number}: {error}; the file is damaged, or no file of word vectors"
            ) from error
        if word is not None and values is not None:
            with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused
                rows.add(word, values.astype(np.float32))
    rows.check_number()


def _read_binary(layout: Layout, rows: Rows) -> None:
    """Read what Google's C program writes: a word, a space, the numbers as float32, and perhaps a line end."""
    with open_stream(rows.file) as stream:
        stream.readline()
        try:
            for raw, vector in _binary_rows(stream, layout.n_rows or 0, 4 * layout.dim):
                if rows.full:
                    return
                if (word := rows.next_word(raw)) is not None:
                    rows.add(word, np.frombuffer(vector, "<f4"))
        except (EOFError, lzma.LZMAError, zlib.error) as error:
            raise _damaged(rows.file, error) from error
    rows.check_number()


def _binary_rows(stream: BinaryIO, n_rows: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield words with their vectors of `size` bytes, fewer than `n_rows` where the file ends before."""
    buffer, start = b"", 0
    for _ in range(n_rows):
        while (space := buffer.find(b" ", start)) < 0 or len(buffer) < space + 1 + size:
            more = stream.read(BLOCK)
            if not more or (space < 0 and len(buffer) - start > BLOCK):
                return
            buffer, start = buffer[start:] + more, 0
        yield buffer[start:space].lstrip(b"\n"), buffer[space + 1 : space + 1 + size]
        start = space + 1 + size


def _fasttext_layout(path: Path) -> Layout:
    """Read all of fastText's .bin but the matrix; refuse a compressed, quantised, newer, damaged or cut one."""
    require_modules("baselines", "gensim")  # it knows fastText's hash
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != FASTTEXT_MAGIC:
            raise X2StaticError(f"{path}: a compressed .bin of fastText cannot be read in place; unpack it first")
        try:
            _, version, dim, *others, _ = ARGUMENTS.unpack_from(data)
            n_buckets, shortest, longest = others[7:10]
            size, n_words, n_labels, _, pruned = DICTIONARY.unpack_from(data, ARGUMENTS.size)
            if version > VERSION:
                raise X2StaticError(
                    f"{path}: this .bin of fastText is of version {version}, newer than {VERSION}; give its .vec file"
                )
            if pruned > 0:
                raise _quantised(path)
            entries, position = _entries(data, ARGUMENTS.size + DICTIONARY.size, size)
            quantised, n_rows, columns = MATRIX.unpack_from(data, position)
            if quantised:
                raise _quantised(path)
            position += MATRIX.size
            expected = (n_words + n_buckets, dim, n_words + n_labels)
            if (n_rows, columns, size) != expected or len(data) < position + 4 * n_rows * columns:
                raise ValueError(
                    f"{len(data)} bytes, a matrix of {n_rows} x {columns} for {n_words} words and {n_buckets} n-grams "
                    f"x {dim}"
                )
        except (struct.error, ValueError) as error:
            raise X2StaticError(f"{path}: damaged or cut short ({error}); get it again") from error
    words = FastText(entries[:n_words], n_buckets, shortest, longest, position)
    return Layout("fasttext-bin", dim, n_words, words)


def _quantised(path: Path) -> X2StaticError:
    return X2StaticError(f"{path}: this .bin of fastText is quantised; give its .vec file")


def _entries(data: mmap.mmap, position: int, size: int) -> tuple[list[tuple[bytes, int]], int]:
    entries = []
    for _ in range(size):
        end = data.find(b"\0", position)
        if end < 0:
            raise ValueError("a word without an end")
        count, _ = ENTRY.unpack_from(data, end + 1)
        entries.append((data[position:end], count))
        position = end + 1 + ENTRY.size
    return entries, position


def _read_fasttext(layout: Layout, rows: Rows) -> None:
    """Read fastText's .bin: a word's vector is the mean of its own row and those of its character n-grams."""
    from gensim.models.fasttext import ft_ngram_hashes  # an extra

    file = layout.fasttext
    if file is None:
        raise X2StaticError(f"{rows.file}: no .bin of fastText")
    n_words = len(file.entries)
    matrix = np.memmap(rows.file, "<f4", "r", file.offset, (n_words + file.n_buckets, layout.dim))
    for row, (raw, count) in enumerate(file.entries):
        if rows.full:
            return
        if (word := rows.next_word(raw)) is None:
            continue
        parts = [row]
        if file.longest and file.n_buckets and word != END_OF_SENTENCE:
            hashes = ft_ngram_hashes(word, file.shortest, file.longest, file.n_buckets)
            parts += [n_words + bucket for bucket in hashes]
        rows.add(word, matrix[parts].mean(axis=0, dtype=np.float32), count)
