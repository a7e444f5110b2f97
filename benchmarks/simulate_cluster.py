"""1,000 workers and 100,000 units, simulated in minutes: what coordination takes, and if a unit is lost or doubled.

    python -m benchmarks.simulate_cluster [--workers 1000] [--units 100000] [--seed 0]

The coordinator is the real one: the jobs and commits of stage one (`Work`), the handing out of every engine of several
encoders (`HandOut`), plans and markers. Workers are made up, and so is their time: units take a minute, more or less,
workers load a teacher, die alone or by racks, fail at units; some units fail always; the coordinator itself is killed
once, and another goes on from the markers. The store is a dictionary that counts requests; each that the coordinator
makes costs it `--request-ms`. Its own time is the processor's, as it is used. One JSON line last; in it

- workers_waited: share of the workers' time in which they had nothing to do and were waiting for a job that there was;
- coordinator_busy: share of all time in which it worked, or waited for the store: at 1 it is what breaks;
- us_a_unit, us_a_unit_of_a_tenth: its processor time, with all units and with a tenth of them: equal if nothing is
  quadratic.
"""

import argparse
import heapq
import json
import logging
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.schemas.caches import MANIFEST, marker, plan
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import SEAL, sealed_json
from x2static.machine.progress import silent
from x2static.pipeline.engines.units import ASK, IDLE, Encoders, Failure, HandOut
from x2static.schemas.cache import Cache
from x2static.schemas.manifest import Marker
from x2static.schemas.shard import shard_name
from x2static.stage1_encode import encode
from x2static.stage1_encode.corpora.sources import Source
from x2static.stage1_encode.encode import Work
from x2static.stage1_encode.plan.planning import Part
from x2static.stage1_encode.worker import Job, Position, Staged

FILES = ("zarr.json", "contexts/zarr.json", "contexts/c/0/0", "words.arrow", "lexicon.arrow")
UNIT_SECONDS, LOAD_SECONDS, POSITIONS = 60.0, 60.0, 6  # the last, of a unit
DEATH, FAILURE = 0.002, 0.001  # how likely a unit is the last of its worker; fails
ALWAYS = 3  # units that fail always
RACK = 32  # workers that die at once, at every tenth of the units
LISTED = 1000  # names in an answer


class CoordinatorKilledError(Exception):
    """The coordinator ends at once."""


