"""What of a cache's plans remains to be encoded, and the reading of it, one unit after the other."""

from collections.abc import Container, Iterator
from dataclasses import dataclass

from x2static.schemas.cache import missing_shards, plan_shards
from x2static.schemas.manifest import Marker, Plan
from x2static.stage1_encode.corpora.corpus import UnitText
from x2static.stage1_encode.corpora.sources import Source


@dataclass(frozen=True)
class Part:
    """`--part`: every `count`-th shard, which one machine of several encodes; the one part of one is all of them.

    Attributes:
        number: from 1 to `count`.
        count: how many parts there are.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def of(cls, text: str | None) -> "Part":
        """Return the part that "3/16" names; None is all."""
        return cls(*map(int, text.split("/"))) if text else cls()

    def __str__(self) -> str:
        """Return it as the user gave it."""
        return f"{self.number}/{self.count}"

    def takes(self, shard: int) -> bool:
        """Return whether a shard, by its number, belongs to it."""
        return shard % self.count == self.number - 1

    def missing(self, plans: list[Plan], markers: Container[int]) -> list[int]:
        """Return which of its shards have no marker yet."""
        return list(filter(self.takes, missing_shards(plans, markers)))


@dataclass(frozen=True, eq=False)
class Work:
    """One unit, read and ready to be prepared, and where its shard goes; equal to itself alone.

    Attributes:
        shard: number of the shard.
        plan: number of the plan.
        text: its paragraphs; none are left once the unit is prepared.
        last: whether the plan ends with it.
        more: paragraphs in it beyond what the plan said of it; negative where there are fewer.
    """

    shard: int
    plan: int
    text: UnitText
    last: bool
    more: int = 0


def read_remaining(
    plans: list[Plan],
    sources: list[Source],
    markers: Container[int],
    part: Part | None = None,
    again: Container[int] = (),
) -> Iterator[Work]:
    """Read, one after the other, the units that have no shard yet.

    Args:
        plans: all plans of the cache.
        sources: the corpora; those of finished plans may be missing.
        markers: numbers of the shards that are there.
        part: other parts' units are left out; None for none.
        again: shards that are there and whose units are read all the same.
    """
    part = part or Part()
    corpus_of = {number: source.corpus for source in sources for number in source.plans}
    for number, (plan, shards) in enumerate(zip(plans, plan_shards(plans), strict=True)):
        todo = [index for index in filter(part.takes, shards) if index not in markers or index in again]
        if todo:
            corpus_of[number].connect(plan.identity)
        for index in todo:
            unit = plan.units[index - shards.start]
            text = corpus_of[number].read(unit)
            yield Work(index, number, text, index == shards[-1], more=text.unit.paragraphs - unit.paragraphs)


def planned_paragraphs(
    plans: list[Plan], markers: dict[int, Marker], part: Part | None = None, numbers: Container[int] | None = None
) -> tuple[int, bool]:
    """Return the paragraphs of plans before the filter, and whether that is their number or an estimate.

    Args:
        plans: all plans of the cache.
        markers: of the shards that are there, by number.
        part: its shards count; None for all.
        numbers: of the plans that count; None for all.
    """
    part = part or Part()
    units = [
        markers[shard].unit if shard in markers else plan.units[shard - shards.start]
        for number, (plan, shards) in enumerate(zip(plans, plan_shards(plans), strict=True))
        if numbers is None or number in numbers
        for shard in filter(part.takes, shards)
    ]
    return sum(unit.paragraphs for unit in units), all(unit.counted for unit in units)
