"""Settings that a sweep may vary: which there are, what their values may be, and how a trial is called by them."""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json
from x2static.schemas.training import TrainConfig

# Where a trial reads and writes, and how: these are the sweep's own, or change nothing that is learned.
NOT_SWEPT = {"cache", "out", "continue_run", "partial", "device", "checkpoint_minutes", "buffer_megabytes"}
LONGEST_NAME = 100  # characters; file systems allow 255 bytes, and people read folder names

Settings = dict[str, Any]  # by name, values as JSON has them


class WrongGrid(X2StaticError):  # noqa: N818
    """A grid or a space that makes no sense: wrong usage."""


def sweepable() -> list[str]:
    """Return the names of the settings that can be swept."""
    return [name for name in TrainConfig.model_fields if name not in NOT_SWEPT]


def known_name(text: str, where: str) -> str:
    """Return a setting's name, dashes taken for underscores.

    Args:
        text: what was asked for.
        where: what asked for it, for the message.

    Raises:
        WrongGrid: there is no such setting.
    """
    name = text.strip().replace("-", "_")
    if name not in sweepable():
        raise WrongGrid(f"{where}: no setting {text.strip()!r} to sweep over; there are {', '.join(sweepable())}")
    return name


def parse(name: str, value: Any, where: str) -> Any:
    """Return a value of a setting as JSON has it; the text "none" is None where a setting may be None.

    Args:
        name: a setting that can be swept.
        value: a text from the command line, or a value from a TOML file.
        where: what asked for it, for the message.

    Raises:
        WrongGrid: the setting cannot have this value.
    """
    info = TrainConfig.model_fields[name]
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[(info.annotation, Field(), *info.metadata)])  # type: ignore[arg-type]
    if isinstance(value, str) and value.lower() == "none":
        try:
            return adapter.validate_python(None)
        except ValidationError:
            pass  # then it is a word like another: `transform` has a "none" of its own
    try:
        parsed = adapter.validate_python(value)
    except ValidationError as error:
        raise WrongGrid(f"{where}: {name} cannot be {value!r}: {error.errors()[0]['msg'].lower()}") from error
    return str(parsed) if isinstance(parsed, Path) else parsed


def parse_grid(texts: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the values of each setting of a grid, in the order given, repeated ones once.

    Args:
        texts: "name=value,value" each.

    Raises:
        WrongGrid: a text is of another form, a setting is unknown or given twice, or a value is not possible.
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        where = f"-p {text}"
        before, equals, after = text.partition("=")
        values = [value.strip() for value in after.split(",")]
        if not equals or not all(values):
            raise WrongGrid(f"{where}: expected name=value,value, such as lr=1e-3,1e-2")
        name = known_name(before, where)
        if name in grid:
            raise WrongGrid(f"{where}: {name} is given twice; give all its values in one -p")
        grid[name] = list(dict.fromkeys(parse(name, value, where) for value in values))
    return grid


def shown(value: Any) -> str:
    """Return a value for people: numbers to four digits, None as "none"."""
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def trial_name(settings: Settings) -> str:
    """Return what a trial and its folder are called: its settings, and a hash where they do not fit into a name."""
    readable = ",".join(f"{name}={shown(value)}" for name, value in settings.items())
    name = re.sub(r"[^A-Za-z0-9=,._+-]", "_", readable)
    whole = all(not isinstance(value, float) or float(shown(value)) == value for value in settings.values())
    if name == readable and whole and len(name) <= LONGEST_NAME:
        return name
    return name[: LONGEST_NAME - 9] + "-" + hashlib.sha256(canonical_json(settings)).hexdigest()[:8]
