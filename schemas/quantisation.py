"""Context vectors as int8: a row is codes from -127 to 127 times one float32 scale, its largest magnitude over 127.

Against float16 this halves a cache. The error of a value is at most half its row's scale; what it does to word
similarity is measured in docs/LOG.md.
"""

import numpy as np
import numpy.typing as npt

LARGEST = 127
# No row has this code, so it can stand for "not there": a chunk that is lost reads as NaN and not as zeros.
ABSENT = -128


def quantise(rows: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return the codes of rows, rounded half to even, and their scales; a row of zeros has scale 0.

    Args:
        rows: (n, dim) float16 or float32, finite.

    Returns:
        (n, dim) int8 and (n,) float32.
    """
    values = np.asarray(rows, np.float32)
    scales: npt.NDArray[np.float32] = np.abs(values).max(axis=1, initial=0) / np.float32(LARGEST)
    divisors = np.where(scales > 0, scales, np.float32(1))
    codes = np.rint(values / divisors[:, None])
    # A scale of few bits (magnitudes below 1e-36) may have been rounded down.
    return np.clip(codes, -LARGEST, LARGEST).astype(np.int8), scales


def dequantise(codes: npt.NDArray[np.int8], scales: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Return code times scale, computed in float32; NaN where code or scale are absent.

    Args:
        codes: (n, dim) int8.
        scales: (n,) float32.

    Returns:
        (n, dim) float16.
    """
    values = codes * scales[:, None]
    values[codes == ABSENT] = np.nan
    with np.errstate(over="ignore"):  # an infinite value is told by whoever reads
        return values.astype(np.float16)
