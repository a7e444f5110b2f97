"""The JSON files of a cache: manifest.json, plans/N.json and the marker shards/N/shard.json."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from x2static.schemas.encoding import Encoding, PlanOptions


class Manifest(BaseModel):
    """What a cache is; written once, before its first shard.

    Attributes:
        format: version of the cache's layout.
        teacher: name of the teacher as the user gave it, for people to read.
        revision: commit of a teacher that came from the hub.
        fingerprint: that of `encoding`.
        encoding: all that can change a vector.
        versions: of the packages that made it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1]
    teacher: str
    revision: str | None
    fingerprint: str
    encoding: Encoding
    versions: dict[str, str]


class Unit(BaseModel):
    """A deterministic slice of a corpus; one unit becomes one shard.

    Attributes:
        source: the file or data set that it is read from, as the corpus names it.
        start: position of its first paragraph: a byte of the (decompressed) file, or a row of a data set.
        stop: position behind its last paragraph.
        paragraphs: paragraphs in it, before the filter.
        start_line: paragraphs of the row `start` that belong to the unit before.
        stop_line: paragraphs of the row `stop` that belong to this unit.
        counted: whether `paragraphs` is their number. In the plan of Parquet files on the hub, whose rows are read
            when they are encoded, it is about so many; in a marker it is their number.
        skipped: paragraphs that were left out as bad text when it was read; 0 where the plan has counted them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    start: int
    stop: int
    paragraphs: int
    start_line: int = 0
    stop_line: int = 0
    counted: bool = True
    skipped: int = 0


class UnitSample(BaseModel):
    """Which units of a cache `x2static cache sample` took.

    Attributes:
        kind: "every" n-th unit, or the "first" n.
        n: the number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["every", "first"]
    n: int

    def __str__(self) -> str:
        """Return it in words."""
        return f"one unit in {self.n}" if self.kind == "every" else f"the first {self.n} units"


class Plan(PlanOptions):
    """One corpus, or the part of it that one call asked for, cut into units. Never changed once written.

    Attributes:
        corpus: the corpus as the user named it.
        identity: what tells this corpus from another: kind, size, hash or revision.
        seen: where and when the corpus was hashed (path, size, mtime); unchanged, it is not hashed again.
        licence: as far as it is known.
        skipped: paragraphs left out as bad text while planning.
        first: paragraphs of this corpus that earlier plans hold.
        limit: at most so many paragraphs in this plan; None for all.
        units: the slices, in order.
        sampled: the samples that cut its units down, the latest last; empty for a plan that is whole. All other fields
            are those of the whole plan.
    """

    corpus: str
    identity: dict[str, Any]
    seen: dict[str, Any]
    licence: str | None
    skipped: int
    first: int
    limit: int | None
    units: tuple[Unit, ...]
    sampled: tuple[UnitSample, ...] = ()


class PoolMarker(BaseModel):
    """What a further pool took of a unit.

    Attributes:
        settings: sha256 of what was asked of it; equal settings, equal arrays.
        files: xxh3 of its files, by their path in the shard's folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: str
    files: dict[str, str]


class Marker(BaseModel):
    """The commit marker of a shard, written last. It holds nothing that differs from run to run.

    Attributes:
        plan: number of the plan.
        unit: the slice as it was read, `stop` filled in.
        last: whether the plan ends with this unit.
        encoding: fingerprint of the encoding.
        n_paragraphs: paragraphs kept by the filter.
        n_contexts: rows of `contexts`.
        n_words: word occurrences.
        n_tokens: pieces that the teacher read, special tokens included.
        files: xxh3 of every other file of the shard, those of `pools` left out, by its path in the shard's folder.
        pools: what was taken from the teacher's states besides the contexts, by the pool's name. Left out of the JSON
            when empty, and no part of a cache's content: it may be added later, and changes no vector of a training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: int
    unit: Unit
    last: bool
    encoding: str
    n_paragraphs: int
    n_contexts: int
    n_words: int
    n_tokens: int
    files: dict[str, str]
    pools: dict[str, PoolMarker] = {}

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
