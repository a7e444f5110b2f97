"""Word states, a pool of a shard: the mean of the states of each word's own pieces.

words.arrow  word_id, count: rows of the shard's lexicon, and their occurrences that the teacher read
codes/       zarr array (n_words, dim) int8, compressed; scales/ (n_words,) and centre/ (dim,), float32: centre plus
             codes times scale is the mean over a word's occurrences

The centre is the mean of the rows; without it, the few values that are large in every state of some teachers would make
the codes of all others coarse. A code's unit is STEP times the mean magnitude of its row, which compression turns into
3.2 bits a value; cosines to what is stored are 0.991, and means over several rows are nearer (docs/LOG.md, 2026-11-29).

The states of a further layer (`x2static encode --state-layers`) are a pool of their own, of the same form and words, in
a folder that is called after the layer: word_states_3, or word_states_last in a cache of another layer.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import LAST, Layer
from x2static.schemas.shard import CHUNK_ROWS, Shard, create_array, quantise, write_table, zarrs_errors

NAME = "word_states"
WORDS_SCHEMA = pa.schema([("word_id", pa.int32()), ("count", pa.int32())])
STEP = 0.6

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


def pool_of(layer: Layer | str) -> str:
    """Return what the pool of a further layer is called."""
    return f"{NAME}_{layer}"


def layer_of(pool: str) -> Layer | None:
    """Return the further layer that a pool is of; None for any other pool."""
    match = re.fullmatch(rf"{NAME}_({LAST}|0|[1-9][0-9]*)", pool)
    return None if match is None else LAST if match[1] == LAST else int(match[1])


def row_bytes(dim: int) -> float:
    """Return what a word takes: its number, count and scale, and codes of about 3.3 bits."""
    return 12 + 3.3 / 8 * dim


def write_word_states(folder: Path, rows: Ids, counts: Ids, means: Floats, pool: str = NAME) -> None:
    """Write words, (n,), by their rows in the lexicon, their occurrences, (n,), and finite means, (n, dim) float32."""
    (folder / pool).mkdir()
    columns = [pa.array(rows, pa.int32()), pa.array(counts, pa.int32())]
    write_table(folder / pool / "words.arrow", pa.table(columns, schema=WORDS_SCHEMA))
    write_codes(folder / pool, means)


def write_codes(folder: Path, vectors: Floats) -> None:
    """Write finite vectors, (n, dim) float32, into a pool's folder, as codes with scales about their centre."""
    centre = vectors.mean(0) if len(vectors) else vectors.sum(0)
    codes, scales = quantise(vectors - centre, STEP)
    chunk = min(CHUNK_ROWS, max(len(codes), 1))
    for name, array, chunks in (
        ("codes", codes, (chunk, codes.shape[1])),
        ("scales", scales, (chunk,)),
        ("centre", centre, centre.shape),
    ):
        stored = create_array(folder, name, array.shape, array.dtype.name, chunks, compressed=name == "codes")
        with zarrs_errors(folder / name):
            stored[:] = array


def read_codes(shard: Shard, pool: str) -> tuple[npt.NDArray[np.int8], Floats, Floats]:
    """Return the codes, (n, dim), scales, (n,), and centre, (dim,), of a pool. Raises DamagedShard."""
    codes, scales, centre = (_read(shard, pool, name) for name in ("codes", "scales", "centre"))
    return codes, scales, centre


def word_means(shards: Iterable[Shard], words: list[str], pool: str = NAME) -> tuple[Floats, Ids]:
    """Return the mean state of each word, (n_words, dim), zeros for one without, and the occurrences in it, (n_words,).

    Raises X2StaticError: a shard has no word states, or they are damaged.
    """
    value_set = pa.array(words, pa.string())
    sums: npt.NDArray[np.float64] | None = None
    total = np.zeros(len(words), np.int64)
    for shard in shards:
        if shard.pool(pool) is None:
            layer = layer_of(pool)
            of_layer, option = ("", "word-states") if layer is None else (f" of layer {layer}", f"state-layers {layer}")
            again = f"the `x2static encode` that made it, with --{option}, adds them"
            raise X2StaticError(f"{shard.folder}: no word states{of_layer} here; {again}")
        table = shard.table(f"{pool}/words.arrow", WORDS_SCHEMA)
        here_words = shard.lexicon()["word"].take(table["word_id"])
        places = pc.fill_null(pc.index_in(here_words, value_set=value_set), -1).to_numpy()
        here = np.flatnonzero(places >= 0)
        counts = table["count"].to_numpy()[here]
        codes, scales, centre = read_codes(shard, pool)
        if sums is None:
            sums = np.zeros((len(words), len(centre)))
        sums[places[here]] += (centre + codes[here] * scales[here, None]) * counts[:, None]
        total[places[here]] += counts
    if sums is None:
        raise X2StaticError("no shard here")
    return (sums / np.maximum(total, 1)[:, None]).astype(np.float32), total


def _read(shard: Shard, pool: str, name: str) -> npt.NDArray[Any]:
    """Return an array of the pool. Raises DamagedShard: it is not as it was written."""
    array = shard.array(f"{pool}/{name}")
    with zarrs_errors(shard.folder / pool / name):
        return np.asarray(array[:])
