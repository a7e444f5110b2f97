"""Where the settings of trials come from: a grid, one cell after another, or (in study.py) Optuna."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from x2static.pipeline.sweeps.settings import Settings


@dataclass(frozen=True)
class Draw:
    """Settings for a trial.

    Attributes:
        settings: by name, values as JSON has them.
        number: what the source knows them by.
        again: whether they were drawn before and had failed.
    """

    settings: Settings
    number: int
    again: bool = False


class Source(Protocol):
    """Gives settings, and hears what came of them."""

    names: list[str]
    total: int

    def ask(self) -> Draw | None:
        """Return the next settings, None where there are no more."""

    def tell(self, draw: Draw, state: str, score: float | None) -> None:
        """Hear how the trial of a draw ended ("complete", "pruned", "failed"), and its score if it has one."""


class Grid:
    """Every combination of some values, the last setting's values in the inner loop."""

    def __init__(self, values: dict[str, list[Any]]) -> None:
        """Take the values of each setting."""
        self.names = list(values)
        cells = [dict(zip(values, cell, strict=True)) for cell in itertools.product(*values.values())]
        self.total = len(cells)
        self._draws: Iterator[Draw] = (Draw(cell, number) for number, cell in enumerate(cells))

    def ask(self) -> Draw | None:
        """Return the next cell, None after the last."""
        return next(self._draws, None)

    def tell(self, draw: Draw, state: str, score: float | None) -> None:
        """Learn nothing: a grid is what it is."""
