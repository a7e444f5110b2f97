"""fastText's .bin: a word's vector is the mean of its own row and those of its character n-grams.

gensim's reader holds the whole matrix in memory three times over; this one reads the rows of the words asked for.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x2static.baselines.fitting import gensim_models
from x2static.baselines.vector_files import FASTTEXT_MAGIC
from x2static.baselines.vector_rows import VectorRows
from x2static.durable.errors import X2StaticError

# As fastText's Args::save, Dictionary::save and Matrix::save write them, little-endian, nothing in between.
ARGUMENTS = struct.Struct("<4si12id")
DICTIONARY = struct.Struct("<3iqq")
ENTRY = struct.Struct("<qb")
MATRIX = struct.Struct("<?qq")
VERSION = 12
END_OF_SENTENCE = b"</s>"  # the one word that fastText gives no n-grams


@dataclass(frozen=True)
class FastTextFile:
    """What the beginning of a .bin says.

    Attributes:
        dim: numbers in a row.
        buckets: rows for n-grams, behind those of the words.
        shortest: characters of the shortest n-gram.
        longest: characters of the longest one; 0 for none.
        entries: words, with their counts, in the order of their rows.
        offset: byte of the file where the matrix begins.
    """

    dim: int
    buckets: int
    shortest: int
    longest: int
    entries: list[tuple[bytes, int]]
    offset: int

    @classmethod
    def open(cls, path: Path) -> "FastTextFile":
        """Read all but the matrix.

        Raises:
            X2StaticError: it is compressed, quantised, of a newer version, damaged or cut short.
        """
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] != FASTTEXT_MAGIC:
                raise X2StaticError(f"{path}: a compressed .bin of fastText cannot be read in place; unpack it first")
            try:
                return cls._parse(path, data)
            except (struct.error, ValueError) as error:
                raise X2StaticError(f"{path}: damaged or cut short ({error}); get it again") from error

    @classmethod
    def _parse(cls, path: Path, data: mmap.mmap) -> "FastTextFile":
        _, version, dim, *others, _ = ARGUMENTS.unpack_from(data)
        buckets, shortest, longest = others[7:10]
        size, words, labels, _, pruned = DICTIONARY.unpack_from(data, ARGUMENTS.size)
        if version > VERSION or pruned > 0:
            what = "quantised" if version <= VERSION else f"of version {version}, newer than {VERSION}"
            raise X2StaticError(f"{path}: this .bin of fastText is {what}; give its .vec file")
        entries, position = _entries(data, ARGUMENTS.size + DICTIONARY.size, size)
        quantised, rows, columns = MATRIX.unpack_from(data, position)
        if quantised:
            raise X2StaticError(f"{path}: this .bin of fastText is quantised; give its .vec file")
        position += MATRIX.size
        expected = words + buckets
        if (rows, columns, size) != (expected, dim, words + labels) or len(data) < position + 4 * rows * columns:
            raise ValueError(
                f"{len(data)} bytes, a matrix of {rows} x {columns} for {words} words and {buckets} n-grams x {dim}"
            )
        return cls(dim, buckets, shortest, longest, entries[:words], position)


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


def read_fasttext(file: FastTextFile, rows: VectorRows) -> None:
    """Read the vectors of words, n-grams added in, and their counts.

    Raises:
        X2StaticError: gensim, which knows fastText's hash, is missing; or a value is not finite.
    """
    gensim_models()
    shape = (len(file.entries) + file.buckets, file.dim)
    matrix = np.memmap(rows.file, "<f4", "r", file.offset, shape)
    for row, (raw, count) in enumerate(file.entries):
        if rows.full:
            return
        if (word := rows.wants(raw)) is not None:
            rows.add(word, _vector(file, matrix, row, word), count)


def _vector(file: FastTextFile, matrix: npt.NDArray[np.float32], row: int, word: str) -> npt.NDArray[np.float32]:
    parts = [row, *(len(file.entries) + bucket for bucket in _buckets(file, word))]
    vector: npt.NDArray[np.float32] = matrix[parts].mean(axis=0, dtype=np.float32)
    return vector


def _buckets(file: FastTextFile, word: str) -> Iterator[int]:
    from gensim.models.fasttext import ft_ngram_hashes

    if file.longest and file.buckets and word.encode() != END_OF_SENTENCE:
        yield from ft_ngram_hashes(word, file.shortest, file.longest, file.buckets)
