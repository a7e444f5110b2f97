"""The folder of a run: who owns it, its checkpoints, and what another run that continues it takes over from it.

A checkpoint is all that a run needs to go on as if it had never stopped. Whole or absent; safetensors and JSON.
"""

import hashlib
import logging
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict
from safetensors import safe_open
from torch import Tensor

from x2static.durable import storage
from x2static.durable.arrays import write_arrays
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.schemas.mirror import RunView
from x2static.schemas.vectors import REMEDY, RUN, VOCABULARY, LostFile, check_run, read_vocabulary
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.objectives.objective import load_objective
from x2static.stage2_train.sampling import Position
from x2static.stage2_train.vocabulary import Part, Vocabulary

logger = logging.getLogger(__name__)

SETTINGS, CHECKPOINTS, TRANSFORM = "settings.json", "checkpoints", "transform.safetensors"
PARTS = "parts"  # the folder of those of a run that is under way, a run's folder each
TENSORS, STATE = "state.safetensors", "state.json"
RUN_OF_TRAIN = "run of `x2static train`"
CHECKPOINTS_KEPT = 2  # the one before the newest stands in for it, should it turn out damaged
ROWS_AT_ONCE = 16_384  # words that are read at a time: 50 MB of 768 dimensions, and not a second matrix
FIGURES = ("vocabulary", "dim", "epochs", "steps", "targets", "loss", "seconds", "words_per_second", "data_wait")
ADVICE = {
    "": "give the same settings to go on with it, or another --out for a new run",
    "epochs": "a --schedule cannot go on behind its end: give another --out, or begin there from this run (--continue)",
    "shards": "a run that began with --partial goes on with it and its shards; for the whole cache give another --out",
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


class Checkpoint(BaseModel):
    """What state.json of a checkpoint says; vectors and moments lie beside it."""

    model_config = ConfigDict(extra="forbid")

    state: TrainingState
    settings: dict[str, Any]  # of the run
    tensors: str  # xxh3 of their file
    transform: str | None = None  # xxh3 of the run's transform, "" without one; None: 0.1.0 did not keep it


def checkpoints(run: Path) -> list[Path]:
    """Return the checkpoints in a run's folder, oldest first."""
    return sorted(path for path in (run / CHECKPOINTS).glob("*") if path.name.isdigit())


def parts_begun(run: Path) -> list[Part]:
    """Return the parts of a run that have begun and are not joined yet, in order."""
    names = [settings.parent.name.split("-of-") for settings in (run / PARTS).glob(f"*-of-*/{SETTINGS}")]
    return sorted((Part(int(number) - 1, int(of)) for number, of in names), key=lambda part: part.number)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Return what a checkpoint says. Raises X2StaticError or FileNotFoundError: it is damaged."""
    file = folder / STATE
    values = storage.read_json(file)
    if isinstance(values, dict) and "tensors" not in values:  # of 0.1.0, where the hash of the tensors had this name
        values["tensors"] = values.pop(storage.SEAL, None)
    else:
        values = storage.read_sealed(file)
    return storage.checked_model(file, values, Checkpoint)


def whole_tensors(folder: Path, checkpoint: Checkpoint) -> Path:
    """Return the file of a checkpoint's vectors and moments. Raises X2StaticError: it is not what was written."""
    file = folder / TENSORS
    if not file.is_file() or storage.hash_file(file) != checkpoint.tensors:
        raise X2StaticError(f"{file} is not what was written")
    return file


def copy_rows(file: Path, into: dict[str, Tensor], rows: Tensor) -> None:
    """Copy row i of the tensors in a file to row rows[i] of those of the same names, or nowhere where that is -1."""
    with safe_open(file, framework="pt") as tensors:
        sources = {name: tensors.get_slice(name) for name in into}
        for name, source in sources.items():
            shape = [len(rows), into[name].shape[1]]
            if source.get_shape() != shape:
                raise X2StaticError(f"{file}: {name} is of shape {source.get_shape()} instead of {shape}")
        for name, target in into.items():
            for start in range(0, len(rows), ROWS_AT_ONCE):
                part = rows[start : start + ROWS_AT_ONCE]
                values = sources[name][start : start + len(part)][part >= 0]
                target[part[part >= 0].to(target.device)] = values.to(target)


def copy_map(file: Path, learner: Learner) -> None:
    """Copy the map of the contexts in a file, with its moments, to a learner that has one."""
    if learner.map is not None:
        copy_rows(file, learner.map.tensors(), torch.arange(len(learner.map.matrix)))


class RunFolder:
    """The folder that one run owns."""

    def __init__(
        self, path: Path, settings: dict[str, Any], predecessor: "Predecessor | None", space_of: Path | None = None
    ) -> None:
        """Take a folder that is free or this run's: one with the same settings, all that can change its vectors.

        `space_of`: the folder of the run whose space this one's vectors are of, if it is not to be fitted.
        """
        self.path, self.settings, self.predecessor = path, settings, predecessor
        self.space_of = space_of if predecessor is None else predecessor.folder
        self._refuse_others()

    def _refuse_others(self) -> None:
        theirs = storage.recorded_settings(self.path, SETTINGS, RUN_OF_TRAIN)
        if theirs is None:
            return
        differing = storage.differing_settings(theirs, self.settings)
        if None in (theirs.get("epochs"), self.settings.get("epochs")):
            differing.pop("epochs", None)  # of one of two schedules, which differ
        if differing.keys() == {"cache_content"}:
            raise X2StaticError(f"{self.path}: {self._other_text()}")
        if differing:
            hint = "; ".join(ADVICE[name] for name in differing if name in ADVICE) or ADVICE[""]
            what = "; ".join(differing.values())
            raise X2StaticError(f"{self.path}: holds a run with other settings ({what}); {hint}")

    def _other_text(self) -> str:
        """Return what to do about a run that was made of the cache before it grew, or lost something."""
        why = "the text of the cache is not what this run was made of (has it grown?)"
        if not load_objective(self.settings["objective"]).takes_steps:
            return f"{why}; {self.settings['objective']} takes seconds: give another --out NEW to make it anew"
        if not (self.path / RUN).is_file():
            return f"{why}, and the run has not finished, so it cannot go on; give another --out NEW to begin anew"
        goes_on = shlex.join(["--continue", str(self.path), "--out", "NEW"])
        return f"{why}; go on from its vectors by the same command with `{goes_on}`"

    def claim(self) -> None:
        """Make the folder this run's; the caller holds its lock. Raises X2StaticError: another run has claimed it."""
        self._refuse_others()
        storage.remove_leftovers(self.path)
        if not (self.path / SETTINGS).is_file():
            storage.write_atomically(self.path / SETTINGS, storage.sealed_json(self.settings))
        transform = None if self.space_of is None else self.space_of / TRANSFORM
        if transform is not None and transform.is_file():  # vectors stay in their space
            storage.write_atomically(self.path / TRANSFORM, transform.read_bytes())

    def figures(self) -> dict[str, Any] | None:
        """Return the figures of a finished run; None of another one, or, with a warning, of one that has lost a file.

        Raises X2StaticError: a file is there and is damaged; it is not written over unasked.
        """
        if not (self.path / RUN).is_file():
            return None
        try:
            run = check_run(self.path)
        except LostFile as error:
            whence = "its last checkpoint" if checkpoints(self.path) else "the cache"
            logger.warning("%s; the run is made again from %s", str(error).partition(";")[0], whence)
            return None
        if not set(FIGURES) <= run.keys():
            raise X2StaticError(f"{self.path / RUN}: not what a run writes; {REMEDY}")
        return {name: run[name] for name in FIGURES}

    @property
    def transform(self) -> str:
        """The xxh3 of the transform's file; "" where there is none."""
        file = self.path / TRANSFORM
        return storage.hash_file(file) if file.is_file() else ""

    def has_transform(self) -> bool:
        """Return whether there is a transform, and it is the one that a checkpoint was trained with, or carried over.

        What was fitted before the first checkpoint is fitted again: nothing says whether its file is whole.
        """
        ours = self.transform
        return ours != "" and (self.space_of is not None or any(ours == known for known in self._transforms()))

    def _transforms(self) -> Iterator[str]:
        """Yield the transform of each checkpoint that can be read; that of 0.1.0 is taken to be the one there is."""
        for folder in checkpoints(self.path):
            with suppress(X2StaticError, FileNotFoundError):
                known = read_checkpoint(folder).transform
                yield self.transform if known is None else known

    def save(self, state: TrainingState, learner: Learner) -> Path:
        """Write a checkpoint, then remove all but the last two; return its folder, named by the number of batches."""
        folder = self.path / CHECKPOINTS
        final = folder / f"{state.batches:010d}"
        folder.mkdir(exist_ok=True)
        with storage.temporary_folder(folder / f"{storage.TEMPORARY}{final.name}") as temporary:
            with (temporary / TENSORS).open("wb") as file:
                tensors = learner.tensors() | (learner.map.tensors() if learner.map else {})
                write_arrays(file, {name: tensor.cpu().numpy() for name, tensor in tensors.items()})
            hashes = {"tensors": storage.hash_file(temporary / TENSORS), "transform": self.transform}
            checkpoint = Checkpoint(state=state, settings=self.settings, **hashes)
            (temporary / STATE).write_bytes(storage.sealed_json(checkpoint.model_dump()))
            storage.commit_folder(temporary, final)
        for old in checkpoints(self.path)[:-CHECKPOINTS_KEPT]:
            storage.remove(old)
        if view := RunView.of(self.path):
            view.push()
        return final

    def newest_tensors(self) -> str | None:
        """Return the xxh3 of the vectors and moments in the newest checkpoint; None where there is no checkpoint."""
        paths = checkpoints(self.path)
        return read_checkpoint(paths[-1]).tensors if paths else None

    def load(self, learner: Learner) -> TrainingState | None:
        """Read the newest whole checkpoint into a learner, and return its state; remove damaged ones with a warning."""
        storage.remove_leftovers(self.path / CHECKPOINTS)
        transform = self.transform
        for path in reversed(checkpoints(self.path)):
            try:
                checkpoint = read_checkpoint(path)
                if checkpoint.settings != self.settings:
                    raise X2StaticError(f"{path / STATE}: written by a run with other settings")
                if checkpoint.transform not in (None, transform):
                    raise X2StaticError(f"{path / STATE}: its vectors are of the space of another {TRANSFORM}")
                copy_rows(whole_tensors(path, checkpoint), learner.tensors(), torch.arange(len(learner.vectors)))
                copy_map(whole_tensors(path, checkpoint), learner)
            except (X2StaticError, FileNotFoundError) as error:
                logger.warning("%s: the checkpoint is damaged (%s); falling back to the one before", path, error)
                storage.remove(path)
                continue
            learner.steps = checkpoint.state.steps
            return checkpoint.state
        return None


@dataclass(frozen=True)
class Predecessor:
    """A finished run, as it is on disk."""

    folder: Path  # of the run
    run: dict[str, Any]  # what its run.json says
    words: pa.Array  # (n_words,) its vocabulary, in the order of its rows
    newest: Path  # folder of its last checkpoint, that of the end of its last epoch
    checkpoint: Checkpoint  # what that says

    @classmethod
    def open(cls, folder: Path) -> "Predecessor":
        """Read all of a finished run but its tensors.

        Raises X2StaticError: it has not finished, takes no steps, has lost the checkpoint of its end, or is damaged.
        """
        if not (folder / RUN).is_file():
            unfinished = f"it has no {RUN}, so it has not finished; run its command again to its end"
            hint = unfinished if folder.is_dir() else "no such folder"
            raise _error(folder, f"no finished run here ({hint})")
        try:
            run = check_run(folder, TRANSFORM, SETTINGS)
        except X2StaticError as error:
            raise _error(folder, f"the run is damaged ({error})") from error
        try:
            epochs, objective, _ = run["epochs"], run["configuration"]["objective"], run["cache"]["encoding"]
        except (KeyError, TypeError) as error:
            raise _error(folder, f"{RUN} is not what a run writes ({error!r} in it)") from error
        if not load_objective(objective).takes_steps:
            hint = "--init closed-form begins with the closed form of this cache"
            raise _error(folder, f"{objective} takes no steps, so it has no moments to go on with ({hint})")
        paths = checkpoints(folder)
        if not paths:
            raise _error(folder, f"{folder / CHECKPOINTS} holds no checkpoint any more, so its moments are gone")
        try:
            checkpoint = read_checkpoint(paths[-1])
            words = read_vocabulary(folder)["word"].combine_chunks()
        except (X2StaticError, FileNotFoundError) as error:
            raise _error(folder, f"the run is damaged ({error})") from error
        epoch = checkpoint.state.position.epoch + 1
        if checkpoint.state.position != Position(epochs):
            raise _error(folder, f"its newest checkpoint is in epoch {epoch}, but it finished with {epochs}")
        if run.get("checkpoint") not in (None, checkpoint.tensors):
            raise _error(folder, f"its newest checkpoint is not that of its end ({paths[-1]})")
        return cls(folder, run, words, paths[-1], checkpoint)

    @cached_property
    def tensors(self) -> Path:
        """The file of its vectors and moments. Raises X2StaticError: it is not what was written."""
        try:
            return whole_tensors(self.newest, self.checkpoint)
        except X2StaticError as error:
            raise _error(self.folder, f"the run is damaged ({error})") from error

    @cached_property
    def content(self) -> str:
        """Hash of all that goes over into another run: vectors, moments and step count, words, transform."""
        files = [self.folder / name for name in (VOCABULARY, TRANSFORM)]
        hashes = [storage.hash_file(file) if file.is_file() else "" for file in files]
        parts = [self.checkpoint.tensors, str(self.checkpoint.state.steps), *hashes]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def check(
        self, out: Path, cache: Cache, transform: str, dim: int | None, mapped: bool, multiword: dict[str, str]
    ) -> None:
        """Refuse a run in the folder `out` that is this one, or whose contexts are of another encoding or space.

        `mapped`: whether a map of the contexts is learned. `multiword` says which words are joined, as
        `Multiword.identity`: joined otherwise, they are other words.
        """
        if out.resolve() == self.folder.resolve():
            raise _error(self.folder, "this is --out itself; for more epochs on the same cache raise --epochs alone")
        theirs = self.run["configuration"]
        if self.run["cache"]["encoding"] != cache.manifest.fingerprint:
            what = f"trained on {theirs.get('cache')} (teacher {self.run['cache'].get('teacher')}), which was encoded"
            ours = f"{cache.path} (teacher {cache.manifest.teacher}); `x2static cache info` shows both"
            raise _error(self.folder, f"{what} otherwise than {ours}")
        space = {"transform": transform, "dim": dim}
        before = {name: theirs.get(name) for name in space} | {"context_map": bool(theirs.get("context_map"))}
        if differing := storage.differing_settings(before, space | {"context_map": mapped}):
            raise _error(self.folder, f"its vectors are of another space ({'; '.join(differing.values())})")
        joined = {name: value for name, value in self.checkpoint.settings.items() if name == "multiword"}
        if differing := storage.differing_settings(joined, multiword):
            hint = "give --multiword as it was" if joined else "leave out --multiword"
            raise _error(self.folder, f"other words are one there ({'; '.join(differing.values())}); {hint}")
        if (transform, dim) != ("none", None) and not (self.folder / TRANSFORM).is_file():
            raise _error(self.folder, f"{TRANSFORM} is missing, without which its space is not known")
        if not (out / SETTINGS).is_file():  # damaged vectors are found before the folder is claimed for them
            logger.info("beginning with %s", self.tensors)

    def rows_in(self, vocabulary: Vocabulary) -> npt.NDArray[np.int32]:
        """Return the row of each of its words in another vocabulary, or -1, (n_words,) int32, if any is in it."""
        rows = vocabulary.id_map(pa.table({"word": self.words}))
        if not (rows >= 0).any():
            raise _error(self.folder, f"none of its {len(rows):,} words is in the vocabulary of this cache")
        return rows

    def carry_over(self, learner: Learner, vocabulary: Vocabulary) -> None:
        """Replace rows and moments of the words that both know, and the step count; other words stay as they are."""
        file, rows = self.tensors, torch.from_numpy(self.rows_in(vocabulary).astype(np.int64))
        try:
            # Words are drawn to what this run begins at, not to what that one did.
            copy_rows(file, {name: into for name, into in learner.tensors().items() if name != "prior"}, rows)
            copy_map(file, learner)
        except X2StaticError as error:
            raise _error(self.folder, f"the run is damaged ({error})") from error
        learner.steps = self.checkpoint.state.steps

    def record(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """Return what is recorded of it in the run.json of a run with this vocabulary, which continues it."""
        carried = int(np.count_nonzero(self.rows_in(vocabulary) >= 0))
        new, dropped = len(vocabulary) - carried, len(self.words) - carried
        logger.info("%s: %s words carried over, %s new, %s dropped", self.folder, carried, new, dropped)
        words = {"words_carried_over": carried, "words_new": new, "words_dropped": dropped}
        return {"run": str(self.folder), "content": self.content, "steps": self.checkpoint.state.steps, **words}


def _error(folder: Path, why: str) -> X2StaticError:
    return X2StaticError(f"--continue {folder}: {why}; give --continue another run, or leave it out")
