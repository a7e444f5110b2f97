"""`x2static cache merge`: caches of equal encoding, made on different machines or of different corpora, as one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json
from x2static.machine.progress import Report, silent
from x2static.pipeline.caches.derived import Derived, plan_contents, same_plans, sound_markers, write_derived
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import differences
from x2static.schemas.manifest import Marker, Plan
from x2static.schemas.shard import Shard, shard_name


@dataclass(frozen=True)
class Group:
    """Caches of the same plans: parts of one cache, which keep the numbers of their shards."""

    caches: list[Cache]  # in the order given
    plans: list[Plan]  # those of the first
    shards: dict[int, Shard]  # of all of them, by number

    @property
    def name(self) -> str:
        """The folders, for errors."""
        return ", ".join(str(cache.path) for cache in self.caches)

    @property
    def n_shards(self) -> int:
        """How many shards the plans ask for."""
        return sum(len(plan.units) for plan in self.plans)

    def add(self, cache: Cache) -> None:
        """Add the shards of a cache.

        Raises X2StaticError: one of them is there already, and has other bytes; or it is damaged.
        """
        for index, marker in sound_markers(cache).items():
            shard = Shard(cache.shards_folder / shard_name(index), marker)
            known = self.shards.setdefault(index, shard)
            if known.marker.without_pools() != marker.without_pools():
                raise X2StaticError(
                    f"{known.folder} and {shard.folder} are the same unit of the same plan, and differ "
                    f"({', '.join(_marker_differences(known.marker, marker))}); remove the one that you do not want, "
                    "or leave its cache out"
                )
            if len(known.marker.pools) < len(marker.pools):
                self.shards[index] = shard
        self.caches.append(cache)


def merge(out: Path, inputs: list[Path], copy: bool = False, report: Report = silent) -> dict[str, Any]:
    """Join caches into one.

    Caches of equal plans are parts of one cache: their shards keep their numbers. Other plans are appended, in the
    order given; what pools took of a unit goes with its shard. Run again after it was stopped, this goes on; run again
    when an unfinished part has grown, it adds what is new.

    Args:
        out: a new or empty folder, or an earlier result of the same merge.
        inputs: the caches.
        copy: copy every file, where otherwise it is linked if the file system can do that.
        report: called with the progress in shards.

    Returns:
        The figures of `write_derived`.

    Raises:
        X2StaticError: the caches do not belong together, or one of them is damaged; both values where they differ.
    """
    caches = _open(out, inputs)
    first = caches[0]
    for cache in caches[1:]:
        if problems := differences(first.manifest.encoding, cache.manifest.encoding):
            raise X2StaticError(
                f"{first.path} and {cache.path} were made otherwise (the one != the other): {'; '.join(problems)}; "
                "only caches of equal encoding can be merged"
            )
    groups = _groups(caches)
    _check_corpora(groups)
    plans: list[Plan] = []
    shards: dict[int, tuple[Shard, Marker]] = {}
    begin = 0
    for group in groups:
        _check_numbers(group)
        for index, shard in group.shards.items():
            marker = shard.marker.model_copy(update={"plan": shard.marker.plan + len(plans)})
            shards[begin + index] = (shard, marker)
        plans += group.plans
        begin += group.n_shards
    return write_derived(out, Derived(first.manifest, first.segmentation(), plans, shards), copy, report)


def _open(out: Path, inputs: list[Path]) -> list[Cache]:
    resolved = [path.resolve() for path in inputs]
    if len(set(resolved)) < len(resolved):
        raise X2StaticError(f"the same cache is given twice: {', '.join(map(str, inputs))}")
    if out.resolve() in resolved:
        raise X2StaticError(f"{out}: is one of the caches to merge; name a new folder for the result")
    return [Cache.open(path) for path in inputs]


def _groups(caches: list[Cache]) -> list[Group]:
    groups: list[Group] = []
    for cache in caches:
        plans = cache.plans()
        group = next((group for group in groups if same_plans(group.plans, plans)), None)
        if group is None:
            group = Group([], plans, {})
            groups.append(group)
        group.add(cache)
    return groups


def _check_corpora(groups: list[Group]) -> None:
    """Refuse a corpus that two groups hold.

    Raises X2StaticError: with the fields in which the two plans differ, and both values.
    """
    held: dict[bytes, tuple[Group, Plan]] = {}
    for group in groups:
        for plan in group.plans:
            other, known = held.setdefault(canonical_json(plan.identity), (group, plan))
            if other is group:
                continue
            ours, theirs = plan_contents([known, plan])
            names = [name for name in ours if ours[name] != theirs[name]]
            values = [f"{name}: {_short(name, ours[name])} != {_short(name, theirs[name])}" for name in names]
            raise X2StaticError(
                f"{other.name} and {group.name} hold the same corpus ({plan.corpus}), and are no parts of one cache "
                f"({'; '.join(values) or 'another number of plans'}); it would count twice, leave one of them out"
            )


def _short(name: str, value: Any) -> str:
    """Return a field of a plan for a message; of units, their number."""
    return f"{len(value)}" if name == "units" else repr(value)


def _check_numbers(group: Group) -> None:
    """Refuse shards beyond those that the plans ask for. Raises X2StaticError: there are some."""
    if beyond := [index for index in group.shards if index >= group.n_shards]:
        raise X2StaticError(
            f"{group.shards[min(beyond)].folder}: not one of the {group.n_shards} shards of its cache's plans; move it "
            "away"
        )


def _marker_differences(ours: Marker, theirs: Marker) -> list[str]:
    names = [line.partition(":")[0] for line in differences(ours, theirs)]
    changed = sorted(name for name in ours.files if ours.files[name] != theirs.files.get(name))
    return [name for name in names if name != "files"] + changed
