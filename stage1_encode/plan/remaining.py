"""What of a cache's plans remains to be encoded."""

from collections.abc import Container
from dataclasses import dataclass

from x2static.schemas.cache import missing_shards, plan_shards
from x2static.schemas.manifest import Marker, Plan


@dataclass(frozen=True)
class Part:
    """`--part`: every `count`-th shard, which one machine of several encodes; the one part of one is all of them."""

    number: int = 1  # from 1 to `count`
    count: int = 1  # how many parts there are

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
