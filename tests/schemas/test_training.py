"""The configuration of stage two: --compat paper, and what is out of range."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from x2static.schemas.training import PAPER, TrainConfig

FOLDERS = {"cache": Path("cache"), "out": Path("out")}
# Table 1 of the paper, and what its text and code say beside it.
TABLE_1 = {"epochs": 1, "lr": 1e-3, "batch_size": 128, "negatives": 10, "subsample": 5e-6}
VOCABULARY = {"min_count": 10, "max_vocab": 750_000}
SPACE = {"transform": "none", "dim": None, "init": "uniform", "schedule": "constant", "warmup": 0.0}
SAMPLING = {"objective": "negative-sampling", "negatives_mode": "target", "noise_power": 0.5}
NAN, INFINITE = float("nan"), float("inf")


class OtherDefaults(TrainConfig):
    """What the configuration may become."""

    objective: str = "closed-form"
    transform: str = "center"
    dim: int | None = 64
    init: str = "zeros"
    epochs: int = 9
    lr: float = 0.5
    schedule: str = "cosine"
    warmup: float = 0.25
    negatives: int = 3
    negatives_mode: str = "shared"
    noise_power: float = 0.75
    subsample: float = 0.1
    min_count: int = 2
    max_vocab: int = 7
    batch_size: int = 1


def test_compat_paper_keeps_the_papers_values_whatever_the_defaults_are_but_for_what_is_asked_for():
    assert {**TABLE_1, **VOCABULARY, **SPACE, **SAMPLING} == PAPER
    changed = {name for name, field in OtherDefaults.model_fields.items() if PAPER.get(name, field) != field.default}
    assert changed >= PAPER.keys()
    assert OtherDefaults(**FOLDERS).lr == 0.5
    settings = {"lr": 0.25, "epochs": 3, "dim": 16, "schedule": "linear"}
    for asked in ({}, settings):
        values = OtherDefaults(**FOLDERS, compat="paper", seed=4, **asked).model_dump()
        assert {name: values[name] for name in PAPER} == {**PAPER, **asked}
        assert (values["seed"], values["buffer_megabytes"]) == (4, 512)


def test_a_configuration_read_back_is_the_same_one():
    config = OtherDefaults(**FOLDERS, compat="paper", epochs=4, continue_run=Path("run"))
    assert OtherDefaults.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "lr": (0, -1e-3, NAN, INFINITE),
        "warmup": (-0.5, INFINITE),
        "noise_power": (1.5, -0.1),
        "schedule": ("exponential",),
        "compat": ("gensim",),
    }.items(),
)
def test_values_out_of_range_are_refused_by_name(name, values):
    for value in values:
        with pytest.raises(ValidationError) as caught:
            TrainConfig.model_validate({**FOLDERS, name: value})
        assert [item["loc"] for item in caught.value.errors()] == [(name,)]
