"""The command line as a user runs it, and the cache that several tests start from: the demo corpus, a tiny teacher."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.stage1_encode.forks import Forks
from tests.teachers import make_teacher


@dataclass(frozen=True)
class Ran:
    """What a run of the command line left behind."""

    status: int  # exit status; negative for the signal that ended it
    said: str  # all that it printed and logged

    @property
    def json(self) -> dict[str, Any]:
        """The object that it printed."""
        value: dict[str, Any] = json.loads(next(line for line in self.said.splitlines() if line.startswith("{")))
        return value


Run = Callable[..., Ran]


@pytest.fixture(scope="session", autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what x2static makes for a user (the demo corpus) out of the real home."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("user-cache"))


@pytest.fixture(scope="session")
def run(user_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run `x2static ARGUMENTS` in a process of its own; with `kill=(where, moment, n)` it dies there by kill -9."""
    forks = Forks(tmp_path_factory.mktemp("forks"), {})

    def call(*arguments: str | Path, kill: tuple[str, str, int] | None = None) -> Ran:
        return Ran(*forks.run(*map(str, arguments), **({"kill": kill} if kill else {})))

    yield call
    forks.close()


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_teacher(tmp_path_factory.mktemp("teacher"), "bert", 128).folder)


@pytest.fixture(scope="session")
def encode_options(teacher: str) -> tuple[str, ...]:
    """The beginning of the demo corpus, in five units of 100 paragraphs."""
    return ("--model", teacher, "--corpus", "demo", "--unit", "100", "--limit", "500", "--min-sentences", "1")


@pytest.fixture(scope="session")
def small_cache(run: Run, encode_options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of five shards that was encoded without interruption."""
    folder = tmp_path_factory.mktemp("small") / "cache"
    done = run("encode", *encode_options, "--cache", folder)
    assert done.status == 0, done.said
    return folder
