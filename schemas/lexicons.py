"""The words of several shards together, with their counts."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from x2static.schemas.shard import Shard  # it brings zarr, which a list of words does not need

# Lexicons are added up once so many rows are waiting: memory stays near the merged lexicon's, however many shards.
PENDING_ROWS = 4_000_000
# 64-bit offsets: a merged lexicon may pass the 2 GB of text that pa.string() holds.
LEXICON_SCHEMA = pa.schema([("word", pa.large_string()), ("count", pa.int64())])


def merge_lexicons(shards: "Iterable[Shard]") -> pa.Table:
    """Return `word` large_string and `count` int64 of all shards together, each word once, in no particular order."""
    merged = LEXICON_SCHEMA.empty_table()
    pending: list[pa.Table] = []
    rows = 0
    for shard in shards:
        pending.append(shard.lexicon().cast(LEXICON_SCHEMA))
        rows += len(pending[-1])
        if rows > max(PENDING_ROWS, len(merged)):
            merged, pending, rows = _add_up([merged, *pending]), [], 0
    return _add_up([merged, *pending])


def by_count(lexicon: pa.Table) -> pa.Table:
    """Return a lexicon with the most frequent words first, ties by word."""
    return lexicon.sort_by([("count", "descending"), ("word", "ascending")])


def _add_up(lexicons: list[pa.Table]) -> pa.Table:
    sums = pa.concat_tables(lexicons).group_by("word").aggregate([("count", "sum")])
    return sums.select(["word", "count_sum"]).rename_columns(["word", "count"])
