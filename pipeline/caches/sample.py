"""`x2static cache sample`: a smaller cache, to try settings on and to draw quality against the size of the corpus."""

from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Report, silent
from x2static.pipeline.caches.derived import Derived, sound_markers, write_derived
from x2static.schemas.cache import Cache, plan_shards
from x2static.schemas.manifest import Marker, Plan, UnitSample
from x2static.schemas.shard import Shard, shard_name


def sample(source: Path, out: Path, taken: UnitSample, copy: bool = False, report: Report = silent) -> dict[str, Any]:
    """Make a cache of some units of another, complete in itself.

    The units that are asked for must be there, the others need not: a cache can be sampled while it is being encoded.

    Args:
        source: the cache.
        out: a new or empty folder, or what an earlier call for the same sample left.
        taken: which of the units.
        copy: copy every file, where otherwise it is linked if the file system can do that.
        report: called with the progress in shards.

    Returns:
        The figures of `write_derived`.

    Raises:
        X2StaticError: the cache does not have the units, or one of them is damaged.
    """
    if out.resolve() == source.resolve():
        raise X2StaticError(f"{out}: is the cache itself; name a new folder for the sample")
    cache = Cache.open(source)
    plans, markers = cache.plans(), sound_markers(cache)
    chosen = _choose(cache, plans, markers, taken)
    cut: list[Plan] = []
    shards: dict[int, tuple[Shard, Marker]] = {}
    for number, plan in enumerate(plans):
        indices = [index for index in chosen if markers[index].plan == number]
        for index in indices:
            changes = {"plan": len(cut), "last": index == indices[-1]}
            shard = Shard(cache.shards_folder / shard_name(index), markers[index])
            shards[len(shards)] = (shard, markers[index].model_copy(update=changes))
        if indices:
            first = plan_shards(plans)[number].start
            units = tuple(plan.units[index - first] for index in indices)
            cut.append(plan.model_copy(update={"units": units, "sampled": (*plan.sampled, taken)}))
    return write_derived(out, Derived(cache.manifest, cache.segmentation(), cut, shards), copy, report)


def _choose(cache: Cache, plans: list[Plan], markers: dict[int, Marker], taken: UnitSample) -> list[int]:
    """Return the numbers of the shards to take.

    Raises X2StaticError: there are not so many, or one of them is missing.
    """
    end = sum(len(plan.units) for plan in plans)
    chosen = list(range(0, end, taken.n) if taken.kind == "every" else range(taken.n))
    if not chosen or chosen[-1] >= end:
        raise X2StaticError(f"{cache.path}: it has {end} units; --{taken.kind} {taken.n} asks for more")
    if missing := [index for index in chosen if index not in markers]:
        raise X2StaticError(
            f"{cache.path}: of the units that the sample takes, {len(missing)} are missing (the first is "
            f"{shard_name(missing[0])}); finish `x2static encode`, or take the --first {missing[0]} units"
        )
    return chosen
