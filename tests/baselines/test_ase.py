"""ASE: every occurrence counts, at every layer, with one pass of the teacher for them all."""

from pathlib import Path

import numpy as np
import pytest

from tests.baselines.caches import TEXTS, cosines, encoded, made, no_teacher, occurring, reader
from tests.stage1_encode.runs import config_of, files_of, paragraphs, run, write_lines
from tests.teachers import FAMILIES
from x2static.durable.errors import X2StaticError
from x2static.pipeline.caches.sample import sample
from x2static.schemas.manifest import UnitSample
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.pools.word_sums import WordSums
from x2static.stage1_encode.teacher.teacher import Teacher

POOL = {"mean": np.mean, "max": np.max, "min": np.min}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four units; what baselines keep in it is shared by the tests."""
    return encoded(tmp_path_factory.mktemp("ase"))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", POOL)
def test_vectors_are_those_of_an_unbatched_computation(family: str, pooling: str, tmp_path: Path) -> None:
    cache = encoded(tmp_path, family=family)
    for layer, number in (("last", 2), (0, 0), (-2, 1)):
        found = made("ase", cache, tmp_path / f"{layer}", pooling=pooling, layer=layer)
        expected = occurring(found, family)
        assert found.counts.tolist() == [len(expected[word]) for word in found.words]
        pooled = np.array([POOL[pooling](expected[word][:, number], axis=0) for word in found.words])
        np.testing.assert_allclose(found.matrix, pooled, rtol=1e-4, atol=1e-4)
        assert cosines(found.matrix, pooled).min() >= 0.9999
    assert found.run["pooling"] == pooling
    assert found.run["occurrences"] == found.counts.sum()
    assert (found.run["words_left_out"], found.run["layer"]) == (0, -2)


@pytest.mark.parametrize("pooling", POOL)
def test_further_layers_load_no_teacher(
    pooling: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = made("ase", cache, tmp_path / "last", pooling=pooling)
    no_teacher(monkeypatch)
    first = made("ase", cache, tmp_path / "first", pooling=pooling, layer=0)
    again = made("ase", cache, tmp_path / "again", pooling=pooling, layer=2)
    assert not np.allclose(first.matrix, last.matrix)
    np.testing.assert_array_equal(again.matrix, last.matrix)


def test_sums_that_encode_made_are_used_without_a_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = encoded(tmp_path)
    ours = made("ase", cache, tmp_path / "ours")
    config = config_of(reader().teacher.folder, tmp_path / "text.txt", tmp_path / "summed", unit=7)
    encode(config, pools=[WordSums.of(config, ["unheard", *ours.words])])
    no_teacher(monkeypatch)
    theirs = made("ase", config.cache, tmp_path / "theirs")
    assert theirs.words == ours.words
    np.testing.assert_array_equal(theirs.matrix, ours.matrix)
    assert not (config.cache / "baselines").exists()


def test_sums_of_other_words_are_left_alone(tmp_path: Path) -> None:
    config = config_of(reader().teacher.folder, write_lines(tmp_path / "t.txt", TEXTS), tmp_path / "cache", unit=7)
    encode(config, pools=[WordSums.of(config, ["cat", "dog"])])
    before = files_of(config.cache)
    found = made("ase", config.cache, tmp_path / "out")
    after = {name: data for name, data in files_of(config.cache).items() if not name.startswith("baselines/")}
    assert after == before
    assert len(found) > 30


def test_another_precision_is_another_pass(cache: Path, tmp_path: Path) -> None:
    full = made("ase", cache, tmp_path / "full")
    half = made("ase", cache, tmp_path / "half", precision="bfloat16")
    assert half.run["precision"] == "bfloat16"
    assert not np.array_equal(half.matrix, full.matrix)
    assert cosines(half.matrix, full.matrix).min() >= 0.99


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_cache_that_has_grown_is_read_only_where_it_is_new(
    pooling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, listed = encoded(tmp_path, paragraphs(12, seed=1)), tmp_path / "words.txt"
    listed.write_text("the\n.\nit\n")
    made("ase", cache, tmp_path / "before", pooling=pooling, vocab=listed)
    new = write_lines(tmp_path / "new.txt", paragraphs(12, seed=2))
    run(reader().teacher.folder, new, cache, unit=7, append=True)
    (tmp_path / "text.txt").unlink()  # what was read is not read again
    found = made("ase", cache, tmp_path / "after", pooling=pooling, vocab=listed)
    expected = occurring(found, texts=[*paragraphs(12, seed=1), *paragraphs(12, seed=2)])
    pooled = np.array([POOL[pooling](expected[word][:, 2], axis=0) for word in found.words])
    np.testing.assert_allclose(found.matrix, pooled, rtol=1e-4, atol=1e-4)


def test_a_sample_of_a_cache_is_read_as_far_as_it_goes(cache: Path, tmp_path: Path) -> None:
    sample(cache, tmp_path / "sample", UnitSample(kind="first", n=2))
    found = made("ase", tmp_path / "sample", tmp_path / "out", pooling="max")
    expected = occurring(found, texts=TEXTS[:14])
    assert found.counts.tolist() == [len(expected[word]) for word in found.words]


def test_a_moved_corpus_and_teacher_are_named(tmp_path: Path) -> None:
    cache = encoded(tmp_path)
    (tmp_path / "text.txt").rename(tmp_path / "moved.txt")
    with pytest.raises(X2StaticError, match=r"is needed to encode its shards again, and is not found .* with --corpus"):
        made("ase", cache, tmp_path / "out")
    found = made("ase", cache, tmp_path / "out", corpus=(str(tmp_path / "moved.txt"),))
    assert len(found) > 30
    with pytest.raises(X2StaticError, match=r"cache != here.*weights"):
        model = str(reader("roberta").teacher.folder)
        made("ase", cache, tmp_path / "other", pooling="max", model=model, corpus=(str(tmp_path / "moved.txt"),))


def test_words_that_the_teacher_never_reads_are_left_out_and_told(tmp_path: Path) -> None:
    texts = [f"\ue000 {text}" for text in TEXTS]  # a BERT's tokenizer drops this character
    cache = encoded(tmp_path, texts)
    for pooling in POOL:
        found = made("ase", cache, tmp_path / pooling, pooling=pooling)
        assert "\ue000" not in found
        assert found.run["words_left_out"] == 1
    (tmp_path / "words.txt").write_text("\ue000\n")
    with pytest.raises(X2StaticError, match="none of the 1 words of the vocabulary has a vector"):
        made("ase", cache, tmp_path / "none", vocab=tmp_path / "words.txt")


@pytest.mark.parametrize("pooling", POOL)
def test_what_memory_cannot_hold_is_refused_with_numbers(
    pooling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = encoded(tmp_path)
    monkeypatch.setattr("x2static.baselines.teacher.memory_of", lambda _: 10_000)
    with pytest.raises(X2StaticError, match=r"take 0\.0 GB, and of the 0\.0 GB of memory here 80% .* --max-vocab"):
        made("ase", cache, tmp_path / "out", pooling=pooling)


@pytest.mark.parametrize("pooling", POOL)
def test_a_wrong_layer_is_refused_before_the_teacher_reads(
    pooling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = encoded(tmp_path)
    monkeypatch.setattr(Teacher, "layers", lambda *_: pytest.fail("the teacher reads"))
    with pytest.raises(X2StaticError, match=r"--layer 9: this teacher has layers 0 \(its embeddings\) to 2"):
        made("ase", cache, tmp_path / "out", pooling=pooling, layer=9)


def test_a_cache_whose_words_and_pieces_do_not_meet_is_refused(tmp_path: Path) -> None:
    cache = encoded(tmp_path, compat="paper")
    with pytest.raises(X2StaticError, match=r"made with --compat paper, .*; ase needs a cache without it"):
        made("ase", cache, tmp_path / "out")


def test_damaged_extremes_are_told(tmp_path: Path) -> None:
    cache = encoded(tmp_path)
    made("ase", cache, tmp_path / "out", pooling="min")
    (kept,) = cache.glob("baselines/min-*/extremes.safetensors")
    kept.write_bytes(kept.read_bytes()[:-10])
    with pytest.raises(X2StaticError, match=r"extremes.safetensors: damaged .*remove it and run the same"):
        made("ase", cache, tmp_path / "other", pooling="min", layer=0)
