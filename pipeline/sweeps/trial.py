"""One trial of a sweep, in a process of its own: trained from the cache, scored, and recorded beside its run."""

import logging
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from x2static.durable.errors import Interrupted, X2StaticError, panics_caught
from x2static.durable.storage import wait_until_free
from x2static.evaluation.measures import MIN_PAIRS, known_mean
from x2static.evaluation.word_similarity import evaluate_word_similarity
from x2static.machine.processes import Child
from x2static.pipeline import records
from x2static.pipeline.sweeps.settings import Settings
from x2static.pipeline.terminal import message
from x2static.schemas.encoding import Record
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.vocabulary import WordList

TRIALS = "trials"  # the folder in that of the sweep


class Pruned(X2StaticError):  # noqa: N818
    """The sweep stopped a trial that had learned too little."""


class TaskScore(Record):
    """The result on one data set: Spearman's rho or None, pairs covered and pairs there are."""

    score: float | None
    covered: int
    total: int

    @property
    def too_few(self) -> bool:
        """Whether the score rests on too few pairs to mean something."""
        return self.covered < MIN_PAIRS


class Result(Record):
    """What came of a trial."""

    name: str
    settings: Settings
    state: Literal["complete", "pruned", "failed"]  # it has scores; was stopped by its loss; ended with an error
    scores: dict[str, TaskScore] = Field(default_factory=dict)
    losses: list[float] = Field(default_factory=list)  # mean loss of each finished epoch, where there are epochs
    seconds: float | None = None
    figures: dict[str, Any] = Field(default_factory=dict)  # what else the training came to: vocabulary, dim and so on
    error: str | None = None
    vocab: str | None = None  # content of the list of words, where it is swept

    def score(self, select: tuple[str, ...]) -> float | None:
        """Return the mean score over some data sets, all where none is named; None where none has one.

        Those without a score, and those of which too few pairs are covered, are left out.
        """
        counting = [task for name, task in self.scores.items() if name in select or not select]
        return known_mean(task.score for task in counting if not task.too_few)

    @property
    def loss(self) -> float | None:
        """Mean loss of the last epoch."""
        return self.losses[-1] if self.losses else None


def record_of(out: Path, name: str) -> Path:
    """Return where a trial's result is kept: beside its run's folder, which is the run's own."""
    return out / TRIALS / f"{name}.json"


def load(out: Path, name: str) -> Result | None:
    """Return what came of a trial, None where it has not ended. Raises X2StaticError: its record is damaged."""
    file = record_of(out, name)
    result = records.load(file, Result)
    if result is not None and result.name != name:
        raise X2StaticError(f"{file}: the record of the trial {result.name}; remove it and run the same command again")
    return result


def load_all(out: Path) -> list[Result]:
    """Return what came of every trial that has ended. Raises X2StaticError: a record is damaged."""
    results = [load(out, file.stem) for file in sorted((out / TRIALS).glob("*.json"))]
    return [result for result in results if result is not None]


def refuse_changed(out: Path) -> None:
    """Raise X2StaticError where a list of words has changed since a trial was trained on it, and still has its path."""
    for file in sorted((out / TRIALS).glob("*.json")):
        try:
            result = load(out, file.stem)
        except X2StaticError:
            continue  # it is made again, or told at the end
        path = result.settings.get("vocab") if result else None
        if result is None or path is None or not Path(path).is_file():
            continue
        if (here := WordList.load(Path(path)).sha256[:16]) != result.vocab:
            was = f"words {result.vocab} there, {here} here" if result.vocab else "which did not keep its content"
            remedy = "give another --out, or put the file back"
            raise X2StaticError(f"{path}: has changed since the trial {result.name} of {out} ({was}); {remedy}")


@dataclass
class Worker:
    """A process that runs one trial after another, one of a few that may share the threads of a machine.

    It is sent a trial, all its settings and the data sets. It says the losses so far (list[float]) after each epoch,
    and hears whether to go on; then the trial's Result, or Interrupted where a signal stopped it with its state saved.
    """

    child: Child
    trial: Result | None = None  # what is known of it before it ends
    losses: list[float] = field(default_factory=list)  # of the trial, as far as it has come


def work(connection: Connection, jobs: int) -> None:
    """Run trials until the connection ends: what a worker's process does, one of so many that share threads.

    Training sets a handler for SIGTERM of its own, which stops it after the batch in hand.
    """
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    logging.getLogger("x2static").setLevel(logging.INFO)
    while True:
        trial, config, data = connection.recv()
        file = config.out.with_name(f"{trial.name}.log")  # several trials on one terminal would be a muddle
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(file, encoding="utf-8", delay=True)
        logging.basicConfig(handlers=[handler], format="%(asctime)s %(levelname)s %(message)s", force=True)
        connection.send(_run(trial, config, data, connection))


def _run(trial: Result, config: TrainConfig, data: Path | None, connection: Connection) -> Result | Interrupted:
    """Train and score a trial, or go on with it where an earlier call stopped."""
    from x2static.stage2_train.checkpoint import FIGURES  # torch
    from x2static.stage2_train.trainer import train

    losses: list[float] = []

    def after_epoch(losses_so_far: list[float]) -> None:
        losses[:] = losses_so_far
        connection.send(list(losses))
        if not connection.recv():
            raise Pruned(f"stopped after epoch {len(losses)}: it had learned less than half of what others had")

    try:
        wait_until_free(config.out)  # of a killed sweep's process; past that, training says it
        with panics_caught():
            figures = train(config, after_epoch=after_epoch)
            vectors = WordVectors.load(config.out)
            evaluated = evaluate_word_similarity(vectors, data)
        scores = {one.task: TaskScore.model_validate(one, from_attributes=True) for one in evaluated}
    except Interrupted as error:
        return error
    except Pruned as error:
        return trial.model_copy(update={"state": "pruned", "losses": losses, "error": str(error)})
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise  # there is nobody to tell
    except Exception as error:  # whatever it is, the other trials go on
        logging.getLogger("x2static.pipeline").exception("the trial failed")
        return trial.model_copy(update={"losses": losses, "error": message(error)})
    ended = {"state": "complete", "scores": scores, "losses": vectors.run["losses"], "seconds": figures["seconds"]}
    others = {key: figures[key] for key in FIGURES if key not in ("loss", "seconds")}
    others["threads"] = vectors.run["threads"]  # on which the last bits of the vectors depend
    return trial.model_copy(update={**ended, "figures": others})
