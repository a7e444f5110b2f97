"""`x2static encode --plan`: what a run would take, from a timed sample, before anything is written."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from x2static.durable.storage import folder_bytes
from x2static.schemas.cache import MANIFEST, Cache, plan_shards, totals
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.manifest import Marker, Plan
from x2static.schemas.shard import shard_name
from x2static.stage1_encode.cache_folder import check_encoding, check_folder, settled
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.corpora.sources import Source, open_corpora
from x2static.stage1_encode.encoder import ChosenTeacher, Encoder
from x2static.stage1_encode.plan.planning import Part, match, plan_all, plan_rest, planned_paragraphs
from x2static.stage1_encode.pools.pool import Pool, look_at_words
from x2static.stage1_encode.text.segmentation import log_words
from x2static.stage1_encode.text.windows import PreparedText

SAMPLE_UNITS, SAMPLE_PARAGRAPHS = 16, 1024
TIMED_SECONDS = 8.0
WARM_UP = 16  # one window in so many


def estimate(config: EncodeConfig, pools: Sequence[Pool] = ()) -> dict[str, Any]:
    """Return what encoding would take, pools besides the contexts included; nothing is written.

    Where nothing is left to do the teacher is not loaded, and the figures are those of what is there.

    That is units, units_left, paragraphs, paragraphs_counted (or only estimated), the share of a sample of them that
    the filter keeps (kept), sentences, teacher_tokens and cache_bytes of all that is asked for (with `part` of the
    part, with `append` of the new corpora), seconds for what is left of it, tokens_per_second as measured here,
    free_bytes of the disk.
    """
    config, part = settled(config), Part.of(config.part)
    check_folder(config.cache, config.append)
    folder = next(path for path in [config.cache.absolute(), *config.cache.absolute().parents] if path.is_dir())
    with open_corpora(config.corpus, config, config.cache, spool=False) as corpora:
        teacher = ChosenTeacher(config)  # after the corpora, as in `encode`
        plans, sources, markers = _planned(teacher, corpora)
        numbers = {number for source in sources for number in source.plans}
        ranges, names = plan_shards(plans), {pool.name for pool in pools}
        shards = [shard for number in numbers for shard in ranges[number] if part.takes(shard)]
        done = {shard: markers[shard] for shard in shards if shard in markers and names <= markers[shard].pools.keys()}
        n_paragraphs, counted = planned_paragraphs(plans, markers, part, numbers)
        figures = {
            "units": len(shards),
            "units_left": len(shards) - len(done),
            "paragraphs": n_paragraphs,
            "paragraphs_counted": counted,
            "free_bytes": shutil.disk_usage(folder).free,
        }
        if len(done) == len(shards):
            return {**figures, **_as_there(config.cache, done)}
        log_words(config.compat, config.language)
        teacher.hear_of(plans)  # of a cache that is there the backend is settled
        encoder = teacher.load(look_at_words(pools))
        sample, n_sampled = _sample(plans, sources, encoder)
    rate = _tokens_per_second(encoder, sample)
    amounts = (sample.n_tokens, sample.n_contexts, len(sample.word_ids))
    n_tokens, n_contexts, n_words = (amount / max(n_sampled, 1) for amount in amounts)  # of a paragraph
    dim = encoder.teacher.dim
    row_bytes = 2 * dim if config.dtype == "float16" else dim + 4  # int8 has a float32 scale beside it
    pool_bytes = len(shards) * sum(pool.n_bytes(encoder.shape) for pool in pools)
    pool_bytes += _bytes_of_words(pools, encoder, sample, n_words * n_paragraphs / max(len(shards), 1), len(shards))
    n_read = sum(marker.unit.paragraphs for marker in done.values())
    return {
        **figures,
        "kept": round(sample.n_paragraphs / n_sampled, 4) if n_sampled else 1.0,
        "sentences": round(n_contexts * n_paragraphs),
        "teacher_tokens": round(n_tokens * n_paragraphs),
        "tokens_per_second": round(rate, 1),
        "seconds": round(n_tokens * (n_paragraphs - n_read) / rate, 1) if rate else 0.0,
        # 4 bytes a word, and 8 a context for paragraph and list offset
        "cache_bytes": round((n_contexts * (row_bytes + 8) + 4 * n_words) * n_paragraphs) + pool_bytes,
    }


def _as_there(cache: Path, markers: dict[int, Marker]) -> dict[str, Any]:
    """Return the figures of shards that are there, instead of those of a sample."""
    held = totals(markers.values())
    return {
        "kept": round(held["paragraphs"] / held["paragraphs_read"], 4) if held["paragraphs_read"] else 1.0,
        "sentences": held["contexts"],
        "teacher_tokens": held["teacher_tokens"],
        "tokens_per_second": 0.0,
        "seconds": 0.0,
        "cache_bytes": sum(folder_bytes(cache / "shards" / shard_name(shard)) for shard in markers),
    }


def _bytes_of_words(
    pools: Sequence[Pool], encoder: Encoder, sample: PreparedText, words_of_unit: float, n_units: int
) -> int:
    """Return about what pools store of the words of some units; distinct words grow by Heaps' law, as in the sample."""
    ids = np.asarray(sample.word_ids)
    whole, half = len(np.unique(ids)), len(np.unique(ids[: len(ids) // 2]))
    if not half:
        return 0
    n_distinct = whole * (words_of_unit / len(ids)) ** float(np.log2(whole / half))
    several = ((pool, number) for pool in pools for number in range(n_units))
    return round(sum(pool.bytes_of_text(encoder.shape, words_of_unit, n_distinct, number) for pool, number in several))


def _planned(teacher: ChosenTeacher, corpora: list[Corpus]) -> tuple[list[Plan], list[Source], dict[int, Marker]]:
    """Return the plans of the cache as it would be, the corpora that are asked for, and the markers that are there."""
    config = teacher.config
    if not (config.cache / MANIFEST).is_file():
        plans = list(plan_all(config, corpora).values())
        return plans, [Source(corpora[number], plan.identity, (number,)) for number, plan in enumerate(plans)], {}
    cache = Cache.open(config.cache)
    check_encoding(cache, teacher)
    markers, _ = cache.committed()
    plans = cache.plans()
    plans += plan_rest(config, match(config, corpora, cache.path, plans), cache.path, plans, markers).values()
    return plans, match(config, corpora, cache.path, plans), markers


def _sample(plans: list[Plan], sources: list[Source], encoder: Encoder) -> tuple[PreparedText, int]:
    """Prepare every n-th paragraph of up to 16 units, of a stream of the first; return them and their number."""
    paragraphs: list[str] = []
    planned = [(source.corpus, plans[number]) for source in sources for number in source.plans]
    n_planned = [sum(unit.paragraphs for unit in plan.units) for _, plan in planned]
    for (corpus, plan), n_paragraphs in zip(planned, n_planned, strict=True):
        corpus.connect(plan.identity)
        share = n_paragraphs / max(sum(n_planned), 1)
        step = max(1, len(plan.units) // SAMPLE_UNITS)
        chosen = plan.units[:1] if corpus.sequential else plan.units[step // 2 :: step]
        for unit in chosen:
            n_wanted = max(1, round(SAMPLE_PARAGRAPHS * share / len(chosen)))
            paragraphs += corpus.read(unit).paragraphs[:: max(1, unit.paragraphs // n_wanted)]
    return encoder.preparer.prepare(paragraphs, plans[0].language), len(paragraphs)  # of several languages, about


def _tokens_per_second(encoder: Encoder, unit: PreparedText) -> float:
    """Time windows of all lengths for a few seconds, after a first lot that tells how many that is."""
    if not unit.windows:
        return 0.0
    encoder.encode([replace(unit, windows=unit.windows[::WARM_UP])], "sample")
    started, before = time.perf_counter(), encoder.n_tokens
    encoder.encode([replace(unit, windows=unit.windows[1::WARM_UP] or unit.windows)], "sample").contexts()
    rate = (encoder.n_tokens - before) / (time.perf_counter() - started)
    timed = replace(unit, windows=unit.windows[:: max(1, round(unit.n_tokens / rate / TIMED_SECONDS))])
    started = time.perf_counter()
    encoder.encode([timed], "sample").contexts()
    return timed.n_tokens / (time.perf_counter() - started)
