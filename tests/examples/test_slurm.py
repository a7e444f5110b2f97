"""The array job of docs/SCALE.md, under a stand-in of Slurm that preempts a task and loses a machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.stage1_encode.runs import files_of, paragraphs, write_lines
from tests.teachers import make_teacher

SCRIPT = ROOT / "examples/slurm_array.sh"
# Encodes nothing, and does not end by itself the first time where a task is to be killed.
STAND_IN = """#!/bin/sh
echo "$*" >> "$SLURM_STAND_IN/x2static"
[ "$1" = encode ] || exit 0
while [ "$1" != --cache ]; do shift; done
cache=$2 part=${4:-all}
mkdir -p "$cache/shards"
touch "$cache/manifest.json"
case " $SLURM_KILLS" in *" ${part%/3}:"*) ;; *) exit 0 ;; esac
if [ -e "$cache/begun" ]; then exit 0; fi
trap 'exit 130' TERM
touch "$cache/begun"
while :; do /bin/sleep 0.05; done
"""


class Slurm:
    """A machine with the stand-in of Slurm."""

    def __init__(self, folder: Path, **environment: str) -> None:
        (folder / "bin").mkdir(parents=True)
        for name in ("sbatch", "scontrol"):
            shutil.copy(ROOT / "tests/examples/slurm.py", folder / "bin" / name)
            (folder / "bin" / name).chmod(0o755)
        self.folder, self.out = folder, folder / "out"
        path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"PATH": path, "SLURM_STAND_IN": str(folder), "STAGGER_SECONDS": "0", "OMP_NUM_THREADS": "1"}
        self.environment = {**os.environ, **own, **environment}

    def command(self, name: str, text: str) -> None:
        """Put a command before others of its name."""
        (self.folder / "bin" / name).write_text(text)
        (self.folder / "bin" / name).chmod(0o755)

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Submit the jobs; they are over when this returns."""
        command = [str(SCRIPT), str(self.out), *map(str, arguments)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)

    def lines(self, name: str) -> list[str]:
        """Return what was called."""
        return (self.folder / name).read_text().splitlines()

    def statuses(self) -> list[str]:
        """Return how the three jobs ended."""
        return [(self.folder / f"job-{number}").read_text() for number in (1, 2, 3)]


def test_the_array_is_planned_once_staggered_requeued_and_joined(tmp_path):
    slurm = Slurm(tmp_path, SLURM_KILLS="2:TERM 3:KILL", SLURM_PROGRESS=f"{tmp_path}/out/parts/%a/begun")
    slurm.command("x2static", STAND_IN)
    slurm.command("sleep", '#!/bin/sh\necho "$*" >> "$SLURM_STAND_IN/slept"\nexec /bin/sleep 0\n')
    slurm.environment |= {"STAGGER_SECONDS": "5", "ENCODE_OPTIONS": "--unit 9", "SBATCH_OPTIONS": "--gpus=1"}
    slurm.run("3", "corpus.txt", "teacher")
    assert slurm.statuses() == ["0", "0", "0"]
    encode = f"encode --model teacher --corpus corpus.txt --unit 9 --cache {slurm.out}"
    parts = [f"{encode}/parts/{number} --part {number}/3" for number in (1, 2, 2, 3, 3)]
    joined = " ".join(f"{slurm.out}/parts/{number}" for number in (1, 2, 3))
    assert slurm.lines("x2static") == [
        f"{encode}/plan --part 999999999/999999999",
        *parts,
        f"cache merge {joined} --out {slurm.out}/cache",
        f"cache info {slurm.out}/cache",
        f"{encode}/cache",
        f"train --cache {slurm.out}/cache --out {slurm.out}/run",
    ]
    assert [line for line in slurm.lines("calls") if line.startswith("scontrol")] == ["scontrol requeue 2_2"]
    assert all("--requeue --signal=B:TERM@60 --gpus=1" in line for line in slurm.lines("calls") if "sbatch" in line)
    assert slurm.lines("slept") == ["5", "10", "10", "15", "15"]
    assert [(tmp_path / f"disturbed-{task}").read_text() for task in (2, 3)] == ["None", "None"]


def test_a_part_that_fails_is_not_joined(tmp_path):
    slurm = Slurm(tmp_path)
    slurm.command("x2static", STAND_IN.replace("mkdir", '[ "$part" != 2/3 ] || exit 1\nmkdir'))
    slurm.environment["SLURM_KILLS"] = ""
    slurm.run("3", "corpus.txt")
    assert slurm.statuses() == ["0", "1", "never satisfied"]


@pytest.mark.exhaustive
def test_parts_that_are_preempted_and_lost_become_the_cache_of_one_process(tmp_path):
    teacher = make_teacher(tmp_path / "teacher", "bert").folder
    text = write_lines(tmp_path / "corpus.txt", paragraphs(600))
    progress = f"{tmp_path}/slurm/out/parts/%a/shards/0*"
    slurm = Slurm(tmp_path / "slurm", SLURM_KILLS="2:TERM 3:KILL", SLURM_PROGRESS=progress)
    options = "--unit 10 --device cpu --min-sentences 0 --min-characters 0"
    slurm.environment |= {"ENCODE_OPTIONS": options, "TRAIN_OPTIONS": "--min-count 1 --objective closed-form"}
    slurm.run("3", text, teacher)
    logs = {path.name: path.read_text() for path in (slurm.out / "log").iterdir()}
    assert slurm.statuses() == ["0", "0", "0"], logs
    assert [(slurm.folder / f"disturbed-{task}").read_text() for task in (2, 3)] == ["None", "None"], "in the middle"
    assert "a unit that was begun is read again" in logs["2"]
    command = [
        "x2static",
        "encode",
        "--model",
        teacher,
        "--corpus",
        text,
        "--cache",
        tmp_path / "one",
        *options.split(),
    ]
    subprocess.run(list(map(str, command)), env=slurm.environment, check=True, capture_output=True)
    assert files_of(slurm.out / "cache") == files_of(tmp_path / "one")
    assert (slurm.out / "run/vectors.safetensors").is_file()
