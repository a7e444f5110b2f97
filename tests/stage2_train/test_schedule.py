"""The learning rate at a position, against values computed by hand, and in training."""

import signal
from pathlib import Path

import pytest

from tests.stage2_train.caches import config, result
from tests.stage2_train.driver import at
from tests.stage2_train.test_resume import drive
from x2static.durable.errors import Interrupted, X2StaticError
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.adam import RowAdam
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.objectives.objective import Targets
from x2static.stage2_train.schedule import Schedule, check_warmup
from x2static.stage2_train.trainer import train


def schedule(**changes: object) -> Schedule:
    """Two epochs of 500 words at 0.1, unless said otherwise."""
    values = {"lr": 0.1, "epochs": 2, **changes}
    return Schedule.of(config(Path("cache"), Path("out"), **values), 500)


def test_a_constant_rate_is_the_rate_asked_for_to_the_bit():
    assert {schedule().at(words) for words in (0, 1.5, 500, 999.5, 5000)} == {0.1}


@pytest.mark.parametrize(("words", "rate"), [(0, 0.1), (250, 0.075), (500, 0.05), (900, 0.01), (1000, 0), (1001, 0)])
def test_a_linear_rate_falls_to_zero_at_the_end(words: int, rate: float):
    assert schedule(schedule="linear").at(words) == pytest.approx(rate, abs=1e-15)


@pytest.mark.parametrize(
    ("words", "rate"), [(0, 0.1), (250, 0.08535533905932738), (500, 0.05), (750, 0.014644660940672627), (1000, 0)]
)
def test_a_cosine_rate_falls_to_zero_along_half_a_cosine(words: int, rate: float):
    assert schedule(schedule="cosine").at(words) == pytest.approx(rate, abs=1e-15)


@pytest.mark.parametrize(
    ("kind", "rates"),
    [
        ("constant", [0.0, 0.04, 0.1, 0.1, 0.1]),
        ("linear", [0.0, 0.04, 0.1, 0.05, 0.0]),
        ("cosine", [0.0, 0.04, 0.1, 0.05, 0.0]),
    ],
)
def test_a_warm_up_rises_from_zero_and_the_fall_begins_behind_it(kind: str, rates: list[float]):
    warm = schedule(schedule=kind, warmup=0.5)
    assert [warm.at(words) for words in (0, 100, 250, 625, 1000)] == pytest.approx(rates, abs=1e-15)


@pytest.mark.parametrize("epochs", [1, 2, 7])
def test_the_warm_up_is_counted_in_epochs_and_does_not_depend_on_their_number(epochs: int):
    assert schedule(warmup=0.5, epochs=epochs).at(100) == pytest.approx(0.04)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rate of every step that is taken."""
    seen: list[float] = []
    learn = Learner.learn

    def spy(self: Learner, targets: Targets) -> float:
        seen.append(self.adam.lr)
        return learn(self, targets)

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


def test_the_optimiser_moves_by_the_rate_of_the_schedule(cache: Path, tmp_path: Path, rates: list[float]):
    train(config(cache, tmp_path / "falling", schedule="cosine", warmup=0.2))
    by_hand = iter(list(rates))
    update = RowAdam.update

    def update_by_hand(self: RowAdam, *arguments: object) -> None:
        self.lr = next(by_hand)
        update(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowAdam, "update", update_by_hand)
        train(config(cache, tmp_path / "by hand"))
    assert next(by_hand, None) is None
    assert result(tmp_path / "falling") == result(tmp_path / "by hand")


SCHEDULE = {"schedule": "cosine", "warmup": 0.3}


def test_a_run_under_a_schedule_killed_in_the_middle_goes_on_to_the_same_bytes(cache: Path, tmp_path: Path):
    train(config(cache, tmp_path / "whole", **SCHEDULE))
    for event, n in (("kill-batch", 4), ("kill-batch", 17)):  # within the warm-up, and behind it
        wish = config(cache, tmp_path / f"killed at {n}", checkpoint_minutes=0, **SCHEDULE)
        assert drive(wish, event, n).returncode == -9
        assert train(wish)["resumed"]
        assert result(wish.out) == result(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_other_epochs_are_refused_by_name_where_the_schedule_depends_on_the_end(
    cache: Path, tmp_path: Path, kind: str, epochs: int
):
    out = tmp_path / "run"
    train(config(cache, out, schedule=kind))
    with pytest.raises(X2StaticError) as caught:
        train(config(cache, out, schedule=kind, epochs=epochs))
    assert f"epochs: 2 there, {epochs} here" in str(caught.value)
    assert "cannot go on behind it" in str(caught.value)
    assert "another --out" in str(caught.value)
    assert "--continue" in str(caught.value)
    assert train(config(cache, out, schedule=kind))["finished_before"]


def test_other_epochs_are_refused_in_the_middle_of_a_schedule_too(cache: Path, tmp_path: Path):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Learner, "learn", at(4, lambda: signal.raise_signal(signal.SIGINT), Learner.learn))
        train(config(cache, out, schedule="linear"))
    with pytest.raises(X2StaticError, match="epochs: 2 there, 3 here"):
        train(config(cache, out, schedule="linear", epochs=3))


def test_a_run_with_a_constant_rate_and_a_warm_up_grows_by_epochs(cache: Path, tmp_path: Path):
    train(config(cache, tmp_path / "at once", warmup=0.5, epochs=3))
    train(config(cache, tmp_path / "run", warmup=0.5, epochs=1))
    assert train(config(cache, tmp_path / "run", warmup=0.5, epochs=3))["resumed"]
    assert result(tmp_path / "run") == result(tmp_path / "at once")


def test_another_schedule_is_refused_and_the_epochs_that_only_one_of_them_counts_are_not_named(
    cache: Path, whole_run: Path
):
    with pytest.raises(X2StaticError) as caught:
        train(config(cache, whole_run, schedule="linear"))
    assert "schedule: 'constant' there, 'linear' here" in str(caught.value)
    assert "epochs" not in str(caught.value)


@pytest.mark.parametrize("warmup", [2.0, 5.0])
def test_a_warm_up_as_long_as_the_training_is_refused_and_leaves_no_folder(cache: Path, tmp_path: Path, warmup: float):
    with pytest.raises(X2StaticError, match=rf"--warmup {warmup:g} is not shorter .*--epochs 2.*less warm-up"):
        train(config(cache, tmp_path / "run", warmup=warmup))
    assert not (tmp_path / "run").exists()


def test_the_closed_form_has_no_steps_and_ignores_their_settings(cache: Path, tmp_path: Path):
    wish = {"objective": "closed-form", "epochs": 1}
    train(config(cache, tmp_path / "plain", **wish))
    train(config(cache, tmp_path / "settings", schedule="linear", warmup=9, lr=7, **wish))
    assert result(tmp_path / "plain") == result(tmp_path / "settings")
    again = {**wish, "epochs": 3}  # one pass, whatever is asked
    assert train(config(cache, tmp_path / "settings", schedule="linear", warmup=9, lr=7, **again))["finished_before"]
    check_warmup(config(cache, tmp_path, warmup=9, **wish))


def test_run_json_tells_the_schedule(cache: Path, tmp_path: Path):
    train(config(cache, tmp_path / "run", epochs=1, **SCHEDULE))
    told = WordVectors.load(tmp_path / "run").run["configuration"]
    assert {name: told[name] for name in SCHEDULE} == SCHEDULE
