"""Pools: what is taken from the teacher's states of a unit, and written into the folder of its shard.

A new pool is one file beside this one with a `Pool` and a `UnitPool`, and its line in `registry.py`:

    >>> class LargestOfUnit(UnitPool):
    ...     largest = 0.0
    ...     def take(self, batch, states):
    ...         return float(states.chosen.abs().max())
    ...     def add(self, part):
    ...         self.largest = max(self.largest, part)
    ...     def end(self, results):
    ...         return self
    ...     def write(self, folder, unit):
    ...         (folder / Largest.name).mkdir()
    ...         (folder / Largest.name / "largest.json").write_text(str(self.largest))
    >>> class Largest(Pool):
    ...     name = "largest"
    ...     def begin(self, shape):
    ...         return LargestOfUnit()
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from x2static.durable.storage import canonical_json
from x2static.machine.device import ResultStream
from x2static.stage1_encode.text.windows import PreparedText, Window


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
    # those of every layer, the embeddings first; empty where no pool looks at them
    layers: tuple[torch.Tensor, ...] = ()


class Taken(Protocol):
    """What a pool has of a whole unit, perhaps still on its way from the device."""

    def write(self, folder: Path, unit: str) -> None:
        """Wait for it, and write it into a shard's folder, in a folder of the pool's name.

        Args:
            folder: of the shard, under a temporary name.
            unit: the unit, for the error.

        Raises:
            X2StaticError: the teacher gave values that cannot be stored.
        """


class Accumulator(ABC):
    """What hears of every batch that the teacher reads, and keeps something of its states."""

    def extend(self, text: PreparedText) -> None:  # noqa: B027  # most do not need it
        """Hear of a portion of the unit, in corpus order, before the first batch with a window of it."""

    @abstractmethod
    def take(self, batch: list[Window], states: States) -> Any:
        """Return what is wanted of a batch.

        Called in the thread that read it, beside those of other batches: nothing of the object may change. The states
        are gone afterwards.

        Args:
            batch: the windows, in the order of the rows.
            states: of the batch.
        """

    @abstractmethod
    def add(self, part: Any) -> None:
        """Add what `take` returned, one batch after the other, in one order however many are read at once."""


class UnitPool(Accumulator):
    """What a pool takes of one unit."""

    @abstractmethod
    def end(self, results: ResultStream) -> Taken:
        """Begin to bring what was taken to the host; all batches are added."""


class Pool(ABC):
    """What is asked of a pool; it can be pickled."""

    name: ClassVar[str]  # the folder of its arrays in a shard
    all_layers: ClassVar[bool] = False  # whether it looks at the states of every layer

    @property
    def words(self) -> Sequence[str]:
        """The words whose occurrences it looks at, see `Window.occurrences`; pools of one run look at the same."""
        return ()

    @property
    def settings(self) -> str:
        """sha256 of all that is asked of it: equal settings, equal arrays."""
        return hashlib.sha256(canonical_json([self.name, list(self.words)])).hexdigest()

    @abstractmethod
    def begin(self, shape: Shape) -> UnitPool:
        """Begin a unit."""

    def unit_bytes(self, shape: Shape) -> int:
        """Return the memory that a unit takes whatever its text; 0 where that goes by the text."""
        return 0

    def shard_bytes(self, shape: Shape) -> int:
        """Return at most how many bytes it takes in a shard, for `--plan`; 0 where that goes by the text."""
        return 0


def wanted_words(pools: Sequence[Pool]) -> Sequence[str]:
    """Return the words whose occurrences pools look at."""
    return next((pool.words for pool in pools if pool.words), ())
