"""A folder that one run or sweep owns: what in it is not its own, and how recorded settings differ from others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from x2static.durable.storage import LOCK, TEMPORARY


def foreign_files(folder: Path) -> list[str]:
    """Return the sorted names of what a folder holds besides a lock and a killed writer's leftovers."""
    names = (path.name for path in folder.glob("*"))
    return sorted(name for name in names if name != LOCK and not name.startswith(TEMPORARY))


def differing_settings(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, str]:
    """Return "name: value there, value here" for each setting in which two records differ, by name, ours first."""
    names = [*ours, *(name for name in theirs if name not in ours)]
    return {
        name: f"{name}: {theirs.get(name)!r} there, {ours.get(name)!r} here"
        for name in names
        if theirs.get(name) != ours.get(name)
    }
