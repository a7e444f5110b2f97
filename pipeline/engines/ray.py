"""The Ray engine: encoders on all machines of a cluster, an actor each; what they staged is in the cache's folder.

Ray places actors, says which died, and carries messages: jobs, positions, and the small records of what was staged.
Starting again, trying again and leaving out are ours (`units.py`), so Ray is told to do none of it. Neither the corpus
nor a shard goes through Ray: every machine sees the cache, the teacher and the text in folders of the same names.
"""

import logging
import math
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError, RayTaskError

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import TEMPORARY
from x2static.machine.cluster import finder, refusal, versions
from x2static.machine.screen import quantity
from x2static.pipeline.engines.units import Encoders, Failure, HandOut, encode_units
from x2static.schemas.cache import MANIFEST
from x2static.schemas.encoding import EncodeConfig
from x2static.stage1_encode.pools.pool import Pool
from x2static.stage1_encode.worker import Engine, Job, Position, Staged, Tell, Worker, open_worker

PATIENCE_SECONDS = 60.0  # in which no encoder has begun; then it is said what is waited for
STOP_SECONDS = 10.0  # that an actor has to end; one on a lost machine never says that it has
TELL_SECONDS = 1.0  # between the positions that one encoder sends

BEGUN = "no message: it is on its way"
ENTRY = "x2static.pipeline.engines.ray:encode_here"  # what an actor does

logger = logging.getLogger(__name__)


