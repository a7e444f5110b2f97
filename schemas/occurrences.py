"""Occurrences, a pool of a shard: of each word a sample of its occurrences, with the state of each.

rows.arrow   word_id, context, draw: the word, in the shard's lexicon, and the context, a row of the shard, of an
             occurrence, and a number drawn for it; by word, then by draw
codes/       as in `word_states.py`, with scales/ and centre/: the mean of the states of the occurrence's own pieces

The occurrences of the lowest draws, of all shards together, are the sample of a word, whichever shards there are: how
many a cache keeps of each word is in the pool's name, occurrences_64. States in codes take a fifth of what they take in
float16; docs/LOG.md, 2026-11-30, has what that does to senses.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from x2static.schemas.shard import Shard, write_table
from x2static.schemas.word_states import Floats, Ids, read_codes, row_bytes, write_codes

NAME = "occurrences"
ROWS_SCHEMA = pa.schema([("word_id", pa.int32()), ("context", pa.int32()), ("draw", pa.uint32())])


def pool_of(n: int) -> str:
    """Return what the pool that keeps n occurrences of a word is called."""
    return f"{NAME}_{n}"


def n_of(pool: str) -> int | None:
    """Return how many occurrences of a word a pool of this kind keeps; None for any other pool."""
    match = re.fullmatch(rf"{NAME}_([1-9][0-9]{{0,8}})", pool)
    return int(match[1]) if match else None


def occurrence_bytes(dim: int) -> float:
    """Return what an occurrence takes."""
    return 4 + row_bytes(dim)


def write_occurrences(folder: Path, pool: str, rows: Sequence[npt.NDArray[np.int64]], states: Floats) -> None:
    """Write occurrences: their words, contexts and draws, (n,) each, and finite states, (n, dim) float32."""
    (folder / pool).mkdir()
    columns = [pa.array(column, kind) for column, kind in zip(rows, ROWS_SCHEMA.types, strict=True)]
    write_table(folder / pool / "rows.arrow", pa.table(columns, schema=ROWS_SCHEMA))
    write_codes(folder / pool, states)


@dataclass(frozen=True)
class Sample:
    """Occurrences of some words; (n,) each, by word, and of a word by draw, the lowest first."""

    words: Ids  # the row of the word of each, among those that were asked for
    shards: Ids  # its shard
    contexts: Ids  # its context there
    states: npt.NDArray[np.float16]  # (n, dim), the mean state of its pieces

    def of(self, word: int) -> slice:
        """Return the rows of a word."""
        first, last = np.searchsorted(self.words, [word, word + 1])
        return slice(int(first), int(last))


def ranks(words: Ids) -> Ids:
    """Return, of rows by word, (n,) ascending, how many of the same word stand before each."""
    return np.arange(len(words)) - np.searchsorted(words, words)


def sample_of(shards: Iterable[Shard], words: list[str], n: int) -> Sample:
    """Return the n occurrences of each word with the lowest draws, or all, if there are fewer.

    Raises X2StaticError: a shard lacks the pool that keeps n of a word, or it is damaged.
    """
    pool, value_set, shards = pool_of(n), pa.array(words, pa.string()), list(shards)
    of_shards = []
    for number, shard in enumerate(shards):
        table = shard.table(f"{pool}/rows.arrow", ROWS_SCHEMA)
        places = pc.fill_null(pc.index_in(shard.lexicon()["word"], value_set=value_set), -1).to_numpy()
        of_rows = places[table["word_id"].to_numpy()]
        rows = np.flatnonzero(of_rows >= 0)
        draws, contexts = (table[name].to_numpy()[rows].astype(np.int64) for name in ("draw", "context"))
        of_shards.append(np.stack([of_rows[rows], draws, np.full(len(rows), number), contexts, rows]))
    listed = np.concatenate(of_shards, axis=1)
    listed = listed[:, np.lexsort(listed[2::-1])]  # by word, draw, shard
    of_words, _, numbers, contexts, rows = listed[:, ranks(listed[0]) < n]
    states = np.zeros((len(rows), 0), np.float16)
    for number, shard in enumerate(shards):
        codes, scales, centre = read_codes(shard, pool)
        if not states.size:
            states = np.zeros((len(rows), len(centre)), np.float16)
        here = np.flatnonzero(numbers == number)
        states[here] = centre + codes[rows[here]] * scales[rows[here], None]
    return Sample(of_words, numbers, contexts, states)
