"""Optuna's proposals: the same whether or not the sweep was killed in between."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from x2static.pipeline.sweeps.settings import Range, Space
from x2static.pipeline.sweeps.study import Study

RANGES = {"lr": Range(low=1e-4, high=1e-1, log=True), "negatives": Range(low=5, high=20, step=5)}
SPACE: Space = {**RANGES, "dim": [None, 8]}


def study(journal: Path, total: int = 16) -> Study:
    return Study(journal, SPACE, total, seed=3, again=True)


def score(settings: dict[str, Any]) -> float:
    return -abs(settings["lr"] - 0.01) - settings["negatives"] / 1000


def proposals(journal: Path, stop_after: int = 99, total: int = 16) -> list[dict[str, Any]]:
    """What a study proposes, those of earlier calls first, as a sweep asks: trials that have ended are told again."""
    source, drawn = study(journal, total), list[dict[str, Any]]()
    while len(drawn) < stop_after and (draw := source.ask()) is not None:
        source.tell(draw, "complete", score(draw.settings))
        drawn.append(draw.settings)
    return drawn


def test_a_study_taken_up_again_proposes_from_the_space_what_it_would_have_proposed(tmp_path: Path):
    whole = proposals(tmp_path / "whole.jsonl")
    assert all(1e-4 <= one["lr"] <= 1e-1 and one["negatives"] in (5, 10, 15, 20) for one in whole)
    assert {one["dim"] for one in whole} == {None, 8}
    assert len({one["lr"] for one in whole}) == 16
    for stop_after, total in ((3, 9), (12, 9), (99, 16)):
        assert proposals(tmp_path / "parts.jsonl", stop_after, total) == whole[: min(stop_after, total)]
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


class Killed(BaseException):
    """What stops a study at a system call: no `except Exception` catches it."""


@pytest.mark.parametrize("call", ["open", "fsync", "torn"])
def test_a_study_killed_at_any_write_to_its_file_proposes_the_same(tmp_path: Path, call: str, monkeypatch):
    whole = proposals(tmp_path / "whole.jsonl", total=12)
    fsync, opened = os.fsync, Path.open
    for n in range(24):
        journal, left = tmp_path / f"{n}.jsonl", iter(range(n, -1, -1))

        def kill(*_: object, left: Iterator[int] = left, journal: Path = journal) -> None:
            if next(left) == 0:
                if call == "torn":  # half of the line has reached the disk
                    os.truncate(journal, journal.stat().st_size - 40)
                raise Killed

        def kill_at_open(path: Path, *mode: str) -> Any:
            if mode == ("ab",):
                kill()
            return opened(path, *mode)

        with monkeypatch.context() as patch, pytest.raises(Killed):
            if call in ("fsync", "torn"):
                patch.setattr(os, "fsync", lambda number: (fsync(number), kill()))
            else:
                patch.setattr(Path, "open", kill_at_open)
            proposals(journal, total=12)
        assert proposals(journal, total=12) == whole
        assert journal.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("damage", ["delete", "empty", "flip", "cut", "swap lines", "drop a line", "of Optuna"])
def test_a_damaged_file_proposes_again_what_it_had_proposed(tmp_path: Path, damage: str):
    journal = tmp_path / "study.jsonl"
    whole = proposals(journal, total=12)
    before = journal.read_bytes()
    lines = before.splitlines(keepends=True)
    for at in (0, 1, 6, 11):
        changed = {
            "flip": [*lines[:at], lines[at].replace(b"lr", b"ls"), *lines[at + 1 :]],
            "cut": [*lines[:at], lines[at][:20]],
            "swap lines": [*lines[at:], *lines[:at]] if at else lines[::-1],
            "drop a line": [*lines[:at], *lines[at + 1 :]],
            "of Optuna": [b'{"op_code": 0, "study_name": "sweep"}\n'],
        }
        journal.write_bytes(b"".join(changed.get(damage, [])))
        if damage == "delete":
            journal.unlink()
        assert proposals(journal, total=12) == whole
        assert sorted(journal.read_bytes().splitlines(keepends=True)) == sorted(lines)


def test_what_has_not_ended_does_not_change_what_is_proposed_before_it_has(tmp_path: Path):
    """Two trials at a time: the one that ends first makes room for the next."""
    drawn = []
    for name, stops in (("whole", 0), ("parts", 1)):
        source, settings = study(tmp_path / name), []
        first, second = source.ask(), source.ask()
        source.tell(second, "complete", 0.5)
        if stops:
            source = study(tmp_path / name)
            assert (source.ask(), source.ask()) == (first, second)
            source.tell(second, "complete", 0.5)
        for _ in range(12):
            draw = source.ask()
            settings.append(draw.settings)
            source.tell(draw, "complete", score(draw.settings))
        drawn.append(settings)
    assert drawn[0] == drawn[1]


def test_a_file_that_is_a_value_is_kept_by_its_content(tmp_path: Path):
    journal, entries = tmp_path / "study.jsonl", {"vocab": ["a.txt", None], "lr": RANGES["lr"]}
    source = Study(journal, entries, 4, 0, True, {"a.txt": "0123"})
    settings = [source.ask().settings for _ in range(4)]
    assert {one["vocab"] for one in settings} == {"a.txt", None}
    assert b"a.txt" not in journal.read_bytes()
    moved = Study(journal, {**entries, "vocab": ["b.txt", None]}, 4, 0, True, {"b.txt": "0123"})
    names = {"a.txt": "b.txt", None: None}
    assert [moved.ask().settings for _ in range(4)] == [{**one, "vocab": names[one["vocab"]]} for one in settings]
