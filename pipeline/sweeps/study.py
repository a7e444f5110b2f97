"""Settings that Optuna proposes, from the scores so far; what was proposed stands in a file of the sweep's folder."""

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import sealed_json, unsealed
from x2static.pipeline.sweeps.settings import Draw, Grid, Range, Settings, Space, parse

JOURNAL = "study.jsonl"  # in the folder of the sweep: a sealed line for each proposal, and for each end of a trial

logger = logging.getLogger(__name__)


class Study(Grid):
    """In the place of a grid's cells, proposals of Optuna's tree-structured Parzen estimator.

    Every trial draws from a generator of its own, keyed by the seed and the trial's number. So a study that was killed
    and goes on proposes what it would have proposed, as far as trials end in the same order, and one whose file is lost
    or damaged proposes again what it had proposed. Optuna itself keeps nothing: its own journal has a line for each
    parameter, and a kill between two of them left a trial of half its parameters, on whose number later draws depended.
    """

    def __init__(
        self,
        journal: Path,
        space: Space,
        total: int,
        seed: int,
        again: bool = False,
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Read what was proposed, in a folder whose lock the caller holds, if anything was.

        The total is of trials altogether, those of earlier calls included. With `again`, those that have ended are
        handed out once more, since their scores stand in records of their own; else they are what was told. `names` are
        the names by which the file knows values that are paths: by their content, for they may move.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.names, self.total, self._seed, self._journal = list(space), total, seed, journal
        self._names, self._values = names, {name: value for value, name in names.items()}
        self._distributions = {name: _distribution(entry) for name, entry in space.items()}
        self._study = optuna.create_study(direction="maximize")
        self._proposed: list[Settings] = []
        self._ends: dict[int, list[Any]] = {}  # state and score of those that have ended, by number
        self._read()
        for settings in self._proposed:
            proposed = create_trial(state=TrialState.RUNNING, params=settings, distributions=self._distributions)
            self._study.add_trial(proposed)
        numbers = range(len(self._proposed))
        self._waiting = [number for number in numbers if again or number not in self._ends]
        for number in sorted(set(numbers) - set(self._waiting)):
            self._note(number, *self._ends[number])

    def ask(self) -> Draw | None:
        """Return what earlier calls were given and is not known to have ended, then proposals; None at the end."""
        if self._waiting:
            number = self._waiting.pop(0)
            return self._draw(self._proposed[number], number)
        number = len(self._proposed)
        if number >= self.total:
            return None
        digest = hashlib.sha256(f"{self._seed} {number}".encode()).digest()
        self._study.sampler = optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4]))  # numpy takes 32 bits
        proposed = self._study.ask(self._distributions).params
        self._proposed.append(proposed)
        self._write({"number": number, "settings": {name: self._names.get(v, v) for name, v in proposed.items()}})
        return self._draw(proposed, number)

    def tell(self, draw: Draw, state: str, score: float | None) -> None:
        """Hear how a trial ended; one without a score has failed."""
        self._note(draw.number, state, score)
        if self._ends.get(draw.number) != [state, score]:
            self._ends[draw.number] = [state, score]
            self._write({"number": draw.number, "end": [state, score]})

    def _note(self, number: int, state: str, score: float | None) -> None:
        if state == "complete" and score is not None:
            self._study.tell(number, score)
        else:
            self._study.tell(number, state=TrialState.PRUNED if state == "pruned" else TrialState.FAIL)

    def _write(self, record: dict[str, Any]) -> None:
        line = json.dumps(json.loads(sealed_json(record)), ensure_ascii=False) + "\n"
        with self._journal.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def _draw(self, settings: Settings, number: int) -> Draw:
        return Draw({name: parse(name, settings[name], "Optuna") for name in self.names}, number)

    def _read(self) -> None:
        """Read the file as far as it is whole; the rest of it is cut off."""
        data, length = self._journal.read_bytes() if self._journal.is_file() else b"", 0
        for n, line in enumerate(data.splitlines(keepends=True), start=1):
            try:
                self._take(unsealed(line, f"{self._journal}, line {n}"))
            except (KeyError, X2StaticError):
                if line.endswith(b"\n"):  # else it is the line at which a sweep was killed
                    what = f"line {n} is damaged, or of x2static 0.1.0"
                    logger.warning("%s: %s; it proposes again what the trials' records are of", self._journal, what)
                break
            length += len(line)
        if length < len(data):
            with self._journal.open("rb+") as file:
                file.truncate(length)

    def _take(self, record: dict[str, Any]) -> None:
        """Take one line's record. Raises KeyError: another line belongs here."""
        if "end" in record and record["number"] < len(self._proposed):
            self._ends[record["number"]] = record["end"]
        elif record["number"] == len(self._proposed) and record["settings"].keys() == self._distributions.keys():
            self._proposed.append({name: self._values.get(v, v) for name, v in record["settings"].items()})
        else:
            raise KeyError(record["number"])


def _distribution(entry: list[Any] | Range) -> BaseDistribution:
    if isinstance(entry, list):
        return CategoricalDistribution(entry)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where steps do not end at `high`, the last one below it is the highest
        if isinstance(entry.low, int) and isinstance(entry.high, int):
            return IntDistribution(entry.low, entry.high, log=entry.log, step=int(entry.step or 1))
        return FloatDistribution(entry.low, entry.high, log=entry.log, step=entry.step)
