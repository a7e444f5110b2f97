"""The command line as a user runs it, and the cache that several tests start from: the demo corpus, a tiny teacher."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pipeline.ran import Ran
from tests.stage1_encode.forks import Forks
from tests.teachers import make_teacher

Run = Callable[..., Ran]


@pytest.fixture(scope="session", autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what x2static makes for a user (the demo corpus) out of the real home."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("user-cache"))


@pytest.fixture(scope="session")
def run(user_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run `x2static ARGUMENTS` in a process of its own; with `kill=(where, moment, n)` it dies there by kill -9.

    `out` holds all that it printed and logged.
    """
    forks = Forks(tmp_path_factory.mktemp("forks"), {})
    yield lambda *arguments, **kill: Ran(*forks.run(*map(str, arguments), **kill), err="")
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
    assert done.status == 0, done.out
    return folder
