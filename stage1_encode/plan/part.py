"""`--part`: the share of the units that one machine of several encodes, and how much text is planned for it."""

from collections.abc import Container
from dataclasses import dataclass

from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import missing_shards, plan_shards
from x2static.schemas.manifest import Marker, Plan


@dataclass(frozen=True)
class Part:
    """Every `count`-th shard; the one part of one is all of them.

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

    def missing(self, plans: list[Plan], markers: dict[int, Marker]) -> list[int] | None:
        """Return which of its shards have no marker yet; None where the end of a stream is not known."""
        missing = missing_shards(plans, markers)
        return None if missing is None else [shard for shard in missing if self.takes(shard)]

    def check(self, plans: list[Plan], markers: dict[int, Marker]) -> None:
        """Refuse plans whose units are not known beforehand.

        Raises:
            X2StaticError: it is a real part, and a stream is not finished.
        """
        for plan, shards in zip(plans, plan_shards(plans, markers), strict=True):
            if self.count > 1 and shards is None:
                raise X2StaticError(
                    f"--part {self}: where the units of {plan.corpus} end is only known when it was read; that is "
                    "known beforehand of local files, and of data sets of Parquet files without --limit. Leave out "
                    "--part, or save the corpus as one of these"
                )


@dataclass(frozen=True)
class Planned:
    """How much text is planned.

    Attributes:
        paragraphs: before the filter; None where a stream has no limit.
        counted: whether that is their number; otherwise it is an estimate.
    """

    paragraphs: int | None
    counted: bool


def planned_paragraphs(
    plans: list[Plan], markers: dict[int, Marker], part: Part, asked: Container[int] | None = None
) -> Planned:
    """Return the paragraphs of plans: counted ones where they were read, else what the plans say.

    Args:
        plans: all plans of the cache.
        markers: of the shards that are there, by number.
        part: its shards count.
        asked: numbers of the plans that count; None for all.
    """
    total, counted = 0, True
    for number, (plan, shards) in enumerate(zip(plans, plan_shards(plans, markers), strict=True)):
        if asked is not None and number not in asked:
            continue
        if shards is None:
            if plan.units is None and plan.limit is None:
                return Planned(None, False)
            units = list(plan.units or ())
            total += sum(unit.paragraphs for unit in units) if plan.units is not None else plan.limit or 0
            counted = counted and plan.units is not None and all(unit.counted for unit in units)
            continue
        for shard in filter(part.takes, shards):
            known = plan.units[shard - shards.start] if plan.units else None
            known = markers[shard].unit if shard in markers else known
            total += known.paragraphs if known else plan.unit
            counted = counted and known is not None and known.counted
    return Planned(total, counted)
