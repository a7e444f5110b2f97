"""Stage one as a whole: corpora through the teacher, once, into the shards of a cache.

One process owns the cache's folder while it holds the lock: it alone writes manifest and plans, removes leftovers, and
gives a shard its name (`Work.do`). It makes a job of each unit that has no shard yet, or lacks a pool, and gives the
jobs to an engine. The engine's workers, in this process or in others, write only what they stage: the folder
`.tmp-NNNNNN-ATTEMPT` of a unit, which is of one attempt at it alone. So whatever is killed, and whenever, a shard is
whole or absent; what a dead worker staged is thrown away, and its unit is another's, or the next call's.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field

from x2static.durable.errors import Interrupted, X2StaticError
from x2static.durable.storage import commit_folder, folder_bytes, only_writer, remove_leftovers
from x2static.machine.progress import Progress, Report, silent
from x2static.machine.screen import quantity
from x2static.schemas.cache import MANIFEST, Cache, kept_of, plan_shards, totals
from x2static.schemas.encoding import COUNTED, EncodeConfig
from x2static.schemas.manifest import Marker, Plan, PoolMarker
from x2static.schemas.mirror import CacheView, url_of
from x2static.schemas.shard import CONTEXTS, Shard, commit_pools, keep_pools, shard_name, staged_folder
from x2static.stage1_encode.cache_folder import check_encoding, check_folder, create, inspect, settled
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.corpora.recognition import wrapped_at
from x2static.stage1_encode.corpora.sources import Source, open_corpora
from x2static.stage1_encode.encoder import ChosenTeacher, Encoder
from x2static.stage1_encode.plan.planning import (
    Part,
    count_words,
    match,
    plan_all,
    plan_rest,
    planned_paragraphs,
    write_plans,
)
from x2static.stage1_encode.pools.contexts import word_weights
from x2static.stage1_encode.pools.pool import Pool, look_at_words
from x2static.stage1_encode.text.preparation import pick_workers
from x2static.stage1_encode.text.segmentation import log_words, words_of
from x2static.stage1_encode.worker import Engine, Job, Position, Staged, Worker, run_here

MOST_DROPPED = 1 / 3  # of the paragraphs by the filter; more is worth a warning

logger = logging.getLogger(__name__)


def encode(
    config: EncodeConfig, report: Report = silent, pools: Sequence[Pool] = (), engine: Engine = run_here
) -> dict[str, int | float]:
    """Encode what is not encoded yet; asked again for a finished cache, only say so.

    `report` is called with the progress in paragraphs. `pools` are taken from the teacher's states besides the
    contexts; shards that lack one get it. `engine` brings jobs to workers.

    Returns shards, shards_resumed, the paragraphs that were kept and those that were read (paragraphs_read), the filter
    that decided (min_sentences, min_characters), contexts, words, teacher_tokens, seconds, tokens_per_second, padding
    (as a share of the tokens) and cache_bytes. Seconds, rate and padding are those of this call, all else counts the
    whole cache or, with `part`, the shards of the part. Raises X2StaticError: the model, the corpus or the cache cannot
    be used as asked; what is committed stays.
    """
    started = time.perf_counter()
    config = settled(config)
    part, of_words = Part.of(config.part), look_at_words(pools)
    check_folder(config.cache, config.append)
    with (
        open_corpora(config.corpus, config, config.cache) as corpora,
        nullcontext(ChosenTeacher(config)) as teacher,  # after the corpora: it may have to come from the hub
        only_writer(config.cache, "cache"),
    ):
        loaded: Encoder | None = None
        if (config.cache / MANIFEST).is_file():
            cache = Cache.open(config.cache)
            cache.remove_leftovers()
            cache.mend_groups()
            check_encoding(cache, teacher)
            cache.segmentation()
        else:
            planned = plan_all(config, corpora)
            teacher.hear_of(planned.values())
            teacher.config = config = _with_word_weights(config, corpora, planned)
            loaded = teacher.load(of_words)
            cache = create(teacher, loaded.behaviour, planned)
            if engine is not run_here:
                loaded = None  # each encoder loads the teacher; here it would take memory
        plans, there = cache.plans(), inspect(cache, part, hashed=url_of(cache.path) is None)
        markers = there.markers
        added = plan_rest(config, match(config, corpora, cache.path, plans), cache.path, plans, markers)
        write_plans(cache, added)
        plans += added.values()
        resumed = set(filter(part.takes, markers))
        work = Work(cache, plans, markers, pools, part, there.kept)
        whose = f"{cache.path}: part {part}" if config.part else str(cache.path)
        if not (jobs := work.jobs()):
            logger.info("%s: finished already, %s", whose, quantity(len(resumed), "unit"))
        else:
            if resumed:
                logger.info("%s: going on after %s", whose, quantity(len(resumed), "unit"))
            logger.info("precision: %s, because %s", teacher.precision, teacher.why)
            if teacher.backend != "torch":
                new = config.backend == "auto"  # of one that is there it is settled
                why = "which is installed; --backend torch would be PyTorch" if new else "as it was asked for or begun"
                logger.info("backend: OpenVINO, %s", why)
            log_words(config.compat, config.language)
            sources, processes = match(config, corpora, cache.path, plans), pick_workers(config.workers, teacher.device)

            def worker() -> Worker:
                return Worker(cache, plans, sources, loaded or teacher.load(of_words), pools, processes)

            work.do(jobs, sources, worker, engine, report)
        wrapped = _wrapped_lines(match(config, corpora, cache.path, plans), plans, markers)
        cache.write_index()
    skipped = [0] * len(plans)
    for index in markers.keys() - resumed:
        skipped[markers[index].plan] += markers[index].unit.skipped
    for plan, n_skipped in zip(plans, skipped, strict=True):
        if n_skipped:  # of files, their planning says it
            logger.warning("%s: left out as bad text: %s", plan.corpus, quantity(n_skipped, "paragraph"))
    limits = {"min_sentences": config.min_sentences or 0, "min_characters": config.min_characters or 0}
    ours = {index: marker for index, marker in markers.items() if part.takes(index)}
    held = totals(ours.values())
    if config.part is None and not held["contexts"]:
        least = [quantity(limits[f"min_{unit}s"], unit) for unit in ("sentence", "character")]
        raise X2StaticError(
            f"{config.cache}: the filter left nothing of {quantity(held['paragraphs_read'], 'paragraph')} (at least "
            f"{' and '.join(least)} each); {wrapped or 'lower --min-sentences and --min-characters'}, and use another "
            "--cache"
        )
    seconds = time.perf_counter() - started
    if held["paragraphs"] < (1 - MOST_DROPPED) * held["paragraphs_read"]:
        logger.warning("%s: only %s%s", whose, kept_of(held, **limits), wrapped and f"; {wrapped}")
    folders = [cache.path] if config.part is None else [cache.shards_folder / shard_name(index) for index in ours]
    return {
        "shards": len(ours),
        "shards_resumed": len(resumed),
        **held,
        **limits,
        "seconds": round(seconds, 3),
        "tokens_per_second": round(work.n_read / seconds, 1),
        "padding": round(work.n_padded / work.n_read - 1, 4) if work.n_read else 0.0,
        "cache_bytes": sum(map(folder_bytes, folders)),
    }


def _with_word_weights(config: EncodeConfig, corpora: list[Corpus], planned: dict[int, Plan]) -> EncodeConfig:
    """Return the configuration of a new cache in which words weigh what its pooling says, unless that is said."""
    if config.pooling not in COUNTED or config.word_weights:
        return config
    rules = words_of(config)
    counts = count_words(corpora, planned, lambda plan: rules.of(plan.language or config.language))
    return config.model_copy(update={"word_weights": word_weights(config.pooling, counts)})


def _wrapped_lines(sources: Sequence[Source], plans: list[Plan], markers: Mapping[int, Marker]) -> str:
    """Return what to do where the filter dropped many lines, because they are those of paragraphs wrapped at a width.

    Their number is the filter's doing only in appearance: lowered, it would let parts of sentences through.
    """
    held = totals(markers.values())
    if held["paragraphs"] >= (1 - MOST_DROPPED) * held["paragraphs_read"]:
        return ""
    for source in sources:
        plan = plans[source.plans[0]]
        if plan.identity.get("format") == "lines":
            source.corpus.connect(plan.identity)
            lines = source.corpus.read(plan.units[0]).paragraphs
            if width := wrapped_at(lines, fewest=4, share=0.6):  # the last line of a paragraph is no full one
                return f"the lines of {plan.corpus} were wrapped at {width} characters: --format blank-lines joins them"
    return ""


@dataclass
class Work:
    """What there is to do for a cache, and the doing of it; the caller owns the folder."""

    cache: Cache  # the cache
    plans: list[Plan]  # all its plans
    markers: dict[int, Marker]  # of its valid shards, by number; those that are committed are added
    pools: Sequence[Pool]  # what every shard is to have besides the contexts
    part: Part  # the units that are asked for
    kept: dict[int, dict[str, PoolMarker]] = field(default_factory=dict)  # whole pools of damaged shards, by number
    n_read: int = 0  # pieces that the teacher has read, without padding
    n_padded: int = 0  # the same, with padding

    def jobs(self) -> list[Job]:
        """Return a job for each unit of the part that has no shard yet, or whose shard lacks a pool."""
        names = [pool.name for pool in self.pools]
        jobs: list[Job] = []
        for number, (plan, shards) in enumerate(zip(self.plans, plan_shards(self.plans), strict=True)):
            for index in filter(self.part.takes, shards):
                marker, unit = self.markers.get(index), plan.units[index - shards.start]
                if marker is None:
                    jobs.append(Job(index, number, index == shards[-1], unit, (CONTEXTS, *names)))
                elif lacking := self._lacking(index, marker):
                    jobs.append(Job(index, number, marker.last, marker.unit, lacking, marker))
        return jobs

    def _lacking(self, index: int, marker: Marker) -> tuple[str, ...]:
        """Return the pools that a shard lacks. Raises X2StaticError: it has one of other settings."""
        shard = Shard(self.cache.shards_folder / shard_name(index), marker)
        there = {pool.name: shard.pool(pool.name) for pool in self.pools}
        for pool in self.pools:
            if (stored := there[pool.name]) and stored.settings != pool.settings:
                remedy = f"remove shards/*/{pool.name} of this cache: the teacher then reads all again"
                why = "was taken with other settings (other words)"
                raise X2StaticError(f"{shard.folder / pool.name}: {why}; ask for the same, or {remedy}")
        return tuple(name for name, stored in there.items() if stored is None)

    def _commit(self, staged: Staged) -> Marker:
        """Give what was staged its name, and return the marker that counts then: in a bucket it may be another's."""
        job, shards, marker = staged.job, self.cache.shards_folder, staged.marker
        if bucket := CacheView.of(shards):
            return bucket.commit(shard_name(job.shard), job.attempt, marker, job.pools, self.kept.get(job.shard))
        if job.marker is not None:
            commit_pools(shards, job.shard, job.pools, job.attempt)
            return marker
        if pools := self.kept.get(job.shard):
            marker = keep_pools(shards, job.shard, marker, pools, job.attempt)
        # A damaged shard of this number, which stays until there is a better one, goes now.
        written = staged_folder(shards, job.shard, job.attempt)
        commit_folder(written, shards / shard_name(job.shard), replace=True)
        return marker

    def do(
        self, jobs: list[Job], sources: Sequence[Source], load: Callable[[], Worker], engine: Engine, report: Report
    ) -> None:
        """Do jobs with an engine, to which `load` gives a worker in this process, if it wants one.

        Raises X2StaticError: the teacher behaves otherwise than when the cache was made, a corpus is not among the open
        ones (`sources`), or a unit cannot be encoded.
        """
        named = {number for source in sources for number in source.plans}
        if closed := [job for job in jobs if job.plan not in named]:
            lacking = f"{closed[0].pools[-1]} is missing in {quantity(len(closed), 'unit')}"
            why = f"{lacking}, of corpora that are in the cache already"
            raise X2StaticError(f"{self.cache.path}: {why}; leave out --append and name all its corpora")
        to_do = {job.shard for job in jobs}
        read = sum(self.markers[i].unit.paragraphs for i in filter(self.part.takes, self.markers) if i not in to_do)
        total, counted = planned_paragraphs(self.plans, self.markers, self.part)
        in_hand: dict[int, Position] = {}  # of units that are not committed, by shard
        started, furthest = time.perf_counter(), 0

        def tell(position: Position | None = None) -> None:
            """Report how far all is: what is committed, and about as much of the units in hand as was read."""
            if position:
                in_hand[position.shard] = position
            nonlocal furthest  # a unit that is begun again takes nothing back
            furthest = max(furthest, read + sum(of_unit.paragraphs for of_unit in in_hand.values()))
            done = min(total, furthest)
            n_read = self.n_read + sum(of_unit.pieces for of_unit in in_hand.values())
            rate = f"{n_read / (time.perf_counter() - started):,.0f} tokens/s" if n_read else ""
            report(Progress(done, total, "paragraphs read", rate, about=not counted and read != total))

        def saved() -> str:
            n_units = sum(map(self.part.takes, range(sum(len(plan.units) for plan in self.plans))))
            return f"{n_units - len(to_do):,} of {quantity(n_units, 'unit')} saved ({read:,} of {total:,} paragraphs)"

        try:
            with closing(engine(load, jobs, tell)) as results:
                started = time.perf_counter()
                tell()
                for staged in results:
                    job = staged.job
                    self.markers[job.shard] = self._commit(staged)
                    self.n_read, self.n_padded = self.n_read + staged.n_read, self.n_padded + staged.n_padded
                    n_paragraphs = staged.marker.unit.paragraphs
                    read, total = read + n_paragraphs, total + n_paragraphs - job.unit.paragraphs
                    in_hand.pop(job.shard, None)
                    to_do.remove(job.shard)
                    tell()
        except X2StaticError as error:
            if url_of(self.cache.path):  # the network, most likely
                error.args = (f"{error}; {saved()}",)
            raise
        except KeyboardInterrupt as error:
            what = f"interrupted; {saved()}, a unit that was begun is read again"
            raise Interrupted(f"{self.cache.path}: {what}; run the same command again to go on") from error
        finally:
            remove_leftovers(self.cache.shards_folder)
