"""`--dtype int8`: half the cache, rows near those of float16, and all that holds for a cache holds for it."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.stage1_encode.conftest import read_back
from tests.stage1_encode.forks import Forks
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, run, write_lines
from tests.stage1_encode.test_encode import changed, give_large
from x2static.durable.errors import X2StaticError
from x2static.pipeline.caches import merge, sample
from x2static.schemas.cache import Cache
from x2static.schemas.manifest import UnitSample
from x2static.schemas.training import TrainConfig
from x2static.stage1_encode.plan.estimate import estimate
from x2static.stage2_train.trainer import train


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "corpus.txt", paragraphs(12))


def test_rows_are_those_of_float16_to_half_a_scale(teacher: Path, corpus: Path, tmp_path: Path) -> None:
    run(teacher, corpus, tmp_path / "float16", unit=5)
    run(teacher, corpus, tmp_path / "int8", unit=5, dtype="int8")
    wide, narrow = read_back(tmp_path / "float16"), read_back(tmp_path / "int8")
    assert wide.words == narrow.words
    vectors = np.array([row.vector for row in wide.rows], float)
    error = np.abs(np.array([row.vector for row in narrow.rows], float) - vectors)
    scales = np.abs(vectors).max(axis=1, keepdims=True) / 127
    assert (error <= scales * 0.51 + np.abs(vectors) * 2.0**-10).all()  # both are rounded to float16
    assert error.max() > 0


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    forks: Forks, teacher: Path, corpus: Path, tmp_path: Path
) -> None:
    run(teacher, corpus, tmp_path / "once", unit=3, dtype="int8")
    config = config_of(teacher, corpus, tmp_path / "cache", unit=3, dtype="int8")
    status, output = forks.run(
        *as_options(config), kill=("x2static.stage1_encode.pools.contexts:write_contexts", "after", 3)
    )
    assert status == -9, output
    assert len(Cache.open(tmp_path / "cache").indices()) == 2
    assert forks.run(*as_options(config))[0] == 0
    assert files_of(tmp_path / "cache") == files_of(tmp_path / "once")


def test_another_number_format_is_refused_with_both_values(teacher: Path, corpus: Path, tmp_path: Path) -> None:
    run(teacher, corpus, tmp_path / "cache", limit=2)
    with pytest.raises(X2StaticError, match=r"\(cache != asked for\): dtype: 'float16' != 'int8'\. Ask"):
        run(teacher, corpus, tmp_path / "cache", dtype="int8")


def test_what_float16_cannot_hold_is_refused_since_it_is_what_training_reads(
    teacher: Path, corpus: Path, tmp_path: Path
) -> None:
    broken = changed(teacher, tmp_path / "broken", give_large)
    with pytest.raises(X2StaticError, match=r"beyond float16 \(65504\)"):
        run(broken, corpus, tmp_path / "cache", dtype="int8")


def test_the_estimate_knows_the_number_format(teacher: Path, corpus: Path, tmp_path: Path) -> None:
    sizes = []
    for dtype in ("float16", "int8"):
        cache = tmp_path / dtype
        estimated = estimate(config_of(teacher, corpus, cache, dtype=dtype))["cache_bytes"]
        run(teacher, corpus, cache, dtype=dtype)
        written = [path for path in cache.glob("shards/0*/**/c/**/*") if path.is_file()]
        sizes.append((estimated, sum(path.stat().st_size for path in written)))
    rows = len(read_back(tmp_path / "int8").rows)
    dim = Cache.open(tmp_path / "int8").manifest.encoding.dim
    assert [written for _, written in sizes] == [rows * 2 * dim, rows * (dim + 4)]
    assert sizes[0][0] - sizes[1][0] == rows * (dim - 4)


def test_info_names_the_number_format(forks: Forks, teacher: Path, corpus: Path, tmp_path: Path) -> None:
    run(teacher, corpus, tmp_path / "cache", dtype="int8")
    status, output = forks.run("cache", "info", str(tmp_path / "cache"), "--json")
    assert status == 0
    assert ", int8\n" in output
    assert json.loads(output.splitlines()[-1])["encoding"]["dtype"] == "int8"


def test_int8_caches_are_merged_sampled_verified_and_trained_on(teacher: Path, corpus: Path, tmp_path: Path) -> None:
    other = write_lines(tmp_path / "other.txt", paragraphs(6, seed=1))
    for name, text in (("one", corpus), ("two", other)):
        run(teacher, text, tmp_path / name, unit=3, dtype="int8")
    merge(tmp_path / "merged", [tmp_path / "one", tmp_path / "two"])
    sample(tmp_path / "merged", tmp_path / "sample", UnitSample(kind="every", n=2))
    for name in ("merged", "sample"):
        assert Cache.open(tmp_path / name).verify() == []
        out = tmp_path / f"{name}-run"
        assert train(TrainConfig(cache=tmp_path / name, out=out, min_count=1, batch_size=4))["steps"] > 0


def test_an_int8_cache_is_not_merged_with_one_of_float16(teacher: Path, corpus: Path, tmp_path: Path) -> None:
    run(teacher, corpus, tmp_path / "one")
    run(teacher, corpus, tmp_path / "two", dtype="int8")
    with pytest.raises(X2StaticError, match=r"dtype: 'float16' != 'int8'; only caches of equal encoding"):
        merge(tmp_path / "out", [tmp_path / "one", tmp_path / "two"])
