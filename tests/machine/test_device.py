"""Freed memory goes back to the system when much of it has gathered."""

from pathlib import Path

import pytest

from x2static.machine import device
from x2static.machine.device import GROWTH, ROOM, Trimmer


def test_memory_goes_back_when_the_process_holds_much_and_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = 500 << 20
    held, trims = [loaded], []
    monkeypatch.setattr(device, "resident", lambda: held[0])
    monkeypatch.setattr(device, "give_back", lambda: trims.append(held[0]))
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
    held[0], besides = loaded, 100 << 20
    trimmer = Trimmer(besides)
    assert [trims_at(loaded + ROOM + besides + more) for more in (0, 1)] == [0, 1]


def test_giving_back_goes_without_what_a_system_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    device.give_back()
    monkeypatch.setattr(device, "STATM", Path("/nowhere/statm"))
    assert device.resident() == 0
