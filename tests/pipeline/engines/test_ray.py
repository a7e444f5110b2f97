"""Encoders on a Ray cluster of several nodes, all on this machine: whatever dies, the cache is that of one process."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.pipeline.engines.trouble import failing_teacher
from tests.stage1_encode.conftest import Readers, copy_of, readers  # noqa: F401
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, write_lines
from x2static.durable.errors import X2StaticError
from x2static.machine import packages
from x2static.machine.cluster import connect
from x2static.machine.remote import RemoteChild
from x2static.pipeline.cli import run as command_line
from x2static.pipeline.engines.registry import find_engine
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.worker import Job, Tell, Worker

Load = Callable[[], Worker]
NODE = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
N_UNITS = 8


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of three nodes, of one core each; a test that takes one away adds another."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # else workers starve where other tests run
        cluster = Cluster(initialize_head=True, head_node_args=NODE)
        try:
            for _ in range(2):
                cluster.add_node(**NODE)
            with connect(cluster.address):
                yield cluster
        finally:
            cluster.shutdown()


def node_of(cluster: Any, pid: int) -> Any:
    """Return the node that a worker runs on: its raylet started it."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    by_raylet = {node.all_processes["raylet"][0].process.pid: node for node in cluster.list_all_nodes()}
    return by_raylet[parent]


@pytest.mark.parametrize("with_node", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
def test_a_killed_worker_s_units_go_to_others_and_those_of_a_lost_node(cluster, config, once, monkeypatch, with_node):
    children: list[RemoteChild] = []
    original = RemoteChild.__init__

    def remembered(self: RemoteChild, *arguments: Any) -> None:
        original(self, *arguments)
        children.append(self)

    monkeypatch.setattr(RemoteChild, "__init__", remembered)
    done: list[int] = []

    def engine(load: Load, jobs: Iterable[Job], tell: Tell) -> Any:
        for staged in find_engine("ray", config, ())(load, jobs, tell):
            done.append(staged.job.shard)
            shard = config.cache / "shards" / f"{staged.job.shard:06d}"
            assert not shard.exists(), "what is staged is no shard until the driver says so"
            if len(done) == 1:
                os.kill(next(child.pid for child in children if child.pid), signal.SIGKILL)
            if len(done) == 3 and with_node:
                taken = [
                    node_of(cluster, child.pid)
                    for child in children[1:]
                    if Path(f"/proc/{child.pid}").exists() and child.pid
                ]
                cluster.remove_node(next(node for node in taken if not node.head), allow_graceful=False)
                cluster.add_node(**NODE)
            yield staged

    figures = encode(config, engine=engine)
    assert sorted(done) == list(range(N_UNITS)), "no unit twice"
    assert (figures["shards"], figures["shards_resumed"]) == (N_UNITS, 0)
    assert files_of(config.cache) == once
    assert len(children) > 2, "another encoder was started"


@pytest.mark.exhaustive
def test_when_the_driver_is_killed_its_actors_end_and_the_next_call_goes_on(cluster, config, once):
    place = ["x2static.stage1_encode.encode:commit_folder", "before", "3"]
    options = [*as_options(config), "--no-word-states", "--engine", "ray", "--address", cluster.address]
    options[options.index("--encoders") + 1] = "3"  # all that the cluster holds
    killed = subprocess.run([sys.executable, "-m", "tests.killing", *place, *options], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((config.cache / "shards").glob("0*"))) == 2
    again = subprocess.run([sys.executable, "-m", "x2static", *options], cwd=ROOT, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert files_of(config.cache) == once


@pytest.mark.exhaustive
def test_a_driver_that_is_terminated_saves_and_says_nothing_of_ray_s(cluster, config, once):
    options = [*as_options(config), "--no-word-states", "--engine", "ray", "--address", "auto"]
    command, env = [sys.executable, "-m", "x2static", *options], os.environ | {"RAY_ADDRESS": cluster.address}
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=env)
    while not any((config.cache / "shards").glob("0*")):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    lines = process.communicate()[1].splitlines()
    assert process.returncode == 130
    assert "units saved" in lines[-1]
    assert [line for line in lines[:-1] if not line.startswith(("encode: ", "precision: ", str(config.model)))] == []
    assert not list((config.cache / "shards").glob(".tmp-*"))


@pytest.mark.exhaustive
def test_a_unit_that_fails_three_times_is_left_out_and_named(cluster, readers, tmp_path):  # noqa: F811
    bad = failing_teacher(readers("bert").teacher.folder, teacher := tmp_path / "teacher")
    texts = [*paragraphs(9), bad, *paragraphs(14, seed=1)]
    config = config_of(teacher, write_lines(tmp_path / "t.txt", texts), tmp_path / "cache", unit=4, encoders=2)
    resumed: list[int] = []

    def engine(load: Load, jobs: list[Job], tell: Tell) -> Any:
        resumed.append(6 - len(jobs))
        return find_engine("ray", config, ())(load, jobs, tell)

    for _ in range(2):
        with pytest.raises(X2StaticError, match=r"1 unit could not be encoded: unit 2 \(.*t\.txt, unit 2: .*finite"):
            encode(config, engine=engine)
    assert resumed == [0, 5]


def changed_weights(teacher: Path) -> None:
    file = teacher / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def moved(teacher: Path) -> None:
    teacher.rename(teacher.with_name("moved"))


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("happens", "said"), [(moved, r"model .*: no such folder"), (changed_weights, r".*weights: '\w+\.\.\.' != ")]
)
def test_a_machine_without_the_teacher_is_named(cluster, config, copy_of, happens, said):  # noqa: F811
    config = config.model_copy(update={"model": str(copy_of("bert")), "encoders": 1})

    def engine(load: Load, jobs: Iterable[Job], tell: Tell) -> Any:
        happens(Path(config.model))
        return find_engine("ray", config, ())(load, jobs, tell)

    with pytest.raises(X2StaticError, match=rf"^machine \S+ of the cluster: {said}"):
        encode(config, engine=engine)


