"""Masked contexts, a pool of a shard: contexts read without a word, of a bounded choice of its occurrences.

words.arrow  word_id, context, draw: rows of the shard's lexicon and of its contexts, and the number by which the pair
             was chosen; a word has at most so many in all shards together
contexts/    and, for int8, scales/: what the teacher makes of the context with the word masked, a row each, in the
             form of the shard's own contexts

The lower a draw, the sooner its pair is chosen, whatever else is in the cache. So a cache that has grown or is merged
of others, where a word may have more rows than were asked for, says by itself which are the first.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json
from x2static.schemas.encoding import Dtype
from x2static.schemas.occurrences import ranks
from x2static.schemas.shard import CONTEXTS, LEXICON_SCHEMA, WORDS_SCHEMA, Shard, write_contexts, write_table

NAME = "masked"
PAIRS_SCHEMA = pa.schema([("word_id", pa.int32()), ("context", pa.int32()), ("draw", pa.uint64())])

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Draws = npt.NDArray[np.uint64]


def write_masked(folder: Path, pairs: list[tuple[int, int, int]], rows: npt.NDArray[np.floating], dtype: Dtype) -> None:
    """Write pairs (word, context, draw) and what was read of each, (n_pairs, dim), finite, into a shard's folder."""
    (folder / NAME).mkdir()
    columns = zip(*pairs, strict=True) if pairs else [()] * len(PAIRS_SCHEMA)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, PAIRS_SCHEMA.types, strict=True)]
    write_table(folder / NAME / "words.arrow", pa.table(arrays, schema=PAIRS_SCHEMA))
    write_contexts(folder / NAME, rows, dtype)


def lowest(words: Ids, draws: Draws, most: int) -> Ids:
    """Return, ascending, the places of the `most` lowest draws of each word; both arrays are (n,)."""
    order = np.lexsort((draws, words))
    return np.sort(order[ranks(words[order]) < most])


@dataclass(frozen=True)
class MaskedShard(Shard):
    """A shard whose contexts are the masked ones, each with the one word that was masked."""

    base: Shard = field(kw_only=True)
    pairs: pa.Table = field(kw_only=True)

    @classmethod
    def of(cls, base: Shard) -> "MaskedShard":
        """Return the masked contexts of a shard. Raises X2StaticError: it has none, or they are damaged."""
        if base.pool(NAME) is None:
            again = "`x2static cache masked` on the cache reads them"
            raise X2StaticError(f"{base.folder}: no masked contexts here; {again}")
        pairs = base.table(f"{NAME}/words.arrow", PAIRS_SCHEMA)
        marker = base.marker.model_copy(update={"n_contexts": len(pairs), "n_words": len(pairs)})
        return cls(base.folder, marker, base.checked, base=base, pairs=pairs)

    def array(self, name: str) -> Any:
        """Open an array as `Shard.array`, of the masked contexts in place of the shard's own."""
        return super().array(f"{NAME}/{name}" if name in (CONTEXTS, "scales") else name)

    def words(self) -> pa.Table:
        """Return the word of each masked context, a group for itself, as `Shard.words`."""
        numbers = pa.array(np.arange(len(self.pairs) + 1), pa.int32())
        words = pa.ListArray.from_arrays(numbers, self.pairs["word_id"].combine_chunks())
        return pa.table([numbers[:-1], words], schema=WORDS_SCHEMA).combine_chunks()

    def lexicon(self) -> pa.Table:
        """Return all words of the shard, and how many masked contexts each has."""
        table = self.base.lexicon()
        counts = np.bincount(self.pairs["word_id"].to_numpy(), minlength=len(table))
        return pa.table([table["word"], counts], schema=LEXICON_SCHEMA)


def masked_means(shards: Iterable[Shard], words: list[str], most: int | None = None) -> tuple[Floats, Ids]:
    """Return the mean of each word's masked contexts, (n_words, dim), zeros for one without, and their number.

    With `most`, they are the first so many of each word. Raises X2StaticError: a shard has none, or damaged ones.
    """
    value_set = pa.array(words, pa.string())
    masked = [MaskedShard.of(shard) for shard in shards]
    places = [
        pc.fill_null(pc.index_in(shard.base.lexicon()["word"].take(shard.pairs["word_id"]), value_set=value_set), -1)
        for shard in masked
    ]
    rows = np.concatenate([np.zeros(0, np.int64), *(place.to_numpy() for place in places)])
    draws = np.concatenate([np.zeros(0, np.uint64), *(shard.pairs["draw"].to_numpy() for shard in masked)])
    kept = np.zeros(len(rows), bool)
    kept[lowest(rows, draws, len(rows) if most is None else most)] = True
    kept &= rows >= 0
    counts = np.bincount(rows[kept], minlength=len(words))
    means: npt.NDArray[np.float64] | float = 0.0
    begin = 0
    for shard in masked:
        here = slice(begin, begin + len(shard.pairs))
        begin = here.stop
        contexts = shard.contexts()
        if isinstance(means, float):
            means = np.zeros((len(words), contexts.shape[1]))
        np.add.at(means, rows[here][kept[here]], contexts[kept[here]].astype(np.float64))
    return np.asarray(means / np.maximum(counts, 1)[:, None], np.float32), counts


def content_of_masked(shards: Iterable[Shard]) -> str:
    """Return the hash of the masked contexts of shards: of the hashes of their files."""
    pools = [pool.files if (pool := shard.marker.pools.get(NAME)) else None for shard in shards]
    return sha256(canonical_json(pools)).hexdigest()
