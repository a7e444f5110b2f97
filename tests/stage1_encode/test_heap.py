"""Freed memory goes back to the system."""

import platform
from pathlib import Path

import numpy as np
import pytest

from x2static.machine import heap
from x2static.machine.heap import GROWTH, ROOM, Trimmer, give_back


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


def test_memory_goes_back_when_the_process_holds_much_and_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = 500 << 20
    held, trims = [loaded], []
    monkeypatch.setattr(heap, "_resident", lambda: held[0])
    monkeypatch.setattr(heap, "give_back", lambda: trims.append(held[0]))
    trimmer = Trimmer()

    def trims_at(size: int) -> int:
        held[0], before = size, len(trims)
        for _ in range(20):
            trimmer.after_batch()
        return len(trims) - before

    assert trims_at(loaded + ROOM) == 0
    assert trims_at(loaded + ROOM + 1) == 1, "once: it has not grown since"
    assert trims_at(loaded + ROOM + GROWTH) == 0, "that is its working set"
    assert trims_at(loaded + ROOM + GROWTH + 2) == 1
    assert trims_at(loaded + 9 * ROOM) == 1
    held[0] = loaded
    trimmer = Trimmer(besides=100 << 20)
    assert trims_at(loaded + ROOM + (100 << 20)) == 0
    assert trims_at(loaded + ROOM + (100 << 20) + 1) == 1


def test_what_the_process_holds_is_told_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/proc/self/statm").exists():
        assert heap._resident() == pytest.approx(resident(), rel=0.1)
    monkeypatch.setattr(heap, "Path", lambda _: Path("/nowhere/statm"))
    assert heap._resident() == 0
