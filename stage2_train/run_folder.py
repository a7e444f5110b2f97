"""The folder of a run: what may be in it, which run it belongs to, and what a finished one holds."""

from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import (
    canonical_json,
    differing_settings,
    foreign_files,
    read_json,
    remove_leftovers,
    write_atomically,
)
from x2static.schemas.cache import Cache, content_of
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import MATRIX, RUN, VOCABULARY, WordVectors
from x2static.stage2_train.outcome import FIGURES
from x2static.stage2_train.schedule import depends_on_end
from x2static.stage2_train.shard_choice import ShardChoice
from x2static.stage2_train.vocabulary import WordList

SETTINGS, CHECKPOINTS = "settings.json", "checkpoints"
# What cannot change the vectors, or is known by its content (vocab, cache, continue, partial) or what it sets (compat).
# `epochs` may grow, unless the schedule depends on the end. A device, like a number of threads, changes the order of
# additions, and an accelerator draws other numbers; it is recorded but not refused: a run may move to another machine.
NO_SETTINGS = {
    "cache",
    "out",
    "vocab",
    "epochs",
    "device",
    "compat",
    "continue_run",
    "partial",
    "checkpoint_minutes",
}
ADVICE = {
    "epochs": "a --schedule that falls to 0 at the end cannot go on behind it: for more epochs give another --out, or "
    "begin from this run when it has finished (--continue, with another --out)",
    "shards": "a run that began with --partial goes on with it and with the shards it began with; for the whole cache "
    "give another --out",
}


def settings_of(config: TrainConfig, cache: Cache, choice: ShardChoice, allowed: WordList | None) -> dict[str, Any]:
    """Return what identifies a run: all that can change its vectors.

    The number of epochs counts only where earlier steps depend on it, the shards' numbers only where not all are meant.
    """
    settings = {
        **config.model_dump(mode="json", exclude=NO_SETTINGS),
        "vocab": allowed.sha256 if allowed is not None else None,
        "cache_content": content_of(choice.shards),
        "encoding": cache.manifest.fingerprint,
    }
    if depends_on_end(config):
        settings["epochs"] = config.epochs
    if choice.listed is not None:
        settings["shards"] = choice.listed
    return settings


def shards_begun_with(folder: Path) -> str | None:
    """Return the list of shards that the run of a folder began with, if it is a partial one.

    Raises:
        X2StaticError: its settings are damaged.
    """
    file = folder / SETTINGS
    theirs = read_json(file) if file.is_file() else None
    listed = theirs.get("shards") if isinstance(theirs, dict) else None
    return listed if isinstance(listed, str) else None


class RunFolder:
    """The folder that one run owns."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        """Look whether the folder is free for this run, or already its own; nothing is written.

        Raises:
            X2StaticError: it holds something else, or a run with other settings.
        """
        self.path = path
        self.settings = settings
        self._check()

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.path / CHECKPOINTS

    def _check(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise X2StaticError(f"{self.path}: is a file, not a folder; give --out a folder of its own")
        file = self.path / SETTINGS
        if file.is_file():
            self._compare(read_json(file))
            return
        # What a run leaves that was killed before its settings were whole.
        if foreign := foreign_files(self.path):
            raise X2StaticError(
                f"{self.path}: not empty and no run of `x2static train` ({SETTINGS} is missing, {foreign[0]} is there)"
                f"; give --out a new or empty folder"
            )

    def _compare(self, theirs: object) -> None:
        if not isinstance(theirs, dict):
            raise X2StaticError(f"{self.path / SETTINGS}: not the settings of a run; give --out another folder")
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

        Raises:
            X2StaticError: another run has claimed it meanwhile.
        """
        self._check()
        remove_leftovers(self.path)
        if not (self.path / SETTINGS).is_file():
            write_atomically(self.path / SETTINGS, canonical_json(self.settings))

    def finished(self) -> dict[str, Any] | None:
        """Return what run.json says, if the run has finished and all is there; otherwise None."""
        if not all((self.path / name).is_file() for name in (RUN, MATRIX, VOCABULARY)):
            return None
        run = read_json(self.path / RUN)
        if not isinstance(run, dict) or not set(FIGURES) <= run.keys():
            raise X2StaticError(f"{self.path / RUN}: not what a run writes; remove this file and train again")
        return {name: run[name] for name in FIGURES}

    def finish(self, vectors: WordVectors) -> None:
        """Write the result, run.json last."""
        vectors.save(self.path)
