"""Random draws that can be recomputed at any position, so that a checkpoint needs no random state but its position."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Draw(IntEnum):
    """What is drawn; each has a stream of numbers of its own. The values are part of what a seed means."""

    INITIAL = 0
    SHARDS = 1
    PARAGRAPHS = 2
    SUBSAMPLING = 3
    NEGATIVES = 4


class Position(NamedTuple):
    """A place in training, in order: the batch of this number, in this buffer, of this epoch (all from 0)."""

    epoch: int
    buffer: int = 0
    batch: int = 0


def generator(seed: int, draw: Draw, position: Position) -> np.random.Generator:
    """Return the generator of one kind of draw at one position.

    Philox is counter-based: key and counter name the numbers, none depends on those drawn before. The lowest word of
    the counter is left to the numbers themselves, 2^64 blocks of them.

    Args:
        seed: of the run, below 2^63.
        draw: what is drawn.
        position: where; parts that do not matter for the draw are 0.
    """
    key = np.array([seed, draw], np.uint64)
    counter = np.array([0, position.batch, position.buffer, position.epoch], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def permutation(n: int, numbers: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return 0 ... n - 1 in random order, (n,) int64.

    By sorting uniform numbers: `random` is the simplest of NumPy's draws, the least likely to change with its version.
    """
    return np.argsort(numbers.random(n), kind="stable")
