"""Caches made of caches, of whole shards: joined, or sampled; a call that is killed can be made again."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import (
    canonical_json,
    commit_folder,
    folder_bytes,
    link_or_copy,
    only_writer,
    sealed_json,
    temporary_folder,
)
from x2static.machine.progress import Progress, Report, silent
from x2static.machine.screen import quantity
from x2static.schemas.cache import MANIFEST, Cache, begin_cache, may_become_cache, missing_shards, plan_shards, totals
from x2static.schemas.encoding import differences
from x2static.schemas.manifest import Marker, Plan, UnitSample
from x2static.schemas.phrases import take_blocks
from x2static.schemas.shard import MARKER, Shard, shard_name, staged_folder

Shards = dict[int, tuple[Shard, Marker]]  # by number: the shard that the files come from, and the marker that they get


class Group:
    """Caches of the same plans: parts of one cache, which keep the numbers of their shards."""

    def __init__(self, plans: list[Plan]) -> None:
        self.plans = plans  # those of the first
        self.n_shards = sum(len(plan.units) for plan in plans)  # that the plans ask for
        self.folders: list[str] = []  # of the caches, in the order given
        self.shards: dict[int, Shard] = {}  # of all of them, by number

    def add(self, cache: Cache) -> None:
        """Add the shards of a cache; refuse one that no plan asks for, or that is there already with other bytes."""
        for index, marker in _sound_markers(cache).items():
            shard = Shard(cache.shards_folder / shard_name(index), marker)
            known = self.shards.setdefault(index, shard)
            if known.marker.without_pools() != marker.without_pools():
                names = [line.partition(":")[0] for line in differences(known.marker, marker)]
                files = sorted(name for name, value in known.marker.files.items() if value != marker.files.get(name))
                unlike = [name for name in names if name != "files"] + files
                why = f"are the same unit of the same plan, and differ ({', '.join(unlike)})"
                remedy = "remove the one that you do not want, or leave its cache out"
                raise X2StaticError(f"{known.folder} and {shard.folder} {why}; {remedy}")
            if len(known.marker.pools) < len(marker.pools):
                self.shards[index] = shard
        self.folders.append(str(cache.path))


def merge(out: Path, inputs: list[Path], copy: bool = False, report: Report = silent) -> dict[str, Any]:
    """Join caches into one in the folder `out`; writing and figures are those of `_write`.

    Caches of equal plans are parts of one cache: their shards keep their numbers. Other plans are appended, in the
    order given. Run again after it was stopped, or when an unfinished part has grown, this adds what is missing. Raises
    X2StaticError: the caches do not belong together, with both values where they differ, or one is damaged.
    """
    resolved = [path.resolve() for path in inputs]
    if len(set(resolved)) < len(resolved):
        raise X2StaticError(f"the same cache is given twice: {', '.join(map(str, inputs))}")
    _refuse_inputs(out, inputs)
    first, *others = [Cache.open(path) for path in inputs]
    for cache in others:
        if problems := differences(first.manifest.encoding, cache.manifest.encoding):
            why = f"were made otherwise (the one != the other): {'; '.join(problems)}"
            raise X2StaticError(f"{first.path} and {cache.path} {why}; only caches of equal encoding can be merged")
    of_contents: dict[bytes, Group] = {}
    for cache in [first, *others]:
        plans = cache.plans()
        of_contents.setdefault(canonical_json(_contents(plans)), Group(plans)).add(cache)
    _check_corpora(of_contents.values())
    plans, begin = [], 0
    shards: Shards = {}
    for group in of_contents.values():
        for index, shard in group.shards.items():
            marker = shard.marker.model_copy(update={"plan": shard.marker.plan + len(plans)})
            shards[begin + index] = (shard, marker)
        plans += group.plans
        begin += group.n_shards
    return _write(out, [first, *others], plans, shards, copy, report)


def _refuse_inputs(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse a folder for the result by which something would be written into an input."""
    ours = out.resolve()
    for path in inputs:
        theirs = path.resolve()
        if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
            where = "is" if ours == theirs else "lies in" if ours.is_relative_to(theirs) else "contains"
            raise X2StaticError(f"--out {out}: {where} {path}, which is only read; name a new folder beside it")


