"""What the C library keeps of freed memory, given back."""

import ctypes
import mmap
from pathlib import Path

# What a trim gives back is faulted in again where the next batch needs it (docs/LOG.md, 2026-11-22). So none within the
# room that an encode of few units takes, nor before the working set of two lanes of all-MiniLM-L6-v2, 50 to 60 MB, is
# back.
ROOM = 192 << 20  # bytes beyond what is needed whatever the batches
GROWTH = 64 << 20  # bytes since the last trim
STATM = Path("/proc/self/statm")


def give_back() -> None:
    """Give freed memory back to the system.

    A teacher's states are freed and allocated in ever other sizes, so that glibc's heaps grow for hours, full of holes
    (docs/LOG.md, 2026-11-21).
    """
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc has it, musl and others keep less
        trim(0)


class Trimmer:
    """Gives freed memory back whenever a good deal of it has gathered."""

    def __init__(self, besides: int = 0) -> None:
        """Take what the process holds now, with the teacher loaded, for what it needs.

        Args:
            besides: bytes that it is going to need, whatever the batches.
        """
        self._needed, self._after_last = resident() + besides, 0

    def after_batch(self) -> None:
        """Look how much the process holds, and give back if that is much and has grown since the last time."""
        held = resident()
        if held - self._needed > ROOM and held - self._after_last > GROWTH:
            give_back()
            self._after_last = resident()


def resident() -> int:
    """Return the bytes that the process holds in memory; 0 where the system does not say."""
    try:
        return int(STATM.read_bytes().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0
