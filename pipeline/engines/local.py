"""The local engine: encoders on this machine, one in this process, or several in processes of their own.

Each process loads the teacher and asks for jobs; this one hands them out, each to one process at a time, and passes on
what was staged. The jobs of a process that is killed go to the others, or to new ones.
"""

import logging
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection

from x2static.durable.errors import X2StaticError
from x2static.machine.processes import Child, ready, stop_all
from x2static.schemas.encoding import EncodeConfig
from x2static.stage1_encode.encode import open_worker
from x2static.stage1_encode.pools.pool import Pool
from x2static.stage1_encode.worker import Engine, Job, Staged, Worker

ASK = "a job, please"
logger = logging.getLogger(__name__)


def local(config: EncodeConfig, pools: Sequence[Pool], encoders: int) -> Engine:
    """Return the engine; `encoders` are the processes that a teacher is loaded in, 1 means this one."""
    return Worker.run if encoders == 1 else partial(_hand_out, config, pools, encoders)


def _hand_out(
    config: EncodeConfig, pools: Sequence[Pool], encoders: int, worker: Worker, jobs: Iterable[Job]
) -> Generator[Staged, None, None]:
    """Start encoders, hand jobs out to them, and yield what they staged."""
    to_do = deque(jobs)
    while to_do:
        n_staged, deaths = 0, []
        children = [Child(_encode, config, pools, number, encoders) for number in range(min(encoders, len(to_do)))]
        in_hand: dict[Child, dict[int, Job]] = {child: {} for child in children}
        try:
            while in_hand:
                for child in ready(list(in_hand)):
                    message = child.receive()
                    if message is None:
                        lost = in_hand.pop(child)
                        if child.failed:
                            deaths.append(child.death())
                            logger.warning("an encoder is gone, %s; %d units go to others", child.death(), len(lost))
                        to_do.extendleft(reversed(lost.values()))
                    elif message == ASK:
                        job = to_do.popleft() if to_do else None
                        if job:
                            in_hand[child][job.shard] = job
                        child.send(job)
                    elif isinstance(message, Staged):
                        n_staged += 1
                        del in_hand[child][message.job.shard]
                        yield message
                    else:
                        raise message
        finally:
            stop_all(children)
        if to_do and not n_staged:
            raise X2StaticError(
                f"{config.cache}: no encoder came to the end of a unit ({deaths[-1]}); run the same command again to "
                "go on, with fewer --encoders"
            )


def _encode(connection: Connection, config: EncodeConfig, pools: Sequence[Pool], number: int, encoders: int) -> None:
    """Be one of some encoders: ask for jobs and do them, until there are none."""
    import torch  # not with the command's module: `x2static encode --help` is to be quick

    torch.set_num_threads(max(1, torch.get_num_threads() // encoders))
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

    try:
        with open_worker(config, pools, encoders) as worker:
            for staged in worker.run(jobs()):
                with sending:
                    connection.send(staged)
    except Exception as error:  # noqa: BLE001  # whatever it is, the process that started this one raises it
        with sending:
            connection.send(error)
