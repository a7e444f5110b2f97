"""Runs of rows that lie one behind the other, as index arrays."""

import numpy as np
import numpy.typing as npt


def ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return start, start + 1 ... start + length - 1 for each pair, one after the other; (sum of lengths,) int64."""
    before = np.cumsum(lengths) - lengths
    rows: npt.NDArray[np.int64] = np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
    return rows
