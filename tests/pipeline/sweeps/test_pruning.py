"""Which trials are hopeless: a matter of arithmetic."""

import math
from pathlib import Path

import pytest

from x2static.pipeline.sweeps.sweep import comparable, hopeless
from x2static.schemas.training import TrainConfig

BEGIN = 11 * math.log(2)  # the loss of zeros, with ten negatives
OTHERS = [[BEGIN - 1], [BEGIN - 2, 3.0], [BEGIN - 2], [BEGIN - 3]]  # the median has learned 2


@pytest.mark.parametrize(("learned", "stops"), [(0.99, True), (1.01, False), (2.5, False), (-1, True)])
def test_a_trial_that_learned_less_than_half_of_the_median_is_hopeless(learned: float, stops: bool):
    assert hopeless([BEGIN - learned], OTHERS, negatives=10) is stops


def test_few_others_at_the_same_epoch_prove_nothing():
    assert not hopeless([BEGIN], OTHERS[:3], negatives=10)
    assert not hopeless([BEGIN, BEGIN], OTHERS, negatives=10)


def test_where_nobody_learns_nobody_is_hopeless():
    assert not hopeless([BEGIN + 1], [[BEGIN + 1]] * 4, negatives=10)


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({"lr": 1.0, "epochs": 5, "batch_size": 7, "seed": 3, "schedule": "cosine"}, True),
        ({"negatives": 5}, False),
        ({"dim": 5}, False),
        ({"transform": "center"}, False),
        ({"noise_power": 1.0}, False),
        ({"subsample": 0.0}, False),
        ({"min_count": 1}, False),
    ],
)
def test_losses_are_compared_only_where_they_mean_the_same(changes: dict[str, object], alike: bool):
    one = TrainConfig(cache=Path("c"), out=Path("a"))
    other = TrainConfig.model_validate({"cache": Path("c"), "out": Path("b"), **changes})
    assert (comparable(one) == comparable(other)) is alike
