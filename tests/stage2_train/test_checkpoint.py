"""However a run is stopped, going on ends byte for byte where an uninterrupted run ends."""

import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.stage2_train.caches import config, result
from tests.stage2_train.conftest import single_thread
from tests.stage2_train.driver import at, drive
from x2static.durable.errors import Interrupted, X2StaticError
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import checkpoint, training
from x2static.stage2_train.checkpoint import TRANSFORM, RunFolder, checkpoints
from x2static.stage2_train.learner import Learner, Targets
from x2static.stage2_train.trainer import train

WHITENED = {"transform": "whiten", "dim": 20, "init": "closed-form"}


def stop_at(n: int, wish: TrainConfig, number: signal.Signals = signal.SIGINT) -> None:
    """Train until a signal in the n-th step of this call."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Learner, "learn", at(n, lambda: signal.raise_signal(number), Learner.learn))
        train(wish)


@pytest.fixture(scope="module")
def whitened_run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like `whole_run`, in a space that is fitted and from vectors that are computed."""
    out = tmp_path_factory.mktemp("whitened") / "run"
    with single_thread():
        train(config(cache, out, **WHITENED))
    return out


@pytest.mark.parametrize(
    ("event", "n", "minutes"),
    [
        ("kill-batch", 21, 60),  # in the second epoch: the checkpoint of the first epoch's end is left
        ("kill-batch", 9, 0),  # in the first, with a checkpoint after every batch
        ("kill-write", 5, 0),
        ("kill-commit", 5, 0),
    ],
)
def test_a_killed_run_goes_on_to_the_same_bytes(
    cache: Path, whole_run: Path, tmp_path: Path, event: str, n: int, minutes: float
):
    wish = config(cache, tmp_path / "run", checkpoint_minutes=minutes)
    killed = drive(wish, event, n)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (wish.out / "run.json").exists()
    leftovers = list((wish.out / "checkpoints").glob(".tmp-*"))
    assert len(leftovers) == event.startswith(("kill-write", "kill-commit"))
    assert train(config(cache, wish.out))["resumed"]
    assert result(wish.out) == result(whole_run)
    ours, theirs = WordVectors.load(wish.out).run, WordVectors.load(whole_run).run
    assert all(ours[key] == theirs[key] for key in ("losses", "steps", "targets"))
    assert not list((wish.out / "checkpoints").glob(".tmp-*"))


@pytest.mark.parametrize(
    ("event", "n", "minutes", "resumed", "fitted"),
    [
        ("kill-fit", 1, 60, False, False),  # the moments are added up, the transform is not written yet
        ("kill-begin", 1, 60, False, True),  # the transform is there, the first vectors are not
        ("kill-batch", 5, 60, False, True),  # no checkpoint yet
        ("kill-batch", 21, 60, True, True),
    ],
)
def test_a_killed_run_in_a_fitted_space_goes_on_to_the_same_bytes(
    cache: Path, whitened_run: Path, tmp_path: Path, event: str, n: int, minutes: float, resumed: bool, fitted: bool
):
    wish = config(cache, tmp_path / "run", checkpoint_minutes=minutes, **WHITENED)
    killed = drive(wish, event, n)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (wish.out / TRANSFORM).exists() == fitted
    assert train(config(cache, wish.out, **WHITENED))["resumed"] == resumed
    assert (wish.out / TRANSFORM).read_bytes() == (whitened_run / TRANSFORM).read_bytes()
    assert result(wish.out) == result(whitened_run)


def test_a_signal_while_the_contexts_are_added_up_stops_the_run_which_then_starts_over(
    cache: Path, whitened_run: Path, tmp_path: Path
):
    wish = config(cache, tmp_path / "run", **WHITENED)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=r"SIGTERM while the contexts were added up.*start over"):
        train(wish, report=lambda progress: signal.raise_signal(signal.SIGTERM))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert not (wish.out / TRANSFORM).exists()
    assert not train(wish)["resumed"]
    assert result(wish.out) == result(whitened_run)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_saves_the_state_and_the_run_goes_on_to_the_same_bytes(
    cache: Path, whole_run: Path, tmp_path: Path, name: str
):
    wish = config(cache, tmp_path / "run")
    stopped = drive(wish, name, 7)
    assert stopped.returncode == 130, stopped.stderr
    assert f"stopped by {name}; the state is saved in" in stopped.stderr
    assert [path.name for path in checkpoints(wish.out)] == ["0000000007"]
    assert train(wish)["resumed"]
    assert result(wish.out) == result(whole_run)


def test_a_run_stopped_again_and_again_ends_at_the_same_bytes_and_handlers_of_before_come_back(
    cache: Path, whole_run: Path, tmp_path: Path
):
    wish = config(cache, tmp_path / "run")
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    for _ in range(8):
        stop_at(3, wish)
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    train(wish)
    assert result(wish.out) == result(whole_run)


def test_a_signal_in_the_last_batch_lets_the_run_finish(cache: Path, whole_run: Path, tmp_path: Path):
    steps = WordVectors.load(whole_run).run["steps"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "learn", at(steps, lambda: signal.raise_signal(signal.SIGTERM), Learner.learn))
        train(config(cache, tmp_path / "run"))
    assert result(tmp_path / "run") == result(whole_run)


