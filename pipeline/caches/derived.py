"""Writing a cache whose shards come from other caches, linked or copied; a call that is killed can be made again."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import (
    canonical_json,
    commit_folder,
    folder_bytes,
    link_or_copy,
    only_writer,
    remove_leftovers,
    temporary_folder,
)
from x2static.machine.progress import Progress, Report
from x2static.schemas.cache import MANIFEST, Cache, begin_cache, may_become_cache, missing_shards, totals
from x2static.schemas.manifest import Manifest, Marker, Plan
from x2static.schemas.segmentation import WordSegmentation
from x2static.schemas.shard import MARKER, Shard, shard_name, staged_folder

# What may differ between plans of the same text: names and places on the machines that they were made on.
NO_CONTENT = {"corpus", "seen", "licence"}


@dataclass(frozen=True)
class Derived:
    """What a cache is to hold."""

    manifest: Manifest  # what it is
    rules: WordSegmentation  # the word segmentation
    plans: list[Plan]  # in order
    shards: dict[int, tuple[Shard, Marker]]  # by number: the shard that its files come from, and the marker it gets


def write_derived(folder: Path, derived: Derived, copy: bool, report: Report) -> dict[str, Any]:
    """Write a cache from the shards of others; of an earlier call's, what is there already stays.

    Every file is hashed before it is taken, so damage does not spread.

    Args:
        folder: new, empty, or what an earlier call for the same left or made.
        derived: what it is to hold.
        copy: copy every file, where otherwise it is linked if the file system can do that.
        report: called with the progress in shards.

    Returns:
        shards, shards_resumed, shards_linked, shards_copied, complete, paragraphs, contexts, words, teacher_tokens,
        cache_bytes.

    Raises:
        X2StaticError: the folder holds something else, or a shard of an input is damaged; what is written stays.
    """
    check_target(folder, derived)
    with only_writer(folder, "cache"):
        if (folder / MANIFEST).is_file():
            cache = Cache.open(folder)
        else:
            cache = begin_cache(folder, derived.manifest, derived.rules, dict(enumerate(derived.plans)))
        remove_leftovers(cache.shards_folder)
        markers, _ = cache.committed()
        resumed = _check_resumed(cache, derived, markers)
        n_linked, n_total = 0, len(derived.shards.keys() | resumed)
        for index, (shard, marker) in sorted(derived.shards.items()):
            if index not in resumed:
                n_linked += _place(cache.shards_folder, index, shard, marker, copy)
                markers[index] = marker
            report(Progress(len(markers), n_total, "shards"))
    return {
        "shards": len(markers),
        "shards_resumed": len(resumed),
        "shards_linked": n_linked,
        "shards_copied": len(derived.shards) - len(resumed & derived.shards.keys()) - n_linked,
        "complete": missing_shards(derived.plans, markers) == [],
        **totals(markers.values()),
        "cache_bytes": folder_bytes(folder),
    }


def check_target(folder: Path, derived: Derived) -> None:
    """Refuse a folder that holds anything but the beginning of this very cache.

    Raises X2StaticError: it does, or is a file.
    """
    if may_become_cache(folder):
        return
    cache = Cache.open(folder)
    if cache.manifest.fingerprint != derived.manifest.fingerprint or not same_plans(cache.plans(), derived.plans):
        held = ", ".join(dict.fromkeys(plan.corpus for plan in cache.plans()))
        raise X2StaticError(
            f"{folder}: holds another cache (of {held}) than this command makes; name a new or empty folder"
        )


def same_plans(ours: list[Plan], theirs: list[Plan]) -> bool:
    """Return whether plans ask for the same shards of the same text, wherever they were made."""
    return plan_contents(ours) == plan_contents(theirs)


def plan_contents(plans: Iterable[Plan]) -> list[dict[str, Any]]:
    """Return plans without the names and places that differ from machine to machine."""
    return [plan.model_dump(mode="json", exclude=NO_CONTENT) for plan in plans]


def _check_resumed(cache: Cache, derived: Derived, markers: dict[int, Marker]) -> set[int]:
    """Return which shards are there already, with all pools that they are to have.

    Raises X2StaticError: one of them is another than the one that is to be there.
    """
    resumed = set(markers)
    for index in markers.keys() & derived.shards.keys():
        shard, marker = derived.shards[index]
        if markers[index].without_pools() != marker.without_pools():
            raise X2StaticError(
                f"{cache.shards_folder / shard_name(index)}: another shard than {shard.folder}, which is to be here; "
                "name a new or empty folder"
            )
        if not marker.pools.items() <= markers[index].pools.items():
            resumed.remove(index)
    return resumed


def _place(shards: Path, index: int, shard: Shard, marker: Marker, copy: bool) -> bool:
    """Give a cache a shard of another one, with a marker of its own; return whether its files could be linked.

    Raises X2StaticError: the shard is damaged.
    """
    damage = [*shard.damage(), *(line for lines in shard.pool_damage().values() for line in lines)]
    if damage:
        raise X2StaticError(
            f"{shard.folder}: {', '.join(damage)}; mend it by `x2static cache repair {shard.folder.parents[1]}`, then "
            "run the same command again to go on"
        )
    with temporary_folder(staged_folder(shards, index)) as temporary:
        linked = [link_or_copy(shard.folder / name, temporary / name, copy) for name in marker.all_files()]
        (temporary / MARKER).write_bytes(canonical_json(marker.model_dump()))
        # One that is there is damaged, or lacks pools: it would have been kept otherwise.
        commit_folder(temporary, shards / shard_name(index), replace=True)
    return all(linked)


def sound_markers(cache: Cache) -> dict[int, Marker]:
    """Return the markers of a cache that other caches are made of.

    Raises X2StaticError: a shard has no valid marker or lacks a file, or is from another encoding.
    """
    markers, damaged = cache.committed()
    if damaged:
        names = ", ".join(shard_name(index) for index in list(damaged)[:5]) + (", ..." if len(damaged) > 5 else "")
        raise X2StaticError(
            f"{cache.path}: {len(damaged)} damaged shards ({names}); mend them by `x2static cache repair {cache.path}` "
            "first"
        )
    return markers
