"""A cache that is not finished, and one that has grown: what training makes of them, through the command line."""

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run
from x2static.schemas.vectors import WordVectors

OPTIONS = ("--compat", "paper", "--min-count", "3", "--batch-size", "16")


@pytest.fixture
def encode(tmp_path: Path) -> tuple[str, ...]:
    """The demo in units of 100 paragraphs; the limit is for the test to add."""
    folder = str(tmp_path / "cache")
    return ("encode", "--model", "demo", "--corpus", "demo", "--unit", "100", "--min-sentences", "1", "--cache", folder)


def test_an_unfinished_cache_is_trained_on_with_partial_alone_and_a_run_on_it_outlives_its_growth(
    run: Run, encode: tuple[str, ...], tmp_path: Path
) -> None:
    encoding = (*encode, "--limit", "300")
    assert run(*encoding, kill=("x2static.stage1_encode.encode:commit_folder", "after", 2)).status == -9
    train = ("train", "--cache", tmp_path / "cache", "--out", tmp_path / "run", *OPTIONS)
    refused = run(*train)
    assert refused.status == 1
    assert "--partial" in refused.stderr
    partial = (*train, "--partial", "--checkpoint-minutes", "0")
    assert run(*partial, kill=("x2static.stage2_train.learner:Learner.learn", "after", 5)).status == -9
    assert run(*encoding).status == 0
    done = run(*partial, "--json")
    assert done.status == 0, done.stderr
    assert done.json["resumed"]
    assert WordVectors.load(tmp_path / "run").run["cache"]["shards"] == "0-1"
    refused = run(*train)
    assert refused.status == 1
    assert "began with --partial" in refused.stderr


def test_a_run_is_continued_on_its_cache_after_that_has_grown(
    run: Run, encode: tuple[str, ...], tmp_path: Path
) -> None:
    assert run(*encode, "--limit", "200").status == 0
    first = ("train", "--cache", tmp_path / "cache", "--out", tmp_path / "first", *OPTIONS, "--epochs", "2")
    assert run(*first).status == 0
    assert run(*encode, "--limit", "300").status == 0
    second = ("train", "--cache", tmp_path / "cache", "--out", tmp_path / "second", *OPTIONS)
    continued = (*second, "--continue", tmp_path / "first", "--checkpoint-minutes", "0")
    assert run(*continued, kill=("x2static.stage2_train.learner:Learner.learn", "after", 5)).status == -9
    done = run(*continued, "--json")
    assert done.status == 0, done.stderr
    assert done.json["resumed"]
    now, then = (WordVectors.load(tmp_path / name) for name in ("second", "first"))
    told = now.run["continued"]
    assert told["words_new"] == len(set(now.words) - set(then.words)) > 0
    assert told["words_carried_over"] == len(set(now.words) & set(then.words)) > 0
    assert now.run["losses"][0] < then.run["losses"][0]
    assert str(tmp_path) not in (tmp_path / "second" / "settings.json").read_text()
    assert json.loads((tmp_path / "second" / "settings.json").read_text())["continue"] == told["content"]
