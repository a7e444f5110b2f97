"""A cache as a whole: beginning, opening, counting and checking. A folder that plain `zarr` and `pyarrow` can read."""

import json
import logging
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from x2static.durable.errors import REMEDY, DamagedShard, X2StaticError
from x2static.durable.storage import (
    LOCK,
    SEAL,
    TEMPORARY,
    checked_model,
    folder_bytes,
    only_writer,
    read_json,
    read_sealed,
    remove,
    sealed_json,
    write_atomically,
)
from x2static.machine.screen import quantity
from x2static.schemas.index import opened, read_index, write_index
from x2static.schemas.manifest import FILE, Manifest, Marker, Plan, Unit
from x2static.schemas.manifest import MANIFEST as MANIFEST
from x2static.schemas.mirror import CacheView
from x2static.schemas.phrases import damaged_blocks
from x2static.schemas.segmentation import SEGMENTATION, WordSegmentation
from x2static.schemas.shard import CONTEXTS, Shard, shard_name

logger = logging.getLogger(__name__)

GROUPS = ("zarr.json", "shards/zarr.json")  # by which plain zarr finds the arrays; x2static does not read them
GROUP = {"attributes": {}, "zarr_format": 3, "node_type": "group"}
# Manifest and plans cannot be made from the rest of a cache, but the same call makes the same ones.
AGAIN = "put back what was written, or let the same `x2static encode` begin another --cache, and copy it from there"
BASELINES = "baselines"  # folder of what baselines keep beside it
SPOOL, SPOOLED = "spool", "stdin"  # folder of what can be read only once, and its file of standard input
# What a first call that was killed before its manifest may leave, by path in the cache's folder.
UNFINISHED = re.compile(
    rf"{re.escape(LOCK)}|{re.escape(SEGMENTATION)}|plans|plans/\d+\.json|shards|(shards/)?zarr\.(json|\w+\.partial)"
    rf"|((plans|shards)/)?{re.escape(TEMPORARY)}.*|{SPOOL}(/.*)?"
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
            made = "make one with `x2static encode`"
            if any((path / "shards").glob("0*")):
                made = f"there are shards, though: {AGAIN}"
            raise X2StaticError(f"{path}: no cache here ({MANIFEST} is missing); {made}")
        with _recoverable():
            manifest = checked_model(file, read_sealed(file), Manifest)
        if manifest.fingerprint != manifest.encoding.fingerprint:
            raise X2StaticError(f"{file}: its fingerprint does not fit its encoding; the file was changed; {AGAIN}")
        return cls(path, manifest)

    @property
    def shards_folder(self) -> Path:
        """Where the shards are."""
        return self.path / "shards"

    def segmentation(self) -> WordSegmentation:
        """Return the rules. Raises X2StaticError: they are missing, or not those that the shards were cut by."""
        file, expected = self.path / SEGMENTATION, self.manifest.encoding.words
        remedy = "`x2static cache repair` writes them again"
        try:
            rules = WordSegmentation.load(file)
        except X2StaticError as error:
            raise X2StaticError(f"{error}; {remedy}") from error
        if rules.sha256 != expected:
            why = f"not the rules that this cache was made with (sha256 {rules.sha256}, expected {expected})"
            raise X2StaticError(f"{file}: {why}; {remedy}")
        return rules

    def plans(self) -> list[Plan]:
        """Return the plans, in order. Raises X2StaticError: there is none, or one is damaged."""
        plans: list[Plan] = []
        while (file := self._plan_file(len(plans))).is_file():
            with _recoverable():
                values = read_sealed(file)
            if isinstance(values, dict) and "ended" in values:
                values = self._closed(values, file, len(plans))
            with _recoverable():
                plan = checked_model(file, values, Plan)
            self._check_chain(file, plan)
            plans.append(plan)
        numbers = [int(path.stem) for path in file.parent.glob("*.json") if path.stem.isdecimal()]
        if not plans or max(numbers) >= len(plans):
            raise X2StaticError(f"{file}: missing, the cache is damaged; {AGAIN}")
        return plans

    def _plan_file(self, number: int) -> Path:
        return self.path / "plans" / f"{number}.json"

    def _check_chain(self, file: Path, plan: Plan) -> None:
        """Refuse units that do not follow each other, by which a plan without a seal, as of 0.1.0, tells a change."""
        places = [((unit.start, unit.start_line), (unit.stop, unit.stop_line)) for unit in plan.units]
        for number, ((_, stop), (start, _)) in enumerate(pairwise(places), 1):
            at_file = start[0] % FILE == 0 and start > stop  # the rest of the file before holds nothing
            if not plan.sampled and start != stop and not at_file:
                raise X2StaticError(f"{file}: unit {number} does not begin where the one before ends; {AGAIN}")

    def _closed(self, values: dict[str, Any], file: Path, number: int) -> dict[str, Any]:
        """Return a plan of 0.1.0 as it is written now; units of a stream, which must be whole, stood in the markers."""
        start = values.pop("start", 0), values.pop("start_line", 0)
        del values["ended"]
        if values["units"] is None:
            markers = []
            for index in self.indices():
                with suppress(DamagedShard):
                    markers.append(self.shard(index).marker)
            markers = [marker for marker in markers if marker.plan == number]
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

    def units(self) -> list[tuple[int, Unit]]:
        """Return, for each shard that the plans ask for, the number of the plan, and the unit that it is to be."""
        return [(number, unit) for number, plan in enumerate(self.plans()) for unit in plan.units]

    def shard(self, index: int, units: list[tuple[int, Unit]] | None = None) -> Shard:
        """Open one shard, which must be what `units` say, if given.

        Raises DamagedShard, or X2StaticError: it is of another encoding, or a newer x2static.
        """
        return self._of_this_cache(index, Shard.open(self.shards_folder / shard_name(index)), units)

    def _of_this_cache(self, index: int, shard: Shard, units: list[tuple[int, Unit]] | None) -> Shard:
        if shard.marker.encoding != self.manifest.fingerprint:
            other = "the shard belongs to another encoding than the cache's manifest"
            raise X2StaticError(f"{shard.folder}: {other}; was it copied here? Move it away")
        if units is None:
            return shard
        if index >= len(units):
            what = f"not one of the {len(units)} shards of its cache's plans; move it away"
            raise X2StaticError(f"{shard.folder}: {what}, or put {self._plan_file(shard.marker.plan)} back")
        self._check_unit(shard, *units[index])
        return shard

    def _check_unit(self, shard: Shard, plan: int, unit: Unit) -> None:
        marker = shard.marker
        # What is known since the text was read.
        read = {"skipped"} if unit.counted else {"skipped", "paragraphs", "counted"}
        ours, theirs = marker.unit.model_dump(exclude=read), unit.model_dump(exclude=read)
        if (marker.plan, ours) == (plan, theirs):
            return
        unlike = [f"{name}: {ours[name]!r} != {theirs[name]!r}" for name in ours if ours[name] != theirs[name]]
        file = self._plan_file(plan)
        why = f"{shard.folder}: is another unit than {file} asks for ({'; '.join(unlike) or 'of another plan'})"
        if SEAL not in read_json(file):  # of 0.1.0: nobody knows which of the two was changed
            raise X2StaticError(f"{why}; one of the two was changed, put back what was written")
        raise DamagedShard(f"{why}; {REMEDY}")

    def opened(
        self, units: list[tuple[int, Unit]], numbers: Sequence[int] | None = None
    ) -> Iterator[tuple[int, Shard | DamagedShard]]:
        """Open shards, by the cache's index where there is one; a damaged one comes as the error that says so.

        `units` are what they must be, `numbers` which they are (None: all that are there). Raises X2StaticError, as
        `shard`.
        """
        numbers = self.indices() if numbers is None else numbers
        for index, shard in opened(self.shards_folder, numbers, read_index(self.path)):
            try:
                yield index, self._of_this_cache(index, shard, units) if isinstance(shard, Shard) else shard
            except DamagedShard as error:
                yield index, error

    def write_index(self) -> None:
        """Bring the index up to date with what is committed; the caller holds the cache's lock."""
        try:
            write_index(self.path, self.shards_folder, self.indices())
        except OSError as error:  # the cache is whole without it
            logger.warning("%s: opening it will take longer, its index cannot be written (%s)", self.path, error)

    def shards(self) -> list[Shard]:
        """Open all committed shards, in order. Raises X2StaticError, as `shard`."""
        shards = []
        for _, shard in self.opened(self.units()):
            if isinstance(shard, DamagedShard):
                raise shard
            shards.append(shard)
        return shards

    def n_bytes(self) -> int:
        """Return the size of all its files; of one in a bucket, of all that the bucket holds of it."""
        bucket = CacheView.of(self.path)
        return bucket.n_bytes() if bucket else folder_bytes(self.path)

    def damage(self, shard: Shard) -> list[str]:
        """Hash a shard's own files; return a line for each that is damaged, or of another form than the manifest's."""
        if lines := shard.damage():
            return lines
        stored, encoding = shard.array(CONTEXTS), self.manifest.encoding
        if (stored.dtype.name, stored.shape[1]) != (encoding.dtype, encoding.dim):
            asked = f"the manifest asks for {encoding.dtype}, {encoding.dim} dimensions"
            return [f"{CONTEXTS} are {stored.dtype.name} of shape {stored.shape}, {asked}"]
        return []

    def origin(self, content: str) -> dict[str, Any]:
        """Return what vectors record of the cache; `content` is that of the shards that they are made from."""
        teacher = self.manifest.model_dump(include={"teacher", "revision"})
        texts = {"language": self.manifest.encoding.language, "corpora": [plan.named() for plan in self.plans()]}
        return {"content": content, "encoding": self.manifest.fingerprint, **teacher, **texts}

    def committed(self) -> tuple[dict[int, Marker], dict[int, str]]:
        """Return the markers of the shards that are there, and of each damaged one, why it does not count."""
        markers, damaged = dict[int, Marker](), dict[int, str]()
        for index, shard in self.opened(self.units()):
            if isinstance(shard, DamagedShard):
                damaged[index] = str(shard)
            else:
                markers[index] = shard.marker
        return markers, damaged

    def missing(self) -> list[int]:
        """Return the numbers of the shards that the plans ask for and that are not there, or not valid."""
        return missing_shards(self.plans(), self.committed()[0])

    def verify(self) -> list[str]:
        """Hash everything and return a line for each file or shard that is damaged, missing, or not its own."""
        problems, units = [], None
        try:
            units = self.units()
        except X2StaticError as error:
            problems.append(str(error))
        for index in self.indices():
            try:
                shard = self.shard(index, units)
            except X2StaticError as error:
                lines = [str(error)]
            else:
                lines = [*self.damage(shard), *shard.strangers()]
                for pool, damaged in shard.pool_damage().items():
                    remedy = f"`x2static cache repair` drops the pool {pool}, encode it again"
                    lines += [f"{line}; {remedy}" for line in damaged]
            problems += [f"shard {shard_name(index)}: {line}" for line in lines]
        try:
            self.segmentation()
        except X2StaticError as error:
            problems.append(str(error))
        problems += [f"{self.path / name}: missing, or not the metadata of a zarr group" for name in self.odd_groups()]
        problems += damaged_blocks(self.path).values()
        lost = sorted(set(range(len(units or ()))).difference(self.indices()))
        problems += [f"shard {shard_name(index)}: missing" for index in lost]
        return problems + [f"{path.relative_to(self.path)}: half-written" for path in self.leftovers()]

    def odd_groups(self) -> list[str]:
        """Return which files of group metadata are missing or damaged."""

        def right(file: Path) -> bool:
            try:
                return bool(json.loads(file.read_bytes()) == GROUP)
            except (FileNotFoundError, ValueError):
                return False

        return [name for name in GROUPS if not right(self.path / name)]

    def mend_groups(self) -> list[str]:
        """Write damaged group metadata again, and return which it was; the caller holds the cache's lock."""
        odd = self.odd_groups()
        for name in odd:
            write_atomically(self.path / name, json.dumps(GROUP, indent=2).encode())
        return odd

    def leftovers(self) -> list[Path]:
        """Return what killed writers left half-written, or others are writing, wherever it is in the folder."""
        found, folders = list[Path](), [str(self.path)]
        while folders:  # rglob takes three times as long
            with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith(TEMPORARY):
                        found.append(Path(entry.path))
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        return sorted(found)

    def remove_leftovers(self) -> list[str]:
        """Remove what killed writers left, and return its names; the caller holds the cache's lock."""
        removed = []
        for path in self.leftovers():
            if path.relative_to(self.path).parts[0] == BASELINES:  # whose folders have locks of their own
                try:
                    with only_writer(path.parent, "baseline's state"):
                        remove(path)
                except X2StaticError:
                    continue
            else:
                remove(path)
            removed.append(path.relative_to(self.path).as_posix())
        return removed


@contextmanager
def _recoverable() -> Iterator[None]:
    """Say how to get a damaged manifest or plan again."""
    try:
        yield
    except X2StaticError as error:
        raise X2StaticError(f"{error}; {AGAIN}") from error


def plan_shards(plans: list[Plan]) -> list[range]:
    """Return the numbers of the shards of each plan: one for each unit, behind those of the plan before it."""
    stops = accumulate((len(plan.units) for plan in plans), initial=0)
    return [range(start, stop) for start, stop in pairwise(stops)]


def missing_shards(plans: list[Plan], present: Container[int]) -> list[int]:
    """Return which shards the plans ask for beyond those that are present."""
    return [index for shards in plan_shards(plans) for index in shards if index not in present]


def totals(markers: Iterable[Marker]) -> dict[str, int]:
    """Return what shards hold together: paragraphs kept, and read; contexts, words and the teacher's tokens."""
    fields = {"paragraphs": "n_paragraphs", "contexts": "n_contexts", "words": "n_words", "teacher_tokens": "n_tokens"}
    listed = list(markers)
    held = {name: sum(getattr(marker, field) for marker in listed) for name, field in fields.items()}
    return held | {"paragraphs_read": sum(marker.unit.paragraphs for marker in listed)}


def kept_of(figures: Mapping[str, int | float], min_sentences: int, min_characters: int) -> str:
    """Return for people how many paragraphs of those that were read the filter kept, from the figures of `totals`."""
    read, kept = int(figures["paragraphs_read"]), int(figures["paragraphs"])
    limits = {"sentences": min_sentences, "characters": min_characters}
    asked = {what: least for what, least in limits.items() if least > 1}
    why = f" ({read - kept:,} are blank)"
    if asked:
        few = " or ".join(f"{least} {what}" for what, least in asked.items())
        why = f" ({read - kept:,} have fewer than {few}: {', '.join(f'--min-{what}' for what in asked)})"
    return f"{kept:,} of {quantity(read, 'paragraph')} kept{why if kept < read else ''}"


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
        lost = f"; if it is a cache, its {MANIFEST} is lost: {AGAIN}" if any(folder.glob("shards/0*")) else ""
        raise X2StaticError(f"{folder}: the folder holds other things ({others}); name a new or empty one{lost}")
    return True


def begin_cache(folder: Path, manifest: Manifest, rules: WordSegmentation, plans: dict[int, Plan]) -> Cache:
    """Make a folder a cache without shards, in place of what a killed call left in it; the caller holds its lock."""
    for path in folder.iterdir():
        # Standard input cannot be read twice; zarr's overwrite=True would remove the lock and let a second writer in.
        if path.name not in (SPOOL, LOCK):
            remove(path)
    (folder / "shards").mkdir()
    cache = Cache(folder, manifest)
    cache.mend_groups()
    write_atomically(folder / SEGMENTATION, rules.rules.encode())
    for number, plan in plans.items():
        write_plan(folder, number, plan)
    write_atomically(folder / MANIFEST, sealed_json(manifest.model_dump()))
    return cache


def write_plan(folder: Path, number: int, plan: Plan) -> None:
    """Write a plan into a cache's folder."""
    (folder / "plans").mkdir(exist_ok=True)
    write_atomically(folder / "plans" / f"{number}.json", sealed_json(plan.model_dump(mode="json")))
