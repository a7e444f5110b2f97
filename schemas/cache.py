"""A cache as a whole: beginning, opening, counting and checking. A folder that plain `zarr` and `pyarrow` can read."""

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import zarr

from x2static.durable.errors import DamagedShard, X2StaticError
from x2static.durable.storage import LOCK, TEMPORARY, canonical_json, checked_model, read_json, remove, write_atomically
from x2static.schemas.manifest import Manifest, Marker, Plan
from x2static.schemas.segmentation import SEGMENTATION, WordSegmentation
from x2static.schemas.shard import Shard, shard_name

MANIFEST = "manifest.json"
SPOOL, SPOOLED = "spool", "stdin"  # folder of what can be read only once, and its file of standard input
# What a first call that was killed before its manifest may leave, by path in the cache's folder.
UNFINISHED = re.compile(
    rf"{re.escape(LOCK)}|{re.escape(SEGMENTATION)}|plans|plans/\d+\.json|shards|(shards/)?zarr\.(json|\w+\.partial)"
    rf"|(plans/)?{re.escape(TEMPORARY)}.*|{SPOOL}(/.*)?"
)


@dataclass(frozen=True)
class Cache:
    """A cache on disk."""

    path: Path  # its folder
    manifest: Manifest  # what it is

    @classmethod
    def open(cls, path: Path) -> "Cache":
        """Open a cache by its manifest. Raises X2StaticError: there is none, or none that this version can read."""
        file = path / MANIFEST
        if not file.is_file():
            raise X2StaticError(f"{path}: no cache here ({MANIFEST} is missing); make one with `x2static encode`")
        manifest = checked_model(file, read_json(file), Manifest)
        if manifest.fingerprint != manifest.encoding.fingerprint:
            raise X2StaticError(f"{file}: its fingerprint does not fit its encoding; the file was changed")
        return cls(path, manifest)

    @property
    def shards_folder(self) -> Path:
        """Where the shards are."""
        return self.path / "shards"

    def segmentation(self) -> WordSegmentation:
        """Return the rules. Raises X2StaticError: they are missing, or not those that the shards were cut by."""
        file, expected = self.path / SEGMENTATION, self.manifest.encoding.words
        rules = WordSegmentation.load(file)
        if rules.sha256 != expected:
            why = f"not the rules that this cache was made with (sha256 {rules.sha256}, expected {expected})"
            raise X2StaticError(f"{file}: {why}; put the original file back")
        return rules

    def plans(self) -> list[Plan]:
        """Return the plans, in order. Raises X2StaticError: there is none, or one is damaged."""
        plans: list[Plan] = []
        while (file := self.path / "plans" / f"{len(plans)}.json").is_file():
            values = read_json(file)
            if isinstance(values, dict) and "ended" in values:
                values = self._closed(values, file, len(plans))
            plans.append(checked_model(file, values, Plan))
        if not plans:
            raise X2StaticError(f"{file}: missing, the cache is damaged; put it back, or use another --cache")
        return plans

    def _closed(self, values: dict[str, Any], file: Path, number: int) -> dict[str, Any]:
        """Return a plan of 0.1.0 as it is written now; units of a stream, which must be whole, stood in the markers."""
        start = values.pop("start", 0), values.pop("start_line", 0)
        del values["ended"]
        if values["units"] is None:
            markers = [marker for _, marker in sorted(self.committed()[0].items()) if marker.plan == number]
            units = [marker.unit for marker in markers]
            stops = [(unit.stop, unit.stop_line) for unit in units]
            starts = [start, *stops[:-1]]
            if not units or not markers[-1].last or [(unit.start, unit.start_line) for unit in units] != starts:
                why = f"the corpus {values['corpus']} was not read to its end, or shards of it are damaged"
                remedy = "finish or repair the cache with x2static 0.1.0, which began it"
                raise X2StaticError(f"{file}: {why}; {remedy}, or encode into another --cache")
            values["units"] = units
        return values

    def indices(self) -> list[int]:
        """Return the numbers of the folders that look like shards, ascending."""
        return sorted(int(path.name) for path in self.shards_folder.glob("*") if re.fullmatch(r"\d{6,}", path.name))

    def shard(self, index: int) -> Shard:
        """Open one shard. Raises DamagedShard, or X2StaticError: it is of another encoding, or a newer x2static."""
        shard = Shard.open(self.shards_folder / shard_name(index))
        if shard.marker.encoding != self.manifest.fingerprint:
            other = "the shard belongs to another encoding than the cache's manifest"
            raise X2StaticError(f"{shard.folder}: {other}; was it copied here? Move it away")
        return shard

    def shards(self) -> list[Shard]:
        """Open all committed shards, in order."""
        return [self.shard(index) for index in self.indices()]

    def origin(self, content: str) -> dict[str, Any]:
        """Return what vectors record of the cache; `content` is that of the shards that they are made from."""
        teacher = self.manifest.model_dump(include={"teacher", "revision"})
        return {"content": content, "encoding": self.manifest.fingerprint, **teacher}

    def committed(self) -> tuple[dict[int, Marker], dict[int, str]]:
        """Return the markers of the shards that are there, and of each damaged one, why it does not count."""
        markers, damaged = dict[int, Marker](), dict[int, str]()
        for index in self.indices():
            try:
                markers[index] = self.shard(index).marker
            except DamagedShard as error:
                damaged[index] = str(error)
        return markers, damaged

    def missing(self) -> list[int]:
        """Return the numbers of the shards that the plans ask for and that are not there, or not valid."""
        return missing_shards(self.plans(), self.committed()[0])

    def verify(self) -> list[str]:
        """Hash everything and return a line for each shard that is damaged, missing, foreign or half-written."""
        problems = []
        for index in self.indices():
            try:
                shard = self.shard(index)
            except X2StaticError as error:
                lines = [str(error)]
            else:
                lines = [*shard.damage(), *shard.strangers()]
                for pool, damaged in shard.pool_damage().items():
                    remedy = f"`x2static cache repair` drops the pool {pool}, encode it again"
                    lines += [f"{line}; {remedy}" for line in damaged]
            problems += [f"shard {shard_name(index)}: {line}" for line in lines]
        try:
            self.segmentation()
        except X2StaticError as error:
            problems.append(str(error))
        lost, half = missing_shards(self.plans(), set(self.indices())), self.shards_folder.glob(f"{TEMPORARY}*")
        problems += [f"shard {shard_name(index)}: missing" for index in lost]
        return problems + [f"{path.name}: half-written" for path in sorted(half)]


