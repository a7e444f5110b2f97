"""Word vectors that others made: files of word2vec, GloVe and fastText, text or binary; their content tells which.

Folders of other tools are read by `folders.py`.

Readers of our own: gensim's are slower or hold more, whatever few words are wanted, and do not say where a file is
damaged (docs/LOG.md, 2026-11-28).
"""

import logging
import mmap
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from x2static.baselines.folders import read_folder
from x2static.baselines.request import Request, Result
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import hash_file
from x2static.machine.packages import require_modules
from x2static.machine.progress import Progress
from x2static.machine.screen import quantity
from x2static.schemas.segmentation import WordSegmentation
from x2static.stage1_encode.corpora.compression import BEGINNINGS, BLOCK, DAMAGE, open_stream
from x2static.stage1_encode.corpora.paragraphs import byte_lines

logger = logging.getLogger(__name__)

Vector = npt.NDArray[np.float32]  # (dim,)
# A word, what reads its numbers, once they are wanted, and its occurrences, 0 where the file does not say.
Row = tuple[bytes, Callable[[], Vector], int]

HEADER = re.compile(rb"[ \t]*([0-9]+)[ \t]+([0-9]+)[ \t\r]*")
REFUSED = {
    rb"\x80[\x02-\x05]": "is a pickle (a .model or .kv of gensim?), which can run any code when it is read; in gensim, "
    "save the vectors with save_word2vec_format",
    rb"\x93NUMPY": "is an array without words (of numpy); give a file of word2vec, GloVe or fastText",
    rb"PK\x03\x04": "is a zip archive; unpack it and name the file in it",
}
CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
SNIFFED_BYTES = 1 << 16
NO_VECTORS = "the file is damaged, or no file of word vectors"
FASTTEXT_MAGIC = (793712314).to_bytes(4, "little")
FASTTEXT_VERSION = 12
# Parts of fastText's .bin, as its Args::save, Dictionary::save and Matrix::save write them.
ARGUMENTS, DICTIONARY = struct.Struct("<4si12id"), struct.Struct("<3iqq")
ENTRY, MATRIX = struct.Struct("<qb"), struct.Struct("<?qq")


class Table(NamedTuple):
    """The rows of a file, in its order."""

    # "word2vec" is text with a header (fastText's .vec, too), "glove" text without one
    format: Literal["word2vec", "word2vec-bin", "glove", "fasttext-bin"] | str  # or that of a folder
    dim: int
    n_rows: int | None  # as the header says; None without one
    rows: Iterator[Row]
    file: Path | None = None  # of a folder, the one that has the numbers


def make(request: Request) -> Result:
    """Read the vectors of the vocabulary, or, without a cache and a list of words, the first `max_vocab` of the file.

    Words must be written as they are in the vocabulary. Counts are the cache's where there is one, the file's where it
    has them, else zeros. Raises X2StaticError: no file is named, it cannot be read, or holds none of the words.
    """
    path = request.config.vectors
    if path is None:
        raise X2StaticError("load needs a file of word vectors: give --vectors FILE")
    table, segmentation = open_any(path)
    result = _read(path, table, request)
    for why, count in result.origin["rows_left_out"].items():
        if count:
            logger.warning("%s: %s left out: the word is %s", path, quantity(count, "row"), why)
    if not result.words:
        what = f"none of the {len(request.words):,} words asked for" if request.words else "no word that can be used"
        advice = "is it of the same language, in UTF-8, and lower-cased where the vocabulary is?"
        raise X2StaticError(f"{path}: {what} is among its {result.origin['rows_read']:,} rows; {advice}")
    origin: dict[str, Any] = {
        "file": {"format": table.format, "xxh3": hash_file(table.file or path), **result.origin},
        "words_absent": max(0, len(request.words) - len(result.words)),
    }
    if request.cache is None:
        return replace(result, origin=origin, segmentation=segmentation)
    row_of = {word: row for row, word in enumerate(result.words)}
    order = [number for number, word in enumerate(request.words) if word in row_of]
    words = [request.words[number] for number in order]
    return Result(words, request.counts[order], result.matrix[[row_of[word] for word in words]], origin)


def open_any(path: Path) -> tuple[Table, WordSegmentation | None]:
    """Return the rows of a file or a folder, and how text is cut into their words, where that is known."""
    if not path.is_dir():
        return open_table(path), None
    read = read_folder(path)
    rows = ((word.encode(), partial(np.asarray, row), 0) for word, row in zip(read.words, read.matrix, strict=True))
    return Table(read.format, read.matrix.shape[1], len(read.words), rows, read.file), read.segmentation