@dataclass
class Store:
    """Objects in memory, and how often they were asked for."""

    kept: dict[str, bytes] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)

    def write(self, key: str, data: bytes) -> None:
        """Write an object."""
        self.requests["PUT"] += 1
        self.kept[key] = data

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless it is there; return whether it was not."""
        self.requests["PUT"] += 1
        return self.kept.setdefault(key, data) is data

    def read(self, key: str) -> bytes:
        """Read an object."""
        self.requests["GET"] += 1
        return self.kept[key]

    def objects(self, prefix: str) -> list[str]:
        """Return the names that begin so."""
        names = [key for key in self.kept if key.startswith(prefix)]
        self.requests["LIST"] += 1 + len(names) // LISTED
        return names


class Worker:
    """A made-up encoder: it keeps to what `encode_units` does, in the cluster's time."""

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster, self.jobs = cluster, deque[Job]()  # in hand, the first one in work
        self.mail, self.alive, self.ended = deque[Any](), True, False  # whether it was told that there is no job
        self.idle_since: float | None = None
        self.draw = cluster.draw
        cluster.at(cluster.time() + LOAD_SECONDS, self._ready, self)

    def send(self, job: Job | None) -> None:
        """Take a job, or hear that there is none now."""
        self.cluster.at(self.cluster.time(), lambda: self._take(job), self)

    def receive(self) -> Any:
        """Return its next message; None where it has died."""
        return self.mail.popleft()

    def death(self) -> str:
        """Say how it died."""
        return "killed"

    def die(self) -> None:
        """End, with all that is in hand."""
        if self.alive:
            self._say(None)
            self.alive = False

    def _say(self, message: Any) -> None:
        self.mail.append(message)
        self.cluster.with_mail[self] = None

    def _ready(self) -> None:
        self.ended, self.idle_since = False, self.cluster.when
        self._say(IDLE)

    def _take(self, job: Job | None) -> None:
        if job is None:
            self.ended = True
            if not self.jobs:
                self._ready()
            return
        self.jobs.append(job)
        if len(self.jobs) == 1:
            if self.idle_since is not None:
                self.cluster.waited += self.cluster.when - self.idle_since
                self.idle_since = None
            self._begin()

    def _begin(self) -> None:
        job, cluster = self.jobs[0], self.cluster
        self._say(ASK)  # one is read ahead
        cluster.begun += 1
        seconds = UNIT_SECONDS * self.draw.uniform(0.5, 1.5)
        start = cluster.when
        chance = self.draw.random()
        broken = job.shard in cluster.broken or chance < FAILURE
        if FAILURE < chance < FAILURE + DEATH:
            cluster.at(start + seconds * self.draw.random(), self.die, self)
            return
        for number in range(1, POSITIONS):
            done = number * job.unit.paragraphs // POSITIONS
            position = Position(job.shard, done, done)
            cluster.at(start + seconds * number / POSITIONS, partial(self._say, position), self)
        cluster.at(start + seconds, self._fail if broken else self._stage, self)

    def _fail(self) -> None:
        self.jobs.clear()
        self._say(Failure("the text is odd", of_unit=True))
        self._ready()

    def _stage(self) -> None:
        job, cluster = self.jobs.popleft(), self.cluster
        files = dict.fromkeys(FILES, f"{job.shard:032x}")
        complete = marker(job.shard).model_copy(update={"unit": job.unit, "last": job.last, "files": files})
        for name in FILES:
            cluster.store.write(f"shards/{shard_name(job.shard)}/{job.attempt}/{name}", b"")
        cluster.staged[job.shard, job.attempt] = sealed_json(complete.model_dump())
        self._say(Staged(job, complete, job.unit.paragraphs, job.unit.paragraphs))
        if self.jobs:
            self._begin()
        elif self.ended:
            self._ready()
        else:
            self.idle_since = cluster.when


