"""How a cache begins: whether a folder may become one, and all that stands before its first shard."""

import re
import shutil
from pathlib import Path

import zarr

from x2static.durable.storage import LOCK, TEMPORARY, canonical_json, write_atomically
from x2static.schemas.cache import MANIFEST, Cache
from x2static.schemas.manifest import Manifest, Plan
from x2static.schemas.segmentation import SEGMENTATION, WordSegmentation

SPOOL, SPOOLED = "spool", "stdin"  # folder of what can be read only once, and its file of standard input
# What a first call that was killed before its manifest may leave, by path in the cache's folder.
UNFINISHED = re.compile(
    rf"{re.escape(LOCK)}|{re.escape(SEGMENTATION)}|plans|plans/\d+\.json|shards|(shards/)?zarr\.(json|\w+\.partial)"
    rf"|(plans/)?{re.escape(TEMPORARY)}.*|{SPOOL}(/.*)?"
)


def foreign_names(folder: Path) -> list[str]:
    """Return what a folder without manifest holds that is no beginning of a cache, by path in the folder.

    Shards count among it, since teacher time went into them.
    """
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(name for name in names if not UNFINISHED.fullmatch(name))


def begin_cache(folder: Path, manifest: Manifest, rules: WordSegmentation, plans: dict[int, Plan]) -> Cache:
    """Write all that comes before the first shard, the manifest last: where it is, the plans are whole.

    Args:
        folder: it holds nothing, or what an earlier call left that was killed before its manifest, which goes; the
            caller holds its lock.
        manifest: what the cache is.
        rules: the word segmentation.
        plans: by number.
    """
    for path in folder.iterdir():
        if path.name == SPOOL:  # standard input cannot be read twice
            continue
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:  # it is held; zarr's overwrite=True would remove it and let a second writer in
            path.unlink()
    zarr.create_group(folder)
    zarr.create_group(folder / "shards")
    write_atomically(folder / SEGMENTATION, rules.rules.encode())
    for number, plan in plans.items():
        write_plan(folder, number, plan)
    write_atomically(folder / MANIFEST, canonical_json(manifest.model_dump()))
    return Cache(folder, manifest)


def write_plan(folder: Path, number: int, plan: Plan) -> None:
    """Write a plan into a cache's folder."""
    (folder / "plans").mkdir(exist_ok=True)
    write_atomically(folder / "plans" / f"{number}.json", canonical_json(plan.model_dump()))
