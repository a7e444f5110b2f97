"""A way to run the command line in a process of its own, and the demo cache that several tests start from."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT


@dataclass(frozen=True)
class Ran:
    """What a run of the command line left behind.

    Attributes:
        status: exit status; negative for the signal that ended it.
        stdout: what it printed.
        stderr: what it logged.
    """

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The object on the last line of stdout."""
        value: dict[str, Any] = json.loads(self.stdout.splitlines()[-1])
        return value


Run = Callable[..., Ran]


@pytest.fixture(scope="session")
def run() -> Run:
    """Run `x2static ARGUMENTS`; with `kill=(where, moment, n)` it dies there by kill -9."""

    def call(*arguments: str | Path, kill: tuple[str, str, int] | None = None) -> Ran:
        driver = ["-m", "tests.killing", *map(str, kill)] if kill else ["-m", "x2static"]
        done = subprocess.run(
            [sys.executable, *driver, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def encode_options() -> tuple[str, ...]:
    """The demo teacher and corpus in units of 100 paragraphs; the first units of it, since each test encodes anew."""
    return ("--model", "demo", "--corpus", "demo", "--unit", "100", "--limit", "500", "--min-sentences", "1")


@pytest.fixture(scope="session")
def small_cache(run: Run, encode_options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of five shards that was encoded without interruption."""
    folder = tmp_path_factory.mktemp("small") / "cache"
    done = run("encode", *encode_options, "--cache", folder)
    assert done.status == 0, done.stderr
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes, lock files left out."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="session", autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what x2static makes for a user (the demo corpus) out of the real home."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("user-cache"))
