"""A space of settings in a TOML file: a list of choices, or a range, for each."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from x2static.pipeline.sweeps.settings import WrongGrid, known_name, parse


class Range(BaseModel):
    """The values from `low` to `high`, both included.

    Attributes:
        low: the lowest value.
        high: the highest value.
        log: whether equal factors are equally likely, not equal distances.
        step: distance of the values; any value where it is None (of whole numbers, any whole one).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None


Space = dict[str, list[Any] | Range]


def load_space(file: Path) -> Space:
    """Read a space: `name = [choice, choice]` or `name = {low = 1e-4, high = 1e-1, log = true}` for each setting.

    Raises:
        WrongGrid: the file cannot be read, names an unknown setting, or gives values that are not possible.
    """
    where = f"--space {file}"
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongGrid(f"{where}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongGrid(f"{where}: not valid TOML: {error}") from error
    if not entries:
        raise WrongGrid(
            f"{where}: no setting in it; expected lines such as lr = {{low = 1e-4, high = 1e-1, log = true}}"
        )
    names = [known_name(name, where) for name in entries]
    return {name: _entry(name, entry, where) for name, entry in zip(names, entries.values(), strict=True)}


def _entry(name: str, entry: Any, where: str) -> list[Any] | Range:
    if isinstance(entry, list) and entry:
        return list(dict.fromkeys(parse(name, value, where) for value in entry))
    if not isinstance(entry, dict):
        raise WrongGrid(f"{where}: {name}: expected a list of choices or {{low = ..., high = ...}}, got {entry!r}")
    try:
        given = Range.model_validate(entry)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'][:1]))}: {item['msg'].lower()}" for item in error.errors())
        raise WrongGrid(f"{where}: {name}: {problems}") from error
    low, high = (parse(name, value, where) for value in (given.low, given.high))
    if isinstance(low, bool) or not isinstance(low, int | float):
        raise WrongGrid(f"{where}: {name} has no range; give a list of choices")
    if high < low:
        raise WrongGrid(f"{where}: {name}: low = {low} is above high = {high}")
    if given.log and (given.step is not None or low <= 0):
        raise WrongGrid(f"{where}: {name}: log = true needs low above 0 and no step")
    if given.step is not None and (given.step <= 0 or (isinstance(low, int) and given.step != int(given.step))):
        raise WrongGrid(f"{where}: {name}: step = {given.step} has to be above 0, and whole for whole numbers")
    return given.model_copy(update={"low": low, "high": high})
