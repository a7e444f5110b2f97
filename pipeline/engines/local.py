"""The local engine: encoders on this machine, one in this process, or several in processes of their own.

Each process loads the teacher and asks for jobs; this one hands them out, each to one process at a time, and passes on
what was staged. The jobs of a process that is killed go to the others, or to new ones.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection

import torch

from x2static.durable.errors import X2StaticError, panics_caught
from x2static.machine.processes import Child, ready, stop_all
from x2static.machine.screen import quantity
from x2static.schemas.encoding import EncodeConfig
from x2static.stage1_encode.pools.pool import Pool
from x2static.stage1_encode.worker import Engine, Job, Position, Staged, Tell, Worker, open_worker, run_here

ASK = "a job, please"

logger = logging.getLogger(__name__)


def engine(config: EncodeConfig, pools: Sequence[Pool]) -> Engine:
    """Return the engine of `config.encoders` processes that load a teacher each; of one, which is this process."""
    return run_here if config.encoders == 1 else partial(_hand_out, config, pools)


def _hand_out(
    config: EncodeConfig, pools: Sequence[Pool], _: Callable[[], Worker], jobs: Iterable[Job], tell: Tell
) -> Generator[Staged, None, None]:
    """Start encoders, hand jobs out to them, and yield what they staged.

    Raises X2StaticError: a unit cannot be encoded, or all encoders were killed before any had staged one.
    """
    to_do = deque(jobs)
    while to_do:
        n_staged, deaths = 0, []
        children = [Child(_encode, config, pools, number) for number in range(min(config.encoders, len(to_do)))]
        in_hand: dict[Child, dict[int, Job]] = {child: {} for child in children}
        try:
            while in_hand:
                for child in ready(list(in_hand)):
                    message = child.receive()
                    if message is None:
                        lost = in_hand.pop(child)
                        if child.process.exitcode:
                            deaths.append(child.death())
                            left = quantity(len(lost), "unit")
                            logger.warning("an encoder is gone, %s; others take over %s", child.death(), left)
                        to_do.extendleft(reversed(lost.values()))
                    elif message == ASK:
                        job = to_do.popleft() if to_do else None
                        if job:
                            in_hand[child][job.shard] = job
                        child.send(job)
                    elif isinstance(message, Position):
                        tell(message)
                    elif isinstance(message, Staged):
                        n_staged += 1
                        del in_hand[child][message.job.shard]
                        yield message
                    else:
                        raise message
        finally:
            stop_all(children)
        if to_do and not n_staged:
            what = f"no encoder came to the end of a unit ({deaths[-1]})"
            raise X2StaticError(f"{config.cache}: {what}; run the same command again to go on, with fewer --encoders")


def _encode(connection: Connection, config: EncodeConfig, pools: Sequence[Pool], number: int) -> None:
    """Be one of some encoders: ask for jobs and do them, until there are none."""
    torch.set_num_threads(max(1, torch.get_num_threads() // config.encoders))
    if config.device != "cpu" and torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())
    sending = threading.Lock()  # jobs are asked for in the thread that reads ahead

    def jobs() -> Iterator[Job]:
        while True:
            with sending:
                connection.send(ASK)
            job = connection.recv()
            if job is None:
                return
            yield job

    def send(message: Position | Staged) -> None:
        with sending:
            connection.send(message)

    try:
        with panics_caught(), open_worker(config, pools) as worker:
            for staged in worker.run(jobs(), send):
                send(staged)
    except Exception as error:  # noqa: BLE001  # whatever it is, the process that started this one raises it
        with sending:
            connection.send(error)
