"""Subwords: vectors of character n-grams, from which a word that a vocabulary lacks gets a vector.

The n-grams are fastText's: of the word in lower case between "<" and ">", of 3 to 6 characters, marks included, but not
the whole (Bojanowski, Grave, Joulin & Mikolov, TACL 2017). A word's vector is the sum over those that have a vector,
each as often as it occurs, divided by a power of their number.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically

SUBWORDS = "subwords.arrow"  # ngram string, vector fixed_size_list of float16; the power in the schema's metadata
SHORTEST, LONGEST = 3, 6  # characters


def ngrams_of(word: str) -> list[str]:
    """Return the n-grams of a word, shorter ones first, one as often as it occurs."""
    marked = f"<{word.lower()}>"
    lengths = range(SHORTEST, min(LONGEST, len(marked) - 1) + 1)
    return [marked[start : start + n] for n in lengths for start in range(len(marked) - n + 1)]


@dataclass(frozen=True)
class Subwords:
    """Vectors of n-grams."""

    ngrams: list[str]
    matrix: npt.NDArray[np.float16]  # (len(ngrams), dim), a row an n-gram
    power: float  # of the number of n-grams, by which their sum is divided: 1 for their mean

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of each n-gram."""
        return {ngram: row for row, ngram in enumerate(self.ngrams)}

    def vector(self, word: str) -> npt.NDArray[np.float32] | None:
        """Return the vector of a word, (dim,); None where none of its n-grams has one."""
        rows = [row for row in map(self.index.get, ngrams_of(word)) if row is not None]
        if not rows:
            return None
        total = self.matrix.take(rows, axis=0).sum(axis=0, dtype=np.float32)
        return np.asarray(total / np.float32(len(rows) ** self.power))

    def vectors(self, words: Iterable[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Return the vectors of those of the words that have one, by word."""
        vectors = ((word, self.vector(word)) for word in words)
        return {word: vector for word, vector in vectors if vector is not None}

    def save(self, file: Path) -> None:
        """Write them, whole or not at all."""
        values = pa.array(self.matrix.reshape(-1), pa.float16())
        columns = [pa.array(self.ngrams, pa.string()), pa.FixedSizeListArray.from_arrays(values, self.matrix.shape[1])]
        table = pa.table(columns, ["ngram", "vector"]).replace_schema_metadata({"power": str(self.power)})
        with open_atomically(file) as opened, pa.ipc.new_file(opened, table.schema) as writer:
            writer.write_table(table)

    @classmethod
    def load(cls, file: Path) -> "Subwords":
        """Read what `save` wrote. Raises X2StaticError: it is something else."""
        try:
            table = pa.ipc.open_file(pa.py_buffer(file.read_bytes())).read_all()
            table.validate(full=True)
            vectors = table["vector"].combine_chunks()
            matrix = vectors.flatten().to_numpy().reshape(len(table), vectors.type.list_size)
            if not np.isfinite(matrix).all() or table["ngram"].null_count:
                raise ValueError("values that are not finite, or n-grams that are missing")
            return cls(table["ngram"].to_pylist(), matrix, float(table.schema.metadata[b"power"]))
        except (OSError, KeyError, TypeError, ValueError, AttributeError, pa.ArrowException) as error:
            raise X2StaticError(f"{file}: the subwords are damaged ({error}); make them again") from error
