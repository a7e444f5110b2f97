"""Settings that Optuna proposes, from the scores so far; the study is a journal file in the sweep's folder."""

import hashlib
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from x2static.pipeline.sweeps.settings import Draw, Range, Space, parse

JOURNAL = "study.jsonl"  # in the folder of the sweep
RETRIED = "retried"  # attribute of a trial that repeats one that failed: its number


class NoLock(JournalFileSymlinkLock):
    """The sweep holds a lock on its folder, which a killed process cannot leave behind."""

    def acquire(self) -> bool:
        """Do nothing."""
        return True

    def release(self) -> None:
        """Do nothing."""


class Study:
    """Proposals of Optuna's tree-structured Parzen estimator.

    Every trial draws from a generator of its own, keyed by the seed and the trial's number. So a study that was killed
    and goes on proposes what it would have proposed, as far as trials end in the same order.
    """

    def __init__(self, journal: Path, space: Space, total: int, seed: int, retry_failed: bool) -> None:
        """Open the journal, or begin one.

        Args:
            journal: the file; the caller holds the lock of its folder.
            space: what to propose from.
            total: trials altogether, those of earlier calls included.
            seed: of all proposals.
            retry_failed: whether to propose once more what has failed.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        if journal.is_file():  # what a crash left of a line: Optuna reads no journal that ends within one
            with journal.open("rb+") as file:
                file.truncate(file.read().rfind(b"\n") + 1)
        self.names = list(space)
        self.total = total
        self._seed = seed
        self._distributions = {name: _distribution(entry) for name, entry in space.items()}
        storage = JournalStorage(JournalFileBackend(str(journal), lock_obj=NoLock(str(journal))))
        self._study = optuna.create_study(
            storage=storage, study_name="sweep", direction="maximize", load_if_exists=True
        )
        self._left = self._left_behind(retry_failed)

    def ask(self) -> Draw | None:
        """Return what an earlier call left unfinished, then proposals, None after the last."""
        if self._left:
            return self._left.pop(0)
        trials = self._study.get_trials(deepcopy=False)
        counted = [trial for trial in trials if self._whole(trial) and RETRIED not in trial.user_attrs]
        if len(counted) >= self.total:
            return None
        digest = hashlib.sha256(f"{self._seed} {len(trials)}".encode()).digest()
        self._study.sampler = optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4]))  # numpy takes 32 bits
        trial = self._study.ask(self._distributions)
        return self._draw(trial.number, trial.params)

    def tell(self, draw: Draw, state: str, score: float | None) -> None:
        """Note how a trial ended; one without a score has failed."""
        if state == "complete" and score is None:
            state = "failed"
        ended = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[state]
        values = [score] if score is not None and ended == TrialState.COMPLETE else None
        if not draw.again:
            self._study.tell(draw.number, values, ended)
        elif ended != TrialState.FAIL:  # what has been told stays; the repetition is a trial of its own
            before = self._study.get_trials(deepcopy=False)[draw.number]
            self._study.add_trial(
                create_trial(
                    state=ended,
                    values=values,
                    params=before.params,
                    distributions=before.distributions,
                    user_attrs={RETRIED: draw.number},
                )
            )

    def _left_behind(self, retry_failed: bool) -> list[Draw]:
        """Return what an earlier call proposed and did not finish, then what failed, if that is to be tried again."""
        trials = self._study.get_trials(deepcopy=False)
        left, failed = [], []
        retried = {trial.user_attrs.get(RETRIED) for trial in trials}
        for trial in trials:
            if trial.state == TrialState.RUNNING and not self._whole(trial):  # killed while it was being proposed
                self._study.tell(trial.number, state=TrialState.FAIL)
            elif trial.state == TrialState.RUNNING:
                left.append(self._draw(trial.number, trial.params))
            elif trial.state == TrialState.FAIL and self._whole(trial) and trial.number not in retried:
                failed.append(self._draw(trial.number, trial.params, again=True))
        return left + failed if retry_failed else left

    def _whole(self, trial: FrozenTrial) -> bool:
        return trial.params.keys() == self._distributions.keys()

    def _draw(self, number: int, params: dict[str, Any], again: bool = False) -> Draw:
        settings = {name: parse(name, params[name], "Optuna") for name in self.names}
        return Draw(settings, number, again)


def _distribution(entry: list[Any] | Range) -> BaseDistribution:
    if isinstance(entry, list):
        return CategoricalDistribution(entry)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where steps do not end at `high`, the last one below it is the highest
        if isinstance(entry.low, int) and isinstance(entry.high, int):
            return IntDistribution(entry.low, entry.high, log=entry.log, step=int(entry.step or 1))
        return FloatDistribution(entry.low, entry.high, log=entry.log, step=entry.step)
