"""The curve of quality against corpus size: which sizes, and ASE at all of them by one pass of the teacher."""

import csv
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.evaluation.classification.tasks import write as write_task
from tests.pipeline.compare.conftest import Compare, write_pairs
from tests.stage1_encode.runs import paragraphs, run, write_lines
from tests.teachers import make_teacher
from x2static.baselines.occurrences import StateFile
from x2static.durable.errors import X2StaticError
from x2static.machine.progress import silent
from x2static.pipeline.baselines import make
from x2static.pipeline.compare.curve import carry, sizes
from x2static.pipeline.compare.plan import CompareConfig, methods
from x2static.pipeline.compare.scores import Data, score_teacher
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.cache import Cache
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.encoder import Encoder


def asked(tmp_path: Path, cache: Path, **options: Any) -> CompareConfig:
    return CompareConfig(out=tmp_path / "out", cache=cache, **options)


def test_sizes_are_halves_of_the_cache_ascending(cache: Path, tmp_path: Path):
    found = sizes(asked(tmp_path, cache), Cache.open(cache))
    assert [size.units for size in found] == [1, 2, 4]
    assert [size.paragraphs for size in found] == [60, 120, 240]
    assert [size.whole for size in found] == [False, False, True]
    assert found[-1].cache == cache
    totals = [shard.marker.n_words for shard in Cache.open(cache).shards()]
    assert [size.words for size in found] == [sum(totals[:units]) for units in (1, 2, 4)]


