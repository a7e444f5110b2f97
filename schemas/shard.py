"""One shard: a folder with the contexts, the words and the further pools of one unit, written whole or not at all.

Context vectors are float16, or int8 at half the size: a row is codes from -127 to 127 times one float32 scale, its
largest magnitude over 127. What that does to word similarity is measured in docs/LOG.md.
"""

import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from x2static.durable.errors import REMEDY, DamagedShard, X2StaticError, first_line
from x2static.durable.storage import (
    SEAL,
    TEMPORARY,
    hash_file,
    link_or_copy,
    read_json,
    read_sealed,
    remove,
    sealed_json,
    sync,
    sync_all,
    temporary_folder,
)
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
# zarr is imported where arrays are: half a second, which whoever only looks for a cache need not wait.
# Arrays are read and written by zarrs: 7.1 GB/s, by zarr's own pipeline 2.7. An array takes its pipeline when it is
# opened; the settings are the whole process's, so one thread opens at a time.
ZARRS = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}
_OPENING = threading.Lock()
SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")  # as zarrs reports one


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


def staged_folder(shards: Path, index: int, attempt: str = "") -> Path:
    """Return where a shard, or what is added to it, is written before it gets its name.

    Several may try, and not know of each other: each attempt has a name of its own.
    """
    return shards / f"{TEMPORARY}{shard_name(index)}{attempt and '-'}{attempt}"


def stage_shard(
    shards: Path,
    index: int,
    marker: Marker,
    pools: Mapping[str, WritePool],
    settings: Mapping[str, str],
    words: ShardWords | None,
    attempt: str = "",
) -> Marker:
    """Write a shard, or further pools of one, under a temporary name, and return its marker as written.

    `settings` are what was asked of each further pool, `words` what is no pool's. `commit_folder` gives the whole its
    name; without words, `commit_pools` gives the pools theirs. Counts and hashes of the marker are filled in.
    """
    import zarr

    with temporary_folder(staged_folder(shards, index, attempt)) as folder:
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
        (folder / MARKER).write_bytes(sealed_json(complete.model_dump()))
        sync_all(folder)
    return complete


def keep_pools(shards: Path, index: int, marker: Marker, pools: Mapping[str, PoolMarker], attempt: str = "") -> Marker:
    """Give a staged shard further pools of the one whose place it takes, and return its marker with them."""
    folder, staged = shards / shard_name(index), staged_folder(shards, index, attempt)
    kept = {name: pool for name, pool in pools.items() if name not in marker.pools}
    for name in (name for pool in kept.values() for name in pool.files):
        link_or_copy(folder / name, staged / name)
    complete = marker.model_copy(update={"pools": marker.pools | kept})
    (staged / MARKER).write_bytes(sealed_json(complete.model_dump()))
    return complete


