"""The mean of figures, some of which may be missing."""

from collections.abc import Iterable


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are there, each counting the same; None where there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
