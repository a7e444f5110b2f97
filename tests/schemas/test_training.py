"""The configuration of stage two: --compat paper, and what is out of range."""

from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from x2static.schemas.training import PAPER, TrainConfig

TABLE_1 = {
    "objective": "negative-sampling",
    "transform": "none",
    "dim": None,
    "init": "uniform",
    "epochs": 1,
    "lr": 1e-3,
    "schedule": "constant",
    "warmup": 0.0,
    "negatives": 10,
    "negatives_mode": "target",
    "noise_power": 0.5,
    "subsample": 5e-6,
    "min_count": 10,
    "max_vocab": 750_000,
    "batch_size": 128,
}
FOLDERS = {"cache": Path("cache"), "out": Path("out")}


class OtherDefaults(TrainConfig):
    """What the configuration may become."""

    objective: str = "closed-form"
    transform: str = "whiten"
    dim: int | None = 64
    init: str = "zeros"
    epochs: int = 9
    lr: float = Field(default=0.5, gt=0)
    schedule: str = "cosine"
    warmup: float = 0.25
    negatives: int = 3
    negatives_mode: str = "shared"
    noise_power: float = 0.75
    subsample: float = 0.1
    min_count: int = 2
    max_vocab: int = 7
    batch_size: int = 1


def test_compat_paper_keeps_the_papers_values_whatever_the_defaults_are():
    values = OtherDefaults(**FOLDERS, compat="paper").model_dump()
    assert {name: values[name] for name in TABLE_1} == TABLE_1
    assert OtherDefaults(**FOLDERS).lr == 0.5
    assert dict(PAPER) == TABLE_1


def test_settings_that_are_asked_for_win_over_compat_paper():
    asked = {"lr": 0.25, "epochs": 3, "dim": 16, "schedule": "linear"}
    values = OtherDefaults(**FOLDERS, compat="paper", **asked).model_dump()
    assert {name: values[name] for name in TABLE_1} == {**TABLE_1, **asked}


def test_what_is_no_setting_of_the_paper_is_left_alone():
    config = TrainConfig(**FOLDERS, compat="paper", seed=4, vocab=Path("words.txt"))
    assert (config.seed, config.vocab, config.buffer_megabytes) == (4, Path("words.txt"), 512)


def test_a_configuration_read_back_is_the_same_one():
    config = OtherDefaults(**FOLDERS, compat="paper", epochs=4, continue_run=Path("run"))
    assert OtherDefaults.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0),
        ("lr", -1e-3),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("warmup", -0.5),
        ("warmup", float("inf")),
        ("noise_power", 1.5),
        ("noise_power", -0.1),
        ("schedule", "exponential"),
        ("compat", "gensim"),
    ],
)
def test_values_out_of_range_are_refused_by_name(name: str, value: object):
    with pytest.raises(ValidationError) as caught:
        TrainConfig.model_validate({**FOLDERS, name: value})
    assert [item["loc"] for item in caught.value.errors()] == [(name,)]
