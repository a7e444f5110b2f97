"""Aggregated embeddings of caches that are merged: added up, if every cache has them and no unit would count twice."""

import logging
from pathlib import Path

from x2static.durable.storage import only_writer
from x2static.schemas.aggregated import Aggregated, AggregatedFile
from x2static.schemas.cache import Cache

logger = logging.getLogger(__name__)


def merge_aggregates(out: Path, caches: list[tuple[Cache, int]]) -> None:
    """Give a merged cache the sums of the caches that it was made of.

    Args:
        out: the merged cache.
        caches: each with what is added to the numbers of its shards.

    Raises:
        X2StaticError: a file of sums is damaged.
    """
    found = [(Aggregated.open(cache.path), shift) for cache, shift in caches]
    held = [(aggregated, shift) for aggregated, shift in found if aggregated]
    if not held:
        return
    if len(held) < len(found) or len({aggregated.words for aggregated, _ in held}) > 1:
        logger.warning("aggregated embeddings are left out: not all of the caches have them, of the same words")
        return
    files: list[tuple[AggregatedFile, int]] = [(file, shift) for item, shift in held for file in item.files()]
    units = [unit + shift for file, shift in files for unit in file.units]
    if len(set(units)) < len(units):
        logger.warning("aggregated embeddings are left out: some units are in the sums of several caches")
        return
    with only_writer(out, "cache"):
        merged = Aggregated.open(out) or Aggregated.create(out, held[0][0].words, held[0][0].encoding)
        if not units or merged.units() == set(units):
            return
        for file in merged.files():  # of an earlier merge, of fewer units
            file.path.unlink()
        total = files[0][0].read()
        for file, _ in files[1:]:
            total = file.add_to(total)
        merged.write(units, total)