@pytest.mark.parametrize("damage", ["cut", "changed", "no state", "state cut", "other run", "shape", "all"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    cache: Path, whole_run: Path, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
):
    wish = config(cache, tmp_path / "run", checkpoint_minutes=0)
    stop_at(7, wish)
    older, newest = checkpoints(wish.out)
    tensors, state = newest / "state.safetensors", newest / "state.json"
    if damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-100])
    elif damage == "changed":
        data = bytearray(tensors.read_bytes())
        data[-100] ^= 1
        tensors.write_bytes(data)
    elif damage == "no state":
        state.unlink()
    elif damage == "state cut":
        state.write_bytes(state.read_bytes()[:-100])
    elif damage == "other run":
        state.write_text(state.read_text().replace('"lr": 0.01', '"lr": 0.02'))
    elif damage == "shape":
        old = checkpoint.hash_file(tensors)
        names = ("vectors", "first_moment", "second_moment")
        checkpoint.write_tensors(tensors, {name: torch.zeros(3, 2) for name in names})
        state.write_text(state.read_text().replace(old, checkpoint.hash_file(tensors)))
    else:
        for path in (older, newest):
            (path / "state.json").write_text("{}")
    assert train(wish)["resumed"] == (damage != "all")
    assert f"{newest}: the checkpoint is damaged" in caplog.text
    assert result(wish.out) == result(whole_run)
    assert len(checkpoints(wish.out)) == 2


class Clock:
    """A clock that goes on by twenty seconds for each step of the optimiser."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


def test_checkpoints_are_written_by_time(cache: Path, whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock, learn, save = Clock(), Learner.learn, RunFolder.save
    saved: list[int] = []

    def slow(self: Learner, targets: Targets, lr: float) -> float:
        clock.seconds += 20
        return learn(self, targets, lr)

    def spy(self: RunFolder, state: checkpoint.TrainingState, learner: Learner) -> Path:
        saved.append(state.steps)
        return save(self, state, learner)

    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(Learner, "learn", slow)
    monkeypatch.setattr(RunFolder, "save", spy)
    train(config(cache, tmp_path / "run", checkpoint_minutes=1.5))
    epoch = WordVectors.load(whole_run).run["steps"] // 2
    assert saved == [5, 10, epoch, epoch + 5, epoch + 10, 2 * epoch]  # after 100 s, and at the end of an epoch
    assert result(tmp_path / "run") == result(whole_run)


def test_a_full_disk_leaves_the_last_checkpoint_and_the_run_goes_on_after(cache: Path, whole_run: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run", checkpoint_minutes=0)

    def full() -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(checkpoint, "write_tensors", at(4, full, checkpoint.write_tensors))
        train(wish)
    assert [path.name for path in sorted((wish.out / "checkpoints").iterdir())] == ["0000000002", "0000000003"]
    assert train(wish)["resumed"]
    assert result(wish.out) == result(whole_run)


def test_tensors_written_are_those_that_safetensors_reads_and_a_full_device_is_an_oserror(tmp_path: Path):
    tensors = {"a": torch.randn(3, 5), "long name": torch.randn(7, 2).T}
    checkpoint.write_tensors(tmp_path / "x.safetensors", tensors)
    loaded = load_file(tmp_path / "x.safetensors")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    with pytest.raises(OSError) as caught:
        checkpoint.write_tensors(Path("/dev/full"), {"vectors": torch.zeros(1000, 100)})
    assert caught.value.errno == 28


def test_a_finished_run_grows_by_epochs_and_is_not_taken_for_finished_before_run_json_is_written(
    cache: Path, whole_run: Path, tmp_path: Path
):
    out = tmp_path / "run"
    first = train(config(cache, out, epochs=1))

    def fail(self: WordVectors, folder: Path) -> None:
        (folder / "vectors.safetensors").write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(WordVectors, "save", fail)
        train(config(cache, out, epochs=2))
    second = train(config(cache, out, epochs=2))
    assert (first["resumed"], second["resumed"]) == (False, True)
    assert second["epochs"] == 2
    assert result(out) == result(whole_run)


def test_training_needs_none_of_the_libraries_of_stage_one(cache: Path, whole_run: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run")
    alone = drive(wish, "lonely")
    assert alone.returncode == 0, alone.stderr
    assert result(wish.out) == result(whole_run)


def test_what_is_raised_after_an_epoch_ends_the_run_which_can_go_on_to_the_same_bytes(
    cache: Path, whole_run: Path, tmp_path: Path
):
    heard: list[list[float]] = []

    def enough(losses: list[float]) -> None:
        heard.append(list(losses))
        raise X2StaticError("enough")

    with pytest.raises(X2StaticError, match="enough"):
        train(config(cache, tmp_path / "run"), after_epoch=enough)
    assert not (tmp_path / "run" / "run.json").exists()

    assert train(config(cache, tmp_path / "run"), after_epoch=enough)["resumed"]
    assert result(tmp_path / "run") == result(whole_run)
    assert heard == [WordVectors.load(whole_run).run["losses"][:1]]
