"""The seam between this stage and an engine: a job, what becomes of it, and the worker that does it.

A `Job` describes one unit and can be pickled. A `Worker` has a teacher loaded; it takes jobs, reads their text, encodes
it and writes it under a temporary name (`Staged`). An `Engine` brings jobs to workers, wherever these run, and brings
back what they staged; `run_here` is the engine of one worker, in this process. Who owns the folder and gives shards
their names is said in `encode.py`.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex

from x2static.durable.errors import X2StaticError
from x2static.machine.device import memory_of
from x2static.schemas.cache import Cache, plan_shards
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.manifest import UNCOUNTED, Marker, Plan, Unit
from x2static.schemas.mirror import CacheView, seen_here
from x2static.schemas.shard import CONTEXTS, shard_name, stage_shard, staged_folder
from x2static.stage1_encode.cache_folder import check_encoding, check_teacher, settled
from x2static.stage1_encode.corpora.corpus import UnitText
from x2static.stage1_encode.corpora.sources import Source, open_corpora
from x2static.stage1_encode.encoder import ChosenTeacher, EncodedUnit, Encoder
from x2static.stage1_encode.plan.planning import match
from x2static.stage1_encode.pools.contexts import Contexts
from x2static.stage1_encode.pools.pool import Pool, look_at_words
from x2static.stage1_encode.text.languages import warn_of_script
from x2static.stage1_encode.text.preparation import UnreadableParagraph, pick_workers, units_ahead
from x2static.stage1_encode.text.windows import PreparedText


def new_attempt() -> str:
    """Return a name for an attempt at a unit; drawn, for one that is believed dead may still write under its own."""
    return token_hex(4)


@dataclass(frozen=True)
class Job:
    """One unit to encode."""

    shard: int  # its number, and its shard's
    plan: int  # number of its plan
    last: bool  # whether the plan ends with it
    unit: Unit  # the slice of the corpus
    pools: tuple[str, ...]  # names of the pools that are wanted of it
    marker: Marker | None = None  # of its shard, where that is there and pools are added to it
    attempt: str = field(default_factory=new_attempt)  # what this attempt at it is called


@dataclass(frozen=True)
class Staged:
    """What became of a job: files under a temporary name, which are the shard's once the folder's owner says so."""

    job: Job  # the job
    marker: Marker  # of the shard, as it is to be
    n_read: int  # pieces that the teacher read, without padding
    n_padded: int  # the same, with padding


@dataclass(frozen=True)
class Position:
    """How far a worker is in a unit that it has not staged yet."""

    shard: int  # the unit's number
    paragraphs: int  # of the unit, before the filter, that the teacher has read, about
    pieces: int  # that it has read of it


Tell = Callable[[Position], None]  # is called with the position after each batch


class Worker:
    """A loaded teacher, and all that jobs are done with."""

    def __init__(
        self,
        cache: Cache,
        plans: Sequence[Plan],
        sources: Sequence[Source],
        encoder: Encoder,
        pools: Sequence[Pool],
        processes: int = 1,
    ) -> None:
        """Get ready for the jobs of a cache with all its plans, and the open corpora of those that are read.

        `pools` may be wanted of a unit besides the contexts; one of the processes that prepare text is a thread of this
        one. Raises X2StaticError: the teacher behaves otherwise than when the cache was made, or the memory does not
        hold what the pools take.
        """
        check_teacher(cache, encoder)
        self._shards, self._encoding = cache.shards_folder, cache.manifest.encoding
        self._plans, self._encoder, self._processes = plans, encoder, processes
        self._corpora = {number: source.corpus for source in sources for number in source.plans}
        of = self._encoding
        self._pools = [Contexts(of.dtype, of.pooling, of.word_weights), *pools]
        self._connected: int | None = None  # the plan whose corpus is read
        n_bytes = sum(pool.n_bytes(encoder.shape) for pool in pools)
        if n_bytes > (there := memory_of(encoder.shape.device)):
            what = f"what is added up besides the contexts takes {n_bytes / 1e9:,.1f} GB"
            raise X2StaticError(f"{cache.path}: {what}, and there are {there / 1e9:,.1f}; name fewer words (--ase)")
        encoder.expect(2 * n_bytes)  # one unit is written while the next one is read

    def run(self, jobs: Iterable[Job], tell: Tell) -> Generator[Staged, None, None]:
        """Do jobs, in their order: reading and preparing run ahead of the teacher, writing behind it in a thread.

        Raises X2StaticError: a text cannot be read, or states cannot be stored; nothing of that unit is left.
        """
        texts = ((job, self._read(job)) for job in jobs)
        units = (((job, text), text.paragraphs) for job, text in texts)
        options = self._encoder.preparer, self._processes, self._encoder.teacher.device, self._language_of
        with ThreadPoolExecutor(1) as writer:
            writing: Future[Staged] | None = None
            try:
                for (job, text), portions in units_ahead(units, *options):
                    pools = [pool for pool in self._pools if pool.name in job.pools]
                    name = f"{self._plans[job.plan].corpus}, unit {job.shard}"
                    number = job.shard - plan_shards(list(self._plans))[job.plan].start
                    windows, after = self.windows(job, portions), partial(_tell, tell, job.shard)
                    encoded = self._encoder.encode(windows, name, pools, number, after)
                    before, writing = writing, None
                    if before:
                        yield before.result()
                    writing = writer.submit(self._stage, job, text.unit, encoded, name)
                    del encoded  # it goes with the writing, not when the next unit is encoded
            except (Exception, KeyboardInterrupt) as error:
                # What the teacher has read is not lost with what follows it.
                if writing:
                    yield writing.result()
                if isinstance(error, UnreadableParagraph):
                    job, text = error.unit
                    raise self._corpora[job.plan].unreadable(text.starts[error.number], error.problem) from error
                raise
            if writing:
                yield writing.result()

    def windows(self, job: Job, portions: Iterator[PreparedText]) -> Iterator[PreparedText]:
        """Return what the teacher reads of a unit, whose text is prepared in portions."""
        return portions

    def _language_of(self, unit: tuple[Job, UnitText]) -> str | None:
        return self._plans[unit[0].plan].language

    def _read(self, job: Job) -> UnitText:
        corpus, plan = self._corpora[job.plan], self._plans[job.plan]
        if job.plan != self._connected:
            corpus.connect(plan.identity)
            self._connected = job.plan
        text = corpus.read(job.unit)
        if job.unit == plan.units[0]:  # one worker has it, and once
            language = plan.language or self._encoding.language
            warn_of_script(plan.corpus, text.paragraphs, language, self._encoding.compat)
        return text

    def _stage(self, job: Job, unit: Unit, encoded: EncodedUnit, name: str) -> Staged:
        """Write what a unit became under a temporary name."""
        if encoded.words.n_skipped:
            unit = unit.model_copy(update={"skipped": unit.skipped + encoded.words.n_skipped})
        writes = {pool: partial(of_unit.write, unit=name) for pool, of_unit in encoded.pools.items()}
        settings = {pool.name: pool.settings for pool in self._pools if pool.name in writes and pool.name != CONTEXTS}
        new = Marker(plan=job.plan, unit=unit, last=job.last, encoding=self._encoding.fingerprint, **UNCOUNTED)
        words = None if job.marker else encoded.words.of_shard()
        staged = staged_folder(self._shards, job.shard, job.attempt)
        marker = stage_shard(self._shards, job.shard, job.marker or new, writes, settings, words, job.attempt)
        if bucket := CacheView.of(self._shards):  # while the teacher reads the next unit
            pools = (marker.pools[pool].files for pool in job.pools) if job.marker else [marker.all_files()]
            bucket.publish(staged, shard_name(job.shard), job.attempt, [file for files in pools for file in files])
        return Staged(job, marker, encoded.n_read, encoded.n_padded)


def _tell(tell: Tell, shard: int, paragraphs: int, pieces: int) -> None:
    tell(Position(shard, paragraphs, pieces))


@contextmanager
def open_worker(config: EncodeConfig, pools: Sequence[Pool]) -> Iterator[Worker]:
    """Load the teacher and open the corpora in one of `config.encoders` processes; another one owns the folder."""
    config = config.model_copy(update={"cache": seen_here(config.cache)})
    cache, config = Cache.open(config.cache), settled(config)
    # What was open when the cache was made was settled where it was made; other hardware would choose otherwise.
    config = config.model_copy(update={"precision": cache.manifest.encoding.precision})
    plans = cache.plans()
    with open_corpora(config.corpus, config, config.cache, spool=False) as corpora:
        sources = match(config, corpora, cache.path, plans)
        for source in sources:
            if source.plans and source.identity != plans[source.plans[-1]].identity:
                why = "not the text that was planned, or not as it was then"
                raise X2StaticError(f"corpus {source.corpus.spec}: {why}; run the same command again")
        teacher = ChosenTeacher(config)
        check_encoding(cache, teacher)
        encoder = teacher.load(look_at_words(pools))
        processes = max(1, pick_workers(config.workers, teacher.device) // config.encoders)
        yield Worker(cache, plans, sources, encoder, pools, processes)


# Given what loads a worker in this process, for an engine that uses one, jobs, and whom to tell the positions of
# workers. Closed before its end, it lets go of its workers; what they staged meanwhile does not count.
Engine = Callable[[Callable[[], Worker], Iterable[Job], Tell], Generator[Staged, None, None]]


def run_here(load: Callable[[], Worker], jobs: Iterable[Job], tell: Tell) -> Generator[Staged, None, None]:
    """Do jobs with one worker, in this process."""
    return load().run(jobs, tell)
