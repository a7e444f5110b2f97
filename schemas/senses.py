"""Senses of words, beside word vectors: `senses.arrow`, a row a sense, those of a word by falling share.

word string, share float32, vector and context fixed_size_list of float32, neighbours list<string>, examples list of
structs (shard int32, context int32): words of two senses and more; every other word has one, its vector.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically

SENSES = "senses.arrow"
# How far apart a word's occurrences are, at least, that are of several senses, unless another is asked for, and how
# many words are looked at, the most frequent: their states take 1 GB.
SILHOUETTE, TOP = 0.25, 20_000
# What a sense's share counts beside the cosine of a sentence's other words to those that it occurs with, when one is
# picked: of 0 to 1, this was best, docs/LOG.md, 2026-11-30.
PRIOR = 0.02

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sense:
    """One sense of a word."""

    name: str  # bank#1
    share: float  # of the word's occurrences
    vector: Floats  # (dim,), in the space of the word vectors
    neighbours: list[str]  # the words nearest to it, nearest first
    examples: list[tuple[int, int]]  # where it is most itself: shard of the cache, and context there
    context: Floats  # (dim,), the mean of the unit sums of the words around it


def sense_name(word: str, number: int) -> str:
    """Return what a sense is called; the first is 1."""
    return f"{word}#{number}"


def example_type() -> pa.DataType:
    """Return how the places of sentences are stored."""
    return pa.list_(pa.struct([("shard", pa.int32()), ("context", pa.int32())]))


@dataclass(frozen=True)
class Senses:
    """The senses of words that have several."""

    of_words: dict[str, list[Sense]]

    @cached_property
    def centroids(self) -> dict[str, tuple[Floats, Floats]]:
        """What picking needs of each word: its senses' contexts c, (n, dim), and PRIOR log share - |c|^2 / 2, (n,)."""
        return {
            word: (
                contexts := np.stack([sense.context for sense in senses]),
                np.float32(PRIOR) * np.log(np.array([sense.share for sense in senses], np.float32))
                - np.square(contexts).sum(axis=1) / 2,
            )
            for word, senses in self.of_words.items()
        }

    def pick(self, word: str, others: Floats) -> Sense:
        """Return the sense of a word by the sum of the vectors of a sentence's other words, (dim,)."""
        contexts, priors = self.centroids[word]
        length = float(np.linalg.norm(others))
        return self.of_words[word][int(np.argmax(contexts @ others / (length or 1) + priors))]

    def save(self, file: Path) -> None:
        """Write them, whole or not at all."""
        rows = [(word, sense) for word, senses in self.of_words.items() for sense in senses]
        dim = len(rows[0][1].vector) if rows else 1
        vectors, contexts = (
            pa.FixedSizeListArray.from_arrays(pa.array(np.array(some, np.float32).reshape(-1)), dim)
            for some in ([sense.vector for _, sense in rows], [sense.context for _, sense in rows])
        )
        examples = [[{"shard": shard, "context": context} for shard, context in one.examples] for _, one in rows]
        columns = {
            "word": pa.array([word for word, _ in rows], pa.string()),
            "share": pa.array([sense.share for _, sense in rows], pa.float32()),
            "vector": vectors,
            "context": contexts,
            "neighbours": pa.array([sense.neighbours for _, sense in rows], pa.list_(pa.string())),
            "examples": pa.array(examples, example_type()),
        }
        table = pa.table(columns)
        with open_atomically(file) as opened, pa.ipc.new_file(opened, table.schema) as writer:
            writer.write_table(table)

    @classmethod
    def load(cls, file: Path) -> "Senses":
        """Read what `save` wrote. Raises X2StaticError: it is something else."""
        try:
            table = pa.ipc.open_file(pa.py_buffer(file.read_bytes())).read_all()
            table.validate(full=True)
            vectors, contexts = (
                column.flatten().to_numpy().reshape(len(table), column.type.list_size)
                for column in (table[name].combine_chunks() for name in ("vector", "context"))
            )
            if not (np.isfinite(vectors).all() and np.isfinite(contexts).all()):
                raise ValueError("values that are not finite")
            of_words: dict[str, list[Sense]] = {}
            others = (table[name].to_pylist() for name in ("word", "share", "neighbours", "examples"))
            for row, (word, share, neighbours, examples) in enumerate(zip(*others, strict=True)):
                senses = of_words.setdefault(word, [])
                places = [(place["shard"], place["context"]) for place in examples]
                name = sense_name(word, len(senses) + 1)
                senses.append(Sense(name, share, vectors[row], neighbours, places, contexts[row]))
            return cls(of_words)
        except (OSError, KeyError, TypeError, ValueError, AttributeError, pa.ArrowException) as error:
            raise X2StaticError(f"{file}: the senses are damaged ({error}); make them again") from error
