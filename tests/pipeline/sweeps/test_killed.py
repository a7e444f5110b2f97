"""Sweeps that are killed or stopped, and run again: nothing is done twice, and the vectors are those of a whole run."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.sweeps.conftest import arguments, start, state_of
from tests.stage2_train.caches import config, result
from tests.stage2_train.conftest import single_thread
from x2static.stage2_train.trainer import train

EPOCHS = 60  # of a trial that is long enough to be met in the middle
SHORT, LONG = "epochs=1", f"epochs={EPOCHS}"
Sweeping = tuple["subprocess.Popen[str]", list[str]]


@pytest.fixture(scope="module")
def whole(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The vectors of the long trial, had nobody interrupted it."""
    out = tmp_path_factory.mktemp("whole") / "run"
    settings = {"epochs": EPOCHS, "min_count": 5, "subsample": 0, "batch_size": 16, "negatives": 10, "lr": 1e-3}
    with single_thread():
        train(config(cache, out, **settings, buffer_megabytes=512))
    return result(out)


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    return tmp_path / "out" / "trials"


@pytest.fixture
def met(cache: Path, data: Path, trials: Path) -> Iterator[Sweeping]:
    """A sweep whose first trial has ended and whose second has just written a checkpoint; and its command."""
    command = [*arguments(cache, data), "--out", str(trials.parent), "-p", f"epochs=1,{EPOCHS}"]
    process = start(command)
    wait_for_checkpoint(process, trials)
    assert (trials / f"{SHORT}.json").exists()
    yield process, command
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_for_checkpoint(process: "subprocess.Popen[str]", trials: Path) -> None:
    while not list(trials.glob(f"{LONG}/checkpoints/0*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def go_on(command: list[str]) -> str:
    """Run the sweep again, to its end; return what it says."""
    again = start(command)
    output, errors = again.communicate()
    assert again.returncode == 0, errors
    return output


@pytest.mark.exhaustive
def test_a_killed_sweep_goes_on_and_repeats_no_finished_trial(met, whole, trials):
    process, command = met
    process.kill()  # its trials are not killed: they end by themselves
    assert process.wait() == -signal.SIGKILL
    assert not (trials / f"{LONG}.json").exists()
    finished = state_of(trials / SHORT), (trials / f"{SHORT}.json").read_bytes()
    assert "2 complete" in go_on(command)
    assert (state_of(trials / SHORT), (trials / f"{SHORT}.json").read_bytes()) == finished
    assert "going on at epoch" in (trials / f"{LONG}.log").read_text()
    assert result(trials / LONG) == whole


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "send",
    [
        pytest.param(lambda process: os.killpg(process.pid, signal.SIGINT), id="Ctrl-C, to the group"),
        pytest.param(lambda process: process.terminate(), id="SIGTERM"),
    ],
)
def test_a_signal_stops_the_trials_with_their_state_saved(send, met, whole, trials):
    process, command = met
    send(process)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "run the same command again to go on" in errors
    assert "Traceback" not in errors
    assert not (trials / f"{LONG}.json").exists()
    go_on(command)
    assert result(trials / LONG) == whole


@pytest.mark.exhaustive
def test_a_trial_whose_process_is_killed_has_failed_and_the_next_gets_a_new_one(cache, data, trials):
    process = start([*arguments(cache, data), "--out", str(trials.parent), "-p", f"epochs={EPOCHS},1"])
    wait_for_checkpoint(process, trials)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(workers) == 1
    os.kill(int(workers[0]), signal.SIGKILL)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "1 complete, 1 failed" in output
    assert f"{LONG}: its process was killed by SIGKILL, perhaps for lack of memory" in output
