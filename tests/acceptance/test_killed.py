"""A stage that is killed, or stopped by a signal, and run again makes the bytes of an uninterrupted run."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run
from tests.conftest import ROOT
from tests.stage1_encode.runs import files_of

PHASES = {
    "in the middle of the teacher": ("x2static.stage1_encode.pools.contexts:ContextMeans.add", "after", 60),
    "between two file writes of a shard": ("x2static.schemas.shard:write_table", "after", 5),
    "just before a marker": ("x2static.schemas.shard:hash_files", "after", 3),
    "between a marker and its rename": ("x2static.stage1_encode.encode:commit_folder", "before", 3),
    "just after a marker": ("x2static.stage1_encode.encode:commit_folder", "after", 3),
}
OPTIONS = ("--epochs", "2", "--min-count", "3", "--batch-size", "16", "--checkpoint-minutes", "0")
RESULT = ("vectors.safetensors", "vocabulary.arrow", "word_segmentation.json")


MOST_TELLING = ("in the middle of the teacher", "between a marker and its rename")
MARKED = [pytest.param(phase, marks=[] if phase in MOST_TELLING else pytest.mark.exhaustive) for phase in PHASES]


@pytest.mark.parametrize("phase", MARKED)
def test_a_killed_encode_goes_on_and_ends_with_the_same_bytes(phase, run, encode_options, small_cache, tmp_path):
    cache = tmp_path / "cache"
    assert run("encode", *encode_options, "--cache", cache, kill=PHASES[phase]).status == -9
    finished_before = len(list(cache.glob("shards/[0-9]*/shard.json")))
    assert 0 < finished_before < 5
    resumed = run("encode", *encode_options, "--cache", cache, "--json")
    assert resumed.status == 0, resumed.out
    assert (resumed.json["shards_resumed"], resumed.json["shards"]) == (finished_before, 5)
    assert files_of(cache) == files_of(small_cache)


def result_of(out: Path) -> dict[str, bytes]:
    return {name: data for name, data in files_of(out).items() if name in RESULT}


@pytest.fixture(scope="module")
def uninterrupted(run: Run, small_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("train") / "run"
    assert run("train", "--cache", small_cache, "--out", out, *OPTIONS).status == 0
    return result_of(out)


@pytest.mark.parametrize(
    ("where", "n"),
    [
        ("stage2_train.learner:Learner.learn", 5),
        pytest.param("schemas.vectors:write_atomically", 1, marks=pytest.mark.exhaustive),
    ],
)
def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(where, n, run, small_cache, uninterrupted, tmp_path):
    command = ("train", "--cache", small_cache, "--out", tmp_path / "run", *OPTIONS)
    assert run(*command, kill=(f"x2static.{where}", "after", n)).status == -9
    assert not (tmp_path / "run" / "run.json").exists()
    resumed = run(*command, "--json")
    assert resumed.status == 0, resumed.out
    assert resumed.json["resumed"]
    assert result_of(tmp_path / "run") == uninterrupted
    assert len(uninterrupted) == len(RESULT)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.exhaustive)])
def test_a_signal_saves_the_state_and_exits_with_130(number, run, small_cache, uninterrupted, tmp_path):
    out = tmp_path / "run"
    command = ("train", "--cache", str(small_cache), "--out", str(out), *OPTIONS)
    whole = [sys.executable, "-m", "x2static", *command]
    process = subprocess.Popen(whole, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(out.glob("checkpoints/0*")):
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    assert run(*command).status == 0
    assert result_of(out) == uninterrupted
