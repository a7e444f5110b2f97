"""The learning rate at a position, against values computed by hand, and in training."""

from pathlib import Path

import pytest

from tests.stage2_train.caches import config
from tests.stage2_train.driver import stop_at
from x2static.durable.errors import X2StaticError
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.trainer import learning_rate, train

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
    assert [learning_rate(one, 0.1, kind, warmup, 1000) for one in words] == pytest.approx(rates, abs=1e-15)
    assert learning_rate(700, 0.1, kind, warmup, 1000) == 0.1 or kind != "constant"  # to the bit


def test_no_step_is_wasted_at_rate_zero_neither_the_first_nor_the_last(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rates: list[float] = []
    learn = Learner.learn
    monkeypatch.setattr(Learner, "learn", lambda self, targets, lr: rates.append(lr) or learn(self, targets, lr))
    train(config(cache, tmp_path / "run", schedule="linear", warmup=0.5))
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[0] < 0.1 * max(rates)
    assert 0 < rates[-1] < 0.1 * max(rates)
    assert 0.9 * 0.01 < max(rates) <= 0.01
    assert peak / len(rates) == pytest.approx(0.25, abs=0.07)  # half of the first of two epochs


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
        with pytest.raises(X2StaticError, match=rf"epochs: 2 there, {epochs} here.*another --out"):
            train(wish.model_copy(update={"epochs": epochs}))
    assert train(wish)["finished_before"] == (not stopped)
