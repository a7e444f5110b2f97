"""Stage one as a whole: corpora through the teacher, once, into the shards of a cache."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from schemas.cache import MANIFEST, Cache, totals
from schemas.device import pick_device
from schemas.encoding import EncodeConfig
from schemas.errors import X2StaticError
from schemas.manifest import Marker, Plan
from schemas.progress import Progress, Report, silent
from schemas.shard import ShardContent, shard_name, write_shard
from schemas.storage import folder_bytes, only_writer, remove_leftovers
from stage1_encode.ahead import ahead
from stage1_encode.cache_folder import (
    Probed,
    check_encoding,
    check_folder,
    check_teacher,
    create,
    drop_damaged,
    encoding_of,
)
from stage1_encode.corpora.corpus import Corpus
from stage1_encode.encoder import Encoder, load_encoder
from stage1_encode.part import Part, planned_paragraphs
from stage1_encode.planning import plan_all, plan_rest, write_plans
from stage1_encode.remaining import Work, read_remaining
from stage1_encode.sources import Source, check_appendable, match, open_corpora
from stage1_encode.teacher import TeacherFiles, pick_precision
from stage1_encode.windows import PreparedUnit

logger = logging.getLogger(__name__)


def encode(config: EncodeConfig, report: Report = silent) -> dict[str, int | float]:
    """Encode what is not encoded yet; asked again for a finished cache, only say so.

    Args:
        config: what to encode, how and where to.
        report: called with the progress in paragraphs.

    Returns:
        shards, shards_resumed, paragraphs, contexts, words, teacher_tokens, seconds, tokens_per_second and
        cache_bytes. Seconds and rate are those of this call, all else counts the whole cache, or, with `part`, the
        shards of the part.

    Raises:
        X2StaticError: the model, the corpus or the cache cannot be used as asked; what is committed stays.
    """
    started = time.perf_counter()
    files = TeacherFiles.find(config.model, config.revision)
    device = pick_device(config.device)
    precision, why = pick_precision(config, device)
    part = Part.of(config.part)
    check_folder(config.cache, config.append)
    with open_corpora(config) as corpora, only_writer(config.cache, "cache"):
        encoder: Encoder | None = None
        if (config.cache / MANIFEST).is_file():
            cache = Cache.open(config.cache)
            check_encoding(cache, config, files, precision)
            cache.segmentation()
        else:
            plans = plan_all(corpora)
            part.check(list(plans.values()), {})
            encoder = load_encoder(config, files, precision, device)
            cache = create(config, encoding_of(config, files, precision, _probed(encoder)), files, plans)
        markers = _prepare(config, corpora, cache, part)
        resumed = set(markers)
        if part.missing(cache.plans(), markers) != []:
            logger.info("precision: %s, because %s", precision, why)
        while (missing := part.missing(cache.plans(), markers)) != []:
            encoder = encoder or load_encoder(config, files, precision, device)
            check_teacher(cache, _probed(encoder))
            n_before = len(markers)
            _encode_missing(cache, encoder, match(config, corpora, cache.path, cache.plans()), markers, report, part)
            if len(markers) == n_before:
                raise RuntimeError(f"{cache.path}: {missing} are missing and no unit is theirs")
            # Only a stream that is whole tells what a raised --limit adds to it.
            _plan_rest(config, corpora, cache, markers, part)
    _say_what_was_skipped(cache.plans(), markers, resumed)
    if config.part is None and not sum(marker.n_contexts for marker in markers.values()):
        raise X2StaticError(
            f"{config.cache}: the filter left nothing of {sum(m.unit.paragraphs for m in markers.values())} paragraphs "
            f"(at least {config.min_sentences} sentences and {config.min_characters} characters each); "
            "lower --min-sentences and --min-characters, and use another --cache"
        )
    return _figures(cache, markers, resumed, part, time.perf_counter() - started)


def _prepare(config: EncodeConfig, corpora: list[Corpus], cache: Cache, part: Part) -> dict[int, Marker]:
    """Check what a cache holds, tidy it up and plan what is asked for; return the markers of its valid shards."""
    if config.append:
        plans = cache.plans()
        check_appendable(cache.path, plans, cache.committed()[0], match(config, corpora, cache.path, plans))
    markers = drop_damaged(cache)
    remove_leftovers(cache.shards_folder)
    _plan_rest(config, corpora, cache, markers, part)
    missing = part.missing(cache.plans(), markers)
    n_here = sum(map(part.takes, markers))
    whose = f"{cache.path}: part {part}" if config.part else str(cache.path)
    if missing == []:
        logger.info("%s: finished already, %d shards", whose, n_here)
    elif n_here:
        logger.info("%s: going on after %d shards", whose, n_here)
    return markers


def _plan_rest(
    config: EncodeConfig, corpora: list[Corpus], cache: Cache, markers: dict[int, Marker], part: Part
) -> None:
    old = cache.plans()
    new = plan_rest(config, match(config, corpora, cache.path, old), cache, markers)
    part.check(list((dict(enumerate(old)) | new).values()), markers)
    write_plans(cache.path / "plans", new)


def _say_what_was_skipped(plans: list[Plan], markers: dict[int, Marker], resumed: set[int]) -> None:
    """Say, of each data set that was read on, how many of its lines are left out (of files, their planning says it)."""
    for number, plan in enumerate(plans):
        here = {index: marker for index, marker in markers.items() if marker.plan == number}
        n_skipped = sum(marker.unit.skipped for marker in here.values())
        if n_skipped and not here.keys() <= resumed:
            logger.warning("%s: %d lines are too long and left out", plan.corpus, n_skipped)


def _probed(encoder: Encoder) -> Probed:
    return Probed(encoder.preparer.window, encoder.teacher.attention, encoder.teacher.dim)


@dataclass(frozen=True)
class _Prepared:
    """A unit between its reading and the teacher."""

    work: Work
    unit: PreparedUnit


def _encode_missing(
    cache: Cache, encoder: Encoder, sources: list[Source], markers: dict[int, Marker], report: Report, part: Part
) -> None:
    """Read, prepare, encode and write: the first two run ahead in a thread, the last one behind in another.

    Args:
        cache: where the shards go.
        encoder: the teacher and what cuts text for it.
        sources: the corpora of the plans.
        markers: of the shards that are there; the new ones are added.
        report: called with the progress in paragraphs.
        part: the units to encode, and those of the progress.
    """
    plans = cache.plans()
    done = sum(marker.unit.paragraphs for index, marker in markers.items() if part.takes(index))
    planned = planned_paragraphs(plans, markers, part)
    total, tokens, started = planned.paragraphs, 0, time.perf_counter()
    report(Progress(done, total, "paragraphs", about=not planned.counted))

    def prepared() -> Iterator[_Prepared]:
        for work in read_remaining(plans, sources, dict(markers), part):
            yield _Prepared(work, encoder.preparer.prepare(work.text.paragraphs))

    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        for item in ahead(prepared()):
            content = encoder.encode(item.unit, f"{plans[item.work.plan].corpus}, unit {item.work.shard}")
            if writing:
                writing.result()
            writing = writer.submit(_write, cache, item.work, content, markers)
            done, tokens = done + len(item.work.text.paragraphs), tokens + content.n_tokens
            total = None if total is None else total + item.work.more
            rate = f"{tokens / (time.perf_counter() - started):,.0f} tokens/s"
            report(Progress(done, total, "paragraphs", rate, about=not planned.counted and done != total))
        if writing:
            writing.result()


def _write(cache: Cache, work: Work, content: ShardContent, markers: dict[int, Marker]) -> None:
    marker = Marker(
        plan=work.plan,
        unit=work.text.unit,
        last=work.last,
        encoding=cache.manifest.fingerprint,
        n_paragraphs=0,
        n_contexts=0,
        n_words=0,
        n_tokens=0,
        files={},
    )
    markers[work.shard] = write_shard(cache.shards_folder, work.shard, content, marker)


def _figures(
    cache: Cache, markers: dict[int, Marker], resumed: set[int], part: Part, seconds: float
) -> dict[str, int | float]:
    ours = {index: marker for index, marker in markers.items() if part.takes(index)}
    new_tokens = sum(marker.n_tokens for index, marker in ours.items() if index not in resumed)
    shards = (folder_bytes(cache.shards_folder / shard_name(index)) for index in ours)
    return {
        "shards": len(ours),
        "shards_resumed": sum(index in resumed for index in ours),
        **totals(ours.values()),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(new_tokens / seconds, 1),
        "cache_bytes": folder_bytes(cache.path) if part == Part() else sum(shards),
    }
