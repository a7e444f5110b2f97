"""Optuna's proposals: the same whether or not the sweep was killed in between."""

from pathlib import Path

from x2static.pipeline.sweeps.settings import Range, Space
from x2static.pipeline.sweeps.study import Study

RANGES = {"lr": Range(low=1e-4, high=1e-1, log=True), "negatives": Range(low=5, high=20, step=5)}
SPACE: Space = {**RANGES, "dim": [None, 8]}


def study(journal: Path, total: int = 16, retry_failed: bool = False) -> Study:
    return Study(journal, SPACE, total, seed=3, retry_failed=retry_failed)


def proposals(journal: Path, stop_after: int = 99, total: int = 16) -> list[dict[str, object]]:
    source, drawn = study(journal, total), []
    while len(drawn) < stop_after and (draw := source.ask()) is not None:
        score = -abs(draw.settings["lr"] - 0.01) - draw.settings["negatives"] / 1000
        source.tell(draw, "complete", score)
        drawn.append(draw.settings)
    return drawn


def test_a_study_taken_up_again_proposes_from_the_space_what_it_would_have_proposed(tmp_path: Path):
    whole = proposals(tmp_path / "whole.jsonl")
    assert all(1e-4 <= one["lr"] <= 1e-1 and one["negatives"] in (5, 10, 15, 20) for one in whole)
    assert {one["dim"] for one in whole} == {None, 8}
    assert len({one["lr"] for one in whole}) == 16
    parts = [proposals(tmp_path / "parts.jsonl", stop_after, total) for stop_after, total in ((3, 9), (9, 9), (99, 16))]
    assert [len(part) for part in parts] == [3, 6, 7]
    assert [one for part in parts for one in part] == whole


def test_what_had_not_ended_comes_first_and_a_line_torn_by_a_crash_does_no_harm(tmp_path: Path):
    journal = tmp_path / "study.jsonl"
    source = study(journal, total=2)
    first = source.ask()
    source.ask()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])

    again = study(journal, total=2)
    assert again.ask() == first
    assert again.ask().settings.keys() == SPACE.keys()
    assert again.ask() is None
    assert journal.read_bytes().endswith(b"\n")


def test_what_failed_counts_and_is_proposed_again_only_when_asked_for(tmp_path: Path):
    journal = tmp_path / "study.jsonl"
    source = study(journal, total=2)
    first, second = source.ask(), source.ask()
    source.tell(first, "failed", None)
    source.tell(second, "pruned", None)
    assert source.ask() is None
    assert study(journal, total=2).ask() is None

    for state, result in (("failed", None), ("complete", 0.5)):  # it may fail again
        again = study(journal, total=2, retry_failed=True)
        repeated = again.ask()
        assert repeated.settings == first.settings
        again.tell(repeated, state, result)
        assert again.ask() is None
    assert study(journal, total=2, retry_failed=True).ask() is None
