"""A cache that is not finished, and one that has grown: what training makes of them, through the command line."""

import json
from pathlib import Path

import pytest

from x2static.schemas.vectors import WordVectors

OPTIONS = ("--compat", "paper", "--min-count", "3", "--batch-size", "16")


@pytest.fixture
def encode(encode_options: tuple[str, ...], tmp_path: Path) -> tuple[str, ...]:
    """Stage one in units of 100 paragraphs; another limit is for the test to add."""
    return ("encode", *encode_options, "--cache", str(tmp_path / "cache"))


def test_an_unfinished_cache_is_trained_on_with_partial_alone_and_a_run_on_it_outlives_its_growth(
    run, encode, tmp_path
):
    encoding = (*encode, "--limit", "300")
    assert run(*encoding, kill=("x2static.stage1_encode.encode:commit_folder", "after", 2)).status == -9
    train = ("train", "--cache", tmp_path / "cache", "--out", tmp_path / "run", *OPTIONS)
    refused = run(*train)
    assert refused.status == 1
    assert "--partial" in refused.said
    partial = (*train, "--partial", "--checkpoint-minutes", "0")
    assert run(*partial, kill=("x2static.stage2_train.learner:Learner.learn", "after", 5)).status == -9
    assert run(*encoding).status == 0
    done = run(*partial, "--json")
    assert done.status == 0, done.said
    assert done.json["resumed"]
    assert WordVectors.load(tmp_path / "run").run["cache"]["shards"] == "0-1"
    refused = run(*train)
    assert refused.status == 1
    assert "began with --partial" in refused.said


def test_a_run_is_continued_on_its_cache_after_that_has_grown(run, encode, tmp_path):
    assert run(*encode, "--limit", "200").status == 0
    first = ("train", "--cache", tmp_path / "cache", "--out", tmp_path / "first", *OPTIONS, "--epochs", "2")
    assert run(*first).status == 0
    assert run(*encode, "--limit", "300").status == 0
    second = ("train", "--cache", tmp_path / "cache", "--out", tmp_path / "second", *OPTIONS)
    continued = (*second, "--continue", tmp_path / "first", "--checkpoint-minutes", "0")
    assert run(*continued, kill=("x2static.stage2_train.learner:Learner.learn", "after", 5)).status == -9
    done = run(*continued, "--json")
    assert done.status == 0, done.said
    assert done.json["resumed"]
    now, then = (WordVectors.load(tmp_path / name) for name in ("second", "first"))
    continued_from = now.run["continued"]
    assert continued_from["words_new"] == len(set(now.words) - set(then.words)) > 0
    assert continued_from["words_carried_over"] == len(set(now.words) & set(then.words)) > 0
    assert now.run["losses"][0] < then.run["losses"][0]
    assert str(tmp_path) not in (tmp_path / "second" / "settings.json").read_text()
    assert json.loads((tmp_path / "second" / "settings.json").read_text())["continue"] == continued_from["content"]
