"""Word vectors in the formats of other tools: a new format is a file beside this one and a line in `FORMATS`."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from x2static.durable.errors import X2StaticError
from x2static.pipeline.export import word2vec
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

# Writes a file, whole or not at all; returns the words that the format cannot hold, which it leaves out.
Writer = Callable[[WordVectors, Path], list[str]]

FORMATS: dict[str, Writer] = {
    "word2vec": word2vec.write_text,
    "word2vec-bin": word2vec.write_binary,
}
EXAMPLES = 5  # words left out that the warning names


@dataclass(frozen=True)
class ExportResult:
    """What was written."""

    words_written: int
    words_left_out: int
    path: Path


def export(vectors: WordVectors, to: str, out: Path, force: bool = False) -> ExportResult:
    """Write word vectors as a file of another format, whole or not at all; most frequent words first.

    Args:
        vectors: the word vectors.
        to: the format, a key of `FORMATS`.
        out: the file; its folder is made if missing.
        force: whether a file that is there already is replaced.

    Raises:
        X2StaticError: the format is unknown, the file is there already, or the format can hold none of the words.
    """
    if to not in FORMATS:
        raise X2StaticError(f"--to {to}: not a format that x2static writes; choose from {', '.join(FORMATS)}")
    if out.is_dir():
        raise X2StaticError(f"{out}: is a folder; --out takes the name of a file")
    if out.exists() and not force:
        raise X2StaticError(f"{out}: is there already; remove it, or replace it with --force")
    left_out = FORMATS[to](vectors, out)
    if left_out:
        examples = ", ".join(repr(word) for word in left_out[:EXAMPLES])
        logger.warning("%d words left out, which the format %s cannot hold: %s", len(left_out), to, examples)
    return ExportResult(len(vectors) - len(left_out), len(left_out), out)
