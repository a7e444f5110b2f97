"""One shard: a folder with the contexts, the words and the further pools of one unit, written whole or not at all.

Context vectors are float16, or int8 at half the size: a row is codes from -127 to 127 times one float32 scale, its
largest magnitude over 127. What that does to word similarity is measured in docs/LOG.md.
"""

import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zarr
from pydantic import ValidationError

from x2static.durable.errors import REMEDY, DamagedShard, X2StaticError
from x2static.durable.storage import TEMPORARY, canonical_json, hash_file, read_json, sync, sync_all, temporary_folder
from x2static.schemas.encoding import Dtype
from x2static.schemas.manifest import Marker, PoolMarker

MARKER = "shard.json"
CONTEXTS = "contexts"  # the pool that every shard has; its files are the shard's own
WORDS_SCHEMA = pa.schema([("paragraph", pa.int32()), ("word_ids", pa.list_(pa.int32()))])
LEXICON_SCHEMA = pa.schema([("word", pa.string()), ("count", pa.int64())])
CHUNK_ROWS = 4096
LARGEST = 127  # magnitude of an int8 code
ABSENT = -128  # no row has this code, so it stands for "not there": a chunk that is lost reads as NaN, not as zeros
WritePool = Callable[[Path], None]  # writes a pool's arrays into a shard's folder, under the pool's name
# Arrays are read and written by zarrs: 7.1 GB/s, by zarr's own pipeline 2.7. An array takes its pipeline when it is
# opened; the settings are the whole process's, so one thread opens at a time.
ZARRS = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}
_OPENING = threading.Lock()


def ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return start, start + 1 ... start + length - 1 for each pair, one after the other; (sum of lengths,) int64."""
    before = np.cumsum(lengths) - lengths
    return np.asarray(np.repeat(starts - before, lengths) + np.arange(int(lengths.sum())))


@dataclass(frozen=True)
class ShardWords:
    """The words and contexts of one unit, without vectors."""

    paragraphs: npt.NDArray[np.int32]  # (n_contexts,) int32, number of the kept paragraph within the unit
    word_offsets: npt.NDArray[np.int32]  # (n_contexts + 1,) int32; from [i] to [i + 1] are the ids of context i
    word_ids: npt.NDArray[np.int32]  # (n_words,) int32, into `lexicon`, every occurrence, in text order
    lexicon: list[str]  # the distinct words of the shard, in order of first occurrence
    counts: npt.NDArray[np.int64]  # (len(lexicon),) int64, occurrences in the shard
    n_paragraphs: int  # paragraphs kept by the filter
    n_tokens: int  # pieces that the teacher read


def shard_name(index: int) -> str:
    """Return the folder name of a shard."""
    return f"{index:06d}"


def staged_folder(shards: Path, index: int) -> Path:
    """Return where a shard, or what is added to it, is written before it gets its name."""
    return shards / f"{TEMPORARY}{shard_name(index)}"


def stage_shard(
    shards: Path,
    index: int,
    marker: Marker,
    pools: Mapping[str, WritePool],
    settings: Mapping[str, str],
    words: ShardWords | None,
) -> Marker:
    """Write a shard, or further pools of one, under a temporary name, and return its marker as written.

    `settings` are what was asked of each further pool, `words` what is no pool's. `commit_folder` gives the whole its
    name; without words, `commit_pools` gives the pools theirs. Counts and hashes of the marker are filled in.
    """
    with temporary_folder(staged_folder(shards, index)) as folder:
        zarr.create_group(folder)
        for write in pools.values():
            write(folder)
        if words:
            lists = pa.ListArray.from_arrays(words.word_offsets, words.word_ids)
            write_table(folder / "words.arrow", pa.table([words.paragraphs, lists], schema=WORDS_SCHEMA))
            columns = [pa.array(words.lexicon, pa.string()), words.counts]
            write_table(folder / "lexicon.arrow", pa.table(columns, schema=LEXICON_SCHEMA))
        files, further = hash_files(folder), dict(marker.pools)
        for pool in sorted(settings):
            own = {name: files.pop(name) for name in list(files) if name.startswith(f"{pool}/")}
            further[pool] = PoolMarker(settings=settings[pool], files=own)
        changed: dict[str, Any] = {"pools": further}
        if words:
            changed |= {"n_paragraphs": words.n_paragraphs, "n_contexts": len(words.paragraphs), "files": files}
            changed |= {"n_words": len(words.word_ids), "n_tokens": words.n_tokens}
        complete = marker.model_copy(update=changed)
        (folder / MARKER).write_bytes(canonical_json(complete.model_dump()))
        sync_all(folder)
    return complete


def commit_pools(shards: Path, index: int, names: Iterable[str]) -> None:
    """Move staged pools into their shard, and then its marker; killed in between, that knows none of these files."""
    folder, staged = shards / shard_name(index), staged_folder(shards, index)
    for name in names:
        if (folder / name).exists():
            shutil.rmtree(folder / name)
        (staged / name).rename(folder / name)
    sync(folder)
    (staged / MARKER).replace(folder / MARKER)
    sync(folder)
    shutil.rmtree(staged)


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow file."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def hash_files(folder: Path) -> dict[str, str]:
    """Return the xxh3 of every file below a folder except the marker, by its relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MARKER)
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}


