"""Settings that a sweep may vary: their values in a grid or a space, and what a trial is called by them."""

import hashlib
import itertools
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json, special_kind
from x2static.schemas.encoding import Record
from x2static.schemas.training import TrainConfig
from x2static.stage2_train.vocabulary import WordList

# Where a trial reads and writes, and how: these are the sweep's own, or change nothing that is learned. `compat` gives
# values to settings that are not asked for, and a sweep asks for all.
NOT_SWEPT = {"cache", "out", "continue_run", "partial", "device", "checkpoint_minutes", "buffer_megabytes", "compat"}
NOT_SWEPT |= {"test_pairs"}  # a file, and a choice about the figures
NOT_SWEPT |= {"multiword"}  # a file, which would be another corpus
SWEEPABLE = [name for name in TrainConfig.model_fields if name not in NOT_SWEPT]
LONGEST_NAME = 100  # characters; file systems allow 255 bytes, and people read folder names

Settings = dict[str, Any]  # by name, values as JSON has them


class WrongGrid(X2StaticError):  # noqa: N818
    """A grid or a space that makes no sense: wrong usage."""


def known_name(text: str, where: str) -> str:
    """Return a setting's name, dashes taken for underscores. Raises WrongGrid: there is no such setting."""
    name = text.strip().replace("-", "_")
    if name not in SWEEPABLE:
        raise WrongGrid(f"{where}: no setting {text.strip()!r} to sweep over; there are {', '.join(SWEEPABLE)}")
    return name


def parse(name: str, value: Any, where: str) -> Any:
    """Return a value as JSON has it, "none" as None where that is possible. Raises WrongGrid: it cannot be."""
    info = TrainConfig.model_fields[name]
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[(info.annotation, Field(), *info.metadata)])  # type: ignore[arg-type]
    if isinstance(value, str) and value.lower() == "none":
        with suppress(ValidationError):  # then it is a word like another: `transform` has a "none" of its own
            return adapter.validate_python(None)
    try:
        parsed = adapter.validate_python(value)
    except ValidationError as error:
        raise WrongGrid(f"{where}: {name} cannot be {value!r}: {error.errors()[0]['msg'].lower()}") from error
    return str(parsed) if isinstance(parsed, Path) else parsed


def parse_grid(texts: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the values of each setting of a grid, in the order of the texts, repeated ones once."""
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


class Range(Record):
    """The values from `low` to `high`, both included."""

    low: int | float
    high: int | float
    log: bool = False  # whether equal factors are equally likely, not equal distances
    step: int | float | None = None  # distance of the values; None for any value (of whole numbers, any whole one)


Space = dict[str, list[Any] | Range]


def load_space(file: Path) -> Space:
    """Read a space: `name = [choice, choice]` or `name = {low = 1e-4, high = 1e-1, log = true}` for each setting.

    Raises WrongGrid: the file cannot be read, names an unknown setting, or gives values that are not possible.
    """
    where = f"--space {file}"
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongGrid(f"{where}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongGrid(f"{where}: not valid TOML: {error}") from error
    if not entries:
        example = "lr = {low = 1e-4, high = 1e-1, log = true}"
        raise WrongGrid(f"{where}: no setting in it; expected such lines as {example}")
    space: Space = {}
    for text, entry in entries.items():
        name = known_name(text, where)
        if isinstance(entry, list) and entry:
            space[name] = list(dict.fromkeys(parse(name, value, where) for value in entry))
        elif isinstance(entry, dict):
            space[name] = _range(name, entry, where)
        else:
            raise WrongGrid(f"{where}: {name}: expected a list of choices or {{low = ..., high = ...}}, got {entry!r}")
    return space


def _range(name: str, entry: dict[str, Any], where: str) -> Range:
    try:
        values = Range.model_validate(entry)
    except ValidationError as error:
        problems = "; ".join(f"{item['loc'][0]}: {item['msg'].lower()}" for item in error.errors())
        raise WrongGrid(f"{where}: {name}: {problems}") from error
    low, high, step = parse(name, values.low, where), parse(name, values.high, where), values.step
    if high < low:
        raise WrongGrid(f"{where}: {name}: low = {low} is above high = {high}")
    if values.log and (step is not None or low <= 0):
        raise WrongGrid(f"{where}: {name}: log = true needs low above 0 and no step")
    if step is not None and (step <= 0 or (isinstance(low, int) and step != int(step))):
        raise WrongGrid(f"{where}: {name}: step = {step} has to be above 0, and whole for whole numbers")
    return values.model_copy(update={"low": low, "high": high})


def shown(value: Any) -> str:
    """Return a value for people: numbers to four digits, None as "none"."""
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def trial_name(settings: Settings, contents: Mapping[str, str]) -> str:
    """Return what a trial and its folder are called: its settings, and a hash where they do not fit into a name.

    A file is named by its content, the value of its path in `contents`: so another content is another trial, and a file
    may move.
    """
    known = {name: contents.get(value, value) if name == "vocab" else value for name, value in settings.items()}
    readable = ",".join(f"{name}={shown(value)}" for name, value in known.items())
    name = re.sub(r"[^A-Za-z0-9=,._+-]", "_", readable)
    whole = all(not isinstance(value, float) or float(shown(value)) == value for value in known.values())
    if name == readable and whole and len(name) <= LONGEST_NAME:
        return name
    return name[: LONGEST_NAME - 9] + "-" + hashlib.sha256(canonical_json(known)).hexdigest()[:8]


def contents_of(swept: Mapping[str, Any]) -> dict[str, str]:
    """Return the content of each file that is a value of a grid or a space: lists of words, by the words in them.

    Raises X2StaticError: a file is missing, or no list of words.
    """
    values = swept.get("vocab") or []
    for path in filter(None, values):
        if kind := special_kind(Path(path)):
            raise X2StaticError(f"vocab={path}: is {kind}; name a file of one word a line")
    return {path: WordList.load(Path(path)).sha256[:16] for path in values if path is not None}


class Draw(NamedTuple):
    """Settings for a trial, and what the source knows them by."""

    settings: Settings
    number: int


class Grid:
    """A source of settings: every combination of some values, the last setting's values in the inner loop.

    Optuna's GridSampler shuffles the cells, and importing Optuna takes 2.9 s of a sweep's start (docs/LOG.md,
    2026-11-28).
    """

    def __init__(self, values: dict[str, list[Any]]) -> None:
        self.names = list(values)
        cells = list(itertools.product(*values.values()))
        self.total = len(cells)
        self._draws = (Draw(dict(zip(values, cell, strict=True)), number) for number, cell in enumerate(cells))

    def ask(self) -> Draw | None:
        """Return the next settings, None where there are no more."""
        return next(self._draws, None)

    def tell(self, draw: Draw, state: str, score: float | None) -> None:
        """Hear how the trial of a draw ended ("complete", "pruned", "failed"), its score too; a grid learns nothing."""
