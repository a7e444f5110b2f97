"""Trainings and sweeps on a real Ray: results are those of this machine's processes, and lost workers are made good."""

import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.pipeline.engines.test_parts import LONG, cache, command, whole  # noqa: F401 - fixtures
from tests.pipeline.ran import run_here
from tests.pipeline.sweeps.conftest import SMALL, stay_in_this_process
from tests.stage2_train.caches import config
from tests.stage2_train.test_parts import assert_same
from x2static.durable.errors import Interrupted, X2StaticError
from x2static.machine import remote
from x2static.machine.cluster import connect
from x2static.machine.processes import Place
from x2static.machine.progress import Progress, silent
from x2static.machine.remote import Cluster, RemoteChild
from x2static.pipeline.engines.parts import run_parts
from x2static.stage2_train.checkpoint import checkpoints
from x2static.stage2_train.parts import folder_of, train_in_parts
from x2static.stage2_train.vocabulary import Part

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def on_a_cluster() -> Iterator[None]:
    """A Ray of two processors on this machine; a command finds itself attached."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        with connect(None, cpus=2):
            yield


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A file of word pairs."""
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"w{i:02d}\tw{(i * 7 + 3) % 40:02d}\t{i * 13 % 11}\n" for i in range(40)))
    return file


def test_a_training_in_parts_on_ray_is_that_of_one_process(cache, whole, tmp_path, capsys):  # noqa: F811
    line = [*command(cache, tmp_path / "run", "--parts", "2", "--engine", "ray"), "--checkpoint-minutes", "60"]
    ran = run_here(capsys, line)
    assert ran.status == 0, ran.err
    assert_same(tmp_path / "run", whole)
    assert not (tmp_path / "run" / "parts").exists()


def sweep(cache: Path, pairs: Path, out: Path, *options: str) -> list[str]:  # noqa: F811
    line = ["sweep", "--cache", str(cache), "--data", str(pairs), "--out", str(out), *SMALL, "-p", "lr=1e-3,1e-2"]
    return [*line, "--negatives", "5", "--json", *options]


def records(out: Path) -> dict[str, dict[str, object]]:
    """What a sweep keeps of its trials, but for what it took."""
    of_trials = {file.name: json.loads(file.read_text()) for file in (out / "trials").glob("*.json")}
    for record in of_trials.values():
        del record["seconds"], record["xxh3"], record["figures"]
    return of_trials


def test_a_sweep_on_ray_leaves_what_one_on_this_machine_leaves(cache, pairs, tmp_path, capsys, monkeypatch):  # noqa: F811
    there = run_here(capsys, sweep(cache, pairs, tmp_path / "ray", "--engine", "ray", "--jobs", "2"))
    assert there.status == 0, there.err
    again = run_here(capsys, sweep(cache, pairs, tmp_path / "ray"))  # it goes on anywhere
    stay_in_this_process(monkeypatch)
    here = run_here(capsys, sweep(cache, pairs, tmp_path / "local"))
    assert here.status == 0, here.err
    assert records(tmp_path / "ray") == records(tmp_path / "local")
    assert here.json["best"]["score"] == there.json["best"]["score"] == again.json["best"]["score"]
    for trial in (tmp_path / "local" / "trials").glob("*/vectors.safetensors"):
        assert trial.read_bytes() == (tmp_path / "ray" / "trials" / trial.parent.name / trial.name).read_bytes()


def test_another_version_on_a_machine_is_refused_and_both_are_named(cache, tmp_path, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setattr(remote, "versions", lambda: {"torch": "9.9"})
    ran = run_here(capsys, command(cache, tmp_path / "run", "--parts", "2", "--jobs", "1", "--engine", "ray"))
    assert ran.status == 1
    assert "torch" in ran.err
    assert "there, 9.9 here" in ran.err
    assert "Traceback" not in ran.err


def test_gpus_that_no_machine_has_are_refused(cache, tmp_path, capsys):  # noqa: F811
    ran = run_here(capsys, command(cache, tmp_path / "run", "--engine", "ray", "--gpus-per-worker", "4"))
    assert ran.status == 1
    assert "error: --gpus-per-worker 4: no machine of the cluster has more than" in ran.err
    assert not (tmp_path / "run").exists()


@pytest.mark.exhaustive
def test_a_folder_that_a_machine_does_not_have_is_said(cache, tmp_path, monkeypatch):  # noqa: F811
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    place = Cluster.shared(1)
    child = place.start(print)
    gone.rmdir()
    with pytest.raises(X2StaticError, match=r"gone: machine .* of the cluster has no such folder"):
        place.ready([child])[0].receive()
    place.stop_all([child])


@pytest.mark.exhaustive
def test_a_part_whose_machine_is_gone_goes_on_on_another(cache, whole, tmp_path, caplog, monkeypatch):  # noqa: F811
    wish, children, killed = config(cache, tmp_path / "run", **LONG), list[RemoteChild](), list[bool]()
    start = Cluster.start
    monkeypatch.setattr(Cluster, "start", lambda *given: children.append(start(*given)) or children[-1])

    def kill(progress: Progress) -> None:
        if not killed and checkpoints(folder_of(wish, Part(0, 2))):
            ray.kill(children[0].actor)
            killed.append(True)

    with caplog.at_level(logging.WARNING):
        train_in_parts(wish, 2, partial(run_parts, place=Cluster.shared(2), at_once=2, report=kill))
    assert "part 1-of-2: its machine or the process there is gone" in caplog.text
    assert len(children) == 3
    assert_same(wish.out, whole)


@pytest.mark.exhaustive
def test_ctrl_c_saves_parts_on_a_cluster_and_they_go_on_here(cache, whole, tmp_path):  # noqa: F811
    wish = config(cache, tmp_path / "run", **{**LONG, "checkpoint_minutes": 60.0})

    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"stopped, the state of 2 parts saved in"):
        train_in_parts(wish, 2, partial(run_parts, place=Cluster.shared(2), at_once=2, report=interrupt))
    assert any(checkpoints(folder_of(wish, Part(number, 2))) for number in (0, 1))
    train_in_parts(wish, 2, partial(run_parts, place=Place(), at_once=2, report=silent))
    assert_same(wish.out, whole)


@pytest.mark.exhaustive
def test_a_trial_whose_worker_is_lost_is_tried_on_another_three_times_at_most(
    cache,  # noqa: F811
    pairs,
    tmp_path,
    capsys,
    monkeypatch,
):
    sent, send = list[str](), RemoteChild.send

    def send_and_kill(child: RemoteChild, message: object) -> None:
        send(child, message)
        if isinstance(message, tuple):
            sent.append(message[0].name)
            if sent.count(message[0].name) < (2 if message[0].name == "lr=0.001" else 4):
                ray.kill(child.actor)

    monkeypatch.setattr(RemoteChild, "send", send_and_kill)
    ran = run_here(capsys, sweep(cache, pairs, tmp_path / "sweep", "--engine", "ray"))
    assert ran.status == 0, ran.err
    assert sent.count("lr=0.001") == 2
    assert sent.count("lr=0.01") == 3
    assert (ran.json["complete"], ran.json["failed"]) == (1, 1)
    failed = json.loads((tmp_path / "sweep" / "trials" / "lr=0.01.json").read_text())
    assert "its machine or the process there is gone" in failed["error"]
