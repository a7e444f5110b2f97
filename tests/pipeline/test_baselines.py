"""Baselines as commands: killed and resumed, asked for again, asked for otherwise."""

import json
from pathlib import Path

import pytest
import torch

from tests.baselines.caches import config_of, encoded, made, no_teacher
from tests.stage1_encode.forks import Forks, shared_forks
from tests.stage1_encode.runs import files_of
from x2static.baselines.sketches import Sketches
from x2static.durable.errors import X2StaticError
from x2static.pipeline import cli
from x2static.pipeline.baselines import make
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.pools.pool import Shape


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Four units."""
    return encoded(tmp_path)


@pytest.fixture
def forks() -> Forks:
    return shared_forks()


METHODS = {"pca": (), "ase": (), "ase, max": ("--pooling", "max"), "decontextualized": (), "model2vec": ("--dim", "6")}
KILLS = {
    "after a save": ("x2static.baselines.occurrences:StateFile.write", "after", 1),
    "before a save": ("x2static.baselines.occurrences:StateFile.write", "before", 1),
    "between two saves": ("x2static.stage1_encode.encoder:Encoder.read", "after", 3),
    "when all is read": ("x2static.baselines.sketches:Sketches.components", "before", 1),
    "in the teacher": ("x2static.baselines.ase:_Sums.add", "after", 2),
    "before the vectors are whole": ("x2static.schemas.vectors:write_atomically", "after", 1),
}
CASES = [
    ("pca", "after a save"),
    ("pca", "between two saves"),
    ("ase, max", "before a save"),
    ("ase, max", "between two saves"),
    ("ase", "between two saves"),
    ("ase", "in the teacher"),
    ("pca", "before the vectors are whole"),
]


@pytest.mark.parametrize(("method", "kill"), CASES)
def test_killed_and_run_again_the_vectors_are_those_of_a_whole_run(
    method: str, kill: str, cache: Path, forks: Forks, tmp_path: Path
) -> None:
    command = ("baseline", method.split(",")[0], *METHODS[method], "--cache", str(cache), "--min-count", "2")
    out = tmp_path / "out"
    assert forks.run(*command, "--out", str(out), kill=KILLS[kill])[0] == -9
    assert not (out / "run.json").exists()
    status, output = forks.run(*command, "--out", str(out))
    assert status == 0, output
    whole = tmp_path / "whole"
    pooling = "max" if "max" in method else "mean"
    made(method.split(",")[0], encoded(tmp_path / "other"), whole, pooling=pooling)
    ours, theirs = files_of(out), files_of(whole)
    assert sorted(ours) == sorted(theirs)
    for name in ("vectors.safetensors", "vocabulary.arrow", "word_segmentation.json"):
        assert ours[name] == theirs[name]


def test_units_in_a_saved_state_are_not_read_again(
    cache: Path, forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("baseline", "pca", "--cache", str(cache), "--min-count", "2", "--out", str(tmp_path / "out"))
    assert forks.run(*command, kill=KILLS["when all is read"])[0] == -9
    no_teacher(monkeypatch)
    (tmp_path / "text.txt").unlink()
    again = made("pca", cache, tmp_path / "out")
    assert len(again) > 30
    assert again.run["units_found"] == 4


def test_a_saved_state_takes_no_second_memory(
    cache: Path, forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("baseline", "pca", "--cache", str(cache), "--min-count", "2", "--out", str(tmp_path / "out"))
    assert forks.run(*command, kill=KILLS["after a save"])[0] == -9

    empty = Sketches.empty

    def measured(self: Sketches, shape: Shape, n_words: int) -> dict[str, torch.Tensor]:
        assert shape.device.type == "meta", "empty tensors are made beside those of the state"
        return empty(self, shape, n_words)

    monkeypatch.setattr(Sketches, "empty", measured)
    assert 0 < made("pca", cache, tmp_path / "out").run["units_found"] < 4


@pytest.mark.parametrize("method", METHODS)
def test_asked_for_again_nothing_is_done(
    method: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    told = WordVectors.load(tmp_path / "out").run
    assert {"teacher", "layer", "pooling", "precision", "words_left_out", "cache"} <= told.keys()


def test_other_settings_are_refused(cache: Path, tmp_path: Path) -> None:
    made("pca", cache, tmp_path / "out")
    with pytest.raises(X2StaticError, match=r"holds other vectors \(name: 'pca' there, 'ase' here; layer: 'last' .*0"):
        made("ase", cache, tmp_path / "out", layer=0)
    with pytest.raises(X2StaticError, match=r"min_count: 2 there, 3 here"):
        made("pca", cache, tmp_path / "out", min_count=3)


def test_what_a_method_does_not_read_is_not_recorded_and_of_an_earlier_version_ignored(
    cache: Path, tmp_path: Path
) -> None:
    made("decontextualized", cache, tmp_path / "out")
    file = tmp_path / "out" / "settings.json"
    recorded = json.loads(file.read_bytes())
    assert recorded.keys() == {
        *("name", "layer", "precision", "min_count", "max_vocab", "vocab"),
        "cache_content",
    }
    file.write_text(json.dumps({**recorded, "threads": 3, "seed": 7, "window": 9, "pooling": "mean"}))
    assert make(config_of("decontextualized", cache, tmp_path / "out"))["finished_before"]
    file.write_text(json.dumps({**recorded, "something": 1}))
    with pytest.raises(X2StaticError, match="something: 1 there, None here"):
        make(config_of("decontextualized", cache, tmp_path / "out"))


def load(file: Path, out: Path) -> bool:
    return bool(make(BaselineConfig(name="load", vectors=file, out=out))["finished_before"])


def test_a_file_of_vectors_is_known_by_its_content(tmp_path: Path) -> None:
    for name, text in (("a.txt", "the 1 2\n"), ("b.txt", "the 1 2\n"), ("c.txt", "the 1 3\n")):
        (tmp_path / name).write_text(text)
    assert not load(tmp_path / "a.txt", tmp_path / "out")
    assert load(tmp_path / "b.txt", tmp_path / "out")
    with pytest.raises(X2StaticError, match=r"holds other vectors \(vectors: "):
        load(tmp_path / "c.txt", tmp_path / "out")


def test_texts_are_known_by_their_content(tmp_path: Path) -> None:
    for name, text in (("a.txt", "one two three\n"), ("b.txt", "one two three\n"), ("c.txt", "one two four\n")):
        (tmp_path / name).write_text(text * 20)

    def train(name: str) -> bool:
        asked = {"dim": 4, "threads": 1, "epochs": 1, "corpus": (str(tmp_path / name),), "out": tmp_path / "out"}
        return bool(make(BaselineConfig(name="cbow", **asked))["finished_before"])

    assert not train("a.txt")
    assert train("a.txt")
    assert train("b.txt")
    with pytest.raises(X2StaticError, match=r"holds other vectors \(corpus: "):
        train("c.txt")


def test_units_that_were_read_before_are_told(cache: Path, tmp_path: Path) -> None:
    assert made("ase", cache, tmp_path / "one", layer=0).run["units_found"] == 0
    assert made("ase", cache, tmp_path / "two", layer=1).run["units_found"] == 4
    assert made("ase", cache, tmp_path / "three", pooling="max").run["units_found"] == 0
    assert made("ase", cache, tmp_path / "four", pooling="max", layer=1).run["units_found"] == 4


def test_a_list_of_words_is_known_by_its_words(cache: Path, tmp_path: Path) -> None:
    for name, words in (("a.txt", "the\n"), ("b.txt", "the\n"), ("c.txt", "it\n")):
        (tmp_path / name).write_text(words)
    made("decontextualized", cache, tmp_path / "out", vocab=tmp_path / "a.txt")
    assert made("decontextualized", cache, tmp_path / "out", vocab=tmp_path / "b.txt").words == ["the"]
    with pytest.raises(X2StaticError, match=r"holds other vectors \(vocab: "):
        made("decontextualized", cache, tmp_path / "out", vocab=tmp_path / "c.txt")


def test_a_folder_is_free_again_after_a_mistake(cache: Path, tmp_path: Path) -> None:
    for options in ({"layer": 9}, {"model": str(tmp_path / "nowhere")}):
        with pytest.raises(X2StaticError):
            made("pca", cache, tmp_path / "out", **options)
        assert list(files_of(tmp_path / "out")) == []
    assert len(made("pca", cache, tmp_path / "out", layer=0)) > 30


def test_a_folder_of_something_else_is_left_alone(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(X2StaticError, match=r"no baseline \(settings.json is missing, thesis.txt is there"):
        made("pca", cache, tmp_path / "out")
    assert list(files_of(tmp_path / "out")) == ["thesis.txt"]


WRONG = {
    ("ase", "--dim", "8"): "--dim 8: value error, ase does not read it; leave it out",
    ("pca", "--pooling", "max"): "--pooling max: value error, pca does not read it; leave it out",
    ("model2vec", "--dim", "0"): "--dim",
    ("ase", "--window", "3"): "--window 3: value error, ase does not read it; leave it out",
    ("sent2vec", "--window", "3"): "--window 3: value error, sent2vec does not read it; leave it out",
    ("skipgram", "--layer", "1"): "--layer 1: value error, skipgram does not read it; leave it out",
    ("pca", "--threads", "2"): "--threads 2: value error, pca does not read it; leave it out",
    ("pca", "--vectors", "x"): '--vectors "x": value error, pca does not read it; leave it out',
    ("load", "--dim", "3"): "--dim 3: value error, load does not read it; leave it out",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_usage_is_told(
    wrong: tuple[str, ...], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["baseline", *wrong, "--cache", str(cache), "--out", str(tmp_path / "out")]) == 2
    assert WRONG[wrong] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["ase", "pca", "decontextualized", "model2vec"])
def test_a_cache_is_needed(name: str, tmp_path: Path) -> None:
    with pytest.raises(X2StaticError, match=f"{name} needs a cache"):
        make(config_of(name, tmp_path, tmp_path / "out").model_copy(update={"cache": None}))
