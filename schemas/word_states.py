"""Word states, a pool of a shard: the mean of the states of each word's own pieces.

words.arrow  word_id, count: rows of the shard's lexicon, and their occurrences that the teacher read
codes/       zarr array (n_words, dim) int8, and scales/ (n_words,) float32: codes times scale is the mean over a
word's occurrences
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from x2static.durable.errors import X2StaticError
from x2static.schemas.shard import Shard

NAME = "word_states"
WORDS_SCHEMA = pa.schema([("word_id", pa.int32()), ("count", pa.int64())])


def word_means(shards: Iterable[Shard], words: list[str]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the mean state of each word, (n_words, dim), zeros for one without, and the occurrences in it, (n_words,).

    Raises X2StaticError: a shard has no word states, or they are damaged.
    """
    value_set = pa.array(words, pa.string())
    sums: npt.NDArray[np.float64] | None = None
    total = np.zeros(len(words), np.int64)
    for shard in shards:
        if shard.pool(NAME) is None:
            again = "the `x2static encode` that made it, with --word-states, adds them"
            raise X2StaticError(f"{shard.folder}: no word states here; {again}")
        table = shard.table(f"{NAME}/words.arrow", WORDS_SCHEMA)
        here_words = shard.lexicon()["word"].take(table["word_id"])
        places = pc.fill_null(pc.index_in(here_words, value_set=value_set), -1).to_numpy()
        here = np.flatnonzero(places >= 0)
        counts = table["count"].to_numpy()[here]
        codes, scales = (np.asarray(shard.array(f"{NAME}/{name}")[:]) for name in ("codes", "scales"))
        if sums is None:
            sums = np.zeros((len(words), codes.shape[1]))
        sums[places[here]] += codes[here] * (scales[here] * counts)[:, None]
        total[places[here]] += counts
    if sums is None:
        raise X2StaticError("no shard here")
    return (sums / np.maximum(total, 1)[:, None]).astype(np.float32), total
