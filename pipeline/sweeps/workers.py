"""Processes that trials run in: a few, each with its share of the threads, that end when the sweep does."""

import logging
import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from x2static.durable.errors import Interrupted
from x2static.pipeline.sweeps.settings import Settings
from x2static.pipeline.sweeps.trial import Pruned, Result, run_trial
from x2static.schemas.training import TrainConfig


@dataclass(frozen=True)
class Task:
    """A trial for a worker."""

    name: str
    settings: Settings
    config: TrainConfig
    data: Path | None


@dataclass(frozen=True)
class Losses:
    """A worker asks after an epoch whether its trial is to go on; these are the losses so far."""

    values: list[float]


@dataclass(frozen=True)
class Stopped:
    """A signal stopped a trial, its state is saved."""

    message: str


Message = Losses | Result | Stopped


class Worker:
    """A process that runs one trial after another."""

    def __init__(self, jobs: int) -> None:
        """Start the process.

        Args:
            jobs: workers that share the threads of this machine.
        """
        context = multiprocessing.get_context("spawn")  # a fork would take along the threads' locks, not the threads
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, jobs), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self.losses: list[float] = []

    def run(self, task: Task) -> None:
        """Give the process a trial; it has none now."""
        self.task, self.losses = task, []
        self.connection.send(task)

    def receive(self) -> Message | None:
        """Return what the process has to say; None where it has died."""
        try:
            message: Message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return None
        if isinstance(message, Losses):
            self.losses = message.values
        return message

    def answer(self, go_on: bool) -> None:
        """Tell the process whether its trial is to go on, after Losses."""
        self.connection.send(go_on)

    def death(self) -> str:
        """Return how the process ended, in words."""
        code = self.process.exitcode or 0
        if code < 0:
            return f"its process was killed by {signal.Signals(-code).name}, perhaps for lack of memory"
        return f"its process ended with status {code}"

    def stop(self) -> None:
        """Have the process save what it does and end; without work it ends at once."""
        self.connection.close()  # or it would wait for an answer
        self.process.terminate()


def ready(workers: list[Worker]) -> list[Worker]:
    """Wait until workers have something to say, and return them."""
    talking = wait([worker.connection for worker in workers])
    return [worker for worker in workers if worker.connection in talking]


def _work(connection: Connection, jobs: int) -> None:
    """Run trials until the connection ends: what a worker's process does."""
    # Ctrl-C reaches every process of the terminal; the sweep alone decides. Training sets a handler of its own, which
    # stops it after the batch in hand, as does the SIGTERM of `stop`.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    try:
        while True:
            connection.send(_run(connection.recv(), connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the sweep is over, or dead


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _run(task: Task, connection: Connection) -> Message:
    from x2static.pipeline.cli import message

    losses: list[float] = []

    def after_epoch(now: list[float]) -> None:
        losses[:] = now
        connection.send(Losses(list(now)))
        if not connection.recv():
            raise Pruned(f"stopped after epoch {len(now)}: it had learned less than half of what others had")

    handler = _log_to(task.config.out.with_name(f"{task.name}.log"))
    try:
        return run_trial(task.name, task.settings, task.config, task.data, after_epoch)
    except Interrupted as error:
        return Stopped(str(error))
    except Pruned as error:
        return Result(name=task.name, settings=task.settings, state="pruned", losses=losses, error=str(error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise  # there is nobody to tell
    except Exception as error:  # whatever it is, the other trials go on
        logging.getLogger("x2static.pipeline").exception("the trial failed")
        return Result(name=task.name, settings=task.settings, state="failed", losses=losses, error=message(error))
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _log_to(file: Path) -> logging.Handler:
    """Write what a trial logs to a file; several trials on one terminal would be a muddle."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger("x2static").setLevel(logging.INFO)
    return handler
