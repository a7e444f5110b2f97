"""Freed memory goes back to the system."""

import platform
from pathlib import Path

import numpy as np
import pytest

from stage1_encode.heap import give_back


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is known to keep so much")
def test_holes_in_the_heap_are_given_back() -> None:
    blocks = [np.ones(8_000) for _ in range(3_000)]  # 64 kB each, below what glibc maps on its own: 192 MB
    pinned = blocks[::50]
    del blocks
    before = resident()
    give_back()
    assert before - resident() > 100e6
    assert sum(block.sum() for block in pinned) == 60 * 8_000
