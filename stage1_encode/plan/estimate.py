"""`x2static encode --plan`: what a run would take, from a timed sample, before anything is written."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from x2static.machine.device import pick_device
from x2static.schemas.cache import MANIFEST, Cache, plan_shards
from x2static.schemas.encoding import Dtype, EncodeConfig, Precision
from x2static.schemas.manifest import Marker, Plan
from x2static.stage1_encode.cache_folder import check_encoding, check_folder
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.corpora.sources import Source, check_appendable, match, open_corpora
from x2static.stage1_encode.encoder import Encoder, load_encoder
from x2static.stage1_encode.plan.part import Part, planned_paragraphs
from x2static.stage1_encode.plan.planning import merged, plan_all, plan_rest
from x2static.stage1_encode.plan.remaining import read_remaining
from x2static.stage1_encode.pools.aggregation import wanted_words
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.teacher.teacher import pick_precision
from x2static.stage1_encode.text.windows import PreparedText

SAMPLE_UNITS, SAMPLE_PARAGRAPHS = 16, 1024
TIMED_SECONDS = 8.0
WARM_UP = 16  # one window in so many


@dataclass(frozen=True)
class Sample:
    """Paragraphs from all over the corpora, prepared.

    Attributes:
        unit: their windows and words.
        n_paragraphs: paragraphs before the filter.
    """

    unit: PreparedText
    n_paragraphs: int


def estimate(config: EncodeConfig, wanted: Sequence[str] = ()) -> dict[str, Any]:
    """Return what encoding would take; nothing is written.

    Args:
        config: what is asked for.
        wanted: words whose contextual vectors would be added up (`--ase`).

    Returns:
        units, units_left, paragraphs, paragraphs_counted (or only estimated), sentences, teacher_tokens and
        cache_bytes of all that is asked for (with `part` of the part, with `append` of the new corpora), seconds for
        what is left of it, tokens_per_second as measured here, free_bytes of the disk. What depends on the length of a
        stream without --limit is None.

    Raises:
        X2StaticError: as `encode` does.
    """
    files = TeacherFiles.find(config.model, config.revision)
    device = pick_device(config.device)
    precision, _ = pick_precision(config.precision, config.compat, device)
    wanted = wanted_words(config, wanted)
    check_folder(config.cache, config.append)
    with open_corpora(config, standard_input=False) as corpora:
        asked = _asked(config, corpora, files, precision)
        encoder = load_encoder(config, files, precision, device, wanted)
        sample = _sample(asked, encoder)
    rate = _tokens_per_second(encoder, sample.unit)
    planned = planned_paragraphs(asked.plans, asked.markers, asked.part, asked.numbers)
    paragraphs = planned.paragraphs
    done = sum(marker.unit.paragraphs for marker in asked.markers_here().values())
    tokens = sample.unit.n_tokens / max(sample.n_paragraphs, 1)
    contexts = sample.unit.n_contexts / max(sample.n_paragraphs, 1)
    words = len(sample.unit.word_ids) / max(sample.n_paragraphs, 1)
    units = asked.n_units()
    folder = next(path for path in [config.cache.absolute(), *config.cache.absolute().parents] if path.is_dir())

    def times(per_paragraph: float, count: int | None, once: int = 0) -> int | None:
        return None if count is None else round(per_paragraph * count) + once

    return {
        "units": units,
        "units_left": None if units is None else units - len(asked.markers_here()),
        "paragraphs": paragraphs,
        "paragraphs_counted": planned.counted,
        "sentences": times(contexts, paragraphs),
        "teacher_tokens": times(tokens, paragraphs),
        "tokens_per_second": round(rate, 1),
        "seconds": None if paragraphs is None else round(tokens * (paragraphs - done) / rate, 1) if rate else 0.0,
        # 4 bytes a word, and 8 a context for paragraph and list offset
        "cache_bytes": times(
            contexts * (_row_bytes(config.dtype, encoder.teacher.dim) + 8) + 4 * words, paragraphs, _ase_bytes(encoder)
        ),
        "free_bytes": shutil.disk_usage(folder).free,
    }


def _row_bytes(dtype: Dtype, dim: int) -> int:
    """Return what a context vector takes; int8 has a float32 scale beside it."""
    return 2 * dim if dtype == "float16" else dim + 4


def _ase_bytes(encoder: Encoder) -> int:
    """Return what the sums take if every word occurs: a float32 and what it lost, an int8, for each value."""
    return 5 * encoder.n_wanted * (encoder.teacher.n_layers + 1) * encoder.teacher.dim if encoder.n_wanted else 0


@dataclass(frozen=True)
class _Asked:
    """What a run would have to do with.

    Attributes:
        plans: of the cache as it would be, from the first on.
        sources: the corpora that are asked for.
        markers: of the shards that are there.
        part: the part that is asked for.
    """

    plans: list[Plan]
    sources: list[Source]
    markers: dict[int, Marker]
    part: Part

    @property
    def numbers(self) -> set[int]:
        """Numbers of the plans of the sources."""
        return {number for source in self.sources for number in source.plans}

    def markers_here(self) -> dict[int, Marker]:
        """Return the markers of what is asked for."""
        numbers = self.numbers
        return {index: item for index, item in self.markers.items() if item.plan in numbers and self.part.takes(index)}

    def n_units(self) -> int | None:
        """Return the number of units; None where that of a stream is not known."""
        ranges = plan_shards(self.plans, self.markers)
        if any(self.plans[number].units is None for number in self.numbers) or None in ranges:
            return None
        return sum(self.part.takes(shard) for number in self.numbers for shard in ranges[number] or ())


def _asked(config: EncodeConfig, corpora: list[Corpus], files: TeacherFiles, precision: Precision) -> _Asked:
    part = Part.of(config.part)
    if not (config.cache / MANIFEST).is_file():
        markers: dict[int, Marker] = {}
        plans = list(plan_all(corpora).values())
        sources = [Source(corpora[number], plan.identity, (number,)) for number, plan in enumerate(plans)]
    else:
        cache = Cache.open(config.cache)
        check_encoding(cache, config, files, precision)
        markers, _ = cache.committed()
        old = cache.plans()
        sources = match(config, corpora, cache.path, old)
        if config.append:
            check_appendable(cache.path, old, markers, sources)
        plans = merged(old, plan_rest(config, sources, cache.path, old, markers))
        sources = match(config, corpora, cache.path, plans)
    part.check(plans, markers)
    return _Asked(plans, sources, markers, part)


def _sample(asked: _Asked, encoder: Encoder) -> Sample:
    """Take every n-th paragraph of up to 16 units, evenly spread; of a stream, the first unit."""
    paragraphs: list[str] = []
    everything = sum(_planned(asked.plans[number]) for number in asked.numbers)
    for source in asked.sources:
        for number in source.plans:
            plan = asked.plans[number]
            if plan.units is None:
                alone = Source(source.corpus, source.identity, (0,))
                work = next(read_remaining([plan], [alone], {}))
                paragraphs += work.text.paragraphs[:SAMPLE_PARAGRAPHS]
                continue
            source.corpus.connect(plan)
            share = _planned(plan) / max(everything, 1)
            step = max(1, len(plan.units) // SAMPLE_UNITS)
            chosen = plan.units[step // 2 :: step]
            for unit in chosen:
                wanted = max(1, round(SAMPLE_PARAGRAPHS * share / len(chosen)))
                paragraphs += source.corpus.read(unit).paragraphs[:: max(1, unit.paragraphs // wanted)]
    return Sample(encoder.preparer.prepare(paragraphs), len(paragraphs))


def _planned(plan: Plan) -> int:
    return sum(unit.paragraphs for unit in plan.units or ())


def _tokens_per_second(encoder: Encoder, unit: PreparedText) -> float:
    """Time windows of all lengths for a few seconds, after a first lot that tells how many that is."""
    if not unit.windows:
        return 0.0
    encoder.encode([replace(unit, windows=unit.windows[::WARM_UP])], "sample")
    started, before = time.perf_counter(), encoder.n_tokens
    encoder.encode([replace(unit, windows=unit.windows[1::WARM_UP] or unit.windows)], "sample").contexts.numpy()
    rate = (encoder.n_tokens - before) / (time.perf_counter() - started)
    timed = replace(unit, windows=unit.windows[:: max(1, round(unit.n_tokens / rate / TIMED_SECONDS))])
    started = time.perf_counter()
    encoder.encode([timed], "sample").contexts.numpy()
    return timed.n_tokens / (time.perf_counter() - started)
