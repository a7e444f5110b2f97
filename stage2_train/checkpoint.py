"""Checkpoints: all that a run needs to go on as if it had never stopped. Whole or absent; safetensors and JSON."""

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
from x2static.durable.storage import TEMPORARY, canonical_json, commit_folder, hash_file, read_json, remove_leftovers
from x2static.durable.tensors import write_arrays
from x2static.stage2_train.adam import RowAdam
from x2static.stage2_train.draws import Position
from x2static.stage2_train.learner import Learner

logger = logging.getLogger(__name__)

TENSORS, STATE = "state.safetensors", "state.json"
KEPT = 2  # the one before the newest stands in for it, should it turn out damaged


class TrainingState(BaseModel):
    """Where a run is, apart from its vectors and moments. With the position, every random draw can be recomputed.

    Attributes:
        position: the next batch.
        steps: steps of the optimiser, those of the run that is continued included.
        steps_before: steps of that run.
        batches: batches seen, those without a target included.
        words: words of the vocabulary seen, those subsampled away included.
        targets: targets learned from.
        epoch_loss: loss of this epoch so far, summed over its targets in float64.
        epoch_targets: targets of this epoch so far.
        losses: mean loss of each finished epoch.
        seconds: time spent in training, that before interruptions included.
        seconds_waited: of these, the time in which no data was there.
    """

    model_config = ConfigDict(extra="forbid")

    position: Position = Position(0)
    steps: int = 0
    steps_before: int = 0
    batches: int = 0
    words: int = 0
    targets: int = 0
    epoch_loss: float = 0.0
    epoch_targets: int = 0
    losses: list[float] = []
    seconds: float = 0.0
    seconds_waited: float = 0.0


def save(folder: Path, state: TrainingState, learner: Learner, settings: dict[str, Any]) -> Path:
    """Write a checkpoint, then remove all but the last two.

    Args:
        folder: the run's folder of checkpoints.
        state: where the run is.
        learner: vectors and moments.
        settings: what identifies the run, cache content and encoding included.

    Returns:
        The checkpoint's folder, named by the number of batches seen: batches without a target make no step.

    Raises:
        OSError: it cannot be written; the checkpoints of before stay.
    """
    folder.mkdir(exist_ok=True)
    name = f"{state.batches:010d}"
    temporary = folder / f"{TEMPORARY}{name}"
    temporary.mkdir()
    try:
        adam = learner.adam
        tensors = {"vectors": learner.vectors, "first_moment": adam.first, "second_moment": adam.second}
        write_tensors(temporary / TENSORS, tensors)
        marker = {"state": state.model_dump(), "settings": settings, "xxh3": hash_file(temporary / TENSORS)}
        (temporary / STATE).write_bytes(canonical_json(marker))
        commit_folder(temporary, folder / name)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for old in checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old)
    return folder / name


def load(folder: Path, settings: dict[str, Any], like: Learner) -> TrainingState | None:
    """Read the newest whole checkpoint into a learner; damaged ones are removed, and it is said.

    Args:
        folder: the run's folder of checkpoints.
        settings: what identifies the run.
        like: a learner of the right shape, dtype and device; its values are replaced.

    Returns:
        The state; None where there is no checkpoint, and the learner is as it was.
    """
    remove_leftovers(folder)
    for path in reversed(checkpoints(folder)):
        try:
            state, tensors = _read(path, settings, like.vectors.shape)
        except (X2StaticError, ValidationError, SafetensorError, FileNotFoundError, KeyError, TypeError) as error:
            logger.warning("%s: the checkpoint is damaged (%s); falling back to the one before", path, error)
            shutil.rmtree(path)
            continue
        like.vectors.copy_(tensors["vectors"])
        like.adam = RowAdam(
            like.adam.lr,
            like.adam.first.copy_(tensors["first_moment"]),
            like.adam.second.copy_(tensors["second_moment"]),
            state.steps,
        )
        return state
    return None


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    return sorted((path for path in folder.glob("*") if path.name.isdigit()), key=lambda path: int(path.name))


def _read(path: Path, settings: dict[str, Any], shape: torch.Size) -> tuple[TrainingState, dict[str, Tensor]]:
    """Read one checkpoint.

    Raises:
        X2StaticError: it does not hold what it says, or belongs to another run.
    """
    marker = read_json(path / STATE)
    state = TrainingState.model_validate(marker["state"])
    if marker["settings"] != settings:
        raise X2StaticError(f"{path / STATE}: written by a run with other settings")
    if hash_file(path / TENSORS) != marker["xxh3"]:
        raise X2StaticError(f"{path / TENSORS}: its bytes are not those that were written")
    tensors = load_file(path / TENSORS)
    if any(tensors[name].shape != shape for name in ("vectors", "first_moment", "second_moment")):
        raise X2StaticError(f"{path / TENSORS}: its tensors are not of shape {tuple(shape)}")
    return state, tensors


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write float32 tensors, wherever they live, to a file.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("wb") as file:
        write_arrays(file, {name: tensor.cpu().numpy() for name, tensor in tensors.items()})
