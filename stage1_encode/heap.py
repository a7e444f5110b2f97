"""What the C library keeps of freed memory, given back."""

import ctypes
from collections.abc import Callable
from functools import cache


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