def _check_corpora(groups: Iterable[Group]) -> None:
    """Refuse a corpus that two groups hold, with the fields in which the two plans differ, and both values."""
    known: dict[bytes, tuple[Group, Plan]] = {}
    for group in groups:
        for plan in group.plans:
            other, other_plan = known.setdefault(canonical_json(plan.identity), (group, plan))
            if other is group:
                continue
            ours, theirs = _contents([other_plan, plan])
            forms = {name: len if name == "units" else repr for name in ours if ours[name] != theirs[name]}
            values = [f"{name}: {show(ours[name])} != {show(theirs[name])}" for name, show in forms.items()]
            raise X2StaticError(
                f"{', '.join(other.folders)} and {', '.join(group.folders)} hold the same corpus ({plan.corpus}), and "
                f"are no parts of one cache ({'; '.join(values) or 'another number of plans'}); it would count twice, "
                "leave one of them out"
            )


def sample(source: Path, out: Path, taken: UnitSample, copy: bool = False, report: Report = silent) -> dict[str, Any]:
    """Make a cache of some units of another, complete in itself; writing and figures are those of `_write`.

    The units that are asked for must be there, the others need not: a cache can be sampled while it is being encoded.
    Raises X2StaticError: the cache does not have the units, or one of them is damaged.
    """
    _refuse_inputs(out, [source])
    cache = Cache.open(source)
    plans, markers = cache.plans(), _sound_markers(cache)
    n_units = sum(len(plan.units) for plan in plans)
    chosen = list(range(0, n_units, taken.n) if taken.kind == "every" else range(taken.n))
    if not chosen or chosen[-1] >= n_units:
        raise X2StaticError(f"{cache.path}: it has {quantity(n_units, 'unit')}; --{taken.kind} {taken.n} asks for more")
    if missing := [index for index in chosen if index not in markers]:
        what = f"of the units that the sample takes, {len(missing)} are missing (the first is {shard_name(missing[0])})"
        finish = f"finish `x2static encode`, or take the --first {quantity(missing[0], 'unit')}"
        raise X2StaticError(f"{cache.path}: {what}; {finish}")
    cut: list[Plan] = []
    shards: Shards = {}
    for plan, places in zip(plans, plan_shards(plans), strict=True):
        indices = [index for index in chosen if index in places]
        for index in indices:
            changes = {"plan": len(cut), "last": index == indices[-1]}
            shard = Shard(cache.shards_folder / shard_name(index), markers[index])
            shards[len(shards)] = (shard, markers[index].model_copy(update=changes))
        if indices:
            units = tuple(plan.units[index - places.start] for index in indices)
            cut.append(plan.model_copy(update={"units": units, "sampled": (*plan.sampled, taken)}))
    return _write(out, [cache], cut, shards, copy, report)


