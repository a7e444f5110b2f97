"""Optuna's proposals: the same whether or not the sweep was killed in between."""

from pathlib import Path

from x2static.pipeline.sweeps.settings import Draw, Range, Space
from x2static.pipeline.sweeps.study import Study

SPACE: Space = {
    "lr": Range(low=1e-4, high=1e-1, log=True),
    "negatives": Range(low=5, high=20, step=5),
    "dim": [None, 8],
}


def study(journal: Path, total: int = 16, retry_failed: bool = False, space: Space = SPACE) -> Study:
    return Study(journal, space, total, seed=3, retry_failed=retry_failed)


def score(draw: Draw) -> float:
    return -abs(draw.settings["lr"] - 0.01) - draw.settings["negatives"] / 1000


def all_of(journal: Path, stop_after: int = 99) -> list[dict[str, object]]:
    source, drawn = study(journal), []
    for _ in range(stop_after):
        draw = source.ask()
        if draw is None:
            break
        source.tell(draw, "complete", score(draw))
        drawn.append(draw.settings)
    return drawn


def test_proposals_come_from_the_space_and_differ(tmp_path: Path):
    drawn = all_of(tmp_path / "study.jsonl")
    assert len(drawn) == 16
    assert all(1e-4 <= one["lr"] <= 1e-1 and one["negatives"] in (5, 10, 15, 20) for one in drawn)
    assert {one["dim"] for one in drawn} == {None, 8}
    assert len({one["lr"] for one in drawn}) == 16


def test_a_study_taken_up_again_proposes_what_it_would_have_proposed(tmp_path: Path):
    whole = all_of(tmp_path / "whole.jsonl")
    parts = all_of(tmp_path / "parts.jsonl", stop_after=3)
    parts += all_of(tmp_path / "parts.jsonl", stop_after=9)
    parts += all_of(tmp_path / "parts.jsonl")
    assert parts == whole


def test_trials_that_had_not_ended_come_first(tmp_path: Path):
    journal = tmp_path / "study.jsonl"
    source = study(journal)
    first, second, third = (source.ask() for _ in range(3))
    source.tell(second, "complete", 0.5)

    again = study(journal)
    assert [again.ask(), again.ask()] == [first, third]
    assert again.ask() not in (first, second, third)


def test_a_line_torn_by_a_crash_and_a_proposal_half_made_do_no_harm(tmp_path: Path):
    journal = tmp_path / "study.jsonl"
    source = study(journal, total=2)
    first = source.ask()
    source.ask()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])

    again = study(journal, total=2)
    assert again.ask() == first
    another = again.ask()
    assert another.settings.keys() == SPACE.keys()
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

    again = study(journal, total=2, retry_failed=True)
    repeated = again.ask()
    assert (repeated.settings, repeated.again) == (first.settings, True)
    again.tell(repeated, "complete", 0.5)
    assert again.ask() is None
    assert study(journal, total=2, retry_failed=True).ask() is None


def test_more_trials_go_on_with_the_study(tmp_path: Path):
    first = all_of(tmp_path / "study.jsonl", stop_after=2)
    longer = study(tmp_path / "study.jsonl", total=3)
    draw = longer.ask()
    assert draw.settings not in first
    longer.tell(draw, "complete", 0.0)
    assert longer.ask() is None
