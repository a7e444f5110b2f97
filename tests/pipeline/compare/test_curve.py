"""The curve of quality against corpus size: which sizes, and ASE at all of them by one pass of the teacher."""

import csv
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.made import write as write_task
from tests.pipeline.compare.conftest import write_pairs
from tests.stage1_encode.runs import paragraphs, run, write_lines
from tests.teachers import make_teacher
from x2static.durable.errors import X2StaticError
from x2static.machine.progress import silent
from x2static.pipeline.baselines import make
from x2static.pipeline.compare.comparison import sizes_of
from x2static.pipeline.compare.plan import CompareConfig
from x2static.pipeline.compare.scores import Data, Record, score_teacher
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.cache import Cache
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.encoder import Encoder


def test_sizes_are_halves_of_the_cache_or_those_of_the_option_and_the_whole(cache, tmp_path):
    opened = Cache.open(cache)
    sizes = sizes_of(CompareConfig(out=tmp_path, cache=cache), opened)
    n_words = [shard.marker.n_words for shard in opened.shards()]
    expected = [(units, 60 * units, sum(n_words[:units]), units == 4) for units in (1, 2, 4)]
    assert [(size.units, size.paragraphs, size.words, size.whole) for size in sizes] == expected
    assert sizes[-1].cache == cache
    assert [one.units for one in sizes_of(CompareConfig(out=tmp_path, sizes=(3, 1, 3)), opened)] == [1, 3, 4]


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny teacher, a text, and its cache of eight units."""
    folder = tmp_path_factory.mktemp("curve")
    teacher = make_teacher(folder / "teacher", "bert", 512)
    corpus = write_lines(folder / "text.txt", paragraphs(24))
    run(teacher.folder, corpus, folder / "cache", unit=3)
    return folder


@pytest.mark.exhaustive
def test_ase_at_every_size_is_that_of_the_sample_alone_and_the_teacher_reads_every_unit_once(
    encoded, tmp_path, compare, monkeypatch
):
    read, original = [], Encoder.read

    def read_unit(self, portions, what, *arguments, **options):
        read.append(what)
        return original(self, portions, what, *arguments, **options)

    monkeypatch.setattr(Encoder, "read", read_unit)
    cache, out = encoded / "cache", tmp_path / "out"
    command = [*ase_alone(encoded, tmp_path), *"--seeds 1 --layers last,-1,0 --device cpu --sizes 2,4".split()]

    for part in ("figure1", "table3"):
        ran = compare(*command, "--only", part)
        assert ran.status == 0, ran.err
        rows = list(csv.DictReader((out / "compare.csv").read_text().splitlines()))
        assert len(read) == len(set(read)) == 8
        times = {row["row"]: row for row in rows if (row["table"], row["column"]) == ("table3", "time")}
        assert float(times["ASE, last layer (deterministic)"]["value"]) > 0  # of three calls of the teacher
        labels = ["X2Static", "X2Static, closed form", "ASE, last layer"]
        points = {row["row"] for row in rows if row["table"] == "figure1"}
        assert points == {f"{units} units, {label}" for units in (2, 4, 8) for label in labels}
    assert times["ASE, layer 0 (deterministic)"]["text"] == "reused"
    monkeypatch.undo()
    for folder, sample in ((out / "curve/2/ase-last", out / "curve/2/cache"), (out / "vectors/ase-last", cache)):
        vectors = WordVectors.load(folder)
        alone = tmp_path / "alone" / sample.parent.name
        shutil.copytree(sample, alone / "cache", ignore=shutil.ignore_patterns("ase", "baselines"))
        make(BaselineConfig(name="ase", cache=alone / "cache", out=alone / "ase", min_count=2, device="cpu"))
        expected = WordVectors.load(alone / "ase")
        assert vectors.words == expected.words
        np.testing.assert_allclose(vectors.matrix, expected.matrix, rtol=1e-5, atol=1e-6)


def ase_alone(encoded: Path, tmp_path: Path) -> list[Any]:
    """The options of a comparison with ASE alone, on pairs of the cache's words."""
    words = Cache.open(encoded / "cache").shard(0).lexicon()["word"].to_pylist()[:8]
    data = write_pairs(tmp_path / "data", words)
    options = ["--cache", encoded / "cache", "--out", tmp_path / "out", "--data", data, "--min-count", "2"]
    return [*options, "--baselines", "ase"]


def test_seconds_that_the_teacher_read_before_a_failure_are_kept(encoded, tmp_path, compare, monkeypatch):
    def add_up(*_):
        time.sleep(0.01)
        raise X2StaticError("no teacher")

    monkeypatch.setattr("x2static.baselines.ase.pool_layers", add_up)
    monkeypatch.setattr("x2static.pipeline.compare.scores.make_vectors", add_up)
    command = [*ase_alone(encoded, tmp_path), "--sizes", "2", "--only", "figure1"]
    seconds = []
    for _ in range(2):
        assert compare(*command).status == 1
        seconds.append(json.loads((tmp_path / "out" / "curve" / "2" / "reading.json").read_bytes())["seconds"])
    assert 0.01 <= seconds[0] < seconds[1]


def test_the_teacher_that_is_scored_is_the_caches_and_a_score_is_of_its_precision(encoded, tmp_path):
    write_task(tmp_path / "data" / "classification" / "cr" / "all.tsv", [(i % 2, f"text {i}") for i in range(30)])
    (tmp_path / "out").mkdir()
    cache = Cache.open(encoded / "cache")
    fingerprint, own = cache.manifest.fingerprint, cache.manifest.encoding.precision
    config = CompareConfig(out=tmp_path / "out", data=tmp_path / "data", device="cpu", only=("table4",))

    def score(**changes: str) -> Record:
        return score_teacher(cache, config.model_copy(update=changes), Data(config), silent)

    record = score()
    assert record.vectors == fingerprint
    assert score() == score(precision=own) == record  # with the same seconds
    assert score(precision="bfloat16").vectors == f"{fingerprint} bfloat16"
    with pytest.raises(X2StaticError, match="what is here would encode otherwise"):
        score(model=str(make_teacher(tmp_path / "wrong", "roberta", 512).folder))
