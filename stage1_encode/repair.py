"""`x2static cache repair`: the shards that are damaged or missing, encoded again from what the cache itself records."""

import logging
import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from x2static.durable.errors import DamagedShard, X2StaticError
from x2static.durable.storage import TEMPORARY, canonical_json, folder_bytes, only_writer, remove, write_atomically
from x2static.machine.progress import Report, silent
from x2static.schemas.cache import Cache, missing_shards, plan_shards
from x2static.schemas.manifest import Marker
from x2static.schemas.segmentation import SEGMENTATION
from x2static.schemas.shard import MARKER, Shard, shard_name
from x2static.stage1_encode.encode import Work
from x2static.stage1_encode.plan.origin import Origin, find_sources, find_teacher
from x2static.stage1_encode.plan.planning import Part
from x2static.stage1_encode.pools.registry import POOLS
from x2static.stage1_encode.text.segmentation import choose_words
from x2static.stage1_encode.worker import Worker, run_here

logger = logging.getLogger(__name__)


def repair(folder: Path, origin: Origin, report: Report = silent) -> dict[str, Any]:
    """Hash a cache and encode again what is damaged or missing, and nothing else; `origin` is where things are now.

    A damaged shard stays until its successor is whole. A damaged pool is dropped: what was asked of it is not recorded.
    Run again after it was stopped, this goes on.

    Returns shards, shards_encoded, damaged (a line for each damaged shard), pools_dropped (likewise), leftovers (names
    that were removed), strangers (a line for each file in a shard that is not its own; they stay), segmentation_mended,
    seconds, cache_bytes. Raises X2StaticError: the cache holds shards of another encoding, or teacher or text are not
    found as they were; no shard is removed then.
    """
    started = time.perf_counter()
    cache = Cache.open(folder)
    with only_writer(folder, "cache"):
        leftovers = _remove_leftovers(cache)
        markers, damaged, dropped, strangers = _inspect(cache)
        mended = _mend_segmentation(cache)
        plans, n_sound = cache.plans(), len(markers)
        part = Part.of(origin.part)
        if missing := set(filter(part.takes, missing_shards(plans, markers))):
            needed = [number for number, shards in enumerate(plan_shards(plans)) if missing.intersection(shards)]
            with ExitStack() as stack:
                sources = find_sources(cache, plans, needed, origin, stack)
                worker = Worker(cache, plans, sources, find_teacher(cache, plans[0], origin), ())
                work = Work(cache, plans, markers, (), part)
                work.do(work.jobs(), sources, lambda: worker, run_here, report)
        else:
            logger.info("%s: every shard is there and whole, nothing is encoded", folder)
        for index in damaged.keys() - set(range(plan_shards(plans)[-1].stop)):  # none will be encoded in its place
            shutil.rmtree(cache.shards_folder / shard_name(index))
    return {
        "shards": len(markers),
        "shards_encoded": len(markers) - n_sound,
        "damaged": list(damaged.values()),
        "pools_dropped": dropped,
        "leftovers": leftovers,
        "strangers": strangers,
        "segmentation_mended": mended,
        "seconds": round(time.perf_counter() - started, 3),
        "cache_bytes": folder_bytes(folder),
    }


def _remove_leftovers(cache: Cache) -> list[str]:
    """Remove what a killed writer left: half-written files and folders, and pools that no marker knows of yet."""
    folders = (cache.path, cache.path / "plans", cache.shards_folder)
    leftovers = [path for folder in folders for path in folder.glob(f"{TEMPORARY}*")]
    markers, _ = cache.committed()
    for index, marker in markers.items():
        names = POOLS.keys() - marker.pools.keys() - {name.partition("/")[0] for name in marker.files}
        shard = cache.shards_folder / shard_name(index)
        leftovers += [shard / name for name in names if (shard / name).is_dir()]
        leftovers += shard.glob(f"{TEMPORARY}*")
    for path in leftovers:
        remove(path)
    return sorted(path.relative_to(cache.path).as_posix() for path in leftovers)


def _inspect(cache: Cache) -> tuple[dict[int, Marker], dict[int, str], list[str], list[str]]:
    """Hash every shard, and drop damaged pools.

    Returns the markers of the sound shards, what ails the others, the pools that were damaged, and files that are
    nobody's. Raises X2StaticError: a shard is of another encoding, or of a newer version of x2static.
    """
    markers, damaged, dropped, strangers = dict[int, Marker](), dict[int, str](), list[str](), list[str]()
    for index in cache.indices():
        name = f"shard {shard_name(index)}"
        try:
            shard = cache.shard(index)
            problems = shard.damage()
        except DamagedShard as error:
            problems = [str(error).partition("; ")[0]]
        if problems:
            damaged[index] = f"{name}: {', '.join(problems)}"
            logger.warning("%s", damaged[index])
            continue
        for pool, lines in shard.pool_damage().items():
            pools = {other: kept for other, kept in shard.marker.pools.items() if other != pool}
            shard = Shard(shard.folder, shard.marker.model_copy(update={"pools": pools}))
            write_atomically(shard.folder / MARKER, canonical_json(shard.marker.model_dump()))
            shutil.rmtree(shard.folder / pool, ignore_errors=True)
            dropped.append(f"{name}: {pool}, since {', '.join(lines)}")
            again = f"`x2static encode --{POOLS[pool].option}`" if pool in POOLS else "with what it was made with"
            logger.warning("%s is dropped; encode it again (%s, as before)", dropped[-1], again)
        markers[index] = shard.marker
        for line in shard.strangers():
            strangers.append(f"{name}: {line}")
            logger.warning("%s: %s; it stays, move it away", name, line)
    return markers, damaged, dropped, strangers


def _mend_segmentation(cache: Cache) -> bool:
    """Write the word segmentation rules again where they are missing or changed; return whether they were.

    Raises X2StaticError: this version of x2static has other rules.
    """
    file = cache.path / SEGMENTATION
    try:
        cache.segmentation()
        return False
    except (X2StaticError, UnicodeDecodeError) as error:
        rules = choose_words(cache.manifest.encoding.compat, cache.manifest.encoding.language)
        if rules.sha256 != cache.manifest.encoding.words:
            raise X2StaticError(
                f"{file}: missing or changed, and this version of x2static has other rules; put the "
                f"original file back, or use x2static {cache.manifest.versions.get('x2static')}, which wrote it"
            ) from error
    write_atomically(file, rules.rules.encode())
    logger.warning("%s was missing or changed, and is written again", file)
    return True
