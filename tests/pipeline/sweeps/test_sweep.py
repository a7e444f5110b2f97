"""A sweep through the command line: trials, their results, and what happens when it is run again."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from tests.pipeline.ran import Ran
from tests.pipeline.sweeps.conftest import Sweep, arguments, start, state_of
from tests.schemas.caches import plan
from tests.stage2_train.caches import shard_content, write_cache

GRID = ("-p", "lr=1e-3,1e-2,1e38", "-p", "epochs=1,2")  # one learning rate that cannot go well


@pytest.fixture(scope="module")
def swept(cache: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """A finished sweep, two trials at a time, where importing what encoding needs leaves a file; not to be changed."""
    folder = tmp_path_factory.mktemp("swept")
    for name in ("transformers", "datasets"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'imported')!r}, 'a').write({name!r})")
    out = folder / "out"
    command = [*arguments(cache, data), "--out", str(out), "--jobs", "2", "--json", *GRID]
    process = start(command, PYTHONPATH=os.pathsep.join([str(folder), str(ROOT)]), COLUMNS="120")
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    return out, Ran(process.returncode, said, errors)


def copied(swept: tuple[Path, Ran], tmp_path: Path) -> Path:
    out = tmp_path / "out"
    subprocess.run(["cp", "-a", str(swept[0]), str(out)], check=True)
    return out


def test_neither_the_sweep_nor_its_trials_import_transformers_or_datasets(swept: tuple[Path, Ran]):
    assert not (swept[0].parent / "imported").exists()
    trap = "import transformers"
    where = {**os.environ, "PYTHONPATH": str(swept[0].parent)}
    subprocess.run([sys.executable, "-c", trap], cwd=swept[0], env=where, check=True)
    assert (swept[0].parent / "imported").read_text() == "transformers"


def test_a_failed_trial_is_recorded_with_its_error_and_the_others_go_on(swept: tuple[Path, Ran]):
    out, ran = swept
    assert ran.json | {"trials": 6, "complete": 4, "failed": 2, "pruned": 0} == ran.json
    record = json.loads((out / "trials" / "lr=1e+38,epochs=2.json").read_text())
    assert record["state"] == "failed"
    assert "not finite" in record["error"]
    assert "\n" not in record["error"]
    assert "lr=1e+38,epochs=1 and 1 more: " in ran.out or "lr=1e+38,epochs=2: " in ran.out
    assert "Traceback" not in ran.out + ran.err
    assert "Traceback" in (out / "trials" / "lr=1e+38,epochs=2.log").read_text()


def test_the_table_is_sorted_by_score(swept: tuple[Path, Ran]):
    lines = swept[1].out.splitlines()
    assert lines[0].split() == ["score", "lr", "epochs", "first", "second", "loss", "time", "state"]
    assert [line.split()[-1] for line in lines[1:7]] == ["complete"] * 4 + ["failed"] * 2
    scores = [float(line.split()[0]) for line in lines[1:5]]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1
    assert all(len(line) <= 120 for line in lines[:7])


def test_the_parquet_file_has_a_row_for_each_trial_with_the_scores_of_evaluate(swept: tuple[Path, Ran], data: Path):
    out, ran = swept
    rows = pq.read_table(out / "sweep.parquet").to_pylist()
    assert len(rows) == 6
    best = rows[0]
    assert best["score"] == pytest.approx((best["score_first"] + best["score_second"]) / 2)
    assert (best["covered_first"], best["total_first"]) == (20, 21)
    assert len(best["losses"]) == best["epochs"]
    assert best["loss"] == best["losses"][-1]
    assert rows[-1]["score"] is None
    assert "not finite" in rows[-1]["error"]
    assert ran.json["best"]["path"] == str(out / "trials" / best["trial"])

    command = ["evaluate", ran.json["best"]["path"], "--data", str(data), "--json"]
    evaluated = subprocess.run([sys.executable, "-m", "x2static", *command], cwd=ROOT, capture_output=True, check=True)
    assert json.loads(evaluated.stdout.splitlines()[-1])["average"] == best["score"] == ran.json["best"]["score"]


def test_a_trial_is_a_run_like_that_of_train(swept: tuple[Path, Ran], cache: Path, tmp_path: Path):
    from tests.pipeline.sweeps.conftest import SMALL

    command = ["train", "--cache", str(cache), "--out", str(tmp_path / "run"), *SMALL, "--lr", "1e-2", "--epochs", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "x2static", *command], cwd=ROOT, env=environment, check=True)
    for name in ("vectors.safetensors", "vocabulary.arrow"):
        assert (tmp_path / "run" / name).read_bytes() == (swept[0] / "trials" / "lr=0.01,epochs=2" / name).read_bytes()


def test_the_page_has_every_trial_and_every_plot_and_needs_no_other_file(swept: tuple[Path, Ran]):
    out, _ = swept
    text = (out / "sweep.html").read_text()
    assert text.count('<img alt="') == text.count('src="data:image/png;base64,') == 3
    assert not re.search(r"https?:|@import|url\(|<script|<link", text)
    assert text.count("<tr>") == 7
    assert {file.stem for file in out.glob("*.png")} == {"score-lr", "score-epochs", "losses"}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in out.glob("*.png"))


def test_a_finished_sweep_repeats_no_trial_and_a_grid_may_grow(swept: tuple[Path, Ran], sweep: Sweep, tmp_path: Path):
    out = copied(swept, tmp_path)
    before = state_of(out / "trials")

    again = sweep("--out", out, "--json", *GRID)
    assert again.status == 0, again.err
    assert again.json["best"]["score"] == swept[1].json["best"]["score"]
    assert state_of(out / "trials") == before

    grown = sweep("--out", out, "--json", "-p", "lr=1e-3,3e-2", "-p", "epochs=1")
    assert (grown.json["trials"], grown.json["complete"]) == (7, 5)
    after = state_of(out / "trials")
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {
        "lr=0.03,epochs=1",
        "lr=0.03,epochs=1.json",
        "lr=0.03,epochs=1.log",
    }


def test_what_failed_is_tried_again_when_asked_for(swept: tuple[Path, Ran], sweep: Sweep, tmp_path: Path):
    out = copied(swept, tmp_path)
    before = state_of(out / "trials")
    assert sweep("--out", out, *GRID, "--retry-failed").status == 0
    after = state_of(out / "trials")
    changed = {name.split("/")[0] for name in before if after[name] != before[name]}
    assert changed == {f"lr=1e+38,epochs={n}{end}" for n in (1, 2) for end in (".json", ".log")}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--negatives", "7", *GRID), "negatives: 10 there, 7 here"),
        (("-p", "lr=1e-3", "-p", "seed=1"), "swept: ['epochs', 'lr'] there, ['lr', 'seed'] here"),
        (("--select", "first", *GRID), "select: [] there, ['first'] here"),
    ],
)
def test_another_sweep_in_the_same_folder_is_refused_by_name(
    options: tuple[str, ...], said: str, swept: tuple[Path, Ran], sweep: Sweep
):
    ran = sweep("--out", swept[0], *options)
    assert ran.status == 1
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ("-p speed=1,2", 2, "no setting 'speed'"),
        ("-p lr=0", 2, "lr cannot be '0'"),
        ("-p lr=1e-3 --lr 1e-2", 2, "--lr is given, and lr is swept"),
        ("-p lr=1e-3 --negatives 0", 2, "negatives cannot be 0"),
        ("-p lr=1e-3 --space nowhere.toml", 2, "nowhere.toml"),
        ("", 2, "give either -p"),
        ("-p lr=1e-3 --jobs 0", 2, "--jobs"),
        ("-p lr=1e-3 --select third", 1, "--select third: no such data set; there are first, second"),
        ("-p lr=1e-3 --cache PART", 1, "the cache is incomplete"),
        ("-p lr=1e-3 --out FULL", 1, "not empty and no sweep"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing_behind(
    options: str, status: int, said: str, sweep: Sweep, tmp_path: Path
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    write_cache(tmp_path / "part", [shard_content(0, 20, 16)], dim=16, plans=[plan(3)])
    for name in ("PART", "FULL"):
        options = options.replace(name, str(tmp_path / name.lower()))
    ran = sweep("--out", tmp_path / "out", *options.split())
    assert ran.status == status
    assert said in ran.err
    assert not (tmp_path / "out").exists()
    assert [file.name for file in (tmp_path / "full").iterdir() if file.name != ".lock"] == ["thesis.txt"]


def test_without_the_extra_it_is_said_what_to_install(sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("x2static.machine.packages.find_spec", lambda name: None if name == "optuna" else name)
    ran = sweep("--out", tmp_path / "out", "-p", "lr=0.1")
    assert ran.status == 1
    assert ran.err == "error: this needs optuna: pip install 'x2static[sweep]'\n"


def test_the_score_is_the_mean_over_the_selected_sets_and_all_are_shown(sweep: Sweep, tmp_path: Path):
    options = ("--objective", "closed-form", "-p", "transform=none,whiten", "--select", "second", "--json")
    ran = sweep("--out", tmp_path, *options)
    assert ran.status == 0, ran.err
    assert ran.out.splitlines()[0].split() == ["score", "transform", "second", "(first)", "time"]
    for row in pq.read_table(tmp_path / "sweep.parquet").to_pylist():
        assert row["score"] == row["score_second"] != row["score_first"]
    assert not (tmp_path / "losses.png").exists()


def test_hopeless_trials_are_stopped_and_shown_as_pruned(sweep: Sweep, tmp_path: Path):
    grid = ("-p", "lr=1e-2,1.1e-2,1.2e-2,1.3e-2,1e-6", "--epochs", "3")
    ran = sweep("--out", tmp_path, "--prune", "--json", *grid)
    assert (ran.json["complete"], ran.json["pruned"]) == (4, 1), ran.err
    assert "pruned" in ran.out
    record = json.loads((tmp_path / "trials" / "lr=1e-06.json").read_text())
    assert len(record["losses"]) == 1
    assert not (tmp_path / "trials" / "lr=1e-06" / "run.json").exists()
    assert len(list((tmp_path / "trials" / "lr=1e-06" / "checkpoints").iterdir())) == 1


def test_a_space_is_searched_and_goes_on_where_it_stopped(sweep: Sweep, tmp_path: Path):
    space = tmp_path / "space.toml"
    space.write_text('lr = {low = 1e-3, high = 1e-1, log = true}\ndim = ["none", 8]\n')
    out = tmp_path / "out"
    first = sweep("--out", out, "--space", space, "--trials", "2", "--json")
    assert first.json["trials"] == 2, first.err
    before = state_of(out / "trials")

    more = sweep("--out", out, "--space", space, "--trials", "3", "--json")
    assert more.json["trials"] == 3, more.err
    after = state_of(out / "trials")
    assert {name: after[name] for name in before} == before
    assert "Experimental" not in more.err
    assert not list(out.rglob("*.pkl"))


def test_make_sweep_runs_a_grid_of_its_own_or_the_one_asked_for(cache: Path, tmp_path: Path):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", ".venv/.installed"):
        (tmp_path / name).touch()
    program = tmp_path / ".venv" / "bin" / "x2static"
    program.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    program.chmod(0o755)

    def make(**values: object) -> list[str]:
        given = [f"{name}={value}" for name, value in values.items()]
        command = ["make", "-s", "-f", str(ROOT / "Makefile"), "sweep", *given]
        # `make test` exports its own variables, which a make in it would take for the user's.
        ours = ("MAKE", "MFLAGS", "MODEL", "CORPUS", "LIMIT", "CONTEXT", "CACHE", "OUT", "DATA", "ARGS")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=True)
        return done.stdout.strip("|").split("|")

    usual = make(CACHE="cache/teacher", DATA="my data")
    assert usual[:7] == ["sweep", "--cache", "cache/teacher", "--out", "sweeps/teacher", "--data", "my data"]
    assert usual[7:] == ["-p", "lr=3e-4,1e-3,3e-3,1e-2", "-p", "negatives=5,10"]
    asked = make(CACHE=cache, OUT="over there", ARGS="-p lr=1e-3 --jobs 2")
    assert asked == ["sweep", "--cache", str(cache), "--out", "over there", "-p", "lr=1e-3", "--jobs", "2"]
    assert make(CACHE=cache, ARGS="--jobs 2")[-6:] == [*usual[7:], "--jobs", "2"]
