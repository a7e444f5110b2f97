"""Word vectors in the formats of other tools."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

Format = Literal["word2vec", "word2vec-bin"]

# In both formats a space ends the word and a newline the line, and readers differ in what they take for either.
# Half a surrogate pair has no UTF-8.
UNWRITABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")
BLOCK_ROWS = 4096  # rows formatted at once: 768 dimensions take about 40 MB as text
EXAMPLES = 5  # words left out that the warning names


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes:
        words_written: words in the file.
        words_left_out: words that the format cannot hold.
        path: the file.
    """

    words_written: int
    words_left_out: int
    path: Path


def export(vectors: WordVectors, to: Format, out: Path, force: bool = False) -> ExportResult:
    """Write word vectors as a file of another format, whole or not at all; most frequent words first.

    Args:
        vectors: the word vectors.
        to: "word2vec", text, numbers with nine digits, which read back to the same float32; or "word2vec-bin", the
            binary format of Google's C program.
        out: the file; its folder is made if missing.
        force: whether a file that is there already is replaced.

    Raises:
        X2StaticError: the format is unknown, the file is there already, or the format can hold none of the words.
    """
    if to not in get_args(Format):
        raise X2StaticError(f"--to {to}: not a format that x2static writes; choose from {', '.join(get_args(Format))}")
    if out.is_dir():
        raise X2StaticError(f"{out}: is a folder; --out takes the name of a file")
    if out.exists() and not force:
        raise X2StaticError(f"{out}: is there already; remove it, or replace it with --force")
    rows = _writable_rows(vectors.words, to)
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = _text_lines if to == "word2vec" else _binary_lines
    with open_atomically(out) as file:
        file.write(f"{len(rows)} {vectors.dim}\n".encode())
        for start in range(0, len(rows), BLOCK_ROWS):
            block = rows[start : start + BLOCK_ROWS]
            file.write(b"".join(lines([vectors.words[row] for row in block], vectors.matrix[block])))
    return ExportResult(len(rows), len(vectors) - len(rows), out)


def _writable_rows(words: list[str], to: Format) -> list[int]:
    rows = [row for row, word in enumerate(words) if word and not UNWRITABLE.search(word)]
    if not rows:
        raise X2StaticError(f"the format {to} can hold none of the {len(words)} words; nothing was written")
    if len(rows) < len(words):
        kept = set(rows)
        left_out = [word for row, word in enumerate(words) if row not in kept]
        examples = ", ".join(repr(word) for word in left_out[:EXAMPLES])
        logger.warning("%d words left out, which the format %s cannot hold: %s", len(left_out), to, examples)
    return rows


def _text_lines(words: list[str], matrix: npt.NDArray[np.float32]) -> Iterator[bytes]:
    # Nine digits tell any two float32 apart; matrix (len(words), dim) float32.
    line = " ".join(["%s", *["%.9g"] * matrix.shape[1]]) + "\n"
    for word, row in zip(words, matrix.tolist(), strict=True):
        yield (line % (word, *row)).encode()


def _binary_lines(words: list[str], matrix: npt.NDArray[np.float32]) -> Iterator[bytes]:
    for word, row in zip(words, matrix.astype("<f4"), strict=True):
        yield word.encode() + b" " + row.tobytes() + b"\n"
