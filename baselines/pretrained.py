"""Word vectors that others made: files of word2vec, GloVe and fastText, text or binary."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from x2static.baselines.fasttext_binary import FastTextFile, read_fasttext
from x2static.baselines.request import Made, Request
from x2static.baselines.vector_files import layout_of, read_binary, read_text
from x2static.baselines.vector_rows import VectorRows
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import hash_file

logger = logging.getLogger(__name__)


def make(request: Request) -> Made:
    """Read the vectors of the vocabulary, or, without a cache and a list of words, the first `max_vocab` of the file.

    Words must be written as they are in the vocabulary. Counts are the cache's where there is one, the file's where it
    has them, else zeros.

    Args:
        request: what is asked for; `config.vectors` is the file.

    Raises:
        X2StaticError: no file is named, it cannot be read, or holds none of the words.
    """
    path = request.config.vectors
    if path is None:
        raise X2StaticError("load needs a file of word vectors: give --vectors FILE")
    rows, kind = _read(path, request)
    for why, count in rows.left_out.items():
        if count:
            logger.warning("%s: %s rows left out: their words are %s", path, f"{count:,}", why)
    if not rows.words:
        what = f"none of the {len(request.words):,} words asked for" if request.words else "no word that can be used"
        raise X2StaticError(
            f"{path}: {what} is among its {rows.read:,} rows; is it of the same language, in UTF-8, and lower-cased "
            "where the vocabulary is?"
        )
    told: dict[str, Any] = {
        "file": {"format": kind, "xxh3": hash_file(path), "rows_read": rows.read, "rows_left_out": rows.left_out},
        "words_absent": max(0, len(request.words) - len(rows.words)),
    }
    if request.words:
        logger.info("%s of %s words have a vector", f"{len(rows.words):,}", f"{len(request.words):,}")
    if request.cache is None:
        return Made(list(rows.words), np.array(rows.counts, np.int64), rows.matrix, told)
    order = [row for row, word in enumerate(request.words) if word in rows.words]
    words = [request.words[row] for row in order]
    return Made(words, request.counts[order], rows.matrix[[rows.words[word] for word in words]], told)


def _read(path: Path, request: Request) -> tuple[VectorRows, str]:
    layout = layout_of(path)
    binary = FastTextFile.open(path) if layout.kind == "fasttext-bin" else None
    rows = VectorRows(
        file=path,
        dim=binary.dim if binary else layout.dim,
        wanted=frozenset(request.words),
        most=request.config.max_vocab,
        report=request.report,
        total=len(binary.entries) if binary else layout.rows,
    )
    if binary:
        read_fasttext(binary, rows)
    else:
        (read_binary if layout.kind == "word2vec-bin" else read_text)(layout, rows)
    return rows, layout.kind
