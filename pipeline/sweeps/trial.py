"""One trial of a sweep: trained from the cache, scored, and recorded beside its run."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import LOCK, canonical_json, read_json, write_atomically
from x2static.evaluation.measures import mean_of_known
from x2static.evaluation.word_similarity import evaluate_word_similarity
from x2static.pipeline.sweeps.settings import Settings
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors

TRIALS = "trials"  # the folder in that of the sweep
SECONDS_TO_LET_GO = 60.0  # that a process whose sweep was killed has to save its state; it stops after one batch


class Pruned(X2StaticError):  # noqa: N818
    """The sweep stopped a trial that had learned too little."""


class TaskScore(BaseModel):
    """The result on one data set: Spearman's rho or None, pairs covered and pairs there are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: float | None
    covered: int
    total: int


class Result(BaseModel):
    """What came of a trial."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    settings: Settings
    # "complete" has scores; "pruned" was stopped by its loss; "failed" ended with an error
    state: Literal["complete", "pruned", "failed"]
    scores: dict[str, TaskScore] = {}
    losses: list[float] = []  # mean loss of each finished epoch; none for the closed form
    seconds: float | None = None
    figures: dict[str, Any] = {}  # what else the training came to: vocabulary, dim, steps, words_per_second and so on
    error: str | None = None

    def score(self, select: tuple[str, ...]) -> float | None:
        """Return the mean score over some data sets, those without a score left out; None where none has one."""
        return mean_of_known(task.score for name, task in self.scores.items() if name in select or not select)

    @property
    def loss(self) -> float | None:
        """Mean loss of the last epoch."""
        return self.losses[-1] if self.losses else None


def save(out: Path, result: Result) -> None:
    """Keep a result beside its run's folder, which is the run's own, whole or not at all."""
    (out / TRIALS).mkdir(exist_ok=True)
    write_atomically(out / TRIALS / f"{result.name}.json", canonical_json(result.model_dump(mode="json")))


def load(out: Path, name: str) -> Result | None:
    """Return the result of a trial, None where it has not ended. Raises X2StaticError: the record is damaged."""
    file = out / TRIALS / f"{name}.json"
    if not file.is_file():
        return None
    try:
        return Result.model_validate(read_json(file))
    except ValidationError as error:
        raise X2StaticError(
            f"{file}: not the record of a trial; remove it, and the trial is taken up again from its run"
        ) from error


def load_all(out: Path) -> list[Result]:
    """Return what came of every trial that has ended. Raises X2StaticError: a record is damaged."""
    results = [load(out, file.stem) for file in sorted((out / TRIALS).glob("*.json"))]
    return [result for result in results if result is not None]


def run_trial(
    name: str, settings: Settings, config: TrainConfig, data: Path | None, after_epoch: Callable[[list[float]], None]
) -> Result:
    """Train and score one trial, or go on with it where an earlier call stopped.

    Args:
        name: of the trial.
        settings: what was swept.
        config: all settings; its folder is the run's.
        data: the data sets, as `find_word_pairs` takes them.
        after_epoch: hears the losses so far; raises Pruned to stop the trial.

    Raises:
        Interrupted: by a signal, with the state saved.
        X2StaticError: the trial failed, or was pruned.
        OSError: the run cannot be written.
    """
    from x2static.stage2_train.checkpoint import FIGURES
    from x2static.stage2_train.trainer import train

    if config.out.is_dir():
        # A process that a killed sweep left behind may be about to save its state; past that, training says it.
        with suppress(Timeout), FileLock(config.out / LOCK, timeout=SECONDS_TO_LET_GO):
            pass
    figures = train(config, after_epoch=after_epoch)
    vectors = WordVectors.load(config.out)
    scores = {
        score.task: TaskScore(score=score.score, covered=score.covered, total=score.total)
        for score in evaluate_word_similarity(vectors, data)
    }
    return Result(
        name=name,
        settings=settings,
        state="complete",
        scores=scores,
        losses=vectors.run["losses"],
        seconds=figures["seconds"],
        figures={key: figures[key] for key in FIGURES if key not in ("loss", "seconds")},
    )
