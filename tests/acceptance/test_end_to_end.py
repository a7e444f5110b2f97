"""From a cache to scores, files for other programs, and checks of the cache, through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors

from tests.acceptance.conftest import Run
from x2static.schemas.vectors import WordVectors


@pytest.fixture(scope="module")
def vectors(run: Run, small_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("end-to-end") / "run"
    options = ("--objective", "closed-form", "--transform", "whiten", "--min-count", "2")
    done = run("train", "--cache", small_cache, "--out", out, *options, "--json")
    assert done.status == 0, done.stderr
    assert done.json["command"] == "train"
    assert done.json["vocabulary"] == len(WordVectors.load(out))
    return out


def test_evaluate_reports_score_and_coverage_of_a_file_of_pairs(run: Run, vectors: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("state\tgovernment\t8\nstate\tchildren\t1\nanarchism\tanarchist\t9\nstate\tqwxyz\t2\n")
    done = run("evaluate", vectors, "--data", pairs, "--json")
    assert done.status == 0, done.stderr
    task = done.json["tasks"]["pairs"]
    assert (task["covered"], task["total"]) == (3, 4)
    assert -1 <= task["score"] <= 1
    assert f"{task['score']:.3f}" in done.stdout


@pytest.mark.parametrize(("form", "binary"), [("word2vec", False), ("word2vec-bin", True)])
def test_gensim_loads_what_export_writes(form: str, binary: bool, run: Run, vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "vectors"
    done = run("export", vectors, "--to", form, "--out", out, "--json")
    assert done.status == 0, done.stderr
    loaded = KeyedVectors.load_word2vec_format(str(out), binary=binary)
    ours = WordVectors.load(vectors)
    assert loaded.index_to_key == ours.words
    np.testing.assert_array_equal(loaded.vectors, ours.matrix)
    assert done.json["words_written"] == len(ours)


def test_cache_info_says_what_a_cache_is(run: Run, small_cache: Path) -> None:
    done = run("cache", "info", small_cache, "--json")
    assert done.status == 0, done.stderr
    assert done.json["complete"] is True
    assert (done.json["teacher"], done.json["shards"]) == ("demo", 5)
    assert "all-MiniLM" not in done.stdout.splitlines()[0]
    assert "384 dimensions" in done.stdout


def test_cache_verify_names_damaged_missing_and_half_written_shards(
    run: Run, encode_options: tuple[str, ...], small_cache: Path, tmp_path: Path
) -> None:
    import shutil

    cache = tmp_path / "cache"
    shutil.copytree(small_cache, cache)
    whole = run("cache", "verify", cache)
    assert whole.status == 0, whole.stderr
    chunk = cache / "shards/000001/contexts/c/0/0"
    data = bytearray(chunk.read_bytes())
    data[1000] ^= 1
    chunk.write_bytes(data)
    shutil.rmtree(cache / "shards/000002")
    (cache / "shards/000003/words.arrow").unlink()
    (cache / "shards/.tmp-000004").mkdir()
    broken = run("cache", "verify", cache)
    assert broken.status == 1
    for name in ("shard 000001: contexts/c/0/0", "shard 000002: missing", "shard 000003", ".tmp-000004"):
        assert name in broken.stdout
    assert "shard 000000" not in broken.stdout
    assert broken.stderr.count("\n") == 1

    shutil.rmtree(cache / "shards/000001")
    assert run("encode", *encode_options, "--cache", cache).status == 0
    assert run("cache", "verify", cache).status == 0
    assert json.loads((cache / "manifest.json").read_text())["teacher"] == "demo"
