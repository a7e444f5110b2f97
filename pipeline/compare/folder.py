"""The folder of a comparison: which vocabulary and corpus its vectors are of."""

from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.durable.owned_folder import differing_settings, foreign_files
from x2static.durable.storage import canonical_json, read_json, remove_leftovers, write_atomically
from x2static.pipeline.compare.settings import CompareConfig
from x2static.schemas.cache import Cache, content_of, missing_shards

COMPARISON = "comparison.json"


def identity(config: CompareConfig) -> dict[str, Any]:
    """Return what all vectors of a comparison have in common.

    Raises:
        X2StaticError: the cache is not whole, so that no method could be made.
    """
    if config.cache is None:
        return {"cache_content": None}
    cache = Cache.open(config.cache)
    shards = dict(zip(cache.indices(), cache.shards(), strict=True))
    if missing_shards(cache.plans(), {index: shard.marker for index, shard in shards.items()}) != []:
        raise X2StaticError(
            f"{cache.path}: the cache is incomplete; finish `x2static encode` first (the same command goes on where it "
            f"stopped)"
        )
    return {
        "cache_content": content_of(list(shards.values())),
        "min_count": config.min_count,
        "max_vocab": config.max_vocab,
    }


def claim(out: Path, ours: dict[str, Any]) -> None:
    """Make a folder this comparison's, or see that it is; the caller holds its lock.

    Args:
        out: the folder.
        ours: what `identity` says.

    Raises:
        X2StaticError: it holds something else, or a comparison of another corpus or vocabulary.
    """
    file = out / COMPARISON
    if file.is_file():
        theirs = read_json(file)
        if not isinstance(theirs, dict):
            raise X2StaticError(f"{file}: not what a comparison writes; give --out another folder")
        if differing := differing_settings(theirs, ours):
            raise X2StaticError(
                f"{out}: holds another comparison ({'; '.join(differing.values())}); give the same settings to go on "
                f"with it, or another --out for a new one"
            )
    elif foreign := foreign_files(out):
        raise X2StaticError(
            f"{out}: not empty and no comparison ({COMPARISON} is missing, {foreign[0]} is there); give --out a new or "
            f"empty folder"
        )
    remove_leftovers(out)
    if not file.is_file():
        write_atomically(file, canonical_json(ours))
