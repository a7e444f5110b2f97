"""Which shards of a cache a run trains on: all of a cache that is whole, or those committed when it began."""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

from x2static.durable.errors import DamagedShard, X2StaticError
from x2static.schemas.cache import Cache, missing_shards
from x2static.schemas.shard import Shard

UNFINISHED = (
    "finish `x2static encode` first (the same command goes on where it stopped), or train on what is committed with "
    "--partial"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardChoice:
    """The shards of a run."""

    shards: list[Shard]  # in the cache's order
    listed: str | None  # their numbers, as `list_numbers` writes them; None for the whole of a cache


def choose_shards(cache: Cache, partial: bool = False, recorded: str | None = None) -> ShardChoice:
    """Return the shards to train on.

    Args:
        cache: the cache.
        partial: whether it may be incomplete, or still be written.
        recorded: the shards that a partial run began with, where it goes on.

    Raises:
        X2StaticError: there are none; some are missing or damaged; or the cache is not finished and `partial` is not
            given.
    """
    if not partial:
        return ShardChoice(_all_shards(cache), None)
    shards = _committed_shards(cache) if recorded is None else _recorded_shards(cache, recorded)
    logger.info("training on %s committed shards of %s (--partial)", f"{len(shards):,}", cache.path)
    return ShardChoice(list(shards.values()), list_numbers(shards))


def _all_shards(cache: Cache) -> list[Shard]:
    shards = dict(zip(cache.indices(), cache.shards(), strict=True))
    missing = missing_shards(cache.plans(), {index: shard.marker for index, shard in shards.items()})
    if not shards:
        raise X2StaticError(f"{cache.path}: the cache holds no shards; finish `x2static encode` first")
    if missing:
        raise X2StaticError(
            f"{cache.path}: the cache is incomplete, {len(missing)} of {len(shards) + len(missing)} shards are missing "
            f"(the first is {missing[0]}); {UNFINISHED}"
        )
    return list(shards.values())


def _committed_shards(cache: Cache) -> dict[int, Shard]:
    """Return the shards that have a valid marker, by number; it is said of each damaged one that it is left out."""
    shards: dict[int, Shard] = {}
    for index in cache.indices():
        try:
            shards[index] = cache.shard(index)
        except DamagedShard as error:
            logger.warning("shard %06d is left out: %s", index, error)
    if not shards:
        raise X2StaticError(f"{cache.path}: the cache holds no committed shard yet; wait for `x2static encode`")
    return shards


def _recorded_shards(cache: Cache, recorded: str) -> dict[int, Shard]:
    """Return the shards that a run began with, by number, however many there are now."""
    shards: dict[int, Shard] = {}
    for index in parse_numbers(recorded):
        try:
            shards[index] = cache.shard(index)
        except DamagedShard as error:
            raise X2StaticError(
                f"{cache.path}: shard {index}, which this run began with, is missing or damaged ({error}); run the same"
                " `x2static encode` again, or give another --out for a new run"
            ) from error
    return shards


def list_numbers(numbers: Iterable[int]) -> str:
    """Return ascending numbers as text, "0-3,5": a large cache's would fill a page."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)


def parse_numbers(text: str) -> list[int]:
    """Return the numbers that `list_numbers` wrote. Raises X2StaticError: it did not write this."""
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise X2StaticError(f"not a list of shards: {text!r}; settings.json of the run is damaged, give another --out")
    spans = [part.partition("-") for part in text.split(",")]
    return [number for first, _, last in spans for number in range(int(first), int(last or first) + 1)]
