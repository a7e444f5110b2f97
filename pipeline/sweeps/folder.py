"""The folder of a sweep: which sweep it belongs to."""

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
from x2static.pipeline.sweeps import trial

SWEEP = "sweep.json"


def claim(out: Path, identity: dict[str, Any]) -> None:
    """Make a folder this sweep's, or see that it is; the caller holds its lock.

    Args:
        out: the folder.
        identity: all that makes scores of trials comparable, by name.

    Raises:
        X2StaticError: it holds something else, or a sweep that differs.
    """
    file = out / SWEEP
    if file.is_file():
        _compare(file, read_json(file), identity)
        remove_leftovers(out)
        remove_leftovers(out / trial.TRIALS)
        return
    if foreign := foreign_files(out):
        raise X2StaticError(
            f"{out}: not empty and no sweep ({SWEEP} is missing, {foreign[0]} is there); give --out a new or empty "
            f"folder"
        )
    remove_leftovers(out)
    write_atomically(file, canonical_json(identity))


def _compare(file: Path, theirs: object, ours: dict[str, Any]) -> None:
    if not isinstance(theirs, dict):
        raise X2StaticError(f"{file}: not what a sweep writes; give --out another folder")
    if differing := differing_settings(theirs, ours):
        raise X2StaticError(
            f"{file.parent}: holds another sweep ({'; '.join(differing.values())}); give the same settings to go on "
            f"with it (a grid may get more values), or another --out for a new sweep"
        )