def _read(path: Path, table: Table, request: Request) -> Result:
    """Return the vectors that are wanted, in the file's order; memory holds no row of another word."""
    wanted = frozenset(request.words)
    most = min(request.config.max_vocab, len(wanted) or request.config.max_vocab)
    left_out = {"not UTF-8": 0, "empty": 0, "duplicate": 0}
    counts: dict[str, int] = {}
    vectors = bytearray()
    n_read = 0
    for n_read, (raw, numbers, count) in enumerate(table.rows, 1):
        if n_read % 100_000 == 0:
            request.report(Progress(n_read, table.n_rows, "rows"))
        word = raw.decode(errors="ignore")
        if word.encode() != raw:
            left_out["not UTF-8"] += 1
        elif wanted and word not in wanted:
            continue
        elif not word or word in counts:  # of a word that is there twice, the first row stays
            left_out["duplicate" if word else "empty"] += 1
        else:
            vector = numbers()
            if not np.isfinite(vector).all():
                why = "holds values that are not finite numbers of 32 bits; the file is damaged, get it again"
                raise X2StaticError(f"{path}: row {n_read}, {word!r}: {why}")
            vectors += vector.tobytes()
            counts[word] = count
            if len(counts) == most:
                break
    else:
        if table.n_rows is not None and n_read < table.n_rows:
            what = f"its header says {table.n_rows} words, it holds {n_read}"
            raise X2StaticError(f"{path}: {what}; it was cut short, get it again")
    matrix = np.frombuffer(vectors, np.float32).reshape(len(counts), table.dim)
    origin = {"rows_read": n_read, "rows_left_out": left_out}
    return Result(list(counts), np.array(list(counts.values()), np.int64), matrix, origin)


@contextmanager
def _unpacked(path: Path) -> Iterator[BinaryIO]:
    """Open a file, decompressed. Raises X2StaticError: it is damaged."""
    try:
        with open_stream(path) as stream:
            yield stream
    except DAMAGE as error:
        raise X2StaticError(f"{path}: cannot be read, or unpacked ({error}); get it again") from error


def open_table(path: Path) -> Table:
    """Return the rows of a file, by its first bytes; compressed ones (.gz, .bz2, .xz, .zst) are looked into."""
    if not path.is_file():
        raise X2StaticError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; name one of vectors")
    with _unpacked(path) as stream:
        head = stream.read(1 << 20)  # more than two rows
    for begin, why in REFUSED.items():
        if re.match(begin, head, re.DOTALL):
            raise X2StaticError(f"{path}: {why}")
    if head.startswith(FASTTEXT_MAGIC):
        return _fasttext_table(path)
    first, _, rest = head.partition(b"\n")
    if header := HEADER.fullmatch(first):
        n_rows, dim = int(header[1]), int(header[2])
        if not n_rows or not dim or not rest:
            raise X2StaticError(f"{path}: its header says {n_rows} words of {dim} dimensions; there is nothing to load")
        if _is_text(rest):
            n_numbers = [n for line in rest.split(b"\n")[:100] if (n := _trailing_numbers(line.strip()))]
            if all(n > dim for n in n_numbers) and n_numbers:  # a phrase may end in a number; not all do
                what = f"its header says {dim} dimensions, its rows have {min(n_numbers)} numbers or more"
                raise X2StaticError(f"{path}: {what}; {NO_VECTORS}")
            return Table("word2vec", dim, n_rows, _text_rows(path, dim, n_rows))
        size = path.stat().st_size
        with path.open("rb") as file:
            packed = BEGINNINGS.match(file.read(16))
        if not packed and size < 4 * n_rows * dim:
            what = f"{n_rows} words of {dim} dimensions, as its header says, are more in binary than its {size} bytes"
            raise X2StaticError(f"{path}: {what}; it was cut short, or is neither text nor binary of word2vec")
        return Table("word2vec-bin", dim, n_rows, _binary_rows(path, dim, n_rows))
    if dim := _trailing_numbers(first):
        return Table("glove", dim, None, _text_rows(path, dim, None))
    taken = "text or binary of word2vec, text of GloVe, .vec or .bin of fastText"
    raise X2StaticError(f"{path}: {'holds no word vectors' if head else 'is empty'}; --vectors takes {taken}")


def _is_text(data: bytes) -> bool:
    """Return whether bytes are text, of whatever encoding; numbers in binary have control characters among them."""
    return not CONTROLS.search(data, 0, SNIFFED_BYTES)


def _trailing_numbers(line: bytes) -> int:
    """Return how many numbers a line ends with, its first field left out: that is the word, even if it is a number."""
    fields = line.split()[1:]
    for count, item in enumerate(reversed(fields)):
        try:
            float(item)
        except ValueError:
            return count
    return len(fields)


def _text_rows(path: Path, dim: int, n_rows: int | None) -> Iterator[Row]:
    """Read text: a word and its numbers a line, between spaces; a word may hold spaces, as some of GloVe's do."""
    n_read = 0
    for number, line in enumerate(byte_lines(path, 0, 10_000_000, str(path)), 1):
        data = line.data.rstrip(b" \t\r\n")
        if not data or (n_rows is not None and number == 1):
            continue
        if n_read == n_rows:
            logger.warning("%s: its header says %s words; the rows behind them are left out", path, n_rows)
            return
        n_read += 1
        name, *fields = data.replace(b"\t", b" ").rsplit(b" ", dim)
        name = name.strip()  # of a file whose columns two spaces part
        # With a header, a phrase such as "apollo 11" is known by the number of dimensions.
        if len(fields) < dim or (n_rows is None and _trailing_numbers(name)):
            what = f"expected a word and {dim} numbers, found {len(data.split()) - 1} after the word"
            raise X2StaticError(f"{path}, line {number}: {what}; {NO_VECTORS}")
        yield name, partial(_numbers, path, number, fields), 0


