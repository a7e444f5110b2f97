"""Processes that trials run in: a few, each with its share of the threads, that end when the sweep does."""

import logging
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from x2static.durable.errors import Interrupted
from x2static.machine.processes import Child
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


class Worker(Child):
    """A process that runs one trial after another."""

    def __init__(self, jobs: int) -> None:
        """Start the process, one of so many that share the threads of this machine."""
        super().__init__(_work, jobs)
        self.task: Task | None = None
        self.losses: list[float] = []  # of the task, as far as they are told

    def run(self, task: Task) -> None:
        """Give the process a trial; it has none now."""
        self.task, self.losses = task, []
        self.send(task)


def _work(connection: Connection, jobs: int) -> None:
    """Run trials until the connection ends: what a worker's process does.

    Training sets a handler for SIGTERM of its own, which stops it after the batch in hand.
    """
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    while True:
        connection.send(_run(connection.recv(), connection))


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
