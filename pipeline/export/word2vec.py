"""The formats of word2vec: text, also fastText's .vec and, without a header, GloVe's; and Google's binary."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x2static.durable.storage import open_atomically
from x2static.pipeline.export.smaller import Smaller
from x2static.schemas.vectors import WordVectors

# In both formats a space ends the word and a newline the line, and readers differ in what they take for either.
# Half a surrogate pair has no UTF-8.
UNWRITABLE = re.compile(r"^$|[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")
BLOCK_ROWS = 4096  # rows formatted at once: 768 dimensions take about 40 MB as text

Matrix = npt.NDArray[np.float32]


def write_text(vectors: WordVectors, out: Path, smaller: Smaller) -> None:
    """Write text: a header, then a word and its numbers a line, with nine digits: they tell any two float32 apart.

    Example: `export(WordVectors.load("runs/demo"), "word2vec", Path("demo.txt"))`.
    """
    _write(vectors, out, _lines)


def write_glove(vectors: WordVectors, out: Path, smaller: Smaller) -> None:
    """Write the same without the header."""
    _write(vectors, out, _lines, header=False)


def write_binary(vectors: WordVectors, out: Path, smaller: Smaller) -> None:
    """Write Google's binary format: a header, then a word, a space, its numbers as little-endian float32, a newline."""

    def lines(words: Sequence[str], matrix: Matrix) -> Iterator[bytes]:
        rows = matrix.astype("<f4")
        return (word.encode() + b" " + row.tobytes() + b"\n" for word, row in zip(words, rows, strict=True))

    _write(vectors, out, lines)


def _lines(words: Sequence[str], matrix: Matrix) -> Iterator[bytes]:
    line = " ".join(["%s", *["%.9g"] * matrix.shape[1]]) + "\n"
    return ((line % (word, *row)).encode() for word, row in zip(words, matrix.tolist(), strict=True))


def _write(
    vectors: WordVectors, out: Path, lines: Callable[[Sequence[str], Matrix], Iterator[bytes]], header: bool = True
) -> None:
    with open_atomically(out) as file:
        if header:
            file.write(f"{len(vectors)} {vectors.dim}\n".encode())
        for start in range(0, len(vectors), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            file.write(b"".join(lines(vectors.words[block], vectors.matrix[block])))