def sized(config: EncodeConfig, asked: int | None, gpus: float) -> tuple[EncodeConfig, dict[str, float]]:
    """Return a configuration with the number of encoders, and what each takes of a machine, as Ray names it.

    Each takes `gpus` GPUs, and where the cluster has none, or the teacher is to run on the processor, an equal share of
    a machine's cores. Unless a number is asked for, there are as many as there are GPUs, or machines. Raises
    X2StaticError: the cluster does not hold so many.
    """
    nodes = [node for node in _nodes() if node.get("CPU", 0) >= 1]
    on_gpus = config.device != "cpu" and gpus > 0 and any(node.get("GPU", 0) >= gpus for node in nodes)
    if config.device == "cuda" and not on_gpus:
        raise X2StaticError(f"--device cuda: no machine of the cluster has {gpus:g} GPUs; lower --gpus-per-worker")
    if on_gpus:
        takes = {"num_gpus": gpus, "num_cpus": 1.0}
    else:
        each = math.ceil((asked or len(nodes)) / max(1, len(nodes)))  # encoders on a machine
        least = min((int(node["CPU"]) for node in nodes), default=1)
        takes = {"num_gpus": 0.0, "num_cpus": float(max(1, least // each))}
    amounts = {"GPU": takes["num_gpus"], "CPU": takes["num_cpus"]}
    places = sum(min(int(node.get(name, 0) / n) for name, n in amounts.items() if n) for node in nodes)
    if (asked or 1) > places:
        what = f"{gpus:g} of its GPUs" if on_gpus else "a core"
        holds = f"the cluster holds {quantity(places, 'encoder')} that take {what} each"
        raise X2StaticError(f"--encoders {asked or 1}: {holds}; ask for fewer, or add machines")
    chosen: dict[str, Any] = {"encoders": asked or places}
    if on_gpus and not torch.cuda.is_available() and not (config.cache / MANIFEST).is_file():
        chosen |= {"precision": _precision_there(config, takes), "backend": "torch"}  # a new cache is as they compute
    return config.model_copy(update=chosen), takes


def _precision_there(config: EncodeConfig, takes: dict[str, float]) -> str:
    """Return the number format that a teacher has on a machine that encodes, where this one has no GPU."""
    find = finder()

    def precision(expected, config):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        device = find(expected, "x2static.machine.device:pick_device")(config.device)
        pick = find(expected, "x2static.stage1_encode.teacher.teacher:pick_precision")
        return pick(config.precision, config.compat, device)[0]

    remote: Any = ray.remote
    try:
        return str(ray.get(remote(**takes, max_retries=3)(precision).remote(versions(), config)))
    except RayTaskError as error:
        raise refusal(error) from error


def _nodes() -> list[dict[str, float]]:
    """Return what each machine of the cluster has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def engine(config: EncodeConfig, pools: Sequence[Pool], takes: dict[str, float] | None = None) -> Engine:
    """Return the engine of `config.encoders` actors on the cluster that this process is attached to."""
    return partial(_run, config, pools, takes or sized(config, config.encoders, 1.0)[1])


def _run(
    config: EncodeConfig,
    pools: Sequence[Pool],
    takes: dict[str, float],
    _: Callable[[], Worker],
    jobs: Iterable[Job],
    tell: Tell,
) -> Generator[Staged, None, None]:
    seen = config.cache.resolve() / "shards" / f"{TEMPORARY}seen-{token_hex(8)}"  # goes with the other leftovers
    seen.touch()
    on_each = math.ceil(config.encoders / len(_nodes()))  # machine
    shared = config.model_copy(update={"encoders": on_each})
    options = {**takes, "max_restarts": 0, "max_task_retries": 0, "max_concurrency": 4}
    remote: Any = ray.remote
    actor = remote(**options, scheduling_strategy="SPREAD")(_actor_class())
    setting = (shared, tuple(pools), str(Path.cwd()), seen)
    encoders = Encoders(config.encoders, lambda _: Talk(actor, setting), _Ready(), _stop)
    return HandOut(config.cache, encoders, jobs, tell).run()


def _actor_class() -> type:
    """Return the class of actors. It travels by value, and knows of x2static when the versions are the same."""
    find, where = finder(), ENTRY

    class Encoder:
        def __init__(self) -> None:
            from queue import SimpleQueue

            self.inbox, self.outbox = SimpleQueue(), SimpleQueue()  # type: ignore[var-annotated]

        def check(self, expected):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            """Raise RuntimeError: other versions here."""
            import os

            find(expected, where)
            return os.getpid()

        def begin(self, expected, setting):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            """Load the teacher and do jobs, in a thread."""
            from threading import Thread

            Thread(target=find(expected, where), args=(self.inbox, self.outbox, *setting), daemon=True).start()
            return []  # messages, so far

        def give(self, message):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            self.inbox.put(message)

        def take(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
            """Return all messages that there are, as soon as there is one."""
            messages = [self.outbox.get()]
            while not self.outbox.empty():
                messages.append(self.outbox.get())
            return messages

    return Encoder


class Talk:
    """The driver's end of an actor."""

    def __init__(self, actor: Any, setting: tuple[Any, ...]) -> None:
        """Have it started, where there is room for it."""
        self.setting, self.actor = setting, actor.remote()
        self.pending = self.actor.check.remote(versions())
        self.pid = 0  # of its process, when it has begun
        self.messages: deque[Any] = deque()
        self._death = ""

    def send(self, message: Job | None) -> None:
        """Send it a message."""
        self.actor.give.remote(message)

    def receive(self) -> Any:
        """Return its next message, or BEGUN; None where it has died. It does not wait when `_Ready` has named it."""
        if self.messages:
            return self.messages.popleft()
        try:
            came = ray.get(self.pending)
        except RayTaskError as error:
            return Failure(str(refusal(error)), of_unit=False)
        except RayActorError as error:
            lines = [line.strip() for line in str(error).splitlines()]
            self._death = next((line for line in lines if line.startswith("The actor is dead because")), lines[0])
            return None
        if not self.pid:
            self.pid, self.pending = came, self.actor.begin.remote(versions(), self.setting)
            return BEGUN
        self.messages.extend(came)
        self.pending = self.actor.take.remote()
        return self.messages.popleft() if self.messages else BEGUN

    def death(self) -> str:
        """Return how it died, in words."""
        return self._death


class _Ready:
    """Waits for actors; says so where none can begin for long."""

    def __init__(self) -> None:
        self._last, self._said = time.monotonic(), False

    def __call__(self, talks: list[Talk]) -> list[Talk]:
        if there := [talk for talk in talks if talk.messages]:
            return there
        pending = {talk.pending: talk for talk in talks}
        while True:
            first, _ = ray.wait(list(pending), timeout=1.0)
            if first:
                all_ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0)
                return [pending[ref] for ref in all_ready or first]
            waits = not any(talk.pid for talk in talks)
            if waits and not self._said and time.monotonic() - self._last > PATIENCE_SECONDS:
                self._said = True
                what = "no machine of the cluster has begun an encoder yet; if none has room now (`ray status` says)"
                logger.warning("%s, this waits until one has", what)


def _stop(talks: list[Talk]) -> None:
    for talk in talks:
        ray.kill(talk.actor)
    if talks:  # what they still write would be in the way of who removes it
        ray.wait([talk.pending for talk in talks], num_returns=len(talks), timeout=STOP_SECONDS)


def encode_here(inbox: Any, outbox: Any, config: EncodeConfig, pools: Sequence[Pool], folder: str, seen: Path) -> None:
    """Be an encoder on a machine of the cluster; `folder` is the driver's own folder, `seen` a file that it made."""
    with suppress(OSError):  # names that are not relative need none
        os.chdir(folder)
    told = 0.0

    class Wires:
        def send(self, message: Any) -> None:
            nonlocal told
            if isinstance(message, Position):  # one a second does; a thousand encoders have one listener
                if time.monotonic() - told < TELL_SECONDS:
                    return
                told = time.monotonic()
            outbox.put(message)

        def recv(self) -> Any:
            return inbox.get()

    @contextmanager
    def opened() -> Iterator[Worker]:
        if not seen.exists():
            remedy = "name a folder of a file system that all machines share"
            raise X2StaticError(f"--cache {config.cache}: not the folder that the command sees; {remedy}")
        with open_worker(config, pools) as worker:
            yield worker

    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS") or 1)))  # Ray says how many cores are ours
    encode_units(Wires(), opened, f"machine {socket.gethostname()} of the cluster: ")
