"""The learning rate at a position, against values computed by hand, and in training."""

from pathlib import Path

import pytest

from tests.stage2_train.caches import config, result
from tests.stage2_train.driver import drive
from tests.stage2_train.test_checkpoint import stop_at
from x2static.durable.errors import X2StaticError
from x2static.stage2_train.learner import Learner, Targets
from x2static.stage2_train.schedule import Schedule
from x2static.stage2_train.trainer import train

COSINE = [0.1, 0.08535533905932738, 0.05, 0.014644660940672627, 0]


@pytest.mark.parametrize(
    ("kind", "warmup", "words", "rates"),
    [
        ("constant", 0, [0, 1.5, 500, 999.5, 5000], [0.1] * 5),
        ("linear", 0, [0, 250, 500, 900, 1000, 1001], [0.1, 0.075, 0.05, 0.01, 0, 0]),
        ("cosine", 0, [0, 250, 500, 750, 1000], COSINE),
        ("constant", 250, [0, 100, 250, 625, 1000], [0, 0.04, 0.1, 0.1, 0.1]),
        ("linear", 250, [0, 100, 250, 625, 1000], [0, 0.04, 0.1, 0.05, 0]),
        ("cosine", 250, [0, 100, 250, 625, 1000], [0, 0.04, 0.1, 0.05, 0]),
    ],
)
def test_a_rate_rises_in_the_warm_up_and_falls_by_its_kind(
    kind: str, warmup: float, words: list[float], rates: list[float]
):
    schedule = Schedule(0.1, kind, warmup, 1000)
    assert [schedule.at(one) for one in words] == pytest.approx(rates, abs=1e-15)
    assert schedule.at(700) == 0.1 or kind != "constant"  # to the bit


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rate of every step that is taken."""
    seen: list[float] = []
    learn = Learner.learn

    def spy(self: Learner, targets: Targets, lr: float) -> float:
        seen.append(lr)
        return learn(self, targets, lr)

    monkeypatch.setattr(Learner, "learn", spy)
    return seen


def test_no_step_is_wasted_at_rate_zero_neither_the_first_nor_the_last(cache: Path, tmp_path: Path, rates: list[float]):
    train(config(cache, tmp_path / "run", schedule="linear", warmup=0.5))
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[0] < 0.1 * max(rates)
    assert 0 < rates[-1] < 0.1 * max(rates)
    assert 0.9 * 0.01 < max(rates) <= 0.01
    assert peak / len(rates) == pytest.approx(0.25, abs=0.07)  # half of the first of two epochs


SCHEDULE = {"schedule": "cosine", "warmup": 0.3}


def test_a_run_under_a_schedule_killed_in_the_middle_goes_on_to_the_same_bytes(cache: Path, tmp_path: Path):
    train(config(cache, tmp_path / "whole", **SCHEDULE))
    for n in (4, 17):  # within the warm-up, and behind it
        wish = config(cache, tmp_path / f"killed at {n}", checkpoint_minutes=0, **SCHEDULE)
        assert drive(wish, "kill-batch", n).returncode == -9
        assert train(wish)["resumed"]
        assert result(wish.out) == result(tmp_path / "whole")


@pytest.mark.parametrize("stopped", [False, True])
def test_other_epochs_are_refused_by_name_where_the_schedule_depends_on_the_end(
    cache: Path, tmp_path: Path, stopped: bool
):
    wish = config(cache, tmp_path / "run", schedule="linear")
    if stopped:
        stop_at(4, wish)
    else:
        train(wish)
    for epochs in (1, 3):
        with pytest.raises(X2StaticError, match=rf"epochs: 2 there, {epochs} here.*--continue, with another --out"):
            train(wish.model_copy(update={"epochs": epochs}))
    assert train(wish)["finished_before"] == (not stopped)


def test_a_run_with_a_constant_rate_and_a_warm_up_grows_by_epochs(cache: Path, tmp_path: Path):
    train(config(cache, tmp_path / "at once", warmup=0.5, epochs=3))
    train(config(cache, tmp_path / "run", warmup=0.5, epochs=1))
    assert train(config(cache, tmp_path / "run", warmup=0.5, epochs=3))["resumed"]
    assert result(tmp_path / "run") == result(tmp_path / "at once")


def test_another_schedule_is_refused_and_the_epochs_that_only_one_of_them_counts_are_not_named(
    cache: Path, whole_run: Path
):
    with pytest.raises(X2StaticError, match="schedule: 'constant' there, 'linear' here") as caught:
        train(config(cache, whole_run, schedule="linear"))
    assert "epochs:" not in str(caught.value)


@pytest.mark.parametrize("warmup", [2, 2.5])
def test_a_warm_up_that_leaves_nothing_of_the_training_is_refused_but_not_of_a_closed_form(
    cache: Path, tmp_path: Path, warmup: float
):
    with pytest.raises(X2StaticError, match=rf"--warmup {warmup:g} is not shorter than the training \(--epochs 2\)"):
        train(config(cache, tmp_path / "run", warmup=warmup))
    assert not (tmp_path / "run").exists()
    assert train(config(cache, tmp_path / "run", warmup=warmup, objective="closed-form", schedule="cosine"))
