"""Stage two, killed within an epoch and while it writes, and run again, ends with the bytes of an uninterrupted run."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run
from tests.conftest import ROOT
from tests.stage1_encode.runs import files_of

OPTIONS = ("--epochs", "2", "--min-count", "3", "--batch-size", "16", "--checkpoint-minutes", "0")
RESULT = ("vectors.safetensors", "vocabulary.arrow", "word_segmentation.json")

PHASES = {
    "in the middle of an epoch": ("x2static.stage2_train.learner:Learner.learn", "after", 5),
    "while writing a checkpoint's tensors": ("x2static.stage2_train.checkpoint:write_tensors", "after", 4),
    "between a checkpoint and its rename": ("x2static.stage2_train.checkpoint:storage.commit_folder", "before", 4),
    "just after a checkpoint": ("x2static.stage2_train.checkpoint:storage.commit_folder", "after", 4),
    "between the result's files": ("x2static.schemas.vectors:write_atomically", "after", 1),
}


@pytest.fixture(scope="module")
def uninterrupted(run: Run, small_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("train") / "run"
    done = run("train", "--cache", small_cache, "--out", out, *OPTIONS)
    assert done.status == 0, done.said
    return result_of(out)


def result_of(out: Path) -> dict[str, bytes]:
    return {name: data for name, data in files_of(out).items() if name in RESULT}


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(phase, run, small_cache, uninterrupted, tmp_path):
    command = ("train", "--cache", small_cache, "--out", tmp_path / "run", *OPTIONS)
    killed = run(*command, kill=PHASES[phase])
    assert killed.status == -9
    assert not (tmp_path / "run" / "run.json").exists()

    resumed = run(*command, "--json")

    assert resumed.status == 0, resumed.said
    assert resumed.json["resumed"]
    assert result_of(tmp_path / "run") == uninterrupted
    assert len(uninterrupted) == len(RESULT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
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


def test_training_needs_neither_transformers_nor_datasets(small_cache, uninterrupted, tmp_path):
    without = (
        "import sys\n"
        "for name in ('transformers', 'datasets', 'tokenizers', 'sentencex'): sys.modules[name] = None\n"
        "from x2static.pipeline.cli import run\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    train = ["train", "--cache", str(small_cache), "--out", str(tmp_path / "run"), *OPTIONS]
    command = [sys.executable, "-c", without, *train]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert result_of(tmp_path / "run") == uninterrupted
