"""A tiny cache, word pairs for its words, and the command line on them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.pipeline.ran import Ran, run_here
from tests.stage2_train.caches import make_cache
from x2static.machine.processes import Place
from x2static.pipeline.sweeps import trial as trials
from x2static.pipeline.sweeps.results import Ranking

# A trial takes a tenth of a second with these, and its pairs are covered.
SMALL = ("--compat", "paper", "--min-count", "5", "--subsample", "0", "--batch-size", "16")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of contexts of 16 numbers, not to be changed."""
    return make_cache(tmp_path_factory.mktemp("sweeps") / "cache", shards=2, paragraphs=60, dim=16)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets of pairs of words that the cache has, and one pair that it has not."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, factor in (("first", 7), ("second", 3)):
        pairs = [f"w{i:02d}\tw{(i * factor + 3) % 40:02d}\t{i * 13 % 11}\n" for i in range(40)]
        (folder / f"{name}.tsv").write_text("".join([*pairs, "w01\tabsent\t5\n"]))
    return folder


@pytest.fixture
def sweep(cache: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run `x2static sweep --cache --data` with these options in this process; trials have processes of their own."""
    return lambda *options: run_here(capsys, [*arguments(cache, data), *options])


def arguments(cache: Path, data: Path) -> list[str]:
    return ["sweep", "--cache", str(cache), "--data", str(data), *SMALL]


class Here:
    """A child that runs the trial of a worker in this process, when it is asked for what came of it."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.connection = SimpleNamespace(send=self.hear, recv=lambda: True)  # go on after each epoch

    def hear(self, losses: list[float]) -> None:
        self.losses = losses

    def send(self, work: tuple[Any, ...]) -> None:
        self.work = work

    def receive(self) -> object:
        return trials._run(*self.work, connection=self.connection)


def stay_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have sweeps start no processes and draw no pictures: each takes seconds."""
    monkeypatch.setattr(Place, "start", lambda place, work, jobs: Here())
    monkeypatch.setattr(Place, "ready", lambda place, children: children)
    monkeypatch.setattr(Place, "stop_all", lambda place, children: None)
    monkeypatch.setattr(Ranking, "pictures", lambda ranking: [])


def start(arguments: list[str], **environment: str) -> "subprocess.Popen[str]":
    """Start the command line as the leader of a group of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    where = {"cwd": ROOT, "env": {**os.environ, "OMP_NUM_THREADS": "1", **environment}}
    return subprocess.Popen([sys.executable, "-m", "x2static", *arguments], **pipes, **where, start_new_session=True)


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder, but for locks: its bytes, and when they were written."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != ".lock"]
    return {str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
