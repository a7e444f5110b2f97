"""The zarr arrays of a shard: `contexts` and, for int8, `scales`; written by chunk, read by row."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from x2static.schemas.encoding import Dtype
from x2static.schemas.quantisation import ABSENT, dequantise, quantise

# The zarrs pipeline reads 768-d float16 at 7.1 GB/s, zarr's own at 2.7 (two cores, chunks of 4096 rows, DESIGN §3).
zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})

CHUNK_ROWS = 4096
# A chunk that equals the fill value is not written (zarrs 0.2.3 ignores array.write_empty_chunks), and a missing one
# reads as it. These are values that no context has: every chunk is written, and a lost one does not read as zeros.
FILL: dict[str, float] = {"float16": float("nan"), "float32": float("nan"), "int8": ABSENT}


def write_contexts(folder: Path, contexts: npt.NDArray[np.floating], dtype: Dtype) -> None:
    """Write context vectors into a shard's folder.

    Args:
        folder: of the shard; it becomes a zarr group.
        contexts: (n_contexts, dim) float16 or float32.
        dtype: number format on the disk.
    """
    zarr.create_group(folder)
    n_rows = len(contexts)
    stored = _create(folder, "contexts", contexts.shape, dtype)
    scales = _create(folder, "scales", (n_rows,), "float32") if dtype == "int8" else None
    for start in range(0, n_rows, CHUNK_ROWS):
        rows = contexts[start : start + CHUNK_ROWS]
        if scales is None:
            stored[start : start + CHUNK_ROWS] = rows.astype(np.float16)
        else:
            stored[start : start + CHUNK_ROWS], scales[start : start + CHUNK_ROWS] = quantise(rows)


def _create(folder: Path, name: str, shape: tuple[int, ...], dtype: str) -> Any:
    return zarr.create_array(
        folder,
        name=name,
        shape=shape,
        # A chunk is stored in full, so a small shard gets a chunk of its own size.
        chunks=(min(CHUNK_ROWS, max(shape[0], 1)), *shape[1:]),
        dtype=dtype,
        compressors=None,
        filters=None,
        fill_value=FILL[dtype],
    )


def read_contexts(folder: Path, start: int, stop: int | None) -> npt.NDArray[np.float16]:
    """Return rows [start, stop) of a shard's context vectors as float16, whatever they are stored as."""
    rows = np.asarray(zarr.open_array(folder / "contexts", mode="r")[start:stop])
    if rows.dtype != np.int8:
        return np.asarray(rows, dtype=np.float16)
    scales = np.asarray(zarr.open_array(folder / "scales", mode="r")[start:stop], np.float32)
    contexts = np.empty(rows.shape, np.float16)
    for first in range(0, len(rows), CHUNK_ROWS):  # or float32 would take twice the memory of what is returned
        chunk = slice(first, first + CHUNK_ROWS)
        contexts[chunk] = dequantise(rows[chunk], scales[chunk])
    return contexts
