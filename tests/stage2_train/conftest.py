"""A cache, and an uninterrupted run on it that all the interrupted ones must equal."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.stage2_train.caches import config, make_cache
from x2static.stage2_train.trainer import train


@contextmanager
def single_thread() -> Iterator[None]:
    """Equal bytes are promised for equal numbers of threads, and tiny matrices want one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards, not to be changed."""
    return make_cache(tmp_path_factory.mktemp("stage2") / "cache")


@pytest.fixture(scope="session")
def whole_run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody interrupted, not to be changed."""
    out = tmp_path_factory.mktemp("stage2") / "run"
    with single_thread():
        train(config(cache, out))
    return out


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of 16 dimensions whose contexts have a common mean, not to be changed."""
    return make_cache(tmp_path_factory.mktemp("stage2") / "small", dim=16)


@pytest.fixture
def cache_copy(cache: Path, tmp_path: Path) -> Path:
    """The same cache, free to be changed."""
    return Path(shutil.copytree(cache, tmp_path / "cache"))
