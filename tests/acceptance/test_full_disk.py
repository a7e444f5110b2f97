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


def run_on_small_disk(command: list[str | Path], size: str, disk: Path, copy: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("needs a mount namespace (unshare -rm) for a small disk of its own")
    disk.mkdir()
    whole = " ".join(map(str, [sys.executable, "-m", "x2static", *command]))
    script = SCRIPT.format(size=size, disk=disk, copy=copy, command=whole)
    return subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)


def bytes_on_disk(folder: Path) -> int:
    """Return what a folder takes where files take whole pages."""
    files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-size // 4096) * 4096 for size in files)


def test_encode_goes_on_after_a_full_disk(encode_options, small_cache, tmp_path):
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    size = str(3 * bytes_on_disk(small_cache / "shards" / "000000"))
    done = run_on_small_disk(["encode", *encode_options, "--cache", disk / "cache"], size, disk, copy)
    assert "first {1}" in done.stdout, done.stderr
    assert "second {0}" in done.stdout, done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "the disk is full" in error
    assert "run the same command again" in error
    assert "Traceback" not in done.stderr
    assert "going on after" in done.stderr
    assert files_of(copy / "cache") == files_of(small_cache)


def test_train_goes_on_after_a_full_disk(run, small_cache, tmp_path):
    disk, copy, plain = tmp_path / "disk", tmp_path / "copy", tmp_path / "plain"
    command = ["train", "--cache", small_cache, "--min-count", "3", "--batch-size", "16", "--checkpoint-minutes", "0"]
    assert run(*command, "--out", plain).status == 0
    checkpoint = bytes_on_disk(sorted(plain.glob("checkpoints/*"))[-1])
    size = str(int(2.5 * checkpoint))  # room for two checkpoints, not for the one being written beside them
    done = run_on_small_disk([*command, "--out", disk / "run"], size, disk, copy)
    assert "first {1}" in done.stdout, done.stderr
    assert "second {0}" in done.stdout, done.stderr
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert "going on at" in done.stderr
    for name in ("vectors.safetensors", "vocabulary.arrow"):
        assert (copy / "run" / name).read_bytes() == (plain / name).read_bytes()