@dataclass(frozen=True)
class Shard:
    """A committed shard, to read."""

    folder: Path  # where it is
    marker: Marker  # its commit marker

    @classmethod
    def open(cls, folder: Path) -> "Shard":
        """Open a shard by its marker. Raises DamagedShard, or X2StaticError: a newer version of x2static wrote it."""
        path = folder / MARKER
        if not path.is_file():
            raise DamagedShard(f"{folder}: its marker {MARKER} is missing; {REMEDY}")
        try:
            marker = Marker.model_validate(read_json(path))
        except ValidationError as error:
            fields = ", ".join(str(item["loc"][0]) for item in error.errors() if item["loc"])
            if all(item["type"] == "extra_forbidden" for item in error.errors()):
                raise X2StaticError(f"{path}: written by a newer x2static ({fields}); update this one") from error
            raise DamagedShard(f"{path}: not a valid marker ({fields}); {REMEDY}") from error
        except X2StaticError as error:
            raise DamagedShard(f"{error}; {REMEDY}") from error
        for name in marker.files:
            if not (folder / name).is_file():  # zarr would read a missing chunk as its fill value, without a word
                raise DamagedShard(f"{folder}: {name} is missing; {REMEDY}")
        return cls(folder, marker)

    def contexts(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.float16]:
        """Return rows [start, stop) of the context vectors, (stop - start, dim), however they are stored."""
        rows: npt.NDArray[Any] = open_array(self.folder / CONTEXTS)[start:stop]
        if rows.dtype != np.int8:
            return rows
        scales = open_array(self.folder / "scales")[start:stop]
        contexts = np.empty(rows.shape, np.float16)
        for first in range(0, len(rows), CHUNK_ROWS):  # or float32 would take twice the memory of what is returned
            chunk = slice(first, first + CHUNK_ROWS)
            contexts[chunk] = dequantise(rows[chunk], scales[chunk])
        return contexts

    def words(self) -> pa.Table:
        """Return, per context, `paragraph` int32 and `word_ids` list<int32>, as a single chunk."""
        return read_table(self.folder / "words.arrow")

    def lexicon(self) -> pa.Table:
        """Return `word` string and `count` int64 of the shard's distinct words."""
        return read_table(self.folder / "lexicon.arrow")

    def damage(self) -> list[str]:
        """Hash the shard's own files; return a line for each that is missing or has changed."""
        return self._damage(self.marker.files)

    def pool_damage(self) -> dict[str, list[str]]:
        """Hash the files of further pools; return the lines of each pool that is not as it was written, by its name."""
        return {name: lines for name, pool in self.marker.pools.items() if (lines := self._damage(pool.files))}

    def pool(self, name: str) -> PoolMarker | None:
        """Return what the marker says of a further pool; None where it has none, or its files were removed."""
        pool = self.marker.pools.get(name)
        return pool if pool and all((self.folder / file).is_file() for file in pool.files) else None

    def _damage(self, files: Mapping[str, str]) -> list[str]:
        lines = []
        for name, expected in sorted(files.items()):
            if not (self.folder / name).is_file():
                lines.append(f"{name} is missing")
            elif hash_file(self.folder / name) != expected:
                lines.append(f"{name} has changed since it was written")
        return lines

    def strangers(self) -> list[str]:
        """Return a line for each file in the folder that the marker does not list."""
        paths = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
        return [f"{name} does not belong to it" for name in sorted({*paths} - {*self.marker.all_files(), MARKER})]