def plan_shards(plans: list[Plan]) -> list[range]:
    """Return the numbers of the shards of each plan: one for each unit, behind those of the plan before it."""
    stops = accumulate((len(plan.units) for plan in plans), initial=0)
    return [range(start, stop) for start, stop in pairwise(stops)]


def missing_shards(plans: list[Plan], present: Container[int]) -> list[int]:
    """Return which shards the plans ask for beyond those that are present."""
    return [index for shards in plan_shards(plans) for index in shards if index not in present]


def totals(markers: Iterable[Marker]) -> dict[str, int]:
    """Return what shards hold together: paragraphs kept, contexts, words and the teacher's tokens."""
    fields = {"paragraphs": "n_paragraphs", "contexts": "n_contexts", "words": "n_words", "teacher_tokens": "n_tokens"}
    listed = list(markers)
    return {name: sum(getattr(marker, field) for marker in listed) for name, field in fields.items()}


def content_of(shards: list[Shard]) -> str:
    """Return the hash of the ordered markers: equal content, equal rows and words, whatever the pools."""
    return sha256("".join(shard.marker.without_pools().model_dump_json() for shard in shards).encode()).hexdigest()


def may_become_cache(folder: Path) -> bool:
    """Return whether a folder holds no cache yet and may become one: it is absent, empty, or the beginning of one.

    Raises X2StaticError: it is a file, or holds other things, shards among them, since teacher time went into those.
    """
    if folder.exists() and not folder.is_dir():
        raise X2StaticError(f"{folder}: this is a file; name a folder")
    if (folder / MANIFEST).is_file():
        return False
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    if foreign := [name for name in names if not UNFINISHED.fullmatch(name)]:
        others = ", ".join(foreign[:3])
        raise X2StaticError(f"{folder}: the folder holds other things ({others}); name a new or empty one")
    return True


def begin_cache(folder: Path, manifest: Manifest, rules: WordSegmentation, plans: dict[int, Plan]) -> Cache:
    """Make a folder a cache without shards, in place of what a killed call left in it; the caller holds its lock."""
    for path in folder.iterdir():
        # Standard input cannot be read twice; zarr's overwrite=True would remove the lock and let a second writer in.
        if path.name not in (SPOOL, LOCK):
            remove(path)
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
