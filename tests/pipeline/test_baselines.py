"""Baselines as commands: killed and resumed, asked for again, asked for otherwise."""

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.baselines.caches import config_of, encoded, made, no_teacher
from tests.stage1_encode.forks import Forks, shared_forks
from tests.stage1_encode.runs import files_of
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import read_sealed
from x2static.pipeline import cli
from x2static.pipeline.baselines import make
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.vectors import WordVectors


@pytest.fixture(scope="module")
def four_units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoded(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def cache(four_units: Path, tmp_path: Path) -> Path:
    """Four units, and no state of a method that ran before."""
    return Path(shutil.copytree(four_units, tmp_path / "cache"))


@pytest.fixture
def forks() -> Forks:
    return shared_forks()


METHODS = {"pca": (), "ase": (), "ase, max": ("--pooling", "max"), "decontextualized": (), "model2vec": ("--dim", "6")}
KILLS = {
    "after a save": ("x2static.baselines.occurrences:StateFile.write", "after", 1),
    "before a save": ("x2static.baselines.occurrences:StateFile.write", "before", 1),
    "between two saves": ("x2static.stage1_encode.encoder:Encoder.read", "after", 3),
    "when all is read": ("x2static.baselines.principal_component:Sketches.components", "before", 1),
    "in the teacher": ("x2static.baselines.ase:_Sums.add", "after", 2),
    "before the vectors are whole": ("x2static.schemas.vectors:write_atomically", "after", 1),
}
OF = {"before a save": "ase, max", "between two saves": "ase, max", "in the teacher": "ase"}
CASES = [(OF.get(kill, "pca"), kill) for kill in KILLS if kill != "when all is read"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, bytes]]:
    """Return the files that a method makes of another cache of the same texts, uninterrupted."""
    folder = tmp_path_factory.mktemp("whole")
    other = encoded(folder / "other")

    @functools.cache
    def files(method: str) -> dict[str, bytes]:
        pooling = "max" if "max" in method else "mean"
        made(method.split(",")[0], other, folder / method, pooling=pooling)
        return files_of(folder / method)

    return files


@pytest.mark.parametrize(("method", "kill"), CASES)
def test_killed_and_run_again_the_vectors_are_those_of_a_whole_run(method, kill, cache, forks, whole, tmp_path):
    command = ("baseline", method.split(",")[0], *METHODS[method], "--cache", str(cache), "--min-count", "2")
    out = tmp_path / "out"
    assert forks.run(*command, "--out", str(out), kill=KILLS[kill])[0] == -9
    assert not (out / "run.json").exists()
    status, output = forks.run(*command, "--out", str(out))
    assert status == 0, output
    ours, theirs = files_of(out), whole(method)
    assert sorted(ours) == sorted(theirs)
    for name in ("vectors.safetensors", "vocabulary.arrow", "word_segmentation.json"):
        assert ours[name] == theirs[name]


def test_units_in_a_saved_state_are_not_read_again(forks, tmp_path, monkeypatch):
    cache = encoded(tmp_path)
    command = ("baseline", "pca", "--cache", str(cache), "--min-count", "2", "--out", str(tmp_path / "out"))
    assert forks.run(*command, kill=KILLS["when all is read"])[0] == -9
    no_teacher(monkeypatch)
    (tmp_path / "text.txt").unlink()
    again = made("pca", cache, tmp_path / "out")
    assert len(again) > 30
    assert again.run["units_found"] == 4


@pytest.mark.parametrize("method", METHODS)
def test_asked_for_again_nothing_is_done(method, cache, tmp_path, monkeypatch):
    options = dict(zip((name.strip("-") for name in METHODS[method][::2]), METHODS[method][1::2], strict=True))
    config = config_of(method.split(",")[0], cache, tmp_path / "out", **options)
    assert not make(config)["finished_before"]
    no_teacher(monkeypatch)
    before = files_of(tmp_path / "out")
    result = make(config)
    assert result["finished_before"]
    assert result["vocabulary"] == len(WordVectors.load(tmp_path / "out"))
    assert files_of(tmp_path / "out") == before
    assert not (tmp_path / "out" / "work").exists()
    origin = WordVectors.load(tmp_path / "out").run
    assert {"teacher", "layer", "pooling", "precision", "words_left_out", "cache"} <= origin.keys()


def test_a_damaged_folder_is_made_again_or_it_is_named_where_its_settings_are_lost(cache, tmp_path):
    config = config_of("pca", cache, tmp_path / "out")
    make(config)
    whole = files_of(config.out)
    results = whole.keys() - {"run.json"}  # which holds seconds
    assert {"settings.json", "vectors.safetensors", "vocabulary.arrow", "word_segmentation.json"} == results
    for name, data in whole.items():
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        for damaged in (flipped, data[:middle], b"", None, whole["run.json"], whole["settings.json"]):
            for other, intact in whole.items():
                (config.out / other).write_bytes(intact)
            if damaged == data:
                continue
            (config.out / name).unlink() if damaged is None else (config.out / name).write_bytes(damaged)
            try:
                again = not make(config)["finished_before"]
            except X2StaticError as error:
                assert name == "settings.json"
                assert str(config.out) in str(error)
            else:
                assert again
                now = files_of(config.out)
                assert {name: now[name] for name in results} == {name: whole[name] for name in results}


