"""ASE: every occurrence counts, at every layer, with one pass of the teacher for them all."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.baselines.caches import TEXTS, common, cosines, encoded, made, no_teacher, occurring, reader
from tests.stage1_encode.runs import config_of, write_lines
from tests.teachers import FAMILIES
from x2static.baselines.occurrences import StateFile
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.pools.word_sums import WordSums

POOL = {"mean": np.mean, "max": np.max, "min": np.min}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", POOL)
def test_vectors_are_those_of_an_unbatched_computation_and_further_layers_load_no_teacher(
    family: str, pooling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for layer, number in (("last", 2), (0, 0), (-2, 1)):
        ours = made("ase", common(family), tmp_path / f"{layer}", pooling=pooling, layer=layer)
        no_teacher(monkeypatch)
        expected = occurring(ours, family)
        assert ours.counts.tolist() == [len(vectors) for vectors in expected]
        pooled = np.array([POOL[pooling](vectors[:, number], axis=0) for vectors in expected])
        np.testing.assert_allclose(ours.matrix, pooled, rtol=1e-4, atol=1e-4)
        assert cosines(ours.matrix, pooled).min() >= 0.9999
    assert ours.run["pooling"] == pooling
    assert ours.run["occurrences"] == ours.counts.sum()
    assert (ours.run["words_left_out"], ours.run["layer"]) == (0, -2)


def test_sums_that_encode_made_are_used_without_a_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = made("ase", common(), tmp_path / "ours")
    config = config_of(reader().teacher.folder, write_lines(tmp_path / "t.txt", TEXTS), tmp_path / "cache", unit=7)
    encode(config, pools=[WordSums.of(config, ["unheard", *ours.words])])
    no_teacher(monkeypatch)
    theirs = made("ase", config.cache, tmp_path / "theirs")
    assert theirs.words == ours.words
    np.testing.assert_array_equal(theirs.matrix, ours.matrix)
    assert not (config.cache / "baselines").exists()
    monkeypatch.undo()
    more = made("ase", config.cache, tmp_path / "more", min_count=1)  # words without sums: a pass of its own
    np.testing.assert_allclose(more.matrix[[more.index[word] for word in ours.words]], ours.matrix, 1e-5, 1e-6)
    half = made("ase", config.cache, tmp_path / "half", precision="bfloat16")  # likewise
    assert half.run["precision"] == "bfloat16"
    assert not np.array_equal(half.matrix, ours.matrix)
    assert cosines(half.matrix, ours.matrix).min() >= 0.99


def test_a_state_that_is_read_and_written_again_has_the_same_bytes(tmp_path: Path) -> None:
    """So a call that was killed and goes on leaves the file of one that was not."""
    file = StateFile(tmp_path / "sums.safetensors")
    tensors = {"sums": torch.ones(2, 1, 3, dtype=torch.float64), "counts": torch.ones(1, dtype=torch.int64)}
    file.write({0, 1}, ["word"], tensors)
    written = file.path.read_bytes()
    file.write({0, 1}, ["word"], file.tensors())
    assert file.path.read_bytes() == written


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    cache = encoded(tmp_path)
    made("ase", cache, tmp_path / "out", pooling="min")
    (state,) = cache.glob("baselines/min-*/extremes.safetensors")
    state.write_bytes(state.read_bytes()[:-10])
    with pytest.raises(X2StaticError, match=r"extremes.safetensors: damaged .*remove it and run the same"):
        made("ase", cache, tmp_path / "other", pooling="min", layer=0)
