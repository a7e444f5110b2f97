"""A sweep as a whole: trials given to workers, their results kept, until the source of settings has no more."""

import logging
import shutil
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import ValidationError

from x2static.durable.errors import Interrupted, X2StaticError
from x2static.machine.processes import Place
from x2static.machine.progress import Progress, Report
from x2static.machine.screen import quantity
from x2static.pipeline import records
from x2static.pipeline.sweeps.settings import Draw, Grid, shown, trial_name
from x2static.pipeline.sweeps.trial import TRIALS, Result, Worker, load, record_of, work
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import check_run

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
    contents: dict[str, str]  # of files that are swept, by their paths
    source: Grid
    data: Path | None
    select: tuple[str, ...]  # names of the data sets that count; all where there is none
    jobs: int
    prune: bool
    retry_failed: bool
    report: Report
    place: Place = field(default_factory=Place)  # where trials run
    results: dict[str, Result] = field(default_factory=dict)  # what came of the trials, by name
    _draws: dict[str, list[Draw]] = field(default_factory=dict)  # those that wait for a trial, by its name
    _workers: list[Worker] = field(default_factory=list)
    _lost: deque[Result] = field(default_factory=deque)  # trials whose worker died, and which are to go on
    _deaths: Counter[str] = field(default_factory=Counter)  # of workers, by the name of the trial in hand
    _done: int = 0

    def run(self) -> None:
        """Run what is left to run. Raises Interrupted by a signal: what runs was stopped, with its state saved."""
        try:
            while busy := self._give_work():
                talking = self.place.ready([worker.child for worker in busy])
                for worker in busy:
                    if worker.child in talking:
                        self._hear(worker)
        except (KeyboardInterrupt, Interrupted) as error:
            started, n_busy = time.monotonic(), sum(worker.trial is not None for worker in self._workers)
            logger.info("stopping, and saving the state of %s", quantity(n_busy, "trial"))
            self._stop_all()
            saved = f"the state of {quantity(n_busy, 'trial')} saved in {time.monotonic() - started:.0f} s"
            raise Interrupted(f"stopped, {saved}; run the same command again to go on") from error
        finally:  # whatever happens, they save what they do and end
            self._stop_all()

    def _stop_all(self) -> None:
        self.place.stop_all([worker.child for worker in self._workers])
        self._workers.clear()

    def _give_work(self) -> list[Worker]:
        """Give trials to workers until all are busy or there are no more; return the busy ones."""
        while sum(worker.trial is not None for worker in self._workers) < self.jobs:
            if self._lost:
                trial = self._lost.popleft()
                self._hand(trial, self.config(trial))
                continue
            draw = self.source.ask()
            if draw is None:
                break
            name = trial_name(draw.settings, self.contents)
            waiting = self._draws.setdefault(name, [])
            waiting.append(draw)
            if len(waiting) > 1:
                continue  # the same settings are being tried
            result = self.results.get(name) or self._recorded(name)
            again = self.retry_failed and name not in self.results  # once a call
            if result is not None and not (result.state == "failed" and again):
                moved = result.settings != draw.settings  # the same content at another path
                self._end(result.model_copy(update={"settings": draw.settings}), new=moved)
                continue
            vocab = self.contents.get(draw.settings.get("vocab", ""))
            trial = Result(name=name, settings=draw.settings, state="failed", vocab=vocab)  # unless it ends otherwise
            try:
                config = self.config(trial)
            except ValidationError as error:  # the settings do not go together
                self._end(trial.model_copy(update={"error": "; ".join(item["msg"] for item in error.errors())}))
                continue
            self._hand(trial, config)
        return [worker for worker in self._workers if worker.trial is not None]

    def _hand(self, trial: Result, config: TrainConfig) -> None:
        """Give a trial to a worker that has none, or to a new one."""
        worker = next((worker for worker in self._workers if worker.trial is None), None)
        if worker is None:
            worker = Worker(self.place.start(work, 1 if self.place.has_own_threads else self.jobs))
            self._workers.append(worker)
        worker.trial, worker.losses = trial, []
        worker.child.send((trial, config, self.data))

    def _recorded(self, name: str) -> Result | None:
        """Return what came of a trial; None where it has not ended, or, with a warning, where it is damaged.

        A run that somebody has removed, for its size, is not made again: its record stands.
        """
        run = self.out / TRIALS / name
        try:
            result = load(self.out, name)
        except X2StaticError as error:
            logger.warning("%s; the trial is scored again", str(error).partition(";")[0])
            return None
        if result is not None and result.state == "complete" and run.is_dir():
            try:
                check_run(run)
            except (FileNotFoundError, X2StaticError) as error:
                logger.warning("%s; the trial is run again", str(error).partition(";")[0])
                shutil.rmtree(run)  # what it was trained with is the sweep's to say
                return None
        return result

    def config(self, trial: Result) -> TrainConfig:
        """Return all settings of a trial."""
        return TrainConfig.model_validate({**self.fixed, **trial.settings, "out": self.out / TRIALS / trial.name})

    def _hear(self, worker: Worker) -> None:
        trial, message = worker.trial, worker.child.receive()
        if trial is None or isinstance(message, Interrupted):
            raise Interrupted(f"a trial was stopped from outside ({message}); run the same command again to go on")
        if isinstance(message, list):
            worker.losses = message
            worker.child.send(not (self.prune and self._hopeless(worker, trial)))  # whether it goes on
            return
        worker.trial = None
        if message is None:
            self._workers.remove(worker)
            self._deaths[trial.name] += 1
            if self._deaths[trial.name] < self.place.tries:
                logger.warning("%s: %s; it goes on from its last checkpoint", trial.name, worker.child.death())
                self._lost.append(trial)
                return
            message = trial.model_copy(update={"losses": worker.losses, "error": worker.child.death()})
        self._end(message)

    def _hopeless(self, worker: Worker, trial: Result) -> bool:
        from x2static.stage2_train.objectives.objective import load_objective  # torch, which only pruning needs here

        config = self.config(trial)
        begin = load_objective(config.objective)(config).loss_of_zeros
        if begin is None:
            return False
        running = [(other.trial, other.losses) for other in self._workers if other.trial and other is not worker]
        others = [*running, *((result, result.losses) for result in self.results.values())]
        alike = comparable(config)
        losses = [some for other, some in others if some and comparable(self.config(other)) == alike]
        return hopeless(worker.losses, losses, begin)

    def _end(self, result: Result, new: bool = True) -> None:
        """Keep a result, and tell the source."""
        self.results[result.name] = result
        score = result.score(self.select)
        if new:
            records.save(record_of(self.out, result.name), result)
            logger.info("%s: %s", result.name, result.error or f"score {shown(score)}")
        for draw in self._draws.pop(result.name):
            self.source.tell(draw, result.state, score)
            self._done += 1
        scores = [score for one in self.results.values() if (score := one.score(self.select)) is not None]
        detail = f"best score {max(scores):.3f}" if scores else ""
        self.report(Progress(min(self._done, self.source.total), self.source.total, "trials", detail))


def comparable(config: TrainConfig) -> tuple[Any, ...]:
    """Return what two trials have in common whose losses can be compared."""
    from x2static.stage2_train.objectives.objective import load_objective

    names = (*SPACE_AND_WORDS, *load_objective(config.objective).loss_settings)
    return tuple(getattr(config, name) for name in names)


def hopeless(losses: list[float], others: Iterable[list[float]], begin: float) -> bool:
    """Return whether a trial has learned less than half of what the median trial has learned by the same epoch.

    A loss that is a little worse than the median is no reason to stop, as Optuna's pruners do: it can go with a better
    score. Losses are the means of each epoch, one at least, those of others of comparable trials; what is learned is
    the fall from `begin`, the loss where nothing is learned.
    """
    as_far = [other[len(losses) - 1] for other in others if len(other) >= len(losses)]
    if len(as_far) < ENOUGH:
        return False
    typical = median(as_far)
    return losses[-1] > typical and begin - losses[-1] < SHARE * (begin - typical)
