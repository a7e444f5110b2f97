"""The JSON files of a cache: manifest.json, plans/N.json and the marker shards/N/shard.json."""

from functools import lru_cache
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from x2static.machine.screen import quantity
from x2static.schemas.encoding import Encoding, PlanOptions, Record

MANIFEST, MARKER = "manifest.json", "shard.json"
CONTEXTS = "contexts"  # the pool that every shard has; its files are the shard's own


def _inside(files: dict[str, str]) -> dict[str, str]:
    """Refuse names that lead out of the folder: a cache may come from somebody else."""
    for name in files:
        if not _is_inside(name):
            raise ValueError(f"{name!r} leads out of the shard's folder")
    return files


@lru_cache(1000)  # the files of 100,000 shards have the same few names
def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    odd = path.is_absolute() or ".." in path.parts or str(path) != name or name == "." or {*name} & {"\0", "\\"}
    return not odd


Files = Annotated[dict[str, str], AfterValidator(_inside)]  # xxh3 of files, by their paths in the shard's folder


class Manifest(Record):
    """What a cache is; written once, before its first shard."""

    format: Literal[1]  # version of the cache's layout
    teacher: str  # name of the teacher as the user gave it, for people to read
    revision: str | None  # commit of a teacher that came from the hub
    fingerprint: str  # that of `encoding`
    encoding: Encoding  # all that can change a vector
    versions: dict[str, str]  # of the packages that made it


# A place in a corpus is its place in a file plus so much for each file before it: file and byte follow from it at once,
# though the length of compressed text is known only to those who have read it.
FILE = 1 << 40


class Unit(Record):
    """A deterministic slice of a corpus; one unit becomes one shard."""

    source: str  # the file or data set that it is read from, as the corpus names it
    start: int  # position of its first paragraph: a byte of the (decompressed) file, or a row of a data set
    stop: int  # position behind its last paragraph
    paragraphs: int  # paragraphs in it, before the filter
    start_line: int = 0  # paragraphs of the row `start` that belong to the unit before
    stop_line: int = 0  # paragraphs of the row `stop` that belong to this unit
    counted: bool = True  # whether `paragraphs` is no estimate, as in the plan of Parquet files on the hub
    skipped: int = 0  # paragraphs that were left out as bad text when it was read; 0 where the plan has counted them


class UnitSample(Record):
    """Which units of a cache `x2static cache sample` took."""

    kind: Literal["every", "first"]  # "every" n-th unit, or the "first" n
    n: int  # the number

    def __str__(self) -> str:
        return f"one unit in {self.n}" if self.kind == "every" else f"the first {quantity(self.n, 'unit')}"


class Plan(PlanOptions):
    """One corpus, or the part of it that one call asked for, cut into units. Never changed once written."""

    corpus: str  # the corpus as the user named it
    identity: dict[str, Any]  # what tells this corpus from another: kind, size, hash or revision
    seen: dict[str, Any]  # where and when the corpus was hashed (path, size, mtime); unchanged, it is not hashed again
    licence: str | None  # as far as it is known
    language: str | None = None  # of its text, in a cache of several languages; None: the encoding's
    skipped: int  # paragraphs left out as bad text while planning
    first: int  # paragraphs of this corpus that earlier plans hold
    limit: int | None  # at most so many paragraphs in this plan; None for all
    units: tuple[Unit, ...]  # the slices, in order
    sampled: tuple[UnitSample, ...] = ()  # what cut its units down, the latest last; other fields are the whole plan's

    def named(self) -> dict[str, Any]:
        """Return what vectors record of the corpus: its name, its licence and, of one of the hub, which data it was."""
        names = ("name", "config", "split", "revision")
        of_hub = {name: self.identity[name] for name in names if name in self.identity}
        language = {"language": self.language} if self.language else {}
        return {"corpus": self.corpus, "licence": self.licence, **language, **of_hub}


class PoolMarker(Record):
    """What a further pool took of a unit."""

    settings: str  # sha256 of what was asked of it; equal settings, equal arrays
    files: Files  # its own


# Of a marker whose shard is not written yet.
UNCOUNTED: dict[str, Any] = {"n_paragraphs": 0, "n_contexts": 0, "n_words": 0, "n_tokens": 0, "files": {}}


class Marker(Record):
    """The commit marker of a shard, written last. It holds nothing that differs from run to run."""

    plan: int  # number of the plan
    unit: Unit  # the slice as it was read, `stop` filled in
    last: bool  # whether the plan ends with this unit
    encoding: str  # fingerprint of the encoding
    n_paragraphs: int  # paragraphs kept by the filter
    n_contexts: int  # rows of `contexts`
    n_words: int  # word occurrences
    n_tokens: int  # pieces that the teacher read, special tokens included
    files: Files  # the shard's other ones, those of `pools` left out
    # further pools by name. Left out of the JSON when empty, and no part of a cache's content: they may be added later,
    # and change no vector of a training.
    pools: dict[str, PoolMarker] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _pools_have_folders_of_their_own(self) -> "Marker":
        _inside(dict.fromkeys(self.pools, ""))
        for pool, of_pool in self.pools.items():
            if "/" in pool or not all(name.startswith(f"{pool}/") for name in of_pool.files):
                raise ValueError(f"the pool {pool!r} has files that are not its own")
        return self

    @model_serializer(mode="wrap")
    def _without_empty_pools(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        if not self.pools:
            fields.pop("pools", None)
        return fields

    def without_pools(self) -> "Marker":
        """Return the marker of the same shard before further pools were added."""
        return self.model_copy(update={"pools": {}})

    def all_files(self) -> dict[str, str]:
        """Return the xxh3 of every file that the marker knows, those of pools included."""
        return {**self.files, **{name: xxh3 for pool in self.pools.values() for name, xxh3 in pool.files.items()}}
