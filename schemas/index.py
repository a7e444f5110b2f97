"""The index of a cache of many shards: their markers in one file, so that opening 100,000 of them takes seconds.

It is derived. Whoever owns the folder writes it, nobody needs it, and nobody believes it against the files: what it
says of a shard counts as long as the marker is the very file that was read for it, and no file has come or gone, by
sizes, times and inodes. A copy of a cache, a marker that was replaced, an index that is damaged or absent: all cost
time, and nothing else. `x2static cache verify`, repair and encode, which hash everything, do not ask it.
"""

import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
import xxhash
from pydantic import ValidationError

from x2static.durable.errors import DamagedShard, X2StaticError
from x2static.durable.storage import TEMPORARY, open_atomically
from x2static.machine.processes import process_pool
from x2static.schemas.manifest import Marker
from x2static.schemas.shard import MARKER, Shard, is_plain, shard_name

Result = TypeVar("Result")

INDEX = "index.arrow"  # in the cache's folder
FEWEST = 1000  # shards of a cache that gets an index: fewer are opened in a quarter of a second
FEW = 20_000  # markers that take as long as starting processes, which read more than these
AT_ONCE = 1000  # markers that are read, and then looked how long it took
# Threads wait together for a disk that answers late, over a network. Where nothing waits, they double the time.
THREADS, LATE_SECONDS = 16, 0.002  # a marker
# A file may be changed twice within one tick of a file system's clock, two seconds at most, and look the same.
TICK_NS = 2 * 10**9
SCHEMA = pa.schema(
    [("shard", pa.int64()), ("stamp", pa.string()), ("marker", pa.large_string()), ("xxh3", pa.uint64())]
)


class Entry(NamedTuple):
    """What the index says of a shard."""

    stamp: str  # of its folder, by `_hash`
    marker: str  # JSON

    def seal(self, shard: int) -> int:
        """Return the hash of all that the entry says."""
        return xxhash.xxh3_64_intdigest(f"{shard} {self.stamp} {self.marker}".encode())


def read_index(cache: Path) -> dict[int, Entry]:
    """Return what the index in a cache's folder says, by shard; of what is damaged or absent, nothing."""
    try:
        with pa.OSFile(str(cache / INDEX)) as source:
            table = pa.ipc.open_file(source).read_all()
        table.validate(full=True)
    except (OSError, pa.ArrowException):
        return {}
    if not table.schema.equals(SCHEMA):
        return {}
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    entries = ((shard, Entry(stamp, marker), seal) for shard, stamp, marker, seal in rows)
    return {shard: entry for shard, entry, seal in entries if entry.seal(shard) == seal}


def write_index(cache: Path, shards: Path, numbers: Sequence[int]) -> None:
    """Bring the index of a cache up to date with its shards, of these numbers; the caller holds the folder's lock.

    A cache of few shards has none. Raises OSError: it cannot be written.
    """
    if len(numbers) < FEWEST:
        return
    with tempfile.NamedTemporaryFile(prefix=TEMPORARY, dir=cache) as file:
        now = os.fstat(file.fileno()).st_mtime_ns - TICK_NS  # by the clock of the disk, which may be another machine's
    old = read_index(cache)
    entries = {number: old[number] for number in numbers if number in old and _known(shards, number, old[number])}
    unknown = [number for number in numbers if number not in entries]
    pieces = [(shards, now, unknown[start : start + AT_ONCE]) for start in range(0, len(unknown), AT_ONCE)]
    if len(unknown) > FEW:
        with process_pool(os.cpu_count() or 1) as pool:
            for future in [pool.submit(_read, *piece) for piece in pieces]:
                entries |= future.result()
    else:
        for of_piece in starmap(_read, pieces):
            entries |= of_piece
    if entries == old:
        return
    rows = [(number, *entry, entry.seal(number)) for number, entry in sorted(entries.items())]
    columns = zip(*rows, strict=True) if rows else [()] * len(SCHEMA)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with open_atomically(cache / INDEX) as sink, pa.ipc.new_file(sink, SCHEMA, options=options) as writer:
        writer.write_table(pa.table(arrays, schema=SCHEMA))


def opened(
    shards: Path, numbers: Sequence[int], index: Mapping[int, Entry]
) -> Iterator[tuple[int, Shard | DamagedShard]]:
    """Open shards, by the index where it knows them; a damaged one comes as the error that says so.

    Raises X2StaticError: a newer version of x2static wrote one.
    """

    def open_one(number: int) -> Shard | DamagedShard:
        if (entry := index.get(number)) and (shard := _known(shards, number, entry)):
            return shard
        try:
            return Shard.open(shards / shard_name(number))
        except DamagedShard as error:
            return error

    return _each(open_one, numbers)


def _known(shards: Path, number: int, entry: Entry) -> Shard | None:
    """Return a shard as the index has it, if that is how it is."""
    folder = shards / shard_name(number)
    with suppress(OSError, ValidationError):
        marker = Marker.model_validate_json(entry.marker)
        if _hash(_stats(str(folder), marker)) == entry.stamp:
            return Shard(folder, marker)
    return None


def _read(shards: Path, now: int, numbers: Sequence[int]) -> dict[int, Entry]:
    """Return entries for the shards that can be opened, and have not been changed since `now`, a little ago."""
    entries = _each(partial(_entry, shards, now), numbers)
    return {number: entry for number, entry in entries if entry}


def _entry(shards: Path, now: int, number: int) -> Entry | None:
    folder = shards / shard_name(number)
    with suppress(OSError, X2StaticError):
        marker = Shard.open(folder).marker
        stats = _stats(str(folder), marker)
        # What was changed between the two is newer than `now`. A link's end may go without its folder changing.
        latest = max(max(stat.st_mtime_ns, stat.st_ctime_ns) for stat in stats)
        if latest < now and all(is_plain(str(folder), name) for name in (MARKER, *marker.files)):
            return Entry(_hash(stats), marker.model_dump_json())
    return None


def _stats(folder: str, marker: Marker) -> list[os.stat_result]:
    """Return what the file system says of a shard's marker and of each folder that has files of its own.

    A file that goes changes the folder that it was in; what is in the files, their hashes say when they are first read.
    Raises OSError: a folder or the marker is missing.
    """
    folders = {"."}
    for name in marker.files:
        while name := name.rpartition("/")[0]:
            folders.add(name)
    return [os.lstat(f"{folder}/{name}") for name in (MARKER, *sorted(folders))]


def _hash(stats: list[os.stat_result]) -> str:
    values = [(stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for stat in stats]
    return xxhash.xxh3_128_hexdigest(repr(values).encode())


@contextmanager
def _no_collection() -> Iterator[None]:
    """Make many objects that stay, without looking again and again whether they do: half the time of opening shards."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _each(work: Callable[[int], Result], numbers: Sequence[int]) -> Iterator[tuple[int, Result]]:
    """Yield each number with what work makes of it; by threads once the disk has been seen to answer late."""
    late = False
    with ThreadPoolExecutor(THREADS) as threads:  # which it starts when they are first used
        for start in range(0, len(numbers), AT_ONCE):
            piece, began = numbers[start : start + AT_ONCE], time.perf_counter()
            with _no_collection():
                results = list((threads.map if late else map)(work, piece))
            late = late or time.perf_counter() - began > LATE_SECONDS * len(piece)
            yield from zip(piece, results, strict=True)
