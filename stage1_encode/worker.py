"""The seam between this stage and an engine: a job, what becomes of it, and the worker that does it.

A `Job` describes one unit and can be pickled. A `Worker` has a teacher loaded; it takes jobs, reads their text, encodes
it and writes it under a temporary name (`Staged`). An `Engine` brings jobs to workers, wherever these run, and brings
back what they staged; `Worker.run` is the engine of one worker, in this process. Who owns the folder and gives shards
their names is said in `encode.py`.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from x2static.schemas.manifest import Marker, Plan, Unit
from x2static.schemas.shard import CONTEXTS, stage_pools, stage_shard
from x2static.stage1_encode.corpora.corpus import Corpus, UnitText
from x2static.stage1_encode.encoder import EncodedUnit, Encoder
from x2static.stage1_encode.pools.pool import Pool
from x2static.stage1_encode.text.preparation import units_ahead


@dataclass(frozen=True)
class Job:
    """One unit to encode."""

    shard: int  # its number, and its shard's
    plan: int  # number of its plan
    last: bool  # whether the plan ends with it
    unit: Unit  # the slice of the corpus
    pools: tuple[str, ...]  # names of the pools that are wanted of it
    marker: Marker | None = None  # of its shard, where that is there and pools are added to it


@dataclass(frozen=True)
class Staged:
    """What became of a job: files under a temporary name, which are the shard's once the folder's owner says so."""

    job: Job  # the job
    marker: Marker  # of the shard, as it is to be
    n_read: int  # pieces that the teacher read, without padding
    n_padded: int  # the same, with padding


@dataclass
class Worker:
    """A loaded teacher, and all that jobs are done with."""

    shards: Path  # the cache's folder of shards
    encoding: str  # fingerprint of the cache
    plans: Sequence[Plan]  # of the cache, in order
    corpora: Mapping[int, Corpus]  # open, by the numbers of their plans
    encoder: Encoder  # the teacher and what cuts text for it
    pools: Sequence[Pool]  # what may be wanted of a unit
    processes: int = 1  # that prepare text; 1: a thread of this one
    _connected: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Count the memory that pools take: one unit is written while the next one is read."""
        self.encoder.expect(2 * sum(pool.unit_bytes(self.encoder.shape) for pool in self.pools))

    def run(self, jobs: Iterable[Job]) -> Generator[Staged, None, None]:
        """Do jobs, in their order: reading and preparing run ahead of the teacher, writing behind it in a thread.

        Raises X2StaticError: a text cannot be read, or states cannot be stored; nothing of that unit is left.
        """
        texts = ((job, self._read(job)) for job in jobs)
        units = (((job, text.unit), text.paragraphs) for job, text in texts)
        device = self.encoder.teacher.device
        with ThreadPoolExecutor(1) as writer:
            writing: Future[Staged] | None = None
            try:
                for (job, unit), portions in units_ahead(units, self.encoder.preparer, self.processes, device):
                    pools = [pool for pool in self.pools if pool.name in job.pools]
                    name = f"{self.plans[job.plan].corpus}, unit {job.shard}"
                    encoded = self.encoder.encode(portions, name, pools)
                    before, writing = writing, None
                    if before:
                        yield before.result()
                    writing = writer.submit(self._stage, job, unit, encoded, name)
                    del encoded  # it goes with the writing, not when the next unit is encoded
            except (Exception, KeyboardInterrupt):  # what the teacher has read is not lost with what follows it
                if writing:
                    yield writing.result()
                raise
            if writing:
                yield writing.result()

    def _read(self, job: Job) -> UnitText:
        corpus = self.corpora[job.plan]
        if job.plan != self._connected:
            corpus.connect(self.plans[job.plan].identity)
            self._connected = job.plan
        return corpus.read(job.unit)

    def _stage(self, job: Job, unit: Unit, encoded: EncodedUnit, name: str) -> Staged:
        """Write what a unit became under a temporary name."""
        writes = {pool: partial(taken.write, unit=name) for pool, taken in encoded.taken.items()}
        settings = {pool.name: pool.settings for pool in self.pools if pool.name in job.pools and pool.name != CONTEXTS}
        if job.marker is not None:
            marker = stage_pools(self.shards, job.shard, job.marker, writes, settings)
        else:
            new = Marker(
                plan=job.plan,
                unit=unit,
                last=job.last,
                encoding=self.encoding,
                n_paragraphs=0,
                n_contexts=0,
                n_words=0,
                n_tokens=0,
                files={},
            )
            marker = stage_shard(self.shards, job.shard, encoded.words.of_shard(), new, writes, settings)
        return Staged(job, marker, encoded.n_read, encoded.n_padded)


# Closed before its end, an engine lets go of its workers; what they staged meanwhile does not count.
Engine = Callable[[Worker, Iterable[Job]], Generator[Staged, None, None]]