def commit_pools(shards: Path, index: int, names: Iterable[str], attempt: str = "") -> None:
    """Move staged pools into their shard, and then its marker; killed in between, that knows none of these files."""
    folder, staged = shards / shard_name(index), staged_folder(shards, index, attempt)
    for name in names:
        if (folder / name).exists():
            remove(folder / name)
        (staged / name).rename(folder / name)
    sync(folder)
    (staged / MARKER).replace(folder / MARKER)
    sync(folder)
    remove(staged)


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
    """A committed shard, to read. Each of its files is hashed before it is first read; damage is never read as data."""

    folder: Path  # where it is
    marker: Marker  # its commit marker
    checked: set[str] = field(default_factory=set, repr=False, compare=False)  # the files that were found right so far

    @classmethod
    def open(cls, folder: Path) -> "Shard":
        """Open a shard by its marker. Raises DamagedShard, or X2StaticError: a newer version of x2static wrote it."""
        path = folder / MARKER
        if not path.is_file():
            raise DamagedShard(f"{folder}: its marker {MARKER} is missing; {REMEDY}")
        try:
            marker = Marker.model_validate(read_sealed(path))
        except ValidationError as error:
            fields = ", ".join(
                item["msg"] if item["type"] == "value_error" else str(item["loc"][0]) for item in error.errors()
            )
            # A version that knows more fields seals them: without a seal it is the seal's own name that has changed.
            if SEAL in read_json(path) and all(item["type"] == "extra_forbidden" for item in error.errors()):
                raise X2StaticError(f"{path}: written by a newer x2static ({fields}); update this one") from error
            raise DamagedShard(f"{path}: not a valid marker ({fields}); {REMEDY}") from error
        except X2StaticError as error:
            raise DamagedShard(f"{error}; {REMEDY}") from error
        shard = cls(folder, marker)
        for name in marker.files:
            if problem := shard._absent(name):  # zarr would read a missing chunk as its fill value, without a word
                raise DamagedShard(f"{folder}: {problem}; {REMEDY}")
        return shard

    def contexts(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.float16]:
        """Return rows [start, stop) of the context vectors, (stop - start, dim), however they are stored.

        Raises DamagedShard: they are not as they were written, or not what the marker says.
        """
        stored = self.array(CONTEXTS)
        rows = self._rows(CONTEXTS, stored, start, stop)
        if stored.dtype == np.float16:
            return rows
        if stored.dtype != np.int8:
            raise DamagedShard(f"{self.folder}: {CONTEXTS} are {stored.dtype}, not float16 or int8; {REMEDY}")
        scales = self._rows("scales", self.array("scales"), start, stop)
        contexts = np.empty(rows.shape, np.float16)
        for first in range(0, len(rows), CHUNK_ROWS):  # or float32 would take twice the memory of what is returned
            chunk = slice(first, first + CHUNK_ROWS)
            contexts[chunk] = dequantise(rows[chunk], scales[chunk])
        return contexts

    def _rows(self, name: str, array: Any, start: int, stop: int | None) -> npt.NDArray[Any]:
        n_rows = self.marker.n_contexts
        if array.shape[:1] != (n_rows,) or array.ndim != (2 if name == CONTEXTS else 1):
            raise DamagedShard(f"{self.folder}: {name} have shape {array.shape} for {n_rows} contexts; {REMEDY}")
        with zarrs_errors(self.folder / name):
            return np.asarray(array[start:stop])

    def array(self, name: str) -> Any:
        """Open an array of the shard, "contexts" or "word_sums/sums". Raises DamagedShard: not as it was written."""
        files = [file for file in self.marker.all_files() if file.startswith(f"{name}/")]
        self.check(f"{name}/zarr.json", *files)
        array = open_array(self.folder / name)
        if array.nchunks != len(files) - 1:  # what is not listed is not hashed
            raise DamagedShard(f"{self.folder}: {name} has {array.nchunks} chunks, listed otherwise; {REMEDY}")
        return array

    def words(self) -> pa.Table:
        """Return, per context, `paragraph` int32 and `word_ids` list<int32>, as a single chunk.

        Raises DamagedShard: the file is not as it was written, or not what the marker says.
        """
        known = "words.arrow" in self.checked
        table = self.table("words.arrow", WORDS_SCHEMA)
        if not known and (problem := self._misfit(table)):
            self.checked.remove("words.arrow")
            raise DamagedShard(f"{self.folder}: {problem}; {REMEDY}")
        return table

    def _misfit(self, words: pa.Table) -> str | None:
        """Return in what words, lexicon and marker do not fit each other, if they do not."""
        counts = self.lexicon()["count"].to_numpy()
        ids = np.concatenate([lists.flatten().to_numpy() for lists in words["word_ids"].chunks] or [[]]).astype(
            np.int64
        )
        if len(words) != self.marker.n_contexts:
            return f"words.arrow has {len(words)} rows for {self.marker.n_contexts} contexts"
        if len(ids) and not 0 <= ids.min() <= ids.max() < len(counts):
            return f"words.arrow names word {ids.max()} of a lexicon of {len(counts)}"
        if not np.array_equal(np.bincount(ids, minlength=len(counts)), counts):
            return "lexicon.arrow counts other words than words.arrow holds"
        return None

    def lexicon(self) -> pa.Table:
        """Return `word` string and `count` int64 of the shard's distinct words. Raises DamagedShard, as `words`."""
        table = self.table("lexicon.arrow", LEXICON_SCHEMA)
        if (n_words := pc.sum(table["count"]).as_py() or 0) != self.marker.n_words:
            what = f"lexicon.arrow counts {n_words} words, its marker says {self.marker.n_words}"
            raise DamagedShard(f"{self.folder}: {what}; {REMEDY}")
        return table

    def table(self, name: str, schema: pa.Schema) -> pa.Table:
        """Return what an Arrow file of the shard holds, as a single chunk. Raises DamagedShard."""
        self.check(name)
        return read_table(self.folder / name, schema)

    def check(self, *names: str) -> None:
        """Hash files that have not been hashed yet. Raises DamagedShard: one is missing, or not as it was written."""
        for name in names:
            if name not in self.checked:
                if problem := self._damage_of(name):
                    raise DamagedShard(f"{self.folder}: {problem}; {REMEDY}")
                self.checked.add(name)

    def damage(self) -> list[str]:
        """Hash the shard's own files; return a line for each that is missing or has changed, or does not fit."""
        if lines := self._damage(self.marker.files):
            return lines
        try:
            misfit = self._misfit(self.words())
            self.contexts(0, 0)
        except DamagedShard as error:
            misfit = str(error).removeprefix(f"{self.folder}: ").removesuffix(f"; {REMEDY}")
        return [misfit] if misfit else []

    def pool_damage(self) -> dict[str, list[str]]:
        """Hash the files of further pools; return the lines of each pool that is not as it was written, by its name."""
        return {name: lines for name, pool in self.marker.pools.items() if (lines := self._damage(pool.files))}

    def pool(self, name: str) -> PoolMarker | None:
        """Return what the marker says of a further pool; None where it has none, or its files were removed."""
        pool = self.marker.pools.get(name)
        return pool if pool and not any(self._absent(file) for file in pool.files) else None

    def _damage(self, files: Iterable[str]) -> list[str]:
        problems = {name: self._damage_of(name) for name in sorted(files)}
        self.checked.update(name for name, problem in problems.items() if not problem)
        return [problem for problem in problems.values() if problem]

    def _damage_of(self, name: str) -> str | None:
        """Return what ails a file of the shard, if anything does."""
        if (expected := self.marker.all_files().get(name)) is None:
            return f"{name} is not among the files of its marker"
        changed = f"{name} has changed since it was written"
        return self._absent(name) or (None if hash_file(self.folder / name) == expected else changed)

    def _absent(self, name: str) -> str | None:
        """Return why a file of the shard is not there, if it is not."""
        if is_plain(str(self.folder), name):
            return None
        path = self.folder / name
        if not path.is_file():
            return f"{name} is missing"
        inside = os.path.realpath(path).startswith(os.path.realpath(self.folder) + os.sep)
        return None if inside else f"{name} is a link that leads out of the shard's folder"

    def strangers(self) -> list[str]:
        """Return a line for each file in the folder that the marker does not list."""
        start, own = len(str(self.folder)) + 1, {*self.marker.all_files(), MARKER}
        walked = os.walk(self.folder)  # rglob takes five times as long
        paths = {Path(folder, name).as_posix()[start:] for folder, _, names in walked for name in names}
        return [f"{name} does not belong to it" for name in sorted(paths - own) if TEMPORARY not in name]


