"""However a run is stopped, going on ends byte for byte where an uninterrupted run ends."""

import functools
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from tests.schemas.caches import amend, change, flip_byte
from tests.stage1_encode.forks import shared_forks
from tests.stage1_encode.runs import as_options
from tests.stage2_train.caches import config, result
from tests.stage2_train.conftest import single_thread
from tests.stage2_train.stops import at, stop_at
from x2static.durable.arrays import write_arrays
from x2static.durable.errors import Interrupted, X2StaticError
from x2static.durable.storage import hash_file
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import checkpoint, trainer
from x2static.stage2_train.checkpoint import STATE, TENSORS, TRANSFORM, checkpoints
from x2static.stage2_train.learner import Learner, Targets
from x2static.stage2_train.trainer import train

LEARN = "x2static.stage2_train.learner:Learner.learn"
BEGIN = "x2static.stage2_train.objectives.negative_sampling:Objective.begin"
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "whitened": {"transform": "whiten", "dim": 20, "init": "closed-form"},
    "scheduled": {"schedule": "cosine", "warmup": 0.3},
    "continued": {"seed": 5},
    "closed form": {"objective": "closed-form"},
    "sentence": {"objective": "sentence", "transform": "center", "dim": 20, "init": "closed-form"},
}
Runs = Callable[[str, Path], tuple[TrainConfig, Path]]


