"""Numbers that look drawn and are the same whenever they are asked for: by them, occurrences of a word are chosen."""

import numpy as np
import numpy.typing as npt

Draws = npt.NDArray[np.uint64]


def mixed(numbers: Draws) -> Draws:
    """Return a draw of 64 bits for each number, (n,): a step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(numbers ^ (numbers >> np.uint64(31)))
