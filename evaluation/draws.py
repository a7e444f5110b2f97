"""How often tasks draw at random. Nothing heavy is imported: `x2static evaluate --help` shows the numbers."""

from typing import NamedTuple

RESAMPLES = 1000  # of the pairs of a data set, for an interval
PARTITIONS = 100_000  # of the targets of an association test; up to so many are all tried, which takes a second


class Draws(NamedTuple):
    """How many draws, at least one, and the seed."""

    n: int
    seed: int = 0
