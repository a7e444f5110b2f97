"""From a cache to scores, files for other programs, and checks of the cache, through the command line."""

import shutil

import numpy as np
from gensim.models import KeyedVectors

from x2static.schemas.vectors import WordVectors

TRAIN = ("--objective", "closed-form", "--transform", "whiten", "--min-count", "2")


def test_vectors_are_trained_scored_and_exported(run, small_cache, tmp_path):
    out, file, pairs = tmp_path / "run", tmp_path / "vectors.bin", tmp_path / "pairs.tsv"
    trained = run("train", "--cache", small_cache, "--out", out, *TRAIN, "--json")
    assert trained.status == 0, trained.out
    vectors = WordVectors.load(out)
    assert (trained.json["command"], trained.json["vocabulary"]) == ("train", len(vectors))

    pairs.write_text("state\tgovernment\t8\nstate\tchildren\t1\nanarchism\tanarchist\t9\nstate\tqwxyz\t2\n")
    scored = run("evaluate", out, "--data", pairs, "--json")
    assert scored.status == 0, scored.out
    task = scored.json["tasks"]["pairs"]
    assert (task["covered"], task["total"]) == (3, 4)
    assert f"{task['score']:.3f}" in scored.out

    exported = run("export", out, "--to", "word2vec-bin", "--out", file, "--json")
    assert exported.status == 0, exported.out
    assert exported.json["words_written"] == len(vectors)
    loaded = KeyedVectors.load_word2vec_format(str(file), binary=True)
    assert loaded.index_to_key == vectors.words
    np.testing.assert_array_equal(loaded.vectors, vectors.matrix)


def test_verify_names_what_encode_mends_and_partial_alone_trains_until_then(run, encode_options, small_cache, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(small_cache, cache)
    whole = run("cache", "verify", cache)
    assert whole.status == 0, whole.out
    shutil.rmtree(cache / "shards/000002")
    train = ("train", "--cache", cache, "--out", tmp_path / "run", *TRAIN)
    refused = run(*train)
    assert (refused.status, "--partial" in refused.out) == (1, True)
    assert run(*train, "--partial").status == 0
    assert WordVectors.load(tmp_path / "run").run["cache"]["shards"] == "0-1,3-4"
    (cache / "shards/000001/contexts/c/0/0").write_bytes(b"?")
    (cache / "shards/000003/words.arrow").unlink()
    (cache / "shards/.tmp-000004").mkdir()
    broken = run("cache", "verify", cache)
    assert broken.status == 1
    for name in ("shard 000001: contexts/c/0/0", "shard 000002: missing", "shard 000003", ".tmp-000004"):
        assert name in broken.out
    assert "shard 000000" not in broken.out
    shutil.rmtree(cache / "shards/000001")
    assert run("encode", *encode_options, "--cache", cache).status == 0
    assert run("cache", "verify", cache).status == 0
