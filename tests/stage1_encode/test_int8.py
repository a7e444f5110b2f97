"""`--dtype int8`: half the cache, rows near those of float16, and all that holds for a cache holds for it."""

from pathlib import Path

import numpy as np

from tests.stage1_encode.runs import config_of, paragraphs, read_back, run, write_lines
from x2static.pipeline.caches import merge, sample
from x2static.schemas.cache import Cache
from x2static.schemas.manifest import UnitSample
from x2static.schemas.training import TrainConfig
from x2static.stage1_encode.plan.estimate import estimate
from x2static.stage2_train.trainer import train


def test_rows_are_those_of_float16_to_half_a_scale_and_of_the_estimated_size(teacher, corpus, tmp_path):
    estimated, sizes = [], []
    for dtype in ("float16", "int8"):
        cache = tmp_path / dtype
        estimated.append(estimate(config_of(teacher, corpus, cache, unit=5, dtype=dtype))["cache_bytes"])
        run(teacher, corpus, cache, unit=5, dtype=dtype)
        written = [path for path in cache.glob("shards/0*/**/c/**/*") if path.is_file()]
        sizes.append(sum(path.stat().st_size for path in written))
    wide, narrow = read_back(tmp_path / "float16"), read_back(tmp_path / "int8")
    assert wide.words == narrow.words
    vectors = np.array([row.vector for row in wide.rows], float)
    error = np.abs(np.array([row.vector for row in narrow.rows], float) - vectors)
    scales = np.abs(vectors).max(axis=1, keepdims=True) / 127
    assert (error <= scales * 0.51 + np.abs(vectors) * 2.0**-10).all()  # both are rounded to float16
    assert error.max() > 0
    rows, dim = vectors.shape
    assert sizes == [rows * 2 * dim, rows * (dim + 4)]
    assert estimated[0] - estimated[1] == rows * (dim - 4)


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