def read_table(path: Path) -> pa.Table:
    """Return what an Arrow file holds, as a single chunk. Raises DamagedShard: it is none."""
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all().combine_chunks()
    except pa.ArrowInvalid as error:
        raise DamagedShard(f"{path}: not a valid Arrow file ({error}); {REMEDY}") from error


def open_array(path: Path) -> Any:
    """Open a zarr array to read."""
    with _OPENING, zarr.config.set(ZARRS):
        return zarr.open_array(path, mode="r")


def create_array(folder: Path, name: str, shape: tuple[int, ...], dtype: str, chunks: tuple[int, ...]) -> Any:
    """Create an uncompressed zarr array in a shard's folder; a chunk is stored in full, whatever is in it."""
    # A chunk of the fill value alone is not written (zarrs 0.2.3 ignores array.write_empty_chunks), and a missing one
    # reads as it. These no context has: every chunk is written, and a lost one does not read as zeros.
    fill = ABSENT if dtype == "int8" else float("nan")
    stored: dict[str, Any] = {"compressors": None, "filters": None, "fill_value": fill}
    with _OPENING, zarr.config.set(ZARRS):
        return zarr.create_array(folder, name=name, shape=shape, chunks=chunks, dtype=dtype, **stored)


def write_contexts(folder: Path, contexts: npt.NDArray[np.floating], dtype: Dtype) -> None:
    """Write context vectors, (n_contexts, dim) float16 or float32, into a shard's folder, a zarr group.

    `dtype` is the number format on the disk; int8 has scales beside it, (n_contexts,) float32.
    """
    n_rows, dim = contexts.shape
    chunk = min(CHUNK_ROWS, max(n_rows, 1))  # so a small shard gets a chunk of its own size
    stored = create_array(folder, CONTEXTS, (n_rows, dim), dtype, (chunk, dim))
    scales = create_array(folder, "scales", (n_rows,), "float32", (chunk,)) if dtype == "int8" else None
    for start in range(0, n_rows, CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        if scales is None:
            stored[rows] = contexts[rows].astype(np.float16)
        else:
            stored[rows], scales[rows] = quantise(contexts[rows])


def quantise(rows: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return codes of finite rows, (n, dim) int8 rounded half to even, and their scales, (n,) float32, 0 for zeros."""
    values = np.asarray(rows, np.float32)
    scales: npt.NDArray[np.float32] = np.abs(values).max(axis=1, initial=0) / np.float32(LARGEST)
    codes = np.rint(values / np.where(scales > 0, scales, np.float32(1))[:, None])
    # A scale of few bits (magnitudes below 1e-36) may have been rounded down.
    return np.clip(codes, -LARGEST, LARGEST).astype(np.int8), scales


def dequantise(codes: npt.NDArray[np.int8], scales: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Return code times scale, (n, dim) float16, computed in float32; NaN where code or scale are absent."""
    values = codes * scales[:, None]
    values[codes == ABSENT] = np.nan
    with np.errstate(over="ignore"):  # an infinite value is told by whoever reads
        return values.astype(np.float16)
