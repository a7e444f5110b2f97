"""The configuration of stage two: --compat paper, and what is out of range."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError, create_model

from x2static.schemas.training import PAPER, TrainConfig

FOLDERS = {"cache": Path("cache"), "out": Path("out")}
# Table 1 of the paper, and what its text and code say beside it.
TABLE_1 = {"epochs": 1, "lr": 1e-3, "batch_size": 128, "negatives": 10, "subsample": 5e-6}
VOCABULARY = {"min_count": 10, "max_vocab": 750_000}
SPACE = {"transform": "none", "dim": None, "init": "uniform", "schedule": "constant", "warmup": 0.0}
SAMPLING = {"objective": "negative-sampling", "negatives_mode": "target", "noise_power": 0.5}
NAN, INFINITE = float("nan"), float("inf")


# What the configuration may become.
OTHERS = ("closed-form", "center", 64, "zeros", 9, 0.5, "cosine", 0.25, 1, 3, "shared", 0.75, 0.1, 2, 7)
DEFAULTS = {name: (Any, value) for name, value in zip(PAPER, OTHERS, strict=True)}
OtherDefaults = create_model("OtherDefaults", __base__=TrainConfig, **DEFAULTS)


def test_compat_paper_keeps_the_papers_values_whatever_the_defaults_are_but_for_what_is_asked_for():
    assert {**TABLE_1, **VOCABULARY, **SPACE, **SAMPLING} == PAPER
    assert all(PAPER[name] != value for name, (_, value) in DEFAULTS.items())
    assert OtherDefaults(**FOLDERS).lr == 0.5
    settings = {"lr": 0.25, "epochs": 3, "dim": 16, "schedule": "linear"}
    for asked in ({}, settings):
        config = OtherDefaults(**FOLDERS, compat="paper", seed=4, continue_run=Path("run"), **asked)
        assert OtherDefaults.model_validate_json(config.model_dump_json()) == config
        values = config.model_dump()
        assert {name: values[name] for name in PAPER} == {**PAPER, **asked}
        assert (values["seed"], values["buffer_megabytes"]) == (4, 512)


def test_layers_have_one_form_however_they_are_given():
    given = {"0,last": "0+last", "last + 3+0, 0": "0+3+last", "12+2": "2+12", None: None}
    assert {text: TrainConfig(**FOLDERS, state_layers=text).state_layers for text in given} == given
    for wrong in ("", "0,", "first", "1.5", "-1"):
        with pytest.raises(ValidationError, match="layers"):
            TrainConfig(**FOLDERS, state_layers=wrong)


@pytest.mark.parametrize("name", ["lr", "warmup", "noise_power", "schedule", "compat"])
def test_values_out_of_range_are_refused_by_name(name):
    numbers = {"lr": (0, -1e-3, NAN, INFINITE), "warmup": (-0.5, INFINITE), "noise_power": (1.5, -0.1)}
    for value in numbers.get(name, ("gensim",)):
        with pytest.raises(ValidationError) as caught:
            TrainConfig.model_validate({**FOLDERS, name: value})
        assert [item["loc"] for item in caught.value.errors()] == [(name,)]
