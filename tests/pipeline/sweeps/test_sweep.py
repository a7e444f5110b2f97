"""A sweep through the command line: trials, their results, and what happens when it is run again."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from tests.pipeline.ran import Ran
from tests.pipeline.sweeps.conftest import arguments, start, state_of
from tests.schemas.caches import plan
from tests.stage2_train.caches import shard_content, write_cache
from x2static.durable.storage import read_sealed
from x2static.evaluation.word_similarity import average, evaluate_word_similarity
from x2static.pipeline.sweeps.sweep import comparable, hopeless
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors

BEGIN = 11 * math.log(2)  # the loss of zeros, with ten negatives
OTHERS = [[BEGIN - 1], [BEGIN - 2, 3.0], [BEGIN - 2], [BEGIN - 3]]  # the median has learned 2
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
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return out, Ran(process.returncode, output, errors)


def test_neither_the_sweep_nor_its_trials_import_transformers_or_datasets(swept):
    assert not (swept[0].parent / "imported").exists()
    where = {**os.environ, "PYTHONPATH": str(swept[0].parent)}
    subprocess.run([sys.executable, "-c", "import transformers"], cwd=swept[0], env=where, check=True)
    assert (swept[0].parent / "imported").read_text() == "transformers"  # the trap works


def test_a_failed_trial_is_recorded_with_its_error_and_the_others_go_on(swept):
    out, ran = swept
    assert ran.json | {"trials": 6, "complete": 4, "failed": 2, "pruned": 0} == ran.json
    record = json.loads((out / "trials" / "lr=1e+38,epochs=2.json").read_text())
    assert (record["state"], "not finite" in record["error"], "\n" in record["error"]) == ("failed", True, False)
    assert "lr=1e+38,epochs=1 and 1 more: " in ran.err or "lr=1e+38,epochs=2: " in ran.err
    assert "Traceback" not in ran.out + ran.err
    assert "Traceback" in (out / "trials" / "lr=1e+38,epochs=2.log").read_text()


def test_the_table_and_the_parquet_file_are_sorted_and_have_the_scores_of_evaluate(swept, data):
    out, ran = swept
    lines = ran.err.splitlines()
    lines = lines[next(number for number, line in enumerate(lines) if line.startswith("score ")) :]  # behind the log
    assert lines[0].split() == ["score", "pairs", "lr", "epochs", "first", "second", "loss", "time", "state"]
    assert [line.split()[-1] for line in lines[1:7]] == ["complete"] * 4 + ["failed"] * 2
    rows = pq.read_table(out / "sweep.parquet").to_pylist()
    scores = [row["score"] for row in rows[:4]]
    assert [float(line.split()[0]) for line in lines[1:5]] == pytest.approx(scores, abs=5e-4)
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1
    best = rows[0]
    assert best["score"] == pytest.approx((best["score_first"] + best["score_second"]) / 2)
    assert (best["covered_first"], best["total_first"]) == (40, 41)
    assert len(best["losses"]) == best["epochs"]
    assert best["loss"] == best["losses"][-1]
    assert (rows[-1]["score"], "not finite" in rows[-1]["error"]) == (None, True)
    assert ran.json["best"]["path"] == str(out / "trials" / best["trial"])
    evaluated = evaluate_word_similarity(WordVectors.load(out / "trials" / best["trial"]), data)
    assert average(evaluated) == best["score"] == ran.json["best"]["score"]


def test_the_page_has_every_trial_and_every_plot_and_needs_no_other_file(swept):
    out, _ = swept
    text = (out / "sweep.html").read_text()
    assert text.count('<img alt="') == text.count('src="data:image/png;base64,') == 3
    assert not re.search(r"https?:|@import|url\(|<script|<link", text)
    assert text.count("<tr>") == 7
    assert {file.stem for file in out.glob("*.png")} == {"score-lr", "score-epochs", "losses"}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in out.glob("*.png"))


@pytest.mark.exhaustive
def test_a_finished_sweep_repeats_no_trial_but_what_failed_when_asked_and_a_grid_may_grow(swept, sweep, tmp_path):
    out = tmp_path / "out"
    subprocess.run(["cp", "-a", str(swept[0]), str(out)], check=True)
    before = state_of(out / "trials")
    again = sweep("--out", out, "--json", *GRID)
    assert again.status == 0, again.err
    assert again.json["best"]["score"] == swept[1].json["best"]["score"]
    assert state_of(out / "trials") == before

    grown = sweep("--out", out, "--json", "-p", "lr=1e-3,3e-2", "-p", "epochs=1")
    assert (grown.json["trials"], grown.json["complete"]) == (7, 5)
    after = state_of(out / "trials")
    assert {name: after[name] for name in before} == before
    added = {name.split("/")[0] for name in after.keys() - before.keys()}
    assert added == {f"lr=0.03,epochs=1{end}" for end in ("", ".json", ".log")}

    assert sweep("--out", out, *GRID, "--retry-failed").status == 0
    after = state_of(out / "trials")
    changed = {name.split("/")[0] for name in before if after[name] != before[name]}
    assert changed == {f"lr=1e+38,epochs={n}{end}" for n in (1, 2) for end in (".json", ".log")}


@pytest.mark.parametrize(("objectives", "counts"), [("closed-form", False), ("closed-form,views", True)])
def test_settings_of_views_identify_a_sweep_of_views_alone(objectives, counts, sweep, tmp_path):
    """So a sweep that was begun before these settings were there can go on."""
    out = tmp_path / "out"
    assert sweep("--out", out, "-p", f"objective={objectives}").status == 0  # without views here, a trial fails by it
    assert {"phrases", "sif"}.isdisjoint(read_sealed(out / "sweep.json")) != counts


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ("-p lr=1e-3 --lr 1e-2", 2, "--lr is given, and lr is swept"),
        ("-p lr=1e-3 --space nowhere.toml", 2, "nowhere.toml"),
        ("", 2, "give either -p"),
        ("-p lr=1e-3 --jobs 0", 2, "--jobs"),
        ("-p lr=1e-3 --select third", 1, "--select third: no such data set; there are first, second"),
        ("-p lr=1e-3 --cache PART", 1, "missing: "),
        ("-p lr=1e-3 --out FULL", 1, "not empty and no sweep"),
        ("-p lr=1e-3 -p epochs=1 --out SWEPT --negatives 7", 1, "negatives: 10 there, 7 here"),
        ("-p lr=1e-3 -p epochs=1 --out SWEPT --select first", 1, "select: [] there, ['first'] here"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing_behind(options, status, said, swept, sweep, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    write_cache(tmp_path / "part", [shard_content(0, 20, 16)], dim=16, plans=[plan(3)])
    for name, place in (("PART", tmp_path / "part"), ("FULL", tmp_path / "full"), ("SWEPT", swept[0])):
        options = options.replace(name, str(place))
    before = state_of(swept[0])
    ran = sweep("--out", tmp_path / "out", *options.split())
    assert ran.status == status
    assert said in ran.err
    assert not (tmp_path / "out").exists()
    assert state_of(tmp_path / "full").keys() == {"thesis.txt"}
    assert state_of(swept[0]) == before


def test_the_score_is_the_mean_over_the_selected_sets_and_all_are_shown(sweep, tmp_path):
    options = ("--objective", "closed-form", "-p", "transform=none,whiten", "--select", "second", "--json")
    ran = sweep("--out", tmp_path, *options)
    assert ran.status == 0, ran.err
    (heads,) = [line.split() for line in ran.err.splitlines() if line.startswith("score ")]
    assert heads == ["score", "pairs", "transform", "second", "(first)", "time"]
    for row in pq.read_table(tmp_path / "sweep.parquet").to_pylist():
        assert row["score"] == row["score_second"] != row["score_first"]
    assert not (tmp_path / "losses.png").exists()


def test_hopeless_trials_are_stopped_and_shown_as_pruned(sweep, tmp_path):
    grid = ("-p", "lr=1e-2,1.1e-2,1.2e-2,1.3e-2,1e-6", "--epochs", "3")
    ran = sweep("--out", tmp_path, "--prune", "--json", *grid)
    assert (ran.json["complete"], ran.json["pruned"]) == (4, 1), ran.err
    assert "pruned" in ran.out
    record = json.loads((tmp_path / "trials" / "lr=1e-06.json").read_text())
    assert len(record["losses"]) == 1
    assert not (tmp_path / "trials" / "lr=1e-06" / "run.json").exists()
    assert len(list((tmp_path / "trials" / "lr=1e-06" / "checkpoints").iterdir())) == 1


@pytest.mark.parametrize(
    ("losses", "others", "stops"),
    [
        ([BEGIN - 0.99], OTHERS, True),
        ([BEGIN - 1.01], OTHERS, False),
        ([BEGIN + 1], OTHERS, True),
        ([BEGIN], OTHERS[:3], False),  # few others prove nothing
        ([BEGIN, BEGIN], OTHERS, False),  # nor do those that have not come as far
        ([BEGIN + 1], [[BEGIN + 1]] * 4, False),  # nobody learns
    ],
)
def test_a_trial_that_learned_less_than_half_of_the_median_is_hopeless(losses, others, stops: bool):
    assert hopeless(losses, others, BEGIN) is stops


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({"lr": 1.0, "epochs": 5, "batch_size": 7, "seed": 3, "schedule": "cosine"}, True),
        *(({name: value}, False) for name, value in (("negatives", 5), ("dim", 5), ("transform", "center"))),
        *(({name: value}, False) for name, value in (("noise_power", 1.0), ("subsample", 0.0), ("min_count", 1))),
    ],
)
def test_losses_are_compared_only_where_they_mean_the_same(changes, alike):
    one = TrainConfig(cache=Path("c"), out=Path("a"))
    other = TrainConfig.model_validate({"cache": Path("c"), "out": Path("b"), **changes})
    assert (comparable(one) == comparable(other)) is alike


def test_a_space_is_searched(sweep, tmp_path):
    (tmp_path / "space.toml").write_text('lr = {low = 1e-3, high = 1e-1, log = true}\ndim = ["none", 8]\n')
    command = ("--out", tmp_path / "out", "--space", tmp_path / "space.toml", "--trials", "2", "--json")
    ran = sweep(*command)
    assert ran.json["trials"] == ran.json["complete"] == 2, ran.err
    assert "Experimental" not in ran.err
    before = state_of(tmp_path / "out" / "trials")
    assert (sweep(*command).json["trials"], state_of(tmp_path / "out" / "trials")) == (2, before)


def test_make_sweep_runs_a_grid_of_its_own_or_the_one_asked_for():
    def make(*values: str) -> list[str]:
        clean = {"PATH": os.environ["PATH"]}  # `make test` exports variables that a make in it takes for the user's
        command = ["make", "-s", "-o", "install", "X2STATIC=printf '%s|'", "NEEDS_CACHE=", "sweep", *values]
        done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
        return done.stdout.strip("|").split("|")

    grid = ["-p", "lr=3e-4,1e-3,3e-3,1e-2", "-p", "negatives=5,10"]
    usual = ["sweep", "--cache", "cache/teacher", "--out", "sweeps/teacher", "--data", "my data", *grid]
    assert make("CACHE=cache/teacher", "DATA=my data") == usual
    own = make("CACHE=some", "OUT=over there", "ARGS=-p lr=1e-3 --jobs 2")
    assert own == ["sweep", "--cache", "some", "--out", "over there", "-p", "lr=1e-3", "--jobs", "2"]
    assert make("CACHE=some", "ARGS=--jobs 2")[-6:] == [*grid, "--jobs", "2"]
    without = ["make", "-s", "-o", "install", "X2STATIC=false", "train", "CACHE=no where"]
    said = subprocess.run(without, cwd=ROOT, capture_output=True, text=True, check=False).stderr
    assert "no cache in no where: make encode MODEL=... CORPUS=... CACHE=no where makes it" in said


@pytest.mark.parametrize("option", [["--subwords"], ["--parts", "2"]])
def test_options_of_training_that_a_sweep_would_not_heed_are_unknown_to_it(sweep, tmp_path, option):
    ran = sweep("--out", str(tmp_path / "out"), "-p", "lr=1e-2", *option)
    assert ran.status == 2
    assert "no such option" in ran.err
    assert option[0] in ran.err
