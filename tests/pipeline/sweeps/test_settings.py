"""Grids and spaces: what can be said, and what is refused."""

import re
from pathlib import Path

import pytest

from x2static.durable.errors import X2StaticError
from x2static.pipeline.sweeps.settings import Grid, Range, WrongGrid, contents_of, load_space, parse_grid, trial_name


def test_a_grid_is_every_combination_the_last_setting_changing_first():
    source = Grid(parse_grid(("lr=1e-3,1e-2", "negatives=5,10")))
    assert source.total == 4
    drawn = [draw.settings for draw in iter(source.ask, None)]
    assert drawn == [{"lr": lr, "negatives": negatives} for lr in (0.001, 0.01) for negatives in (5, 10)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr=1e-3, 0.001,1", [0.001, 1.0]),
        ("min-count=1,2", [1, 2]),
        ("dim=none,100", [None, 100]),
        ("transform=none,whiten", ["none", "whiten"]),
        ("vocab=None,words.txt", [None, "words.txt"]),
    ],
)
def test_values_are_those_of_the_setting(text: str, values: list[object]):
    (parsed,) = parse_grid((text,)).values()
    assert parsed == values
    assert [type(value) for value in parsed] == [type(value) for value in values]


def test_names_of_trials_are_readable_and_differ_where_settings_do():
    assert trial_name({"lr": 1e-3, "dim": None}, {}) == "lr=0.001,dim=none"
    rates, files = (0.00123456, 0.00123457), ("a/b", "a_b", "../" + "x" * 300, "../" + "x" * 301)
    names = [trial_name(one, {}) for one in [*({"lr": rate} for rate in rates), *({"vocab": file} for file in files)]]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 100 and "/" not in name for name in names)


def test_a_list_of_words_is_named_by_its_words_wherever_it_is(tmp_path: Path):
    first, moved, other = (tmp_path / name for name in ("a.txt", "b.txt", "c.txt"))
    for file, text in ((first, "the\nof\n"), (moved, "of\r\nthe\r\n\n"), (other, "the\n")):
        file.write_text(text, newline="")
    files = [str(file) for file in (first, moved, other)]
    contents = contents_of({"vocab": [None, *files], "lr": [1.0]})
    names = [trial_name({"vocab": file, "lr": 1.0}, contents) for file in files]
    assert names[0] == names[1] == f"vocab={contents[files[0]]},lr=1"
    assert names[2] != names[0]
    with pytest.raises(X2StaticError, match=r"absent\.txt"):
        contents_of({"vocab": [str(tmp_path / "absent.txt")]})


def test_a_space_is_choices_and_ranges(tmp_path: Path):
    file = tmp_path / "space.toml"
    ranges = "lr = {low = 1e-4, high = 1, log = true}\nnegatives = {low = 5, high = 20, step = 5}"
    file.write_text(f'{ranges}\ndim = ["none", 50]\n[min-count]\nlow = 1\nhigh = 9\n')
    assert load_space(file) == {
        "lr": Range(low=1e-4, high=1.0, log=True),
        "negatives": Range(low=5, high=20, step=5),
        "dim": [None, 50],
        "min_count": Range(low=1, high=9),
    }


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("cache=a,b", "no setting 'cache' to sweep over; there are objective, "),
        ("lr=0,1", "-p lr=0,1: lr cannot be '0': input should be greater than 0"),
        ("negatives=none", "negatives cannot be 'none'"),
        ("lr=1,,2", "expected name=value,value"),
        ("lr=1 lr=2", "lr is given twice"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(texts: str, said: str):
    with pytest.raises(WrongGrid, match=re.escape(said)):
        parse_grid(tuple(texts.split()))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("lr = = 1", "not valid TOML"),
        ("", "no setting in it"),
        ("speed = [1]", "no setting 'speed' to sweep over"),
        ("lr = [0]", "lr cannot be 0"),
        ("lr = 1", "expected a list of choices"),
        ("lr = {low = 1}", "lr: high: field required"),
        ("lr = {low = 1, high = 2, base = 3}", "lr: base: extra inputs"),
        ("lr = {low = 2, high = 1}", "low = 2.0 is above high = 1.0"),
        ("subsample = {low = 0, high = 1, log = true}", "log = true needs low above 0"),
        ("negatives = {low = 1, high = 2, step = 0.5}", "step = 0.5 has to be above 0, and whole"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(text: str | None, said: str, tmp_path: Path):
    file = tmp_path / "space.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(WrongGrid, match=re.escape(said)) as error:
        load_space(file)
    assert str(file) in str(error.value)
