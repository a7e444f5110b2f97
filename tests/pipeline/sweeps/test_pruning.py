"""Which trials are hopeless: a matter of arithmetic."""

import math
from pathlib import Path
from typing import Any

import pytest

from x2static.pipeline.sweeps.sweep import comparable, hopeless
from x2static.schemas.training import TrainConfig

BEGIN = 11 * math.log(2)  # the loss of zeros, with ten negatives
OTHERS = [[BEGIN - 1], [BEGIN - 2, 3.0], [BEGIN - 2], [BEGIN - 3]]  # the median has learned 2


@pytest.mark.parametrize(
    ("losses", "others", "stops"),
    [
        *(
            ([BEGIN - learned], OTHERS, stops)
            for learned, stops in ((0.99, True), (1.01, False), (2.5, False), (-1, True))
        ),
        ([BEGIN], OTHERS[:3], False),  # few others prove nothing
        ([BEGIN, BEGIN], OTHERS, False),  # nor do those that have not come as far
        ([BEGIN + 1], [[BEGIN + 1]] * 4, False),  # nobody learns
    ],
)
def test_a_trial_that_learned_less_than_half_of_the_median_is_hopeless(losses, others, stops: bool):
    assert hopeless(losses, others, BEGIN) is stops


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({"lr": 1.0, "epochs": 5, "batch_size": 7, "seed": 3, "schedule": "cosine"}, True),
        *(({name: value}, False) for name, value in (("negatives", 5), ("dim", 5), ("transform", "center"))),
        *(({name: value}, False) for name, value in (("noise_power", 1.0), ("subsample", 0.0), ("min_count", 1))),
    ],
)
def test_losses_are_compared_only_where_they_mean_the_same(changes: dict[str, Any], alike: bool):
    one = TrainConfig(cache=Path("c"), out=Path("a"))
    other = TrainConfig.model_validate({"cache": Path("c"), "out": Path("b"), **changes})
    assert (comparable(one) == comparable(other)) is alike