@pytest.mark.exhaustive
def test_a_machine_that_does_not_see_the_cache_is_named(cluster, config, monkeypatch):
    monkeypatch.setattr(Path, "touch", lambda self: None)  # as if it was made on a disk of the driver's own
    with pytest.raises(X2StaticError, match=r"^machine \S+ of the cluster: --cache .*not the folder that"):
        encode(config, engine=find_engine("ray", config, ()))


@pytest.mark.exhaustive
def test_a_machine_with_other_versions_is_refused_and_both_are_named(cluster, config, tmp_path):
    other = tmp_path / "site" / "transformers-0.0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 0.0.1\n")
    path = os.pathsep.join([str(other.parent), os.environ.get("PYTHONPATH", "")])
    node = cluster.add_node(**NODE, resources={"odd": 1}, env_vars={"PYTHONPATH": path})
    takes = {"num_cpus": 1, "resources": {"odd": 1}}
    try:
        with pytest.raises(X2StaticError, match=r"^machine \S+ of the cluster: transformers 0\.0\.1 there, \d.*here"):
            encode(config, engine=find_engine("ray", config, (), takes=takes))
    finally:
        cluster.remove_node(node)


def test_more_encoders_than_the_cluster_holds_are_refused(cluster, config):
    from x2static.pipeline.engines.ray import sized

    assert sized(config, None, 1.0)[0].encoders == 3
    with pytest.raises(X2StaticError, match=r"--encoders 40: the cluster holds 3 encoders"):
        sized(config, 40, 1.0)
    with pytest.raises(X2StaticError, match=r"no machine of the cluster has 1 GPUs"):
        sized(config.model_copy(update={"device": "cuda"}), None, 1.0)


@pytest.mark.exhaustive
def test_a_new_cache_is_as_the_cluster_s_gpus_compute_where_the_driver_has_none(cluster, config):
    from x2static.pipeline.engines.ray import sized

    open_config = config.model_copy(update={"precision": "auto", "device": "auto", "encoders": 1})
    node = cluster.add_node(**NODE, num_gpus=1)  # Ray is told so: the tests' machine has none
    try:
        chosen, takes = sized(open_config, None, 1.0)
        assert (chosen.encoders, takes) == (1, {"num_gpus": 1.0, "num_cpus": 1.0})
        assert chosen.backend == "torch" and chosen.precision != "auto"
        assert encode(chosen, engine=find_engine("ray", chosen, (), takes=takes))["shards"] == N_UNITS
    finally:
        cluster.remove_node(node)


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1", "nobody.invalid:6379", "ray://there:1"])
def test_without_a_cluster_at_the_address_it_is_said_at_once(config, address, capsys, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", cache(set))  # that of these tests is not seen
    assert command_line([*as_options(config), "--engine", "ray", "--address", address]) == 1
    assert f"error: --address {address}: " in capsys.readouterr().err
    assert not config.cache.exists()


def test_without_ray_its_extra_is_named(config, capsys, monkeypatch):
    original = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "ray" else original(name))
    assert command_line([*as_options(config), "--engine", "ray"]) == 1
    assert "this needs ray: " in (said := capsys.readouterr().err) and "[ray]" in said


def test_options_of_ray_are_not_taken_for_another_engine(config, capsys):
    assert command_line([*as_options(config), "--address", "auto"]) == 2
    assert "--address is for --engine ray" in capsys.readouterr().err
