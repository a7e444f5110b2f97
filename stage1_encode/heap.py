"""What the C library keeps of freed memory, given back."""

import ctypes
import mmap
from collections.abc import Callable
from functools import cache
from pathlib import Path

# A trim costs what comes to be used again: every 6 batches 6 % of the time, so 1 % (docs/LOG.md, 2026-11-21).
GROWTH = 112 << 20  # bytes; the working set of two lanes of all-MiniLM-L6-v2 is 60 to 80 MB
LEAST_BATCHES = 6  # for larger teachers, whose working set is beyond that


@cache
def _trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl and others keep less


def give_back() -> None:
    """Give freed memory back to the system.

    A teacher's states are freed and allocated in ever other sizes, so that glibc's heaps grow for hours, full of holes
    (docs/LOG.md, 2026-11-21).
    """
    if trim := _trim():
        trim(0)


class Trimmer:
    """Gives freed memory back whenever a good deal of it has gathered."""

    def __init__(self) -> None:
        """Begin to count."""
        self._after_last, self._n_batches = 0, 0

    def after_batch(self) -> None:
        """Look how much the process holds, and give back if it has grown since the last time."""
        self._n_batches += 1
        if self._n_batches >= LEAST_BATCHES and _resident() - self._after_last > GROWTH:
            give_back()
            self._after_last, self._n_batches = _resident(), 0


def _resident() -> int:
    """Return the bytes that the process holds in memory; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0
