"""Stage one as a whole: corpora through the teacher, once, into the shards of a cache."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from schemas.aggregated import Aggregated
from schemas.cache import MANIFEST, Cache, missing_shards, totals
from schemas.device import pick_device
from schemas.encoding import EncodeConfig
from schemas.errors import X2StaticError
from schemas.manifest import Marker, Plan
from schemas.progress import Progress, Report, silent
from schemas.shard import write_shard
from schemas.storage import folder_bytes, only_writer, remove_leftovers
from stage1_encode.aggregation import open_aggregated, wanted_words
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
from stage1_encode.encoder import EncodedUnit, Encoder, load_encoder
from stage1_encode.planning import (
    Work,
    open_corpora,
    plan_all,
    plan_rest,
    planned_paragraphs,
    read_remaining,
    write_plans,
)
from stage1_encode.preparation import pick_workers, prepared
from stage1_encode.teacher import TeacherFiles, pick_precision

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
        whole cache.

    Raises:
        X2StaticError: the model, the corpus or the cache cannot be used as asked; what is committed stays.
    """
    started = time.perf_counter()
    files = TeacherFiles.find(config.model, config.revision)
    device = pick_device(config.device)
    precision, why = pick_precision(config, device)
    wanted, workers = wanted_words(config, wanted), pick_workers(config.workers, device)
    check_folder(config.cache)
    with open_corpora(config) as corpora, only_writer(config.cache, "cache"):
        encoder: Encoder | None = None
        if (config.cache / MANIFEST).is_file():
            cache = Cache.open(config.cache)
            check_encoding(cache, config, files, precision)
            cache.segmentation()
        else:
            plans = plan_all(corpora)
            encoder = load_encoder(config, files, precision, device, wanted)
            cache = create(config, encoding_of(config, files, precision, _probed(encoder)), files, plans)
        done = Done(drop_damaged(cache), open_aggregated(cache, wanted))
        resumed = set(done.markers)
        remove_leftovers(cache.shards_folder)
        write_plans(cache.path / "plans", plan_rest(config, corpora, cache, done.markers))
        if done.all(cache.plans()):
            logger.info("%s: finished already, %d shards", cache.path, len(resumed))
        else:
            if resumed:
                logger.info("%s: going on after %d shards", cache.path, len(resumed))
            logger.info("precision: %s, because %s", precision, why)
        while not done.all(cache.plans()):
            encoder = encoder or load_encoder(config, files, precision, device, wanted)
            check_teacher(cache, _probed(encoder))
            n_before = done.count
            _encode_missing(cache, encoder, corpora, done, workers, report)
            if done.count == n_before:
                raise RuntimeError(f"{cache.path}: something is missing and no unit is there for it")
            # Only a stream that is whole tells what a raised --limit adds to it.
            write_plans(cache.path / "plans", plan_rest(config, corpora, cache, done.markers))
    if not sum(marker.n_contexts for marker in done.markers.values()):
        read = sum(marker.unit.paragraphs for marker in done.markers.values())
        raise X2StaticError(
            f"{config.cache}: the filter left nothing of {read} paragraphs "
            f"(at least {config.min_sentences} sentences and {config.min_characters} characters each); "
            "lower --min-sentences and --min-characters, and use another --cache"
        )
    return _figures(cache, done.markers, resumed, encoder, time.perf_counter() - started)


def _probed(encoder: Encoder) -> Probed:
    return Probed(encoder.preparer.window, encoder.teacher.attention, encoder.teacher.dim)


@dataclass
class Done:
    """What of a cache is there.

    Attributes:
        markers: of the shards, by number.
        aggregated: where words are added up; None where none are asked for.
    """

    markers: dict[int, Marker]
    aggregated: Aggregated | None
    summed: set[int] = field(init=False)

    def __post_init__(self) -> None:
        """Look which units the sums hold."""
        self.summed = self.aggregated.units() if self.aggregated else set()

    def to_sum(self) -> set[int]:
        """Return the shards whose units are in no sum yet."""
        return self.markers.keys() - self.summed if self.aggregated else set()

    def all(self, plans: list[Plan]) -> bool:
        """Return whether nothing is left to do."""
        return missing_shards(plans, self.markers) == [] and not self.to_sum()

    @property
    def count(self) -> int:
        """What is there, to see that it grows."""
        return len(self.markers) + len(self.summed)

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
        self.markers[work.shard] = write_shard(cache.shards_folder, work.shard, encoded.content(), marker)


def _encode_missing(
    cache: Cache, encoder: Encoder, corpora: list[Corpus], done: Done, workers: int, report: Report
) -> None:
    """Read, prepare, encode and write: the first two run ahead, the last one behind in a thread.

    Args:
        cache: where the shards go.
        encoder: the teacher and what cuts text for it.
        corpora: those of the plans.
        done: what is there; what is written is added.
        workers: processes that prepare text.
        report: called with the progress in paragraphs.
    """
    plans = cache.plans()
    again = done.to_sum()
    read = sum(marker.unit.paragraphs for index, marker in done.markers.items() if index not in again)
    tokens, started = 0, time.perf_counter()
    report(Progress(read, planned_paragraphs(plans), "paragraphs"))

    works = read_remaining(plans, corpora, dict(done.markers), again)
    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        for item in ahead(prepared(works, encoder.preparer, workers)):
            encoded = encoder.encode(item.unit, f"{plans[item.work.plan].corpus}, unit {item.work.shard}")
            if writing:
                writing.result()
            writing = writer.submit(done.commit, cache, item.work, encoded)
            read, tokens = read + len(item.work.text.paragraphs), tokens + item.unit.n_tokens
            rate = tokens / (time.perf_counter() - started)
            report(Progress(read, planned_paragraphs(plans), "paragraphs", f"{rate:,.0f} tokens/s"))
        if writing:
            writing.result()


def _figures(
    cache: Cache, markers: dict[int, Marker], resumed: set[int], encoder: Encoder | None, seconds: float
) -> dict[str, int | float]:
    n_tokens, n_padded = (encoder.n_tokens, encoder.n_padded) if encoder else (0, 0)
    return {
        "shards": len(markers),
        "shards_resumed": len(resumed),
        **totals(markers.values()),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(n_tokens / seconds, 1),
        "padding": round(n_padded / n_tokens - 1, 4) if n_tokens else 0.0,
        "cache_bytes": folder_bytes(cache.path),
    }