def test_sizes_can_be_asked_for_and_the_whole_is_always_there(cache: Path, tmp_path: Path):
    found = sizes(asked(tmp_path, cache, sizes=(3, 1, 3)), Cache.open(cache))
    assert [size.units for size in found] == [1, 3, 4]
    with pytest.raises(X2StaticError, match=r"--sizes 5: .* has 4 units"):
        sizes(asked(tmp_path, cache, sizes=(5,)), Cache.open(cache))


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny teacher, a text, and its cache of eight units."""
    folder = tmp_path_factory.mktemp("curve")
    teacher = make_teacher(folder / "teacher", "bert", 512)
    corpus = write_lines(folder / "text.txt", paragraphs(24))
    run(teacher.folder, corpus, folder / "cache", unit=3)
    return folder


def test_ase_at_every_size_is_that_of_the_sample_alone_and_the_teacher_reads_every_unit_once(
    encoded: Path, tmp_path: Path, compare: Compare, monkeypatch: pytest.MonkeyPatch
):
    read: list[str] = []
    original = Encoder.read

    def read_unit(self: Encoder, portions: Any, what: str, *arguments: Any, **options: Any) -> Any:
        read.append(what)
        return original(self, portions, what, *arguments, **options)

    monkeypatch.setattr(Encoder, "read", read_unit)
    cache, out = encoded / "cache", tmp_path / "out"
    words = Cache.open(cache).shard(0).lexicon()["word"].to_pylist()[:8]
    data = write_pairs(tmp_path / "data", words)
    options = ["--cache", cache, "--out", out, "--data", data, "--min-count", "2", "--baselines", "ase", "--seeds", "1"]
    ran = compare(*options, "--layers", "last,0", "--device", "cpu", "--sizes", "2,4", "--only", "figure1")
    assert ran.status == 0, ran.err
    assert len(read) == len(set(read)) == 8
    listed = list(csv.DictReader((out / "compare.csv").read_text().splitlines()))
    labels = ["X2Static", "X2Static, closed form", "ASE, last layer"]
    there = {row["row"] for row in listed if row["table"] == "figure1"}
    assert there == {f"{units} units, {label}" for units in (2, 4, 8) for label in labels}
    assert float(time_of(listed, "ASE, last layer (deterministic)")["value"]) > 0  # of three calls of the teacher
    assert compare(*options, "--layers", "last,0", "--device", "cpu", "--sizes", "2,4", "--only", "table3").status == 0
    listed = list(csv.DictReader((out / "compare.csv").read_text().splitlines()))
    assert float(time_of(listed, "ASE, last layer (deterministic)")["value"]) > 0
    assert time_of(listed, "ASE, layer 0 (deterministic)")["text"] == "reused"
    assert len(read) == 8
    monkeypatch.undo()
    for folder, sample in ((out / "curve/2/ase-last", out / "curve/2/cache"), (out / "vectors/ase-last", cache)):
        found = WordVectors.load(folder)
        alone = tmp_path / "alone" / sample.parent.name
        shutil.copytree(sample, alone / "cache", ignore=shutil.ignore_patterns("ase", "baselines"))
        make(BaselineConfig(name="ase", cache=alone / "cache", out=alone / "ase", min_count=2, device="cpu"))
        expected = WordVectors.load(alone / "ase")
        assert found.words == expected.words
        np.testing.assert_allclose(found.matrix, expected.matrix, rtol=1e-5, atol=1e-6)


def time_of(listed: list[dict[str, str]], label: str) -> dict[str, str]:
    (row,) = (row for row in listed if (row["table"], row["row"], row["column"]) == ("table3", label, "time"))
    return row


def test_seconds_that_the_teacher_read_before_a_failure_are_kept(
    encoded: Path, tmp_path: Path, compare: Compare, monkeypatch: pytest.MonkeyPatch
):
    def add_up(*_: Any) -> None:
        time.sleep(0.01)
        raise X2StaticError("no teacher")

    monkeypatch.setattr("x2static.baselines.ase.gathered", add_up)
    monkeypatch.setattr("x2static.pipeline.compare.scores.make_vectors", add_up)
    words = Cache.open(encoded / "cache").shard(0).lexicon()["word"].to_pylist()[:8]
    asked: list[Any] = ["--cache", encoded / "cache", "--out", tmp_path / "out", "--min-count", "2", "--sizes", "2"]
    asked += ["--data", write_pairs(tmp_path / "data", words), "--baselines", "ase", "--only", "figure1"]
    seconds = []
    for _ in range(2):
        assert compare(*asked).status == 1
        seconds.append(json.loads((tmp_path / "out" / "curve" / "2" / "reading.json").read_bytes())["seconds"])
    assert 0.01 <= seconds[0] < seconds[1]


def test_the_teacher_that_is_scored_is_the_caches_and_a_score_is_of_its_precision(encoded: Path, tmp_path: Path):
    write_task(tmp_path / "data" / "classification" / "cr" / "all.tsv", [(i % 2, f"text {i}") for i in range(30)])
    (tmp_path / "out").mkdir()
    cache = Cache.open(encoded / "cache")
    config = asked(tmp_path, cache.path, data=tmp_path / "data", device="cpu", only=("table4",))
    data = Data.of(config)
    record = score_teacher(cache, config, data, silent)
    assert record is not None
    assert record.vectors == cache.manifest.fingerprint
    assert score_teacher(cache, config, data, silent) == record
    other = score_teacher(cache, config.model_copy(update={"precision": "bfloat16"}), data, silent)
    assert other is not None
    assert other.vectors == f"{cache.manifest.fingerprint} bfloat16"
    wrong = make_teacher(tmp_path / "wrong", "roberta", 512).folder
    with pytest.raises(X2StaticError, match="what is here would encode otherwise"):
        score_teacher(cache, config.model_copy(update={"model": str(wrong)}), data, silent)


def test_the_last_layer_counted_from_the_end_is_the_last_layer(tmp_path: Path, cache: Path):
    config = asked(tmp_path, cache, baselines=("ase",), layers=("last", 1, -1))
    assert [method.name for method in methods(config) if method.kind == "baseline"] == ["ase-last", "ase-1"]


def test_sums_are_carried_once(tmp_path: Path):
    small, large = tmp_path / "small" / "sums.safetensors", tmp_path / "large" / "sums.safetensors"
    assert not carry(small, large)  # there are none to carry
    StateFile(small).write({0}, ["a", "b"], {"counts": torch.ones(2, dtype=torch.int64)})
    assert carry(small, large)
    assert StateFile(large).units() == {0}
    assert not carry(small, large)  # there already
