"""What is asked of an evaluation, and what it answers."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Asked:
    """What the user wants to know of word vectors; a task reads what concerns it.

    Attributes:
        data: where the task's data is; None for what comes with the libraries, or was fetched.
        seed: of every draw.
        common: score all sets of vectors on the items that all of them cover.
        resamples: bootstrap resamples or permutations; 0 where none were asked for.
        runs: repetitions with other seeds, at least 1.
    """

    data: Path | None
    seed: int
    common: bool
    resamples: int
    runs: int


@dataclass(frozen=True)
class Evaluated:
    """The answer.

    Attributes:
        table: for the terminal, lines without an end of line at the last.
        vectors: for --json, the figures of each set of vectors by its name.
        figures: for --json, what all sets have in common.
    """

    table: str
    vectors: dict[str, dict[str, Any]]
    figures: dict[str, Any] = field(default_factory=dict)