def _numbers(path: Path, line: int, fields: list[bytes]) -> Vector:
    try:
        with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused
            return np.array([float(item) for item in fields]).astype(np.float32)
    except ValueError as error:
        raise X2StaticError(f"{path}, line {line}: {error}; {NO_VECTORS}") from error


def _binary_rows(path: Path, dim: int, n_rows: int) -> Iterator[Row]:
    """Read what Google's C program writes: a word, a space, the numbers as float32, and perhaps a line end."""
    buffer, start = b"", 0
    with _unpacked(path) as stream:
        stream.readline()
        for number in range(1, n_rows + 1):
            while (space := buffer.find(b" ", start)) < 0 or len(buffer) < space + 1 + 4 * dim:
                more = stream.read(BLOCK)
                if not more or (space < 0 and len(buffer) - start > BLOCK):
                    return
                buffer, start = buffer[start:] + more, 0
            row = partial(np.frombuffer, buffer, "<f4", dim, space + 1)
            word = buffer[start:space].lstrip(b"\n")
            if CONTROLS.search(word) or b"\n" in word:
                what = f"row {number} begins with {word[:40]!r}, which is no word"
                raise X2StaticError(f"{path}: {what}; damaged, or neither text nor binary of the size in its header")
            yield word, row, 0  # type: ignore[misc]  # "<f4" is float32 to numpy alone
            start = space + 1 + 4 * dim
        if behind := (buffer[start:] + stream.read(BLOCK)).strip():
            what = f"{len(behind)} bytes or more stand behind the {n_rows} words that its header says"
            raise X2StaticError(f"{path}: {what}; it is damaged, or neither text nor binary of that size")


def _fasttext_table(path: Path) -> Table:
    """Read all of fastText's .bin but the matrix; refuse a compressed, quantised, newer, damaged or cut one."""
    require_modules("baselines", "gensim")  # it knows fastText's hash
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != FASTTEXT_MAGIC:
            raise X2StaticError(f"{path}: a compressed .bin of fastText cannot be read in place; unpack it first")
        try:
            _, version, dim, *others = ARGUMENTS.unpack_from(data)
            n_buckets, shortest, longest = others[7:10]
            if version > FASTTEXT_VERSION:
                newer = f"of version {version}, newer than {FASTTEXT_VERSION}"
                raise X2StaticError(f"{path}: this .bin of fastText is {newer}; give its .vec file")
            size, n_words, n_labels, _, pruned = DICTIONARY.unpack_from(data, ARGUMENTS.size)
            position = ARGUMENTS.size + DICTIONARY.size
            words: list[tuple[bytes, int]] = []  # with their counts; behind the words, labels
            while len(words) < size and pruned <= 0 and (end := data.find(b"\0", position)) > 0:
                words.append((data[position:end], ENTRY.unpack_from(data, end + 1)[0]))
                position = end + 1 + ENTRY.size
            quantised, n_rows, columns = MATRIX.unpack_from(data, position)
        except struct.error as error:
            raise X2StaticError(f"{path}: damaged or cut short ({error}); get it again") from error
        if pruned > 0 or quantised:
            raise X2StaticError(f"{path}: this .bin of fastText is quantised; give its .vec file")
        position += MATRIX.size
        expected = (n_words + n_buckets, dim, n_words + n_labels)
        if (n_rows, columns, len(words)) != expected or len(data) < position + 4 * n_rows * columns:
            found = f"{len(data)} bytes, {len(words)} words, a matrix of {n_rows} x {columns}"
            wanted = f"{n_words} words and {n_buckets} n-grams x {dim}"
            raise X2StaticError(f"{path}: damaged or cut short ({found} for {wanted}); get it again")
    matrix = np.memmap(path, "<f4", "r", position, (n_rows, columns))
    ngrams = (shortest, longest, n_buckets)
    return Table("fasttext-bin", dim, n_words, _fasttext_rows(matrix, words[:n_words], ngrams))


def _fasttext_rows(
    matrix: npt.NDArray[np.float32], words: list[tuple[bytes, int]], ngrams: tuple[int, int, int]
) -> Iterator[Row]:
    """Yield words with the means of their own rows and those of their n-grams: shortest, longest, buckets of these."""
    from gensim.models.fasttext import ft_ngram_hashes  # an extra

    _, longest, n_buckets = ngrams

    def vector(number: int, word: bytes) -> Vector:
        rows = [number]
        if longest and n_buckets and word != b"</s>":  # the one word that fastText gives none
            rows += [len(words) + bucket for bucket in ft_ngram_hashes(word.decode(), *ngrams)]
        mean: Vector = matrix[rows].mean(axis=0, dtype=np.float32)
        return mean

    for number, (word, count) in enumerate(words):
        yield word, partial(vector, number, word), count
