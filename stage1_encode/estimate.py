"""`x2static encode --plan`: what a run would take, from a timed sample, before anything is written."""

import shutil
import time
from dataclasses import dataclass
from typing import Any

from schemas.cache import MANIFEST, Cache
from schemas.device import pick_device
from schemas.encoding import Dtype, EncodeConfig, Precision
from schemas.manifest import Marker, Plan
from stage1_encode.cache_folder import check_encoding, check_folder
from stage1_encode.corpora.corpus import Corpus
from stage1_encode.encoder import Encoder, load_encoder
from stage1_encode.planning import corpus_groups, open_corpora, plan_all, plan_rest, planned_paragraphs, read_remaining
from stage1_encode.pooling import ContextMeans, batches
from stage1_encode.teacher import TeacherFiles, pick_precision
from stage1_encode.windows import PreparedUnit

SAMPLE_UNITS, SAMPLE_PARAGRAPHS = 16, 1024
TIMED_SECONDS = 8.0


@dataclass(frozen=True)
class Sample:
    """Paragraphs from all over the corpora, prepared.

    Attributes:
        unit: their windows and words.
        n_paragraphs: paragraphs before the filter.
    """

    unit: PreparedUnit
    n_paragraphs: int


def estimate(config: EncodeConfig) -> dict[str, Any]:
    """Return what encoding would take; nothing is written.

    Returns:
        units, units_left, paragraphs, sentences, teacher_tokens and cache_bytes of the whole cache, seconds for what
        is left of it, tokens_per_second as measured here, free_bytes of the disk. What depends on the length of a
        stream without --limit is None.

    Raises:
        X2StaticError: as `encode` does.
    """
    files = TeacherFiles.find(config.model, config.revision)
    device = pick_device(config.device)
    precision, _ = pick_precision(config, device)
    check_folder(config.cache)
    with open_corpora(config) as corpora:
        plans, markers = _plans(config, corpora, files, precision)
        encoder = load_encoder(config, files, precision, device)
        sample = _sample(plans, corpora, encoder)
    rate = _tokens_per_second(encoder, sample.unit)
    paragraphs = planned_paragraphs(plans)
    left = None if paragraphs is None else paragraphs - sum(marker.unit.paragraphs for marker in markers.values())
    tokens = sum(len(window.pieces) for window in sample.unit.windows) / max(sample.n_paragraphs, 1)
    contexts = len(sample.unit.words) / max(sample.n_paragraphs, 1)
    words = sum(map(len, sample.unit.words)) / max(sample.n_paragraphs, 1)
    units = None if any(plan.units is None for plan in plans) else sum(len(plan.units or ()) for plan in plans)
    folder = next(path for path in [config.cache.absolute(), *config.cache.absolute().parents] if path.is_dir())

    def times(per_paragraph: float, count: int | None) -> int | None:
        return None if count is None else round(per_paragraph * count)

    return {
        "units": units,
        "units_left": None if units is None else units - len(markers),
        "paragraphs": paragraphs,
        "sentences": times(contexts, paragraphs),
        "teacher_tokens": times(tokens, paragraphs),
        "tokens_per_second": round(rate, 1),
        "seconds": None if left is None else round(tokens * left / rate, 1) if rate else 0.0,
        # 4 bytes a word, and 8 a context for paragraph and list offset
        "cache_bytes": times(contexts * (_row_bytes(config.dtype, encoder.teacher.dim) + 8) + 4 * words, paragraphs),
        "free_bytes": shutil.disk_usage(folder).free,
    }


def _row_bytes(dtype: Dtype, dim: int) -> int:
    """Return what a context vector takes; int8 has a float32 scale beside it."""
    return 2 * dim if dtype == "float16" else dim + 4


def _plans(
    config: EncodeConfig, corpora: list[Corpus], files: TeacherFiles, precision: Precision
) -> tuple[list[Plan], dict[int, Marker]]:
    if not (config.cache / MANIFEST).is_file():
        return list(plan_all(corpora).values()), {}
    cache = Cache.open(config.cache)
    check_encoding(cache, config, files, precision)
    markers, _ = cache.committed()
    plans = dict(enumerate(cache.plans())) | plan_rest(config, corpora, cache, markers)
    return list(plans.values()), markers


def _sample(plans: list[Plan], corpora: list[Corpus], encoder: Encoder) -> Sample:
    """Take every n-th paragraph of up to 16 units, evenly spread; of a stream, the first unit."""
    paragraphs: list[str] = []
    for group, corpus in zip(corpus_groups(plans), corpora, strict=True):
        for number in group:
            plan = plans[number]
            if plan.units is None:
                work = next(read_remaining([plan], [corpus], {}))
                paragraphs += work.text.paragraphs[:SAMPLE_PARAGRAPHS]
                continue
            share = sum(unit.paragraphs for unit in plan.units) / max(_closed(plans), 1)
            step = max(1, len(plan.units) // SAMPLE_UNITS)
            chosen = plan.units[step // 2 :: step]
            for unit in chosen:
                wanted = max(1, round(SAMPLE_PARAGRAPHS * share / len(chosen)))
                paragraphs += corpus.read(unit).paragraphs[:: max(1, unit.paragraphs // wanted)]
    return Sample(encoder.preparer.prepare(paragraphs), len(paragraphs))


def _closed(plans: list[Plan]) -> int:
    return sum(unit.paragraphs for plan in plans for unit in plan.units or ())


def _tokens_per_second(encoder: Encoder, unit: PreparedUnit) -> float:
    """Time batches from all lengths for a few seconds, after a first one that is not counted."""
    work = list(batches(unit.windows, encoder.max_tokens))
    if not work:
        return 0.0
    means = ContextMeans(len(unit.words), encoder.teacher.dim, encoder.teacher.device)
    means.add(work[0], encoder.teacher.states(work[0]))
    stride = 7  # a number that shares no factor with most lengths: the batches are sorted by length
    order = [work[(i * stride) % len(work)] for i in range(len(work))]
    tokens, started = 0, time.perf_counter()
    for batch in order:
        means.add(batch, encoder.teacher.states(batch))
        tokens += sum(len(window.pieces) for window in batch)
        if time.perf_counter() - started > TIMED_SECONDS:
            break
    means.means()
    return tokens / (time.perf_counter() - started)
