"""Stage one as a whole: corpora through the teacher, once, into the shards of a cache."""

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from schemas.cache import MANIFEST, Cache, missing_shards, totals
from schemas.device import pick_device
from schemas.encoding import EncodeConfig
from schemas.errors import X2StaticError
from schemas.manifest import Marker
from schemas.progress import Progress, Report, silent
from schemas.shard import ShardContent, write_shard
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
from stage1_encode.planning import (
    Work,
    open_corpora,
    plan_all,
    plan_rest,
    planned_paragraphs,
    read_remaining,
    write_plans,
)
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
        cache_bytes. Seconds and rate are those of this call, all else counts the whole cache.

    Raises:
        X2StaticError: the model, the corpus or the cache cannot be used as asked; what is committed stays.
    """
    started = time.perf_counter()
    files = TeacherFiles.find(config.model, config.revision)
    device = pick_device(config.device)
    precision, why = pick_precision(config, device)
    check_folder(config.cache)
    with open_corpora(config) as corpora, only_writer(config.cache, "cache"):
        encoder: Encoder | None = None
        if (config.cache / MANIFEST).is_file():
            cache = Cache.open(config.cache)
            check_encoding(cache, config, files, precision)
            cache.segmentation()
        else:
            plans = plan_all(corpora)
            encoder = load_encoder(config, files, precision, device)
            cache = create(config, encoding_of(config, files, precision, probed(encoder)), files, plans)
        markers = drop_damaged(cache)
        resumed = set(markers)
        remove_leftovers(cache.shards_folder)
        write_plans(cache, plan_rest(config, corpora, cache, markers))
        if missing_shards(cache.plans(), markers) == []:
            logger.info("%s: finished already, %d shards", cache.path, len(markers))
        else:
            if markers:
                logger.info("%s: going on after %d shards", cache.path, len(markers))
            logger.info("precision: %s, because %s", precision, why)
        while (missing := missing_shards(cache.plans(), markers)) != []:
            encoder = encoder or load_encoder(config, files, precision, device)
            check_teacher(cache, probed(encoder))
            n_before = len(markers)
            encode_missing(cache, encoder, corpora, markers, report)
            if len(markers) == n_before:
                raise RuntimeError(f"{cache.path}: {missing} are missing and no unit is theirs")
            # Only a stream that is whole tells what a raised --limit adds to it.
            write_plans(cache, plan_rest(config, corpora, cache, markers))
    if not sum(marker.n_contexts for marker in markers.values()):
        raise X2StaticError(
            f"{config.cache}: the filter left nothing of {sum(m.unit.paragraphs for m in markers.values())} paragraphs "
            f"(at least {config.min_sentences} sentences and {config.min_characters} characters each); "
            "lower --min-sentences and --min-characters, and use another --cache"
        )
    return _figures(cache, markers, resumed, time.perf_counter() - started)


def probed(encoder: Encoder) -> Probed:
    """Return what the loaded teacher of an encoder tells."""
    return Probed(encoder.preparer.window, encoder.teacher.attention, encoder.teacher.dim)


@dataclass(frozen=True)
class _Prepared:
    """A unit between its reading and the teacher."""

    work: Work
    unit: PreparedUnit


def encode_missing(
    cache: Cache, encoder: Encoder, corpora: Sequence[Corpus | None], markers: dict[int, Marker], report: Report
) -> None:
    """Read, prepare, encode and write: the first two run ahead in a thread, the last one behind in another.

    Args:
        cache: where the shards go.
        encoder: the teacher and what cuts text for it.
        corpora: those of the plans; None for one of which nothing is missing.
        markers: of the shards that are there; the new ones are added.
        report: called with the progress in paragraphs.
    """
    plans = cache.plans()
    done = sum(marker.unit.paragraphs for marker in markers.values())
    tokens, started = 0, time.perf_counter()
    report(Progress(done, planned_paragraphs(plans), "paragraphs"))

    def prepared() -> Iterator[_Prepared]:
        for work in read_remaining(plans, corpora, dict(markers)):
            yield _Prepared(work, encoder.preparer.prepare(work.text.paragraphs))

    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        for item in ahead(prepared()):
            content = encoder.encode(item.unit, f"{plans[item.work.plan].corpus}, unit {item.work.shard}")
            if writing:
                writing.result()
            writing = writer.submit(_write, cache, item.work, content, markers)
            done, tokens = done + len(item.work.text.paragraphs), tokens + content.n_tokens
            rate = tokens / (time.perf_counter() - started)
            report(Progress(done, planned_paragraphs(plans), "paragraphs", f"{rate:,.0f} tokens/s"))
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
    dtype = cache.manifest.encoding.dtype
    # A damaged shard of this number, which `repair` leaves until there is a better one, goes now.
    markers[work.shard] = write_shard(cache.shards_folder, work.shard, content, marker, dtype, replace=True)


def _figures(cache: Cache, markers: dict[int, Marker], resumed: set[int], seconds: float) -> dict[str, int | float]:
    new_tokens = sum(marker.n_tokens for index, marker in markers.items() if index not in resumed)
    return {
        "shards": len(markers),
        "shards_resumed": len(resumed),
        **totals(markers.values()),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(new_tokens / seconds, 1),
        "cache_bytes": folder_bytes(cache.path),
    }