def test_other_settings_are_refused(cache, tmp_path):
    made("pca", cache, tmp_path / "out")
    with pytest.raises(X2StaticError, match=r"holds other vectors \(name: 'pca' there, 'ase' here; layer: 'last' .*0"):
        made("ase", cache, tmp_path / "out", layer=0)
    with pytest.raises(X2StaticError, match=r"min_count: 2 there, 3 here"):
        made("pca", cache, tmp_path / "out", min_count=3)


def test_what_a_method_does_not_read_is_not_recorded_and_of_an_earlier_version_ignored(cache, tmp_path):
    made("decontextualized", cache, tmp_path / "out")
    file = tmp_path / "out" / "settings.json"
    recorded = read_sealed(file)
    assert recorded.keys() == {"name", "layer", "precision", "min_count", "max_vocab", "vocab", "cache_content"}
    file.write_text(json.dumps({**recorded, "threads": 3, "seed": 7, "window": 9, "pooling": "mean"}))
    assert make(config_of("decontextualized", cache, tmp_path / "out"))["finished_before"]
    file.write_text(json.dumps({**recorded, "something": 1}))
    with pytest.raises(X2StaticError, match="something: 1 there, None here"):
        make(config_of("decontextualized", cache, tmp_path / "out"))


@pytest.mark.parametrize(
    ("name", "option", "text", "other"),
    [
        ("load", "vectors", "the 1 2\n", "the 1 3\n"),
        ("cbow", "corpus", "one two three\n" * 20, "one two four\n" * 20),
        ("decontextualized", "vocab", "the\n", "it\n"),
    ],
)
def test_what_is_read_is_known_by_its_content(name, option, text, other, cache, tmp_path):
    for file, content in (("a.txt", text), ("b.txt", text), ("c.txt", other)):
        (tmp_path / file).write_text(content)

    def finished_before(file: str) -> bool:
        value = (str(tmp_path / file),) if option == "corpus" else tmp_path / file
        options = {option: value, "min_count": 2, **({"cache": cache, "device": "cpu"} if option == "vocab" else {})}
        if name == "cbow":
            options |= {"dim": 4, "threads": 1, "epochs": 1}
        return bool(make(BaselineConfig(name=name, out=tmp_path / "out", **options))["finished_before"])

    assert [finished_before(file) for file in ("a.txt", "a.txt", "b.txt")] == [False, True, True]
    with pytest.raises(X2StaticError, match=rf"holds other vectors \({option}: "):
        finished_before("c.txt")


def test_units_that_were_read_before_are_told(cache, tmp_path):
    assert made("ase", cache, tmp_path / "one", layer=0).run["units_found"] == 0
    assert made("ase", cache, tmp_path / "two", layer=1).run["units_found"] == 4
    assert made("ase", cache, tmp_path / "three", pooling="max").run["units_found"] == 0
    assert made("ase", cache, tmp_path / "four", pooling="max", layer=1).run["units_found"] == 4


def test_a_folder_is_free_again_after_a_mistake_and_one_of_something_else_is_left_alone(cache, tmp_path):
    for options in ({"layer": 9}, {"model": str(tmp_path / "nowhere")}):
        with pytest.raises(X2StaticError):
            made("pca", cache, tmp_path / "out", **options)
        assert list(files_of(tmp_path / "out")) == []
    assert len(made("pca", cache, tmp_path / "out", layer=0)) > 30
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(X2StaticError, match=r"no baseline \(settings.json is missing, thesis.txt is there"):
        made("pca", cache, tmp_path / "mine")
    assert list(files_of(tmp_path / "mine")) == ["thesis.txt"]


WRONG = {
    ("ase", "--dim", "8"): "--dim 8: value error, ase does not read it; leave it out",
    ("model2vec", "--dim", "0"): "--dim",
    ("pca", "--vectors", "x"): '--vectors "x": value error, pca does not read it; leave it out',
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_usage_is_told(wrong, tmp_path, capsys):
    assert cli.run(["baseline", *wrong, "--cache", "nowhere", "--out", str(tmp_path / "out")]) == 2
    assert WRONG[wrong] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_cache_is_needed(tmp_path):
    for name in ("ase", "pca", "decontextualized", "model2vec"):
        with pytest.raises(X2StaticError, match=f"{name} needs a cache"):
            make(BaselineConfig(name=name, out=tmp_path / "out"))
