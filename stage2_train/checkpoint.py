"""The folder of a run: which run owns it, the checkpoints it goes on from, and what a finished one holds.

A checkpoint is all that a run needs to go on as if it had never stopped. Whole or absent; safetensors and JSON.
"""

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import (
    TEMPORARY,
    canonical_json,
    commit_folder,
    differing_settings,
    hash_file,
    read_json,
    recorded_settings,
    remove_leftovers,
    write_atomically,
)
from x2static.durable.tensors import write_arrays
from x2static.schemas.vectors import MATRIX, RUN, VOCABULARY
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.sampling import Position

logger = logging.getLogger(__name__)

SETTINGS, CHECKPOINTS, TRANSFORM = "settings.json", "checkpoints", "transform.safetensors"
TENSORS, STATE = "state.safetensors", "state.json"
CHECKPOINTS_KEPT = 2  # the one before the newest stands in for it, should it turn out damaged
FIGURES = ("vocabulary", "dim", "epochs", "steps", "targets", "loss", "seconds", "words_per_second", "data_wait")
ADVICE = {
    "epochs": "a --schedule that falls to 0 at the end cannot go on behind it: for more epochs give another --out, or "
    "begin from this run when it has finished (--continue, with another --out)",
    "shards": "a run that began with --partial goes on with it and with the shards it began with; for the whole cache "
    "give another --out",
}


class TrainingState(BaseModel):
    """Where a run is, apart from its vectors and moments. With the position, every random draw can be recomputed."""

    model_config = ConfigDict(extra="forbid")

    position: Position = Position(0)  # the next batch
    steps: int = 0  # steps of the optimiser, those of the run that is continued included
    steps_before: int = 0  # steps of that run
    batches: int = 0  # batches seen, those without a target included
    words: int = 0  # words of the vocabulary seen, those subsampled away included
    targets: int = 0  # targets learned from
    epoch_loss: float = 0.0  # loss of this epoch so far, summed over its targets in float64
    epoch_targets: int = 0  # targets of this epoch so far
    losses: list[float] = []  # mean loss of each finished epoch
    seconds: float = 0.0  # time spent in training, that before interruptions included
    seconds_waited: float = 0.0  # of these, the time in which no data was there


def shards_begun_with(folder: Path) -> str | None:
    """Return the list of shards that the run of a folder began with, if it is a partial one.

    Raises X2StaticError: its settings are damaged.
    """
    file = folder / SETTINGS
    theirs = read_json(file) if file.is_file() else None
    listed = theirs.get("shards") if isinstance(theirs, dict) else None
    return listed if isinstance(listed, str) else None


class RunFolder:
    """The folder that one run owns."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        """Look whether the folder is free for this run, or already its own; nothing is written.

        Args:
            path: the folder.
            settings: what identifies the run: all that can change its vectors.

        Raises:
            X2StaticError: it holds something else, or a run with other settings.
        """
        self.path = path
        self.settings = settings
        self._check()

    def _check(self) -> None:
        theirs = recorded_settings(self.path, SETTINGS, "run of `x2static train`")
        if theirs is None:
            return
        differing = differing_settings(theirs, self.settings)
        if "epochs" in differing and not {"epochs"} <= theirs.keys() & self.settings.keys():
            del differing["epochs"]  # of one of two schedules, which differ
        if differing:
            advice = [ADVICE[name] for name in differing if name in ADVICE]
            advice = advice or ["give the same settings to go on with it, or another --out for a new run"]
            raise X2StaticError(
                f"{self.path}: holds a run with other settings ({'; '.join(differing.values())}); {'; '.join(advice)}"
            )

    def claim(self) -> None:
        """Make the folder this run's; the caller holds its lock.

        Raises X2StaticError: another run has claimed it meanwhile.
        """
        self._check()
        remove_leftovers(self.path)
        if not (self.path / SETTINGS).is_file():
            write_atomically(self.path / SETTINGS, canonical_json(self.settings))

    def figures(self) -> dict[str, Any] | None:
        """Return the figures in run.json, if the run has finished and all is there; otherwise None.

        Raises X2StaticError: run.json is not what a run writes.
        """
        if not all((self.path / name).is_file() for name in (RUN, MATRIX, VOCABULARY)):
            return None
        run = read_json(self.path / RUN)
        if not isinstance(run, dict) or not set(FIGURES) <= run.keys():
            raise X2StaticError(f"{self.path / RUN}: not what a run writes; remove this file and train again")
        return {name: run[name] for name in FIGURES}

    def save(self, state: TrainingState, learner: Learner) -> Path:
        """Write a checkpoint, then remove all but the last two.

        Returns:
            The checkpoint's folder, named by the number of batches seen: batches without a target make no step.

        Raises:
            OSError: it cannot be written; the checkpoints of before stay.
        """
        folder, name = self.path / CHECKPOINTS, f"{state.batches:010d}"
        temporary = folder / f"{TEMPORARY}{name}"
        folder.mkdir(exist_ok=True)
        temporary.mkdir()
        try:
            write_tensors(temporary / TENSORS, learner.tensors())
            marker = {"state": state.model_dump(), "settings": self.settings, "xxh3": hash_file(temporary / TENSORS)}
            (temporary / STATE).write_bytes(canonical_json(marker))
            commit_folder(temporary, folder / name)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        for old in checkpoints(self.path)[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(old)
        return folder / name

    def load(self, learner: Learner) -> TrainingState | None:
        """Read the newest whole checkpoint into a learner; damaged ones are removed, and it is said.

        Args:
            learner: of the right shape, dtype and device; its values are replaced.

        Returns:
            The state; None where there is no checkpoint, and the learner is as it was.
        """
        remove_leftovers(self.path / CHECKPOINTS)
        for path in reversed(checkpoints(self.path)):
            try:
                state, tensors = self._read(path, learner.vectors.shape)
            except (X2StaticError, ValidationError, SafetensorError, FileNotFoundError, KeyError, TypeError) as error:
                logger.warning("%s: the checkpoint is damaged (%s); falling back to the one before", path, error)
                shutil.rmtree(path)
                continue
            for name, tensor in learner.tensors().items():
                tensor.copy_(tensors[name])
            learner.steps = state.steps
            return state
        return None

    def _read(self, path: Path, shape: torch.Size) -> tuple[TrainingState, dict[str, Tensor]]:
        marker = read_json(path / STATE)
        state = TrainingState.model_validate(marker["state"])
        if marker["settings"] != self.settings:
            raise X2StaticError(f"{path / STATE}: written by a run with other settings")
        if hash_file(path / TENSORS) != marker["xxh3"]:
            raise X2StaticError(f"{path / TENSORS}: its bytes are not those that were written")
        tensors = load_file(path / TENSORS)
        if any(tensors[name].shape != shape for name in ("vectors", "first_moment", "second_moment")):
            raise X2StaticError(f"{path / TENSORS}: its tensors are not of shape {tuple(shape)}")
        return state, tensors


def checkpoints(run: Path) -> list[Path]:
    """Return the checkpoints in a run's folder, oldest first."""
    paths = (path for path in (run / CHECKPOINTS).glob("*") if path.name.isdigit())
    return sorted(paths, key=lambda path: int(path.name))


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write float32 tensors, wherever they live, to a file."""
    with path.open("wb") as file:
        write_arrays(file, {name: tensor.cpu().numpy() for name, tensor in tensors.items()})
