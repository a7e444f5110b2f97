"""The command that a page prints asks for the configuration that the run had, and gives its bytes."""

import json
import random
import shlex
from html import unescape
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import pytest

from tests.pipeline.ran import run_here
from tests.pipeline.sweeps.conftest import stay_in_this_process
from tests.stage2_train.caches import make_cache
from x2static.pipeline.commands.train import command_line, train
from x2static.pipeline.options import build, given
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.segmentation import default_words

FIXED = {"cache": Path("a cache/of 'mine'"), "out": Path("DIR")}
OPTIONS = [name for name in TrainConfig.model_fields if name not in FIXED and name != "compat"]
NUMBERS: dict[type, list[Any]] = {
    int: [1, 2, 7, 10, 1024, 2**40],
    float: [0.0, 1e-300, 5e-6, 0.1 + 0.2, 1 / 3, 1.0, 1e22],
}


def values_of(name: str) -> list[Any]:
    """Values that a setting may have, its default and the paper's among them."""
    info = TrainConfig.model_fields[name]
    kinds = get_args(info.annotation) if type(None) in get_args(info.annotation) else [info.annotation]
    values = [info.default]
    for kind in kinds:
        if get_origin(kind) is Literal:
            values += get_args(kind)
        elif kind is bool:
            values += [True]
        elif kind is str:  # layers
            values += ["last", "0+3+last"]
        elif kind is Path:
            values += [Path("words of $HOME/été.txt"), Path("-p"), Path("/a;b/'c'")]
        else:
            values += NUMBERS.get(kind, [])
    return [value for value in values if is_possible(name, value)]


def is_possible(name: str, value: Any) -> bool:
    try:
        TrainConfig.model_validate({**FIXED, name: value})
    except ValueError:
        return False
    return True


def parsed(line: str) -> TrainConfig:
    program, command, *arguments = shlex.split(line)
    assert (program, command) == ("x2static", "train")
    context = train.make_context("train", arguments, parent=click.Context(click.Group()))
    return build(TrainConfig, given(context, context.params))


@pytest.mark.parametrize("compat", [None, "paper"])
@pytest.mark.parametrize("name", OPTIONS)
def test_every_value_of_every_option_is_read_back(name: str, compat: str | None):
    values = values_of(name)
    assert len(values) > 1
    for value in values:
        config = TrainConfig.model_validate({**FIXED, "compat": compat, name: value})
        assert parsed(command_line(config)) == config


def test_combinations_of_options_are_read_back():
    dice = random.Random(14)
    for _ in range(300):
        names = dice.sample(OPTIONS, dice.randrange(2, len(OPTIONS)))
        settings = {name: dice.choice(values_of(name)) for name in names}
        config = TrainConfig.model_validate({**FIXED, "compat": dice.choice([None, "paper"]), **settings})
        assert parsed(command_line(config)) == config


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache, a run on it that may be continued, a list of words, and one of several words as one."""
    folder = tmp_path_factory.mktemp("my words")
    make_cache(folder / "cache", shards=1, paragraphs=40, dim=16, rules=default_words())
    (folder / "entries.txt").write_text("W00 W01\nw01 w00\nw00 w00 w00\n")
    (folder / "list.txt").write_text("\n".join(f"w{n:02d}" for n in range(20)))
    return folder


@pytest.mark.parametrize(
    "options",
    [
        "--compat paper -p lr=3e-4,1e-2",
        "-p objective=closed-form -p dim=none,5",
        "--transform center --init zeros --schedule cosine --warmup 0.3 -p epochs=2 -p batch_size=8,16",
        "--negatives-mode target --seed 3 --buffer-megabytes 1 -p vocab=LIST,none",
        "--compat paper --vocab LIST --lr 0.02 --checkpoint-minutes 0 -p negatives=3 -p noise_power=0.75",
        "--continue RUN -p lr=1e-2",
        "--multiword ENTRIES -p lr=1e-2",
    ],
)
def test_the_command_on_the_page_of_a_sweep_gives_the_bytes_of_its_best_trial(
    words, tmp_path, capsys, monkeypatch, options: str
):
    stay_in_this_process(monkeypatch)
    cache, pairs = words / "cache", tmp_path / "pairs.tsv"
    common = ["--cache", cache, "--min-count", "2", "--subsample", "0"]
    if "RUN" in options and not (words / "run").exists():
        assert run_here(capsys, ["train", *common, "--out", words / "run"]).status == 0
    pairs.write_text("".join(f"w{n % 20:02d}\tw{(7 * n + 3) % 20:02d}\t{n % 11}\n" for n in range(40)))
    places = {"LIST": str(words / "list.txt"), "RUN": str(words / "run")}
    places["ENTRIES"] = str(words / "entries.txt")
    arguments = [next((w.replace(n, p) for n, p in places.items() if n in w), w) for w in options.split()]

    swept = run_here(capsys, ["sweep", *common, "--data", pairs, "--out", tmp_path / "sweep", "--json", *arguments])

    assert swept.status == 0, swept.err
    page = (tmp_path / "sweep" / "sweep.html").read_text()
    line = page.split("train it anew")[1].split("x2static train ")[1].split("<")[0]
    command = [word.replace("DIR", str(tmp_path / "anew")) for word in shlex.split(unescape(line))]
    again = run_here(capsys, ["train", *command])
    assert again.status == 0, again.err
    best = Path(swept.json["best"]["path"])
    for name in ("vectors.safetensors", "vocabulary.arrow"):
        assert (tmp_path / "anew" / name).read_bytes() == (best / name).read_bytes()


def test_a_sweep_and_a_file_of_options_take_several_words_as_one(words, tmp_path, capsys, monkeypatch):
    stay_in_this_process(monkeypatch)
    pairs, entries = tmp_path / "pairs.tsv", tmp_path / "entries.txt"
    pairs.write_text("".join(f"w{n % 20:02d}\tw{(7 * n + 3) % 20:02d}\t{n % 11}\n" for n in range(40)))
    entries.write_text("w00 w01\n")
    (tmp_path / "run.toml").write_text(f"multiword = {json.dumps(str(entries))}\nmin-count = 2\n")
    ran = run_here(
        capsys, ["train", "--cache", words / "cache", "--out", tmp_path / "run", "--config", tmp_path / "run.toml"]
    )
    assert ran.status == 0, ran.err
    assert "w00_w01" in WordVectors.load(tmp_path / "run").index
    command = ["sweep", "--cache", words / "cache", "--data", pairs, "--out", tmp_path / "sweep", "-p", "lr=1e-2"]
    command += ["--min-count", "2", "--multiword", entries]
    swept = run_here(capsys, [*command, "--json"])
    assert swept.status == 0, swept.err
    assert "w00_w01" in WordVectors.load(Path(swept.json["best"]["path"])).index
    entries.write_text("w00 w02\n")
    changed = run_here(capsys, command)
    assert changed.status == 1
    assert "multiword: " in changed.err
