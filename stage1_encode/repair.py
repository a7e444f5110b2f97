"""`x2static cache repair`: the shards that are damaged or missing, encoded again from what the cache itself records."""

import logging
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer, remove, write_atomically
from x2static.machine.progress import Report, silent
from x2static.schemas.cache import Cache
from x2static.schemas.phrases import drop_damaged
from x2static.schemas.segmentation import SEGMENTATION
from x2static.schemas.shard import shard_name
from x2static.stage1_encode.cache_folder import inspect
from x2static.stage1_encode.encode import Work
from x2static.stage1_encode.plan.origin import Origin, find_sources, find_teacher
from x2static.stage1_encode.plan.planning import Part
from x2static.stage1_encode.pools.pool import look_at_words
from x2static.stage1_encode.pools.registry import POOLS, pool_of_itself
from x2static.stage1_encode.text.segmentation import words_of
from x2static.stage1_encode.worker import Worker, run_here

logger = logging.getLogger(__name__)


def repair(folder: Path, origin: Origin, report: Report = silent) -> dict[str, Any]:
    """Hash a cache and encode again what is damaged or missing, and nothing else; `origin` is where things are now.

    A damaged shard stays until its successor is whole, which takes over its further pools. A damaged pool is dropped,
    and taken again where its name is all that was asked of it; of others that is not recorded. Run again after it was
    stopped, this goes on.

    Returns shards, shards_encoded, damaged (a line for each damaged shard), pools_dropped (a line for each further pool
    that is lost), leftovers (names that were removed), strangers (a line for each file in a shard that is not its own;
    they stay), segmentation_mended, groups_mended, seconds, cache_bytes. Raises X2StaticError: manifest or a plan are
    lost, the cache holds shards of another encoding or unit, or teacher or text are not found as they were; no shard is
    removed then.
    """
    started = time.perf_counter()
    cache = Cache.open(folder)
    with only_writer(folder, "cache"):
        leftovers = _remove_leftovers(cache)
        part, plans = Part.of(origin.part), cache.plans()
        there = inspect(cache, part)
        for line in there.strangers:
            logger.warning("%s; it stays, move it away", line)
        segmentation_mended, groups_mended = _mend_segmentation(cache), cache.mend_groups()
        markers = there.markers
        sound = dict(markers)
        # In a sample a unit has another number than it was read under, which pools may go by.
        known = [] if any(plan.sampled for plan in plans) else list(map(pool_of_itself, sorted(there.settings)))
        pools = [pool for pool in known if pool and there.settings[pool.name] == {pool.settings}]
        work, dropped = Work(cache, plans, markers, pools, part, there.kept), {index for index, _ in there.dropped}
        if jobs := [job for job in work.jobs() if job.marker is None or job.shard in dropped]:
            with ExitStack() as stack:
                sources = find_sources(cache, plans, sorted({job.plan for job in jobs}), origin, stack)
                teacher = find_teacher(cache, plans[0], origin, look_at_words(pools))
                worker = Worker(cache, plans, sources, teacher, pools)
                work.do(jobs, sources, lambda: worker, run_here, report)
        else:
            logger.info("%s: every shard is there, nothing is encoded", folder)
        lost = [line for (index, pool), line in there.dropped.items() if pool not in markers[index].pools]
        lost += drop_damaged(folder)
        cache.write_index()
    names = {name for marker in sound.values() for name in marker.pools}
    for index in sorted(markers.keys() - sound.keys()):
        lacking = sorted(names - markers[index].pools.keys())
        lost += [f"shard {shard_name(index)}: {pool}, which was lost with it" for pool in lacking]
    return {
        "shards": len(markers),
        "shards_encoded": len(markers) - len(sound),
        "damaged": list(there.damaged.values()),
        "pools_dropped": lost,
        "leftovers": leftovers,
        "strangers": there.strangers,
        "segmentation_mended": segmentation_mended,
        "groups_mended": groups_mended,
        "seconds": round(time.perf_counter() - started, 3),
        "cache_bytes": cache.n_bytes(),
    }


def _remove_leftovers(cache: Cache) -> list[str]:
    """Remove what a killed writer left: half-written files and folders, and pools that no marker knows of yet."""
    removed = cache.remove_leftovers()
    for index, marker in cache.committed()[0].items():
        own = marker.pools.keys() | {name.partition("/")[0] for name in marker.files}
        for path in sorted((cache.shards_folder / shard_name(index)).iterdir()):
            if path.is_dir() and path.name not in own and (path.name in POOLS or pool_of_itself(path.name)):
                remove(path)
                removed.append(path.relative_to(cache.path).as_posix())
    return sorted(removed)


def _mend_segmentation(cache: Cache) -> bool:
    """Write the word segmentation rules again where they are missing or changed; return whether they were.

    Raises X2StaticError: this version of x2static has other rules.
    """
    file = cache.path / SEGMENTATION
    try:
        cache.segmentation()
        return False
    except X2StaticError as error:
        encoding = cache.manifest.encoding
        rules = words_of(encoding)
        if rules.sha256 != encoding.words:
            raise X2StaticError(
                f"{file}: missing or changed, and this version of x2static has other rules; put the "
                f"original file back, or use x2static {cache.manifest.versions.get('x2static')}, which wrote it"
            ) from error
    write_atomically(file, rules.rules.encode())
    logger.warning("%s was missing or changed, and is written again", file)
    return True
