"""Which contexts are read with a word masked, and the reading, once a cache has all its units (`pools/masked.py`)."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer
from x2static.machine.progress import Report, silent
from x2static.machine.screen import quantity
from x2static.schemas.cache import Cache, missing_shards
from x2static.schemas.lexicons import merge_lexicons
from x2static.schemas.masked import MaskedShard, lowest
from x2static.schemas.mirror import url_of
from x2static.schemas.shard import Shard, shard_name
from x2static.stage1_encode.cache_folder import Inspection, inspect
from x2static.stage1_encode.encode import Work
from x2static.stage1_encode.plan.origin import Origin, find_sources, find_teacher
from x2static.stage1_encode.plan.planning import Part
from x2static.stage1_encode.pools.draws import mixed
from x2static.stage1_encode.pools.masked import Masked, Pairs, Readings
from x2static.stage1_encode.text.windows import PreparedText
from x2static.stage1_encode.worker import Job, Worker, run_here


def choose_pairs(shards: Mapping[int, Shard], most: int, seed: int, min_count: int) -> dict[int, Pairs]:
    """Return, by the shards' numbers, at most so many pairs of each word that occurs `min_count` times in all shards.

    They are those with the lowest draws, which depend on the seed, the word, the shard's content and the place in it.
    """
    lexicon = merge_lexicons(shards.values())
    frequent = lexicon.filter(pc.greater_equal(lexicon["count"], min_count))["word"].combine_chunks()
    chosen = np.zeros((0, 4), np.int64)  # rows (row of `frequent`, shard, context, word in its lexicon)
    draws = np.zeros(0, np.uint64)
    for number, shard in shards.items():
        here = shard.lexicon()["word"].cast(pa.large_string())
        rows = pc.fill_null(pc.index_in(here, value_set=frequent), -1).to_numpy()
        lists = shard.words()["word_ids"].chunk(0)
        words, contexts = lists.flatten().to_numpy(), np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy())
        known = rows[words] >= 0
        # A word counts once in a context, however often it stands there: all its occurrences are masked together.
        contexts, words = np.divmod(np.unique(contexts[known] * len(here) + words[known]), len(here))
        of_words = np.array([xxhash.xxh3_64_intdigest(word.encode(), seed) for word in here.to_pylist()], np.uint64)
        base = np.uint64(xxhash.xxh3_64_intdigest(shard.marker.files["words.arrow"].encode(), seed))
        new = mixed(mixed(base + contexts.astype(np.uint64)) ^ of_words[words])
        pairs = np.stack([rows[words], np.full(len(words), number), contexts, words], axis=1)
        chosen, draws = np.concatenate([chosen, pairs]), np.concatenate([draws, new])
        kept = lowest(chosen[:, 0], draws, most)
        chosen, draws = chosen[kept], draws[kept]
    order = np.lexsort((chosen[:, 3], chosen[:, 2], chosen[:, 1]))
    chosen, draws = chosen[order], draws[order]
    starts, stops = (np.searchsorted(chosen[:, 1], list(shards), side) for side in ("left", "right"))
    return {
        number: Pairs(chosen[start:stop, 2], chosen[start:stop, 3], draws[start:stop])
        for number, start, stop in zip(shards, starts, stops, strict=True)
    }


class MaskingWorker(Worker):
    """A worker that reads the chosen pairs of the shards that are there, and nothing else."""

    pairs: dict[int, Pairs]  # by the shards' numbers

    def windows(self, job: Job, portions: Iterator[PreparedText]) -> Iterator[PreparedText]:
        """Return the readings of a unit's pairs in place of its text."""
        shard = Shard.open(self._shards / shard_name(job.shard))
        return map(Readings(shard, self.pairs[job.shard], self._encoder.teacher).of, portions)


def plan_masked(cache: Cache, pool: Masked) -> dict[str, Any]:
    """Return what the reading of a cache without masked contexts takes: pairs, and teacher_tokens, about.

    A piece is taken for as many words in a chosen sentence as in its shard. Raises X2StaticError: a shard is missing.
    """
    shards, n_special, n_tokens = whole(cache), 2, 0.0
    pairs = choose_pairs(shards, pool.most, pool.seed, pool.min_count)
    for number, shard in shards.items():
        lengths = shard.words()["word_ids"].chunk(0).value_lengths().to_numpy()
        n_words, marker = int(lengths[pairs[number].contexts].sum()), shard.marker
        n_tokens += n_words * marker.n_tokens / max(marker.n_words, 1) + n_special * len(pairs[number].words)
    return {"pairs": sum(len(of_shard.words) for of_shard in pairs.values()), "teacher_tokens": round(n_tokens)}


def whole(cache: Cache, there: Inspection | None = None) -> dict[int, Shard]:
    """Return all shards of a cache by number, of those that are sound if they were inspected.

    Raises X2StaticError: one is not there.
    """
    if compat := cache.manifest.encoding.compat:
        why = "that mode joins words anew before the teacher reads them"
        raise X2StaticError(f"{cache.path}: masked contexts do not go with --compat {compat}: {why}")
    markers = there.markers if there else cache.committed()[0]
    if missing := missing_shards(cache.plans(), markers):
        what = f"{quantity(len(missing), 'shard')} missing or damaged (the first is {missing[0]})"
        raise X2StaticError(f"{cache.path}: {what}; run the `x2static encode` that it was made with, or `cache repair`")
    return {number: Shard(cache.shards_folder / shard_name(number), marker) for number, marker in markers.items()}


def read_masked(cache: Cache, origin: Origin, pool: Masked, report: Report = silent) -> dict[str, Any]:
    """Read the masked contexts of those shards of a whole cache that have none, with the cache's own teacher.

    What an earlier call has read stays. Returns pairs (read by this call), teacher_tokens (likewise), units_read and
    seconds. Raises X2StaticError: a shard is missing or damaged, other masked contexts were asked for before, or
    teacher or text are not found as they were.
    """
    started = time.perf_counter()
    pool = replace(pool, dtype=cache.manifest.encoding.dtype)
    with only_writer(cache.path, "cache"):
        cache.remove_leftovers()
        there, plans = inspect(cache, Part(), hashed=url_of(cache.path) is None), cache.plans()
        shards = whole(cache, there)
        work = Work(cache, plans, there.markers, [pool], Part())
        if jobs := work.jobs():
            with ExitStack() as stack:
                sources = find_sources(cache, plans, sorted({job.plan for job in jobs}), origin, stack)
                worker = MaskingWorker(cache, plans, sources, find_teacher(cache, plans[0], origin, True), [pool])
                worker.pairs = choose_pairs(shards, pool.most, pool.seed, pool.min_count)
                work.do(jobs, sources, lambda: worker, run_here, report)
            cache.write_index()
    read = [len(MaskedShard.of(cache.shard(job.shard)).pairs) for job in jobs]
    seconds = round(time.perf_counter() - started, 3)
    return {"pairs": sum(read), "teacher_tokens": work.n_read, "units_read": len(jobs), "seconds": seconds}
