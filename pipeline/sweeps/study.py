"""Settings that Optuna proposes, from the scores so far; the study is a journal file in the sweep's folder."""

import hashlib
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from x2static.pipeline.sweeps.settings import Draw, Grid, Range, Space, parse

JOURNAL = "study.jsonl"  # in the folder of the sweep
REPEATS = "retried"  # attribute of a trial that repeats one that failed: its number


class Study(Grid):
    """In the place of a grid's cells, proposals of Optuna's tree-structured Parzen estimator.

    Every trial draws from a generator of its own, keyed by the seed and the trial's number. So a study that was killed
    and goes on proposes what it would have proposed, as far as trials end in the same order.
    """

    def __init__(self, journal: Path, space: Space, total: int, seed: int, retry_failed: bool) -> None:
        """Open the journal, whose folder's lock the caller holds, or begin one.

        The total is of trials altogether, those of earlier calls included.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        if journal.is_file():  # what a crash left of a line: Optuna reads no journal that ends within one
            with journal.open("rb+") as file:
                file.truncate(file.read().rfind(b"\n") + 1)
        self.names, self.total, self._seed = list(space), total, seed
        self._distributions = {name: _distribution(entry) for name, entry in space.items()}
        for lock in journal.parent.glob(f"{journal.name}.lock*"):  # of a killed sweep, whose folder is the caller's now
            lock.unlink()
        storage = JournalStorage(JournalFileBackend(str(journal), lock_obj=JournalFileOpenLock(str(journal))))
        study = optuna.create_study(storage=storage, study_name="sweep", direction="maximize", load_if_exists=True)
        self._study, trials = study, study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state == TrialState.RUNNING and not self._is_whole(trial):  # killed while it was being proposed
                study.tell(trial.number, state=TrialState.FAIL)
        whole = [trial for trial in trials if self._is_whole(trial)]
        self._unfinished = [self._draw(trial) for trial in whole if trial.state == TrialState.RUNNING]
        waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
        repeated = {trial.user_attrs.get(REPEATS) for trial in (*whole, *waiting)}
        for trial in whole:
            if retry_failed and trial.state == TrialState.FAIL and trial.number not in repeated:
                study.enqueue_trial(trial.params, user_attrs={REPEATS: trial.number})

    def ask(self) -> Draw | None:
        """Return what an earlier call left unfinished, what is to be tried again, then proposals; None at the end."""
        if self._unfinished:
            return self._unfinished.pop(0)
        trials = self._study.get_trials(deepcopy=False)
        n_proposed = sum(self._is_whole(trial) and REPEATS not in trial.user_attrs for trial in trials)
        if n_proposed >= self.total and not any(trial.state == TrialState.WAITING for trial in trials):
            return None
        digest = hashlib.sha256(f"{self._seed} {len(trials)}".encode()).digest()
        self._study.sampler = optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4]))  # numpy takes 32 bits
        return self._draw(self._study.ask(self._distributions))

    def tell(self, draw: Draw, state: str, score: float | None) -> None:
        """Note how a trial ended; one without a score has failed."""
        if state == "complete" and score is not None:
            self._study.tell(draw.number, score)
        else:
            self._study.tell(draw.number, state=TrialState.PRUNED if state == "pruned" else TrialState.FAIL)

    def _is_whole(self, trial: FrozenTrial) -> bool:
        return trial.params.keys() == self._distributions.keys()

    def _draw(self, trial: Trial | FrozenTrial) -> Draw:
        return Draw({name: parse(name, trial.params[name], "Optuna") for name in self.names}, trial.number)


def _distribution(entry: list[Any] | Range) -> BaseDistribution:
    if isinstance(entry, list):
        return CategoricalDistribution(entry)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where steps do not end at `high`, the last one below it is the highest
        if isinstance(entry.low, int) and isinstance(entry.high, int):
            return IntDistribution(entry.low, entry.high, log=entry.log, step=int(entry.step or 1))
        return FloatDistribution(entry.low, entry.high, log=entry.log, step=entry.step)