def _write(
    folder: Path, inputs: Sequence[Cache], plans: list[Plan], shards: Shards, copy: bool, report: Report
) -> dict[str, Any]:
    """Write a cache like others, of other plans and shards; what an earlier call for the same wrote stays.

    Every file is hashed before it is taken, so damage does not spread; it is linked where the file system can do that
    and `copy` is false. Returned are shards, shards_resumed, shards_linked, shards_copied, complete, paragraphs,
    contexts, words, teacher_tokens and cache_bytes. Raises X2StaticError: the folder holds something else, or a shard
    of an input is damaged; what is written stays.
    """
    like = inputs[0]
    if not may_become_cache(folder):
        cache = Cache.open(folder)
        same_plans = _contents(cache.plans()) == _contents(plans)
        if cache.manifest.fingerprint != like.manifest.fingerprint or not same_plans:
            held = f"another cache (of {', '.join(dict.fromkeys(plan.corpus for plan in cache.plans()))})"
            raise X2StaticError(f"{folder}: holds {held} than this command makes; name a new or empty folder")
    with only_writer(folder, "cache"):
        if (folder / MANIFEST).is_file():
            cache = Cache.open(folder)
            cache.segmentation()
        else:
            cache = begin_cache(folder, like.manifest, like.segmentation(), dict(enumerate(plans)))
        cache.remove_leftovers()
        cache.mend_groups()
        markers, _ = cache.committed()
        resumed = _check_resumed(cache, shards, markers)
        n_linked, n_total = 0, len(shards.keys() | resumed)
        for index, (shard, marker) in sorted(shards.items()):
            if index not in resumed:
                n_linked += _place(cache.shards_folder, index, shard, marker, copy)
                markers[index] = marker
            report(Progress(len(markers), n_total, "shards"))
        take_blocks(folder, [one.path for one in inputs], copy)
        cache.write_index()
    n_copied = len(shards.keys() - resumed) - n_linked
    figures = {"shards": len(markers), "shards_resumed": len(resumed), "shards_linked": n_linked}
    figures |= {"shards_copied": n_copied, "complete": missing_shards(plans, markers) == [], **totals(markers.values())}
    return {**figures, "cache_bytes": folder_bytes(folder)}


def _check_resumed(cache: Cache, shards: Shards, markers: dict[int, Marker]) -> set[int]:
    """Return which shards are there already, with all pools that they are to have; refuse others in their place."""
    resumed = set(markers)
    for index in markers.keys() & shards.keys():
        shard, marker = shards[index]
        if markers[index].without_pools() != marker.without_pools():
            what = f"another shard than {shard.folder}, which is to be here"
            raise X2StaticError(f"{cache.shards_folder / shard_name(index)}: {what}; name a new or empty folder")
        there = Shard(cache.shards_folder / shard_name(index), markers[index])
        if not marker.pools.items() <= markers[index].pools.items() or there.damage() or there.pool_damage():
            resumed.remove(index)
    return resumed


def _place(shards: Path, index: int, shard: Shard, marker: Marker, copy: bool) -> bool:
    """Give a cache a shard of another one, with a marker of its own; return whether its files could be linked."""
    damage = [*shard.damage(), *(line for lines in shard.pool_damage().values() for line in lines)]
    if damage:
        mend = f"mend it by `x2static cache repair {shard.folder.parents[1]}`, then run the same command again to go on"
        raise X2StaticError(f"{shard.folder}: {', '.join(damage)}; {mend}")
    with temporary_folder(staged_folder(shards, index)) as temporary:
        linked = [link_or_copy(shard.folder / name, temporary / name, copy) for name in marker.all_files()]
        (temporary / MARKER).write_bytes(sealed_json(marker.model_dump()))
        # One that is there is damaged, or lacks pools: it would have been kept otherwise.
        commit_folder(temporary, shards / shard_name(index), replace=True)
    return all(linked)


def _sound_markers(cache: Cache) -> dict[int, Marker]:
    """Return the markers of a cache that others are made of. Raises X2StaticError: a shard is damaged."""
    markers, damaged = cache.committed()
    if damaged:
        names = ", ".join(map(shard_name, list(damaged)[:5])) + (", ..." if len(damaged) > 5 else "")
        mend = f"mend them by `x2static cache repair {cache.path}`"
        raise X2StaticError(f"{cache.path}: damaged: {quantity(len(damaged), 'shard')} ({names}); {mend}")
    return markers


def _contents(plans: Iterable[Plan]) -> list[dict[str, Any]]:
    """Return plans without the names and places that differ from machine to machine."""
    return [plan.model_dump(mode="json", exclude={"corpus", "seen", "licence"}) for plan in plans]
