"""A sweep as a whole: trials given to workers, their results kept, until the source of settings has no more."""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import ValidationError

from x2static.durable.errors import Interrupted
from x2static.machine.processes import ready, stop_all
from x2static.machine.progress import Progress, Report
from x2static.pipeline.sweeps import trial
from x2static.pipeline.sweeps.settings import Draw, Settings, Source, shown, trial_name
from x2static.pipeline.sweeps.trial import Result
from x2static.pipeline.sweeps.workers import Losses, Stopped, Task, Worker
from x2static.schemas.training import TrainConfig

logger = logging.getLogger(__name__)

# What losses depend on beside how much was learned and what the objective names. Those of different learning
# rates, schedules, batches, and numbers of epochs can be compared.
SPACE_AND_WORDS = ("objective", "transform", "dim", "min_count", "max_vocab", "vocab")
ENOUGH = 4  # other trials that have come as far; the median of fewer says little
SHARE = 0.5  # of what the median trial has learned


@dataclass
class Sweep:
    """A sweep under way."""

    out: Path  # its folder, whose lock the caller holds
    fixed: dict[str, Any]
    source: Source
    data: Path | None
    select: tuple[str, ...]  # names of the data sets that count; all where there is none
    jobs: int
    prune: bool
    retry_failed: bool
    report: Report
    results: dict[str, Result] = field(default_factory=dict)  # what came of the trials, by name
    _draws: dict[str, list[Draw]] = field(default_factory=dict)  # those that wait for a trial, by its name
    _workers: list[Worker] = field(default_factory=list)
    _done: int = 0

    def run(self) -> None:
        """Run what is left to run.

        Raises:
            Interrupted: by a signal; what runs was stopped, with its state saved.
            OSError: a result cannot be kept.
        """
        try:
            while busy := self._give_work():
                talking = ready(busy)
                for worker in busy:
                    if worker in talking:
                        self._hear(worker)
        except (KeyboardInterrupt, Interrupted) as error:
            started, n_busy = time.monotonic(), sum(worker.task is not None for worker in self._workers)
            logger.info("stopping; %d trials save their state", n_busy)
            stop_all(self._workers)
            self._workers.clear()
            raise Interrupted(
                f"stopped, the state of {n_busy} trials saved in {time.monotonic() - started:.0f} s; run the same "
                "command again to go on"
            ) from error
        finally:  # whatever happens, they save what they do and end
            stop_all(self._workers)

    def _give_work(self) -> list[Worker]:
        """Give trials to workers until all are busy or there are no more; return the busy ones."""
        while sum(worker.task is not None for worker in self._workers) < self.jobs:
            draw = self.source.ask()
            if draw is None:
                break
            name = trial_name(draw.settings)
            waiting = self._draws.setdefault(name, [])
            waiting.append(draw)
            if len(waiting) > 1:
                continue  # the same settings are being tried
            result = self.results.get(name) or trial.load(self.out, name)
            again = self.retry_failed and name not in self.results  # once a call
            if result is not None and not (result.state == "failed" and again):
                self._end(result, new=False)
                continue
            config = self._config(name, draw.settings)
            if isinstance(config, str):
                self._end(Result(name=name, settings=draw.settings, state="failed", error=config))
                continue
            idle = [worker for worker in self._workers if worker.task is None]
            if not idle:
                idle = [Worker(self.jobs)]
                self._workers += idle
            idle[0].run(Task(name, draw.settings, config, self.data))
        return [worker for worker in self._workers if worker.task is not None]

    def _config(self, name: str, settings: Settings) -> TrainConfig | str:
        """Return all settings of a trial, or what is wrong with them together."""
        try:
            return TrainConfig.model_validate({**self.fixed, **settings, "out": self.out / trial.TRIALS / name})
        except ValidationError as error:
            return "; ".join(item["msg"] for item in error.errors())

    def _hear(self, worker: Worker) -> None:
        task = worker.task
        message = worker.receive()
        if task is None or isinstance(message, Stopped):
            raise Interrupted(f"a trial was stopped from outside ({message}); run the same command again to go on")
        if isinstance(message, Losses):
            worker.losses = message.values
            worker.send(not (self.prune and self._hopeless(worker, task)))  # whether it goes on
            return
        worker.task = None
        if message is None:
            self._workers.remove(worker)
            message = Result(
                name=task.name, settings=task.settings, state="failed", losses=worker.losses, error=worker.death()
            )
        self._end(message)

    def _hopeless(self, worker: Worker, task: Task) -> bool:
        from x2static.stage2_train.objectives.objective import load_objective  # torch, which only pruning needs here

        begin = load_objective(task.config.objective)(task.config).loss_of_zeros
        if begin is None:
            return False
        running = [(other.task.config, other.losses) for other in self._workers if other.task and other is not worker]
        ended = [(self._config(result.name, result.settings), result.losses) for result in self.results.values()]
        others = [
            losses
            for config, losses in running + ended
            if not isinstance(config, str) and comparable(config) == comparable(task.config)
        ]
        return hopeless(worker.losses, others, begin)

    def _end(self, result: Result, new: bool = True) -> None:
        """Keep a result, and tell the source."""
        self.results[result.name] = result
        score = result.score(self.select)
        if new:
            trial.save(self.out, result)
            logger.info("%s: %s", result.name, result.error or f"score {shown(score)}")
        for draw in self._draws.pop(result.name):
            self.source.tell(draw, result.state, score)
            self._done += 1
        best = [score for score in (one.score(self.select) for one in self.results.values()) if score is not None]
        detail = f"best score {max(best):.3f}" if best else ""
        self.report(Progress(min(self._done, self.source.total), self.source.total, "trials", detail))


def comparable(config: TrainConfig) -> tuple[Any, ...]:
    """Return what two trials have in common whose losses can be compared."""
    from x2static.stage2_train.objectives.objective import load_objective

    names = (*SPACE_AND_WORDS, *load_objective(config.objective).loss_settings)
    return tuple(getattr(config, name) for name in names)


def hopeless(losses: list[float], others: Iterable[list[float]], begin: float) -> bool:
    """Return whether a trial has learned less than half of what the median trial has learned by the same epoch.

    A loss that is a little worse than the median is no reason to stop: it can go with a better score. Optuna's pruners
    would stop by the median itself.

    Args:
        losses: mean loss of each epoch of the trial so far, one at least.
        others: the same of comparable trials, as far as they have come.
        begin: the loss where nothing is learned; its fall is what is learned.
    """
    there = [other[len(losses) - 1] for other in others if len(other) >= len(losses)]
    if len(there) < ENOUGH:
        return False
    typical = median(there)
    return losses[-1] > typical and begin - losses[-1] < SHARE * (begin - typical)
