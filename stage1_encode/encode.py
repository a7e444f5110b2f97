"""Stage one as a whole: corpora through the teacher, once, into the shards of a cache."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import torch

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import folder_bytes, only_writer, remove_leftovers
from x2static.machine.device import pick_device
from x2static.machine.progress import Progress, Report, silent
from x2static.schemas.aggregated import Aggregated
from x2static.schemas.cache import MANIFEST, Cache, totals
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.manifest import Marker, Plan
from x2static.schemas.shard import shard_name, write_shard
from x2static.stage1_encode.cache_folder import (
    Probed,
    check_encoding,
    check_folder,
    check_teacher,
    create,
    drop_damaged,
    encoding_of,
)
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.corpora.sources import Source, open_corpora
from x2static.stage1_encode.encoder import EncodedUnit, Encoder, load_encoder
from x2static.stage1_encode.plan.planning import check_appendable, match, plan_all, plan_rest, write_plans
from x2static.stage1_encode.plan.remaining import Part, Work, planned_paragraphs, read_remaining
from x2static.stage1_encode.pools.aggregation import open_aggregated, wanted_words
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.teacher.teacher import pick_precision
from x2static.stage1_encode.text.preparation import pick_workers, units_ahead

logger = logging.getLogger(__name__)


def encode(config: EncodeConfig, report: Report = silent, wanted: Sequence[str] = ()) -> dict[str, int | float]:
    """Encode what is not encoded yet; asked again for a finished cache, only say so.

    Args:
        config: what to encode, how and where to.
        report: called with the progress in paragraphs.
        wanted: words whose contextual vectors are added up at every layer on the way (`--ase`).

    Returns:
        shards, shards_resumed, paragraphs, contexts, words, teacher_tokens, seconds, tokens_per_second, padding (as a
        share of the tokens) and cache_bytes. Seconds, rate and padding are those of this call, all else counts the
        whole cache or, with `part`, the shards of the part.

    Raises:
        X2StaticError: the model, the corpus or the cache cannot be used as asked; what is committed stays.
    """
    started = time.perf_counter()
    files = TeacherFiles.find(config.model, config.revision)
    device = pick_device(config.device)
    precision, why = pick_precision(config.precision, config.compat, device)
    part, wanted = Part.of(config.part), wanted_words(config, wanted)
    check_folder(config.cache, config.append)
    with open_corpora(config.corpus, config, config.cache) as corpora, only_writer(config.cache, "cache"):
        encoder: Encoder | None = None
        if (config.cache / MANIFEST).is_file():
            cache = Cache.open(config.cache)
            check_encoding(cache, config, files, precision)
            cache.segmentation()
        else:
            planned = plan_all(corpora)
            encoder = load_encoder(config, files, precision, device, wanted)
            cache = create(config, encoding_of(config, files, precision, probed(encoder)), files, planned)
        markers, plans = _prepare(config, corpora, cache)
        done = Done(markers, part, open_aggregated(cache, wanted))
        resumed = set(done.markers)
        done.say(cache, plans, config)
        if not done.all(plans):
            logger.info("precision: %s, because %s", precision, why)
        if not done.all(plans):
            encoder = encoder or load_encoder(config, files, precision, device, wanted)
            check_teacher(cache, probed(encoder))
            sources = match(config, corpora, cache.path, plans)
            encode_missing(cache, encoder, plans, sources, done, pick_workers(config.workers, device), report)
    _say_what_was_skipped(plans, done.markers, resumed)
    if config.part is None and not sum(marker.n_contexts for marker in done.markers.values()):
        raise X2StaticError(
            f"{config.cache}: the filter left nothing of {sum(m.unit.paragraphs for m in done.markers.values())} "
            f"paragraphs (at least {config.min_sentences} sentences and {config.min_characters} characters each); "
            "lower --min-sentences and --min-characters, and use another --cache"
        )
    return _figures(cache, done, resumed, encoder, time.perf_counter() - started)


def _prepare(config: EncodeConfig, corpora: list[Corpus], cache: Cache) -> tuple[dict[int, Marker], list[Plan]]:
    """Check what a cache holds, tidy it up and plan what is asked for.

    Returns:
        The markers of its valid shards by number, and all its plans.
    """
    plans = cache.plans()
    sources = match(config, corpora, cache.path, plans)
    if config.append:
        check_appendable(cache.path, plans, cache.committed()[0], sources)
    markers = drop_damaged(cache)
    remove_leftovers(cache.shards_folder)
    added = plan_rest(config, sources, cache.path, plans, markers)
    write_plans(cache, added)
    return markers, [*plans, *added.values()]


def _say_what_was_skipped(plans: list[Plan], markers: dict[int, Marker], resumed: set[int]) -> None:
    """Say, of each data set that was read on, how many of its lines are left out (of files, their planning says it)."""
    for number, plan in enumerate(plans):
        here = {index: marker for index, marker in markers.items() if marker.plan == number}
        n_skipped = sum(marker.unit.skipped for marker in here.values())
        if n_skipped and not here.keys() <= resumed:
            logger.warning("%s: %d lines are too long and left out", plan.corpus, n_skipped)


def probed(encoder: Encoder) -> Probed:
    """Return what the loaded teacher of an encoder tells."""
    return Probed(encoder.preparer.window, encoder.teacher.attention, encoder.teacher.dim)


@dataclass
class Done:
    """What of a cache is there, and what of it is asked for.

    Attributes:
        markers: of the shards, by number.
        part: the units that are asked for.
        aggregated: where words are added up; None where none are asked for.
    """

    markers: dict[int, Marker]
    part: Part
    aggregated: Aggregated | None
    summed: set[int] = field(init=False)

    def __post_init__(self) -> None:
        """Look which units the sums hold."""
        self.summed = self.aggregated.units() if self.aggregated else set()

    def to_sum(self) -> set[int]:
        """Return the shards whose units are in no sum yet."""
        return set(filter(self.part.takes, self.markers.keys() - self.summed)) if self.aggregated else set()

    def all(self, plans: list[Plan]) -> bool:
        """Return whether nothing is left to do."""
        return self.part.missing(plans, self.markers) == [] and not self.to_sum()

    def say(self, cache: Cache, plans: list[Plan], config: EncodeConfig) -> None:
        """Say how far a cache is."""
        n_here = sum(map(self.part.takes, self.markers))
        whose = f"{cache.path}: part {self.part}" if config.part else str(cache.path)
        if self.all(plans):
            logger.info("%s: finished already, %d shards", whose, n_here)
        elif n_here:
            logger.info("%s: going on after %d shards", whose, n_here)

    def commit(self, cache: Cache, work: Work, encoded: EncodedUnit) -> None:
        """Write what a unit became: first into the sums, then its shard.

        Killed in between, the unit is read again for its shard, and is not added a second time.
        """
        sums = encoded.word_sums()
        if self.aggregated and sums and work.shard not in self.summed:
            self.aggregated.fold(work.shard, sums)
            self.summed.add(work.shard)
        if work.shard in self.markers:
            return
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
        dtype, content = cache.manifest.encoding.dtype, encoded.content()
        # A damaged shard of this number, which `repair` leaves until there is a better one, goes now.
        written = write_shard(cache.shards_folder, work.shard, content, marker, dtype, replace=True)
        self.markers[work.shard] = written


def encode_missing(
    cache: Cache,
    encoder: Encoder,
    plans: list[Plan],
    sources: list[Source],
    done: Done,
    workers: int,
    report: Report,
) -> None:
    """Read, prepare, encode and write: the first two run ahead, the last one behind in a thread.

    Args:
        cache: where the shards go.
        encoder: the teacher and what cuts text for it.
        plans: all plans of the cache.
        sources: the corpora of the plans.
        done: what is there and what is asked for; what is written is added.
        workers: processes that prepare text.
        report: called with the progress in paragraphs.
    """
    again = done.to_sum()
    _check_open(again, done, sources)
    here = [index for index in done.markers if done.part.takes(index) and index not in again]
    read = sum(done.markers[index].unit.paragraphs for index in here)
    total, counted = planned_paragraphs(plans, done.markers, done.part)
    tokens, started = 0, time.perf_counter()
    report(Progress(read, total, "paragraphs", about=not counted))
    # int8 is made of the float32 means, not of what float16 leaves of them.
    kept_as = torch.float16 if cache.manifest.encoding.dtype == "float16" else torch.float32
    works = read_remaining(plans, sources, dict(done.markers), done.part, again)
    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        units = ((work, work.text.paragraphs) for work in works)
        for work, portions in units_ahead(units, encoder.preparer, workers, encoder.teacher.device):
            encoded = encoder.encode(portions, f"{plans[work.plan].corpus}, unit {work.shard}", kept_as)
            if writing:
                writing.result()
            writing = writer.submit(done.commit, cache, work, encoded)
            read, tokens = read + work.text.unit.paragraphs, tokens + encoded.words.n_tokens
            total += work.more
            rate = f"{tokens / (time.perf_counter() - started):,.0f} tokens/s"
            report(Progress(read, total, "paragraphs", rate, about=not counted and read != total))
            del encoded  # it goes with the writing, not when the next unit is encoded
        if writing:
            writing.result()


def _check_open(again: set[int], done: Done, sources: list[Source]) -> None:
    named = {number for source in sources for number in source.plans}
    if lost := [shard for shard in again if done.markers[shard].plan not in named]:
        raise X2StaticError(
            f"--ase: the sums lack {len(lost)} units of corpora that are in the cache already; leave out --append and "
            "name all its corpora"
        )


def _figures(
    cache: Cache, done: Done, resumed: set[int], encoder: Encoder | None, seconds: float
) -> dict[str, int | float]:
    ours = {index: marker for index, marker in done.markers.items() if done.part.takes(index)}
    shards = (folder_bytes(cache.shards_folder / shard_name(index)) for index in ours)
    n_tokens, n_padded = (encoder.n_tokens, encoder.n_padded) if encoder else (0, 0)
    return {
        "shards": len(ours),
        "shards_resumed": sum(index in resumed for index in ours),
        **totals(ours.values()),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(n_tokens / seconds, 1),
        "padding": round(n_padded / n_tokens - 1, 4) if n_tokens else 0.0,
        "cache_bytes": folder_bytes(cache.path) if done.part == Part() else sum(shards),
    }