def is_plain(folder: str, name: str) -> bool:
    """Return whether a file is there and no link leads to it from the folder, in a tenth of the time of `_absent`."""
    try:
        if not stat.S_ISREG(os.lstat(f"{folder}/{name}").st_mode):
            return False
        while name := name.rpartition("/")[0]:
            if not stat.S_ISDIR(os.lstat(f"{folder}/{name}").st_mode):
                return False
    except OSError:
        return False
    return True


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Return what an Arrow file holds, as a single chunk. Raises DamagedShard: it is none, or of another form."""
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        table.validate(full=True)  # or an offset that leads out of the file would end the process
    except pa.ArrowException as error:
        raise DamagedShard(f"{path}: not a valid Arrow file ({first_line(error)}); {REMEDY}") from error
    if not table.schema.equals(schema):
        raise DamagedShard(f"{path}: other columns than {', '.join(schema.names)}; {REMEDY}")
    return table.combine_chunks()


def open_array(path: Path) -> Any:
    """Open a zarr array to read. Raises DamagedShard: there is none."""
    import zarr

    try:
        with _OPENING, zarr.config.set(ZARRS):
            return zarr.open_array(path, mode="r", zarr_format=3)
    except (ValueError, TypeError, KeyError, RuntimeError, zarr.errors.BaseZarrError) as error:
        raise DamagedShard(f"{path}: not a valid zarr array ({first_line(error)}); {REMEDY}") from error


@contextmanager
def zarrs_errors(path: Path) -> Iterator[None]:
    """Raise what zarrs reports as RuntimeError as what it is: an error of the system, or an array that is damaged."""
    try:
        yield
    except RuntimeError as error:
        if match := SYSTEM_ERROR.search(str(error)):
            number = int(match[1])
            raise OSError(number, os.strerror(number), str(path)) from error
        raise DamagedShard(f"{path}: {first_line(error)}; {REMEDY}") from error


def create_array(
    folder: Path, name: str, shape: tuple[int, ...], dtype: str, chunks: tuple[int, ...], compressed: bool = False
) -> Any:
    """Create a zarr array in a shard's folder; uncompressed, a chunk is stored in full, whatever is in it."""
    import zarr
    from zarr.codecs import ZstdCodec

    # A chunk of the fill value alone is not written (zarrs 0.2.3 ignores array.write_empty_chunks), and a missing one
    # reads as it. These no context has: every chunk is written, and a lost one does not read as zeros.
    fill = ABSENT if dtype == "int8" else float("nan")
    # The fastest level packs codes of few values best: it tries least to find repetitions, of which there are none.
    compressors = ZstdCodec(level=1) if compressed else None
    stored: dict[str, Any] = {"compressors": compressors, "filters": None, "fill_value": fill}
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
        with zarrs_errors(folder / CONTEXTS):
            if scales is None:
                stored[rows] = contexts[rows].astype(np.float16)
            else:
                stored[rows], scales[rows] = quantise(contexts[rows])


def quantise(rows: npt.NDArray[np.floating], step: float = 0.0) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return codes of finite rows, (n, dim) int8 rounded half to even, and their scales, (n,) float32, 0 for zeros.

    A scale is `step` of the row's mean magnitude, or more where its largest would have no code otherwise.
    """
    values = np.asarray(rows, np.float32)
    magnitudes = np.abs(values)
    scales: npt.NDArray[np.float32] = magnitudes.max(axis=1, initial=0) / np.float32(LARGEST)
    if step:
        scales = np.maximum(scales, np.float32(step) * magnitudes.mean(axis=1))
    codes = np.rint(values / np.where(scales > 0, scales, np.float32(1))[:, None])
    # A scale of few bits (magnitudes below 1e-36) may have been rounded down.
    return np.clip(codes, -LARGEST, LARGEST).astype(np.int8), scales


def dequantise(codes: npt.NDArray[np.int8], scales: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Return code times scale, (n, dim) float16, computed in float32; NaN where code or scale are absent."""
    values = codes * scales[:, None]
    values[codes == ABSENT] = np.nan
    with np.errstate(over="ignore"):  # an infinite value is told by whoever reads
        return values.astype(np.float16)
