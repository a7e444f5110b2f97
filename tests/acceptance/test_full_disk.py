"""A disk that fills up: one clear line, nothing committed is lost, and the same command goes on after making room."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.stage1_encode.runs import files_of

# A disk of our own, in a mount namespace of our own, that goes away with the shell.
SCRIPT = """
mount -t tmpfs -o size={size} tmpfs {disk} || exit 99
{command} ; echo "first {{$?}}"
mount -o remount,size=200m {disk} || exit 99
{command} ; echo "second {{$?}}"
cp -r {disk}/. {copy}
"""


def run_on_small_disk(command: list[str | Path], size: int, folder: Path) -> str:
    """Run a command that fills the disk, and again with room on it, which is then copied; return what was logged."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("needs a mount namespace (unshare -rm) for a small disk of its own")
    (folder / "disk").mkdir()
    whole = " ".join(map(str, [sys.executable, "-m", "x2static", *command]))
    script = SCRIPT.format(size=size, disk=folder / "disk", copy=folder / "copy", command=whole)
    call = ["unshare", "-rm", "sh", "-c", script]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "first {1}" in done.stdout, done.stderr
    assert "second {0}" in done.stdout, done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "the disk is full" in error
    assert "run the same command again" in error
    assert "Traceback" not in done.stderr
    return done.stderr


def bytes_on_disk(folder: Path) -> int:
    """Return what a folder takes where files take whole pages."""
    files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-size // 4096) * 4096 for size in files)


@pytest.mark.exhaustive
def test_encode_goes_on_after_a_full_disk(encode_options, small_cache, tmp_path):
    command = ["encode", *encode_options, "--cache", tmp_path / "disk" / "cache"]
    said = run_on_small_disk(command, 3 * bytes_on_disk(small_cache / "shards" / "000000"), tmp_path)
    assert "going on after" in said
    assert files_of(tmp_path / "copy" / "cache") == files_of(small_cache)


@pytest.mark.exhaustive
def test_train_goes_on_after_a_full_disk(run, small_cache, tmp_path):
    plain = tmp_path / "plain"
    command = ["train", "--cache", small_cache, "--min-count", "3", "--batch-size", "16", "--checkpoint-minutes", "0"]
    assert run(*command, "--out", plain).status == 0
    checkpoint = bytes_on_disk(sorted(plain.glob("checkpoints/*"))[-1])
    size = int(2.5 * checkpoint)  # room for two checkpoints, not for the one being written beside them
    assert "going on at" in run_on_small_disk([*command, "--out", tmp_path / "disk" / "run"], size, tmp_path)
    for name in ("vectors.safetensors", "vocabulary.arrow"):
        assert (tmp_path / "copy" / "run" / name).read_bytes() == (plain / name).read_bytes()
