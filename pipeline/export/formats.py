"""Word vectors in the formats of other tools: a new format is a file beside this one and a line in `FORMATS`."""

import logging
from collections.abc import Callable
from pathlib import Path

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import end_of_links
from x2static.pipeline.export import word2vec
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

# Writes a file, whole or not at all; returns the words that the format cannot hold, which it leaves out.
Writer = Callable[[WordVectors, Path], list[str]]

FORMATS: dict[str, Writer] = {"word2vec": word2vec.write_text, "word2vec-bin": word2vec.write_binary}


def export(vectors: WordVectors, to: str, out: Path, force: bool = False) -> list[str]:
    """Write word vectors as a file of another format, whole or not at all; most frequent words first.

    `to` is a key of `FORMATS`; `force` replaces a file that is there. Returned are the words that the format cannot
    hold. Raises X2StaticError: the format is unknown or can hold none of the words, or the file is there already.
    """
    if to not in FORMATS:
        raise X2StaticError(f"--to {to}: not a format that x2static writes; choose from {', '.join(FORMATS)}")
    if out.is_dir():
        raise X2StaticError(f"{out}: is a folder; --out takes the name of a file")
    if out.exists() and not force:
        raise X2StaticError(f"{out}: is there already; remove it, or replace it with --force")
    left_out = FORMATS[to](vectors, end_of_links(out))
    if left_out:
        examples = ", ".join(map(repr, left_out[:5]))
        logger.warning("%d words left out, which the format %s cannot hold: %s", len(left_out), to, examples)
    return left_out