class Cluster:
    """Workers and their clock, and the coordinator's."""

    def __init__(self, store: Store, broken: set[int], request_seconds: float, seed: int, now: float = 0.0) -> None:
        self.store, self.broken, self.request_seconds = store, broken, request_seconds
        self.draw, self.number = random.Random(seed), count()
        self.now = self.when = now  # of the coordinator; of what is happening to a worker
        self.events: list[tuple[float, int, Callable[[], None], Worker | None]] = []
        self.with_mail: dict[Worker, None] = {}
        self.staged: dict[tuple[int, str], bytes] = {}
        self.waited = self.busy = 0.0
        self.begun = 0
        self.processor, self.asked = 0.0, 0.0  # seconds of the coordinator; and of its requests since `now`
        self.since = time.process_time()
        self.workers: list[Worker] = []

    def time(self) -> float:
        """Return the coordinator's time."""
        return self.now + time.process_time() - self.since + self.asked

    def at(self, when: float, what: Callable[[], None], worker: Worker | None = None) -> None:
        """Let something happen to a worker, unless it is dead by then."""
        heapq.heappush(self.events, (when, next(self.number), what, worker))

    def start(self, _: int) -> Worker:
        """Start a worker."""
        self.workers.append(Worker(self))
        return self.workers[-1]

    def ready(self, _: list[Worker]) -> list[Worker]:
        """Let time pass until a worker has a message; what the coordinator did meanwhile has taken its time."""
        worked = time.process_time() - self.since
        self.processor, self.busy = self.processor + worked, self.busy + worked + self.asked
        self.now, self.asked = self.now + worked + self.asked, 0.0
        while self.events and (self.events[0][0] <= self.now or not self.with_mail):
            self.when, _number, what, worker = heapq.heappop(self.events)
            self.now = max(self.now, self.when)
            if worker is None or worker.alive:
                what()
        if not self.with_mail:
            raise RuntimeError("everyone waits for everyone")
        there = list(self.with_mail)
        self.with_mail = {worker: None for worker in there if len(worker.mail) > 1}
        self.since = time.process_time()
        return there

    def rack_dies(self) -> None:
        """Let some workers die at once."""
        self.workers = [worker for worker in self.workers if worker.alive]
        for worker in self.draw.sample(self.workers, min(RACK, len(self.workers) // 10)):
            self.at(self.time(), worker.die)

    def stop(self, _: list[Worker]) -> None:
        """Stop all workers."""


def simulate(n_workers: int, n_units: int, request_seconds: float, seed: int) -> dict[str, Any]:
    """Encode all units, with a coordinator that is killed in the middle; return what it took."""
    store, plans, cache = Store(), [plan(n_units)], Cache(Path("cache"), MANIFEST)
    broken = set(random.Random(seed).sample(range(n_units), ALWAYS))
    commits, doubled, begun, processor, busy, waited, now = 0, 0, 0, 0.0, 0.0, 0.0, 0.0
    opening, said, left_out = 0.0, "", 0
    for kill_at in (n_units // 2, n_units * 2, n_units * 3):  # the third time is the same command again
        opened = time.process_time()
        names = [name for name in store.objects("shards/") if name.endswith("/shard.json")]
        records = [json.loads(store.read(name)) for name in names]
        found = [Marker.model_validate({key: value for key, value in of.items() if key != SEAL}) for of in records]
        markers = {int(name.split("/")[1]): one for name, one in zip(names, found, strict=True)}
        work = Work(cache, plans, markers, (), Part())
        jobs = work.jobs()
        opening += time.process_time() - opened
        left_out = len(jobs)  # at last: what failed three times
        cluster = Cluster(store, broken, request_seconds, seed + kill_at, now)

        def commit(staged: Path, final: Path, replace: bool, of: Cluster = cluster, last: int = kill_at) -> None:
            nonlocal commits, doubled
            attempt = staged.name.rpartition("-")[2]
            doubled += not store.create(f"shards/{final.name}/shard.json", of.staged.pop((int(final.name), attempt)))
            of.asked += request_seconds
            commits += 1
            if commits % max(1, n_units // 10) == 0:
                of.rack_dies()
            if commits == last:
                raise CoordinatorKilledError

        def engine(_: Any, todo: Iterable[Job], tell: Any, of: Cluster = cluster) -> Any:
            return HandOut(cache.path, Encoders(n_workers, of.start, of.ready, of.stop), todo, tell).run()

        with patch.object(encode, "commit_folder", commit), patch.object(encode, "remove_leftovers"):
            try:
                work.do(jobs, [Source(None, {}, (0,))], lambda: None, engine, silent)  # type: ignore[arg-type,return-value]
            except CoordinatorKilledError:
                pass
            except X2StaticError as error:
                said = str(error)
        processor, busy, waited = processor + cluster.processor, busy + cluster.busy, waited + cluster.waited
        begun, now = begun + cluster.begun, cluster.now
    there = {int(name.split("/")[1]) for name in store.objects("shards/") if name.endswith("/shard.json")}
    return {
        "units": n_units,
        "committed": len(there),
        "lost": len(set(range(n_units)) - there - broken),
        "tried_again_by_the_same_command": left_out,
        "left_out": len(broken - there),
        "doubled": doubled,
        "begun_again": begun - commits,
        "hours": round(now / 3600, 2),
        "workers_waited": round(waited / (n_workers * now), 5),
        "coordinator_busy": round(busy / now, 4),
        "us_a_unit": round(1e6 * processor / n_units, 1),
        "opening_seconds": round(opening, 2),
        "requests": dict(store.requests),
        "said": said,
    }


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--request-ms", type=float, default=30.0, help="of the store, as the coordinator waits for it")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    settings = arguments.workers, arguments.units, arguments.request_ms / 1000, arguments.seed
    tenth = simulate(settings[0], settings[1] // 10, *settings[2:])
    figures = simulate(*settings)
    print(json.dumps({"workers": arguments.workers, **figures, "us_a_unit_of_a_tenth": tenth["us_a_unit"]}))


if __name__ == "__main__":
    main()