@pytest.fixture(scope="module")
def runs(cache: Path, whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Gives the settings of a run of a kind in a folder, and the folder of one that nobody interrupted."""

    def settings(kind: str, out: Path) -> TrainConfig:
        return config(cache, out, **KINDS[kind], continue_run=whole_run if kind == "continued" else None)

    @functools.cache
    def whole(kind: str) -> Path:
        out = tmp_path_factory.mktemp("whole") / "run"
        with single_thread():
            train(settings(kind, out))
        return out

    return lambda kind, out: (settings(kind, out), whole_run if kind == "plain" else whole(kind))


KILLED = [
    ("plain", LEARN, 9, 0, True),  # in the first epoch, with a checkpoint after every batch
    ("whitened", LEARN, 21, 60, True),  # in the second epoch: the checkpoint of the first epoch's end is left
    ("scheduled", LEARN, 17, 0, True),
    ("sentence", LEARN, 11, 0, True),
    ("continued", LEARN, 4, 60, False),  # before its first checkpoint
]
ALSO_KILLED = [
    ("plain", LEARN, 21, 60, True),
    ("plain", "x2static.stage2_train.checkpoint:write_arrays", 5, 0, True),
    ("plain", "x2static.durable.storage:commit_folder", 5, 0, True),
    ("whitened", "x2static.stage2_train.transform:Transform.save", 1, 60, False),  # the moments are added up
    ("whitened", BEGIN, 1, 60, False),  # the transform is there, the first vectors are not
    ("scheduled", LEARN, 4, 0, True),  # within the warm-up
    ("continued", LEARN, 20, 60, True),
]
KILLED += [pytest.param(*case, marks=pytest.mark.exhaustive) for case in ALSO_KILLED]


@pytest.mark.parametrize(("kind", "where", "n", "minutes", "resumed"), KILLED)
def test_a_killed_run_goes_on(runs: Runs, tmp_path: Path, kind: str, where: str, n: int, minutes: float, resumed: bool):
    wish, whole = runs(kind, tmp_path / "run")
    options = as_options(wish.model_copy(update={"checkpoint_minutes": minutes}))
    status, output = shared_forks().run(*options, kill=(where, "before", n))
    assert status == -signal.SIGKILL, output
    assert not (wish.out / "run.json").exists()
    leftovers = list((wish.out / "checkpoints").glob(".tmp-*"))
    assert len(leftovers) == where.endswith(("write_arrays", "commit_folder"))
    assert (wish.out / TRANSFORM).exists() == (
        kind in ("whitened", "sentence") and not where.endswith("Transform.save")
    )
    assert train(wish)["resumed"] == resumed
    assert result(wish.out) == result(whole)
    ours, theirs = WordVectors.load(wish.out).run, WordVectors.load(whole).run
    assert all(ours[key] == theirs[key] for key in ("losses", "steps", "targets"))
    assert not list((wish.out / "checkpoints").glob(".tmp-*"))


@pytest.mark.parametrize("kind", ["whitened", "closed form"])
def test_a_signal_while_contexts_are_added_up_starts_over(runs: Runs, tmp_path: Path, kind: str):
    wish, whole = runs(kind, tmp_path / "run")
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=r"SIGTERM while the contexts were added up.*start over"):
        train(wish, report=lambda progress: signal.raise_signal(signal.SIGTERM))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert not (wish.out / TRANSFORM).exists()
    assert not train(wish)["resumed"]
    assert result(wish.out) == result(whole)


def test_a_run_stopped_by_signals_again_and_again_ends_at_the_same_bytes(cache: Path, whole_run: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run")
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    for times, number in enumerate([signal.SIGTERM, signal.SIGINT, signal.SIGINT], 1):
        assert f"stopped by {number.name}; the state is saved in" in stop_at(3, wish, number)
        assert checkpoints(wish.out)[-1].name == f"{3 * times:010d}"
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert train(wish)["resumed"]
    assert result(wish.out) == result(whole_run)


def test_a_signal_in_the_last_batch_lets_the_run_finish(cache: Path, whole_run: Path, tmp_path: Path):
    steps = WordVectors.load(whole_run).run["steps"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "learn", at(steps, lambda: signal.raise_signal(signal.SIGTERM), Learner.learn))
        train(config(cache, tmp_path / "run"))
    assert result(tmp_path / "run") == result(whole_run)


def change_shape(folder: Path) -> None:
    with (folder / TENSORS).open("wb") as file:
        write_arrays(file, dict.fromkeys(("vectors", "first_moment", "second_moment"), np.zeros((3, 2), np.float32)))
    amend(folder / STATE, tensors=hash_file(folder / TENSORS))


DAMAGE: list[Callable[[Path], Any]] = [
    lambda folder: flip_byte(folder / TENSORS),
    lambda folder: change(folder / STATE, None),
    lambda folder: change(folder / STATE, b'{"state": {'),
    lambda folder: change(folder / TENSORS, None),
    lambda folder: amend(folder / STATE, settings={}),  # another run's
    change_shape,
    lambda folder: [change(path / STATE, b"{}") for path in folder.parent.iterdir()],  # all
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    cache: Path, whole_run: Path, tmp_path: Path, damage: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
):
    wish = config(cache, tmp_path / "run", checkpoint_minutes=0)
    stop_at(7, wish)
    newest = checkpoints(wish.out)[-1]
    damage(newest)
    assert train(wish)["resumed"] == (damage != DAMAGE[-1])
    assert f"{newest}: the checkpoint is damaged" in caplog.text
    assert result(wish.out) == result(whole_run)
    assert len(checkpoints(wish.out)) == 2


def test_checkpoints_are_written_by_time(cache: Path, whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    learn, clock = Learner.learn, SimpleNamespace(seconds=1000.0, monotonic=lambda: clock.seconds)

    def slow(self: Learner, targets: Targets, lr: float) -> float:
        clock.seconds += 20
        return learn(self, targets, lr)

    monkeypatch.setattr(trainer, "time", clock)
    monkeypatch.setattr(Learner, "learn", slow)
    monkeypatch.setattr(checkpoint, "CHECKPOINTS_KEPT", 100)
    train(config(cache, tmp_path / "run", checkpoint_minutes=1.5))
    epoch = WordVectors.load(whole_run).run["steps"] // 2
    saved = [int(path.name) for path in checkpoints(tmp_path / "run")]
    assert saved == [5, 10, epoch, epoch + 5, epoch + 10, 2 * epoch]  # after 100 s, and at the end of an epoch
    assert result(tmp_path / "run") == result(whole_run)


def test_a_finished_run_grows_by_epochs(cache: Path, whole_run: Path, tmp_path: Path):
    out = tmp_path / "run"
    assert not train(config(cache, out, epochs=1))["resumed"]

    def fail(self: WordVectors, folder: Path, *others: str) -> None:
        (folder / "run.json").unlink()  # as `save` begins
        (folder / "vectors.safetensors").write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(WordVectors, "save", fail)
        train(config(cache, out, epochs=2))
    figures = train(config(cache, out, epochs=2))
    assert (figures["resumed"], figures["epochs"]) == (True, 2)
    assert result(out) == result(whole_run)


def test_what_is_raised_after_an_epoch_ends_the_run(cache: Path, whole_run: Path, tmp_path: Path):
    enough = Mock(side_effect=X2StaticError("enough"))
    with pytest.raises(X2StaticError, match="enough"):
        train(config(cache, tmp_path / "run"), after_epoch=enough)
    assert not (tmp_path / "run" / "run.json").exists()
    assert train(config(cache, tmp_path / "run"), after_epoch=enough)["resumed"]
    assert result(tmp_path / "run") == result(whole_run)
    enough.assert_called_once_with(WordVectors.load(whole_run).run["losses"][:1])


def test_a_checkpoint_that_cannot_be_written_leaves_those_before_it(cache: Path, whole_run: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run", checkpoint_minutes=0)
    full = Mock(side_effect=OSError(28, "No space left on device"))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(checkpoint, "write_arrays", at(4, full, write_arrays))
        train(wish)
    assert [path.name for path in sorted((wish.out / "checkpoints").iterdir())] == ["0000000002", "0000000003"]
    with single_thread():
        assert train(wish)["resumed"]
    assert result(wish.out) == result(whole_run)


def test_training_works_outside_the_main_thread(cache: Path, whole_run: Path, tmp_path: Path):
    with ThreadPoolExecutor(1) as thread, single_thread():
        thread.submit(train, config(cache, tmp_path / "run")).result()
    assert result(tmp_path / "run") == result(whole_run)
