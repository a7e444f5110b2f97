"""Parts in processes of this machine: killed, stopped, begun again; the vectors are those of one process."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.ran import run_here
from tests.pipeline.sweeps.conftest import start
from tests.stage2_train.caches import config, make_cache
from tests.stage2_train.conftest import single_thread
from tests.stage2_train.test_parts import POOL, assert_same
from x2static.durable.errors import Interrupted, X2StaticError
from x2static.machine.processes import Child, Place
from x2static.machine.progress import Progress, silent
from x2static.pipeline.engines.parts import TRIES, run_parts
from x2static.schemas.training import TrainConfig
from x2static.stage2_train.checkpoint import checkpoints
from x2static.stage2_train.parts import folder_of, train_in_parts
from x2static.stage2_train.trainer import train
from x2static.stage2_train.vocabulary import Part

LONG = {**POOL, "epochs": 6, "checkpoint_minutes": 0.0}  # 78 steps, each with a checkpoint


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cache(tmp_path_factory.mktemp("parts") / "cache", dim=16)


@pytest.fixture(scope="module")
def whole(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process, that nobody interrupted."""
    out = tmp_path_factory.mktemp("parts") / "whole"
    with single_thread():
        train(config(cache, out, **LONG))
    return out


class Watched(Place):
    """This machine, whose processes are known to the test."""

    def __init__(self) -> None:
        self.children: list[Child] = []

    def start(self, work: Callable[..., None], *arguments: Any) -> Child:
        self.children.append(super().start(work, *arguments))
        return self.children[-1]


def hand_out(place: Place, report: Callable[[Progress], None] = silent):
    return partial(run_parts, place=place, at_once=2, report=report)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the processes
    with single_thread():
        yield


@pytest.mark.exhaustive
def test_a_part_that_is_killed_goes_on_in_another_process(cache, whole, tmp_path, caplog):
    place, wish, seen = Watched(), config(cache, tmp_path / "run", **LONG), list[Progress]()

    def kill_the_second_once(progress: Progress) -> None:
        seen.append(progress)
        if len(place.children) == 2 and checkpoints(folder_of(wish, Part(1, 2))):
            place.children[1].process.kill()
            place.children[1].process.join()
            place.children.append(place.children[0])  # once

    with caplog.at_level(logging.WARNING):
        train_in_parts(wish, 2, hand_out(place, kill_the_second_once))
    assert "part 2-of-2: its process was killed by SIGKILL" in caplog.text
    assert_same(wish.out, whole)
    assert len({id(child) for child in place.children}) == 3
    assert not any(child.process.is_alive() for child in place.children)
    assert 0 < seen[0].done <= seen[-1].done <= seen[-1].total
    assert not (wish.out / "parts").exists()


@pytest.mark.exhaustive
def test_ctrl_c_saves_all_parts_and_the_same_command_goes_on(cache, whole, tmp_path):
    place, wish = Watched(), config(cache, tmp_path / "run", **{**LONG, "checkpoint_minutes": 60.0})

    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"stopped, the state of 2 parts saved in .* run the same command again"):
        train_in_parts(wish, 2, hand_out(place, interrupt))
    assert [child.process.exitcode for child in place.children] == [0, 0] or any(
        child.process.exitcode == -signal.SIGTERM
        for child in place.children  # one that had not begun yet
    )
    assert any(checkpoints(folder_of(wish, Part(number, 2))) for number in (0, 1))
    train_in_parts(wish, 2, hand_out(Place()))
    assert_same(wish.out, whole)


class Dead:
    """A child that has died."""

    def receive(self) -> None:
        return None

    def death(self) -> str:
        return "its machine is gone"


class Failing(Dead):
    """A child that says what has gone wrong."""

    def receive(self) -> X2StaticError:
        return X2StaticError("shard 000003: is damaged")


class Graveyard(Place):
    """A place where every child comes to such an end."""

    def __init__(self, kind: type[Dead]) -> None:
        self.kind, self.begun = kind, list[Part]()

    def start(self, work: Callable[..., None], config: TrainConfig, part: Part, sharing: int) -> Any:
        self.begun.append(part)
        return self.kind()

    def ready(self, children: Any) -> Any:
        return children[:1]

    def stop_all(self, children: Any) -> None:
        return


def test_a_part_is_begun_three_times_at_most(cache, tmp_path):
    place = Graveyard(Dead)
    with pytest.raises(X2StaticError, match=r"part 1-of-2 has died 3 times, .* its machine is gone; run the same"):
        train_in_parts(config(cache, tmp_path / "run"), 2, hand_out(place))
    assert place.begun.count(Part(0, 2)) == TRIES


def test_what_a_part_says_has_gone_wrong_is_said_here(cache, tmp_path):
    with pytest.raises(X2StaticError, match=r"^shard 000003: is damaged$"):
        train_in_parts(config(cache, tmp_path / "run"), 2, hand_out(Graveyard(Failing)))


OPTIONS = ("--compat", "paper", "--min-count", "20", "--subsample", "0.02", "--batch-size", "32", "--negatives", "5")
OPTIONS += ("--negatives-mode", "shared", "--pool", "32", "--lr", "1e-2", "--buffer-megabytes", "1", "--epochs", "6")


def command(cache: Path, out: Path, *options: str) -> list[str]:
    return ["train", "--cache", str(cache), "--out", str(out), *OPTIONS, "--checkpoint-minutes", "0", *options]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--jobs", "2"], "--jobs is a number of --parts at a time"),
        (["--parts", "2", "--address", "auto"], "--address is for --engine ray"),
        (["--parts", "2", "--gpus-per-worker", "1"], "--gpus-per-worker is for --engine ray"),
        (["--parts", "0"], "--parts"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(cache, tmp_path, capsys, options, why):
    ran = run_here(capsys, [*command(cache, tmp_path / "run"), *options])
    assert ran.status == 2
    assert why in ran.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("objective", ["closed-form", "sentence"])
def test_objectives_that_have_no_parts_say_so_in_one_line(cache, tmp_path, capsys, objective):
    line = ["train", "--cache", cache, "--out", tmp_path / "run", "--objective", objective, "--parts", "2"]
    ran = run_here(capsys, line)
    assert ran.status == 1
    assert ran.err.count("\n") == 1
    assert f"error: --parts 2: {objective} cannot be trained in parts" in ran.err


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("send", "status"),
    [
        pytest.param(lambda process: os.killpg(process.pid, signal.SIGINT), 130, id="Ctrl-C, to the group"),
        pytest.param(lambda process: process.terminate(), 130, id="SIGTERM"),
        pytest.param(lambda process: process.kill(), -signal.SIGKILL, id="kill -9 of the driver"),
    ],
)
def test_a_command_that_is_stopped_goes_on(cache, whole, tmp_path, send, status):
    line = command(cache, tmp_path / "run", "--parts", "3", "--jobs", "2")
    process = start(line)
    wait_for_checkpoint(process, tmp_path / "run" / "parts")
    send(process)
    _, errors = process.communicate()
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    again = start(line)
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    assert_same(tmp_path / "run", whole)


def wait_for_checkpoint(process: "subprocess.Popen[str]", parts: Path) -> None:
    while not list(parts.glob("*/checkpoints/0*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
