"""A finished run that another one continues: its vectors and moments, carried over by word."""

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from pydantic import ValidationError
from safetensors import safe_open

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import differing_settings, hash_file, read_json, write_atomically
from x2static.schemas.cache import Cache
from x2static.schemas.vectors import RUN, VOCABULARY, read_vocabulary
from x2static.stage2_train.checkpoint import CHECKPOINTS, STATE, TENSORS, TRANSFORM, TrainingState, checkpoints
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.objectives.objective import load_objective
from x2static.stage2_train.sampling import Position
from x2static.stage2_train.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 16_384  # words that are read at a time: 50 MB of 768 dimensions, and not a second matrix


@dataclass(frozen=True)
class Predecessor:
    """A finished run, as it is on disk."""

    folder: Path  # of the run
    run: dict[str, Any]  # what its run.json says
    words: pa.Array  # (n_words,) its vocabulary, in the order of its rows
    newest: Path  # its last checkpoint, that of the end of its last epoch
    state: TrainingState  # where it ended
    xxh3: str  # hash of the tensors of this checkpoint

    @classmethod
    def open(cls, folder: Path) -> "Predecessor":
        """Read all of a finished run but its tensors.

        Raises X2StaticError: it has not finished, has no checkpoint of its end any more, is a closed form, or is
        damaged.
        """
        if not (folder / RUN).is_file():
            hint = "it has not finished; run its command again to its end" if folder.is_dir() else "no such folder"
            raise X2StaticError(f"--continue {folder}: no finished run here ({hint})")
        run = read_json(folder / RUN)
        try:
            epochs, objective = run["epochs"], run["configuration"]["objective"]
            run["cache"]["encoding"]
        except (KeyError, TypeError) as error:
            raise X2StaticError(f"--continue {folder}: {RUN} is not what a run writes ({error!r} in it)") from error
        if not load_objective(objective).takes_steps:
            raise X2StaticError(
                f"--continue {folder}: {objective} takes no steps, so it has no moments to go on with; --init "
                "closed-form begins with the closed form of this cache"
            )
        newest, state, xxh3 = _end(folder, epochs)
        return cls(folder, run, _words(folder), newest, state, xxh3)

    @cached_property
    def tensors(self) -> Path:
        """The file of vectors and moments, whose bytes are those that were written.

        Raises X2StaticError: they are not, or the file is gone.
        """
        file = self.newest / TENSORS
        if not file.is_file() or hash_file(file) != self.xxh3:
            raise X2StaticError(_damaged(self.folder, f"{file} is not what was written"))
        return file

    @cached_property
    def content(self) -> str:
        """Hash of all that goes over into another run: vectors, moments and step count, words, transform."""
        files = [self.folder / name for name in (VOCABULARY, TRANSFORM)]
        parts = [self.xxh3, str(self.state.steps), *(hash_file(file) if file.is_file() else "" for file in files)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def check(self, out: Path, cache: Cache, transform: str, dim: int | None) -> None:
        """Refuse a run that cannot go on from this one.

        Args:
            out: its folder.
            cache: what it reads.
            transform: kind of its transform.
            dim: dimensions that the transform keeps; None for all.

        Raises:
            X2StaticError: its contexts are others: another encoding, dimension or transform.
        """
        where = f"--continue {self.folder}"
        if out.resolve() == self.folder.resolve():
            raise X2StaticError(
                f"{where}: this is --out itself; give another --out (for more epochs on the same cache: --epochs alone)"
            )
        theirs = self.run["configuration"]
        if self.run["cache"]["encoding"] != cache.manifest.fingerprint:
            raise X2StaticError(
                f"{where}: trained on {theirs.get('cache')} (teacher {self.run['cache'].get('teacher')}), which was "
                f"encoded otherwise than {cache.path} (teacher {cache.manifest.teacher}); `x2static cache info` shows "
                "both. Vectors can go on only with contexts of the same kind: leave out --continue"
            )
        space = {"transform": transform, "dim": dim}
        if differing := differing_settings({name: theirs.get(name) for name in space}, space):
            raise X2StaticError(
                f"{where}: its vectors are of another space ({'; '.join(differing.values())}); ask for the same, or "
                "leave out --continue"
            )
        if (transform, dim) != ("none", None) and not (self.folder / TRANSFORM).is_file():
            raise X2StaticError(f"{where}: {TRANSFORM} is missing, without which its space is not known")

    def hand_down(self, folder: Path) -> None:
        """Give the new run's folder the transform, where there is one: vectors stay in the space they were learned in.

        Raises OSError: it cannot be copied.
        """
        if (self.folder / TRANSFORM).is_file():
            write_atomically(folder / TRANSFORM, (self.folder / TRANSFORM).read_bytes())

    def rows_in(self, vocabulary: Vocabulary) -> npt.NDArray[np.int32]:
        """Return the row of each of its words in another vocabulary, or -1; (n_words,) int32.

        Raises X2StaticError: none is in it.
        """
        rows = vocabulary.id_map(pa.table({"word": self.words}))
        if not (rows >= 0).any():
            raise X2StaticError(
                f"--continue {self.folder}: none of its {len(rows):,} words is in the vocabulary of this cache; leave "
                "out --continue"
            )
        return rows

    def carry_over(self, learner: Learner, vocabulary: Vocabulary) -> None:
        """Replace rows and moments of the words that both know, and the step count; other words stay as they are.

        Args:
            learner: at its beginning.
            vocabulary: its words.

        Raises:
            X2StaticError: no word is in both vocabularies, or the checkpoint is damaged or of another shape.
        """
        rows = torch.from_numpy(self.rows_in(vocabulary).astype(np.int64))
        shape = [len(rows), learner.vectors.shape[1]]
        with safe_open(self.tensors, framework="pt") as tensors:
            for name, target in learner.tensors().items():
                source = tensors.get_slice(name)
                if source.get_shape() != shape:
                    raise X2StaticError(
                        _damaged(self.folder, f"{name} is of shape {source.get_shape()} instead of {shape}")
                    )
                for start in range(0, len(rows), ROWS_AT_ONCE):
                    part = rows[start : start + ROWS_AT_ONCE]
                    values = source[start : start + len(part)][part >= 0]
                    target[part[part >= 0].to(target.device)] = values.to(target)
        learner.steps = self.state.steps

    def record(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """Return what run.json says of it; `vocabulary` is that of the run that continues it.

        Raises X2StaticError: no word is in both vocabularies.
        """
        carried = int(np.count_nonzero(self.rows_in(vocabulary) >= 0))
        new, dropped = len(vocabulary) - carried, len(self.words) - carried
        logger.info("%s: %s words carried over, %s new, %s dropped", self.folder, carried, new, dropped)
        return {
            "run": str(self.folder),
            "content": self.content,
            "steps": self.state.steps,
            "words_carried_over": carried,
            "words_new": new,
            "words_dropped": dropped,
        }


def _end(folder: Path, epochs: int) -> tuple[Path, TrainingState, str]:
    """Return the checkpoint of a run's end: its folder, its state, the hash of its tensors.

    Raises X2StaticError: there is none.
    """
    there = checkpoints(folder)
    if not there:
        raise X2StaticError(
            f"--continue {folder}: the run has no checkpoint any more ({folder / CHECKPOINTS} is empty), so its "
            "moments are gone; train it again, or leave out --continue"
        )
    newest = there[-1]
    try:
        marker = read_json(newest / STATE)
        state, xxh3 = TrainingState.model_validate(marker["state"]), str(marker["xxh3"])
    except (X2StaticError, OSError, ValidationError, KeyError, TypeError) as error:
        raise X2StaticError(_damaged(folder, f"{newest / STATE}: {error}")) from error
    if state.position != Position(epochs):
        raise X2StaticError(
            f"--continue {folder}: its newest checkpoint is in epoch {state.position.epoch + 1}, but it finished with "
            f"{epochs}; run its command again to its end"
        )
    return newest, state, xxh3


def _words(folder: Path) -> pa.Array:
    try:
        return read_vocabulary(folder)["word"].combine_chunks()
    except X2StaticError as error:
        raise X2StaticError(_damaged(folder, str(error))) from error


def _damaged(folder: Path, why: str) -> str:
    return f"--continue {folder}: the run is damaged ({why}); train it again, or leave out --continue"
