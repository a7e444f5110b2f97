"""gensim's KeyedVectors in its own format, which is a pickle: gensim writes and reads it, we only write."""

from pathlib import Path

import numpy as np

from x2static.durable.storage import open_atomically
from x2static.pipeline.export.smaller import Smaller
from x2static.schemas.vectors import WordVectors


def write(vectors: WordVectors, out: Path, smaller: Smaller) -> None:
    """Write one file, counts included. Example of use: `gensim.models.KeyedVectors.load("vectors.kv")`."""
    from gensim.models import KeyedVectors

    keyed = KeyedVectors(vectors.dim)
    keyed.add_vectors(vectors.words, vectors.matrix)
    keyed.allocate_vecattrs(["count"], [np.int64])
    keyed.expandos["count"] = vectors.counts.astype(np.int64)
    with open_atomically(out) as file:
        keyed.save(file)  # in one piece: by name it would lay the matrix beside it
