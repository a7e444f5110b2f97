"""Pools: what is taken from the teacher's states of a unit, and written into the folder of its shard.

A new pool is a file beside this one, its line in `registry.py`, and its option in `pipeline/commands/encode.py`:

    >>> class LargestOfUnit(UnitPool):
    ...     largest = 0.0
    ...     def take(self, batch, states):
    ...         return float(states.chosen.abs().max())
    ...     def add(self, part):
    ...         self.largest = max(self.largest, part)
    ...     def write(self, folder, unit):
    ...         (folder / Largest.name).mkdir()
    ...         (folder / Largest.name / "largest.json").write_text(str(self.largest))
    >>> class Largest(Pool):
    ...     name = option = "largest"
    ...     def begin(self, shape, number):
    ...         return LargestOfUnit()
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json
from x2static.machine.device import ResultStream
from x2static.schemas.encoding import EncodeConfig
from x2static.stage1_encode.text.windows import Ids, PreparedText, Window


@dataclass(frozen=True)
class Shape:
    """What states a teacher gives."""

    n_layers: int  # the embeddings included
    dim: int  # width of the states
    device: torch.device  # where they are


@dataclass(frozen=True)
class States:
    """The states of a batch, (rows, width, dim) each; shorter windows are padded on the right."""

    chosen: torch.Tensor  # those of the layer that the cache is of
    layers: tuple[torch.Tensor, ...] = ()  # of every layer, the embeddings first; empty where no pool looks at them


class Accumulator(ABC):
    """What hears of every batch that the teacher reads, and keeps something of its states."""

    def extend(self, text: PreparedText, numbers: Ids) -> None:  # noqa: B027  # most do not need it
        """Hear of a portion of the unit, in corpus order, before the first batch with a window of it.

        `numbers`, (n_words,) int64, are those in the unit of the words of its lexicon; occurrences have them, too.
        """

    @abstractmethod
    def take(self, batch: list[Window], states: States) -> Any:
        """Return what is wanted of a batch, whose windows are the rows of the states; these are gone afterwards.

        Called in the thread that read the batch, beside those of others: nothing of the object may change.
        """

    @abstractmethod
    def add(self, part: Any) -> None:
        """Add what `take` returned, one batch after the other, in one order however many are read at once."""


class UnitPool(Accumulator):
    """What a pool takes of one unit."""

    def end(self, results: ResultStream) -> None:  # what is on the host need not be brought there
        """Begin to bring it to the host, and let go of the rest: the next unit is read while this one is written."""

    @abstractmethod
    def write(self, folder: Path, unit: str) -> None:
        """Wait for it, and write it into a shard's folder. Raises X2StaticError: values of `unit` cannot be stored."""


@dataclass(frozen=True)
class Pool(ABC):
    """What is asked of a pool; it can be pickled."""

    name: ClassVar[str]  # the folder of its arrays in a shard
    option: ClassVar[str] = ""  # of `x2static encode`, which asks for it
    all_layers: ClassVar[bool] = False  # whether it looks at the states of every layer
    occurrences: ClassVar[bool] = False  # whether it looks at the occurrences of words (`Window.occurrences`)
    of_itself: ClassVar[bool] = False  # whether its name is all that is asked of it: then `cache repair` takes it again

    @classmethod
    def of(cls, config: EncodeConfig, value: Any) -> "Pool":
        """Return the pool that a value of its option asks for. Raises X2StaticError: it cannot be had."""
        cls.check(config)
        return cls()

    @classmethod
    def check(cls, config: EncodeConfig) -> None:
        """Refuse a pool of occurrences in the mode in which words and pieces do not meet."""
        if cls.occurrences and config.compat:
            option = f"--{cls.option.replace('_', '-')}"
            raise X2StaticError(
                f"{option} does not go with --compat {config.compat}: that mode joins words anew before the teacher "
                "reads them, and keeps words that the teacher never reads; leave one of the two out"
            )

    @property
    def settings(self) -> str:
        """sha256 of all that is asked of it: equal settings, equal arrays."""
        return hashlib.sha256(canonical_json([self.name, self.asked()])).hexdigest()

    def asked(self) -> list[Any]:
        """Return all that is asked of it, as JSON has it."""
        return []

    @abstractmethod
    def begin(self, shape: Shape, number: int) -> UnitPool:
        """Begin a unit, by its number in its plan."""

    def n_bytes(self, shape: Shape) -> int:
        """Return what a unit takes in memory, and at most in its shard, whatever the text."""
        return 0

    def bytes_of_text(self, shape: Shape, n_words: float, n_distinct: float, number: int) -> float:
        """Return about what a unit's shard takes by its words, all and distinct ones, and its number in its plan."""
        return 0


def look_at_words(pools: Sequence[Pool]) -> bool:
    """Return whether one of some pools looks at the occurrences of words."""
    return any(pool.occurrences for pool in pools)
