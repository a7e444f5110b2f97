"""Which shards of a cache a run trains on: all of a cache that is whole, or those committed when it began."""

import logging
import re
from collections.abc import Iterable
from typing import Any

from x2static.durable.errors import DamagedShard, X2StaticError
from x2static.machine.screen import quantity
from x2static.schemas.cache import Cache
from x2static.schemas.shard import Shard, fetch_ahead

logger = logging.getLogger(__name__)


def choose_shards(cache: Cache, partial: bool = False, recorded: str | None = None) -> dict[int, Shard]:
    """Return the shards to train on, by number, in the cache's order.

    `partial`: the cache may be incomplete, or still be written; then damaged shards are left out. `recorded`: exactly
    those that a partial run began with, as `list_numbers` writes them. Raises X2StaticError: one is missing, or all.
    """
    shards, units = dict[int, Shard](), cache.units()
    for index, shard in cache.opened(units, None if recorded is None else parse_numbers(recorded)):
        if not isinstance(shard, DamagedShard):
            shards[index] = shard
        elif not partial:
            raise shard
        elif recorded is not None:
            what = f"shard {index}, which this run began with, is missing or damaged ({shard})"
            raise X2StaticError(f"{cache.path}: {what}; encode again, or give another --out") from shard
        else:
            logger.warning("shard %06d is left out: %s", index, shard)
    fetch_ahead(shards.values(), "lexicon.arrow")  # all are read before anything else
    if not shards:
        raise X2StaticError(f"{cache.path}: the cache holds no shards yet; finish `x2static encode` first")
    missing = [] if partial else [index for index in range(len(units)) if index not in shards]
    if missing:
        what = f"missing: {len(missing)} of {quantity(len(shards) + len(missing), 'shard')} (the first is {missing[0]})"
        hint = "finish `x2static encode` first (its command goes on where it stopped), or `x2static train --partial`"
        raise X2StaticError(f"{cache.path}: {what}; {hint}")
    if partial:
        logger.info("training on %s of %s (--partial)", quantity(len(shards), "committed shard"), cache.path)
    return shards


def list_numbers(numbers: Iterable[int]) -> str:
    """Return ascending numbers as text, "0-3,5": a large cache's would fill a page."""
    spans: list[list[int]] = []
    for number in numbers:
        if not spans or number > spans[-1][1] + 1:
            spans.append([number, number])
        spans[-1][1] = number
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)


def parse_numbers(text: Any) -> list[int]:
    """Return the numbers that `list_numbers` wrote. Raises X2StaticError: it did not write this."""
    if not isinstance(text, str) or not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise X2StaticError(f"not a list of shards: {text!r}; settings.json of the run is damaged, give another --out")
    spans = [part.partition("-") for part in text.split(",")]
    return [number for first, _, last in spans for number in range(int(first), int(last or first) + 1)]
