"""Encoders on a Ray cluster of several nodes, all on this machine: whatever dies, the cache is that of one process."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stage1_encode.conftest import Readers, readers  # noqa: F401
from tests.stage1_encode.runs import config_of, files_of, paragraphs, run, write_lines
from x2static.machine.cluster import connect
from x2static.pipeline.engines.registry import find_engine
from x2static.schemas.encoding import EncodeConfig
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.worker import Job, Tell, Worker

Load = Callable[[], Worker]
NODE = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lines(tmp_path_factory.mktemp("corpus") / "text.txt", paragraphs(24))


@pytest.fixture
def config(readers: Readers, corpus: Path, tmp_path: Path) -> EncodeConfig:  # noqa: F811
    """Six units for two encoders."""
    return config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", unit=4, encoders=2)


@pytest.fixture(scope="module")
def once(readers: Readers, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:  # noqa: F811
    """The files of a cache that one process made."""
    folder = tmp_path_factory.mktemp("once") / "cache"
    run(readers("bert").teacher.folder, corpus, folder, unit=4)
    return files_of(folder)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of three nodes, of one core each."""
    from ray.cluster_utils import Cluster

    whole = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        for _ in range(2):
            whole.add_node(**NODE)
        with connect(whole.address):
            yield whole
    finally:
        whole.shutdown()


def test_a_killed_worker_and_then_a_node(cluster, config, once):
    done: list[int] = []

    def engine(load: Load, jobs: Iterable[Job], tell: Tell) -> Any:
        for staged in find_engine("ray", config, ())(load, jobs, tell):
            done.append(staged.job.shard)
            yield staged

    encode(config, engine=engine)
    assert sorted(done) == list(range(6))
    assert files_of(config.cache) == once
