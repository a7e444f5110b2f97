"""--partial: training on what is committed of a cache that is not finished."""

import signal
from pathlib import Path

import pytest

from tests.schemas.caches import encoding, marker, plan, write_shard
from tests.stage2_train.caches import DIM, config, result, shard_content, write_cache
from tests.stage2_train.driver import drive
from tests.stage2_train.test_checkpoint import stop_at
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer
from x2static.schemas.cache import Cache, content_of
from x2static.schemas.shard import shard_name
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.shards import list_numbers, parse_numbers
from x2static.stage2_train.trainer import train


def add_shard(cache: Path, index: int) -> None:
    fingerprint = encoding(dim=DIM).fingerprint
    write_shard(cache / "shards", index, shard_content(index, 130, DIM), marker(index, fingerprint=fingerprint))


@pytest.fixture
def growing(tmp_path: Path) -> Path:
    """Shards 0 and 2 of four."""
    cache = write_cache(tmp_path / "growing", [shard_content(0, 130, DIM)], plans=[plan(4)])
    add_shard(cache, 2)
    return cache


@pytest.fixture
def straight(growing: Path, tmp_path: Path) -> Path:
    """A run on these two shards that nobody interrupted."""
    train(config(growing, tmp_path / "straight", partial=True))
    return tmp_path / "straight"


@pytest.mark.parametrize(
    ("numbers", "text"), [([0], "0"), ([0, 1, 2], "0-2"), ([0, 2, 3, 7, 9, 10], "0,2-3,7,9-10"), ([12], "12")]
)
def test_lists_of_shards_are_short_and_can_be_read_back(numbers: list[int], text: str):
    assert list_numbers(numbers) == text
    assert parse_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "1-", "1,,2", "0-2;rm"])
def test_a_damaged_list_of_shards_is_refused(text: str):
    with pytest.raises(X2StaticError, match=r"not a list of shards.*settings.json"):
        parse_numbers(text)


def test_an_incomplete_cache_is_refused_and_partial_is_named(growing: Path, tmp_path: Path):
    with pytest.raises(X2StaticError, match=r"2 of 4 shards are missing \(the first is 1\).*--partial"):
        train(config(growing, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_partial_trains_on_the_committed_shards_and_records_which(growing: Path, straight: Path):
    run = WordVectors.load(straight).run
    shards = Cache.open(growing).shards()
    assert run["cache"]["content"] == content_of(shards)
    assert run["cache"]["shards"] == "0,2"
    assert run["words"] <= sum(shard.marker.n_words for shard in shards)
    assert run["configuration"]["partial"]


def test_partial_equals_a_run_on_a_whole_cache_of_these_shards(straight: Path, tmp_path: Path):
    whole = write_cache(tmp_path / "two", [shard_content(0, 130, DIM)], plans=[plan(2)])
    fingerprint = encoding(dim=DIM).fingerprint
    write_shard(whole / "shards", 1, shard_content(2, 130, DIM), marker(1, fingerprint=fingerprint))
    train(config(whole, tmp_path / "whole"))
    assert result(tmp_path / "whole") == result(straight)


def test_a_whole_cache_is_trained_on_while_another_process_holds_it(cache_copy: Path, tmp_path: Path):
    with only_writer(cache_copy, "cache"):
        train(config(cache_copy, tmp_path / "run"))
        train(config(cache_copy, tmp_path / "partial", partial=True))
    assert result(tmp_path / "run") == result(tmp_path / "partial")


def test_training_leaves_no_lock_in_a_cache_that_had_none(cache_copy: Path, tmp_path: Path):
    train(config(cache_copy, tmp_path / "run", epochs=1))
    assert not (cache_copy / ".lock").exists()


@pytest.mark.parametrize(("event", "n", "minutes"), [("kill-batch", 5, 0), ("kill-batch", 14, 60), ("SIGTERM", 4, 60)])
def test_a_partial_run_goes_on_with_its_shards_when_the_cache_has_grown(
    growing: Path, straight: Path, tmp_path: Path, event: str, n: int, minutes: float
):
    wish = config(growing, tmp_path / "run", partial=True, checkpoint_minutes=minutes)
    assert drive(wish, event, n).returncode in (-signal.SIGKILL, 130)
    add_shard(growing, 1)
    add_shard(growing, 3)
    train(wish)
    assert result(wish.out) == result(straight)
    assert WordVectors.load(wish.out).run["cache"]["shards"] == "0,2"


def test_a_finished_partial_run_is_finished_when_the_cache_has_grown(growing: Path, straight: Path):
    add_shard(growing, 1)
    assert train(config(growing, straight, partial=True))["finished_before"]
    assert train(config(growing, straight, partial=True, epochs=3))["resumed"]


def test_a_new_partial_run_takes_what_is_there_by_then(growing: Path, straight: Path, tmp_path: Path):
    add_shard(growing, 1)
    train(config(growing, tmp_path / "later", partial=True, epochs=1))
    assert WordVectors.load(tmp_path / "later").run["cache"]["shards"] == "0-2"


def test_a_partial_run_is_not_taken_for_one_on_the_whole_cache_nor_the_other_way(
    growing: Path, straight: Path, tmp_path: Path
):
    add_shard(growing, 1)
    add_shard(growing, 3)
    with pytest.raises(X2StaticError, match=r"shards: '0,2' there, None here.*began with --partial.*another --out"):
        train(config(growing, straight))
    train(config(growing, tmp_path / "whole", epochs=1))
    with pytest.raises(X2StaticError, match=r"shards: None there, '0-3' here"):
        train(config(growing, tmp_path / "whole", epochs=1, partial=True))


def test_a_shard_that_a_partial_run_began_with_and_that_is_gone_is_named(growing: Path, tmp_path: Path):
    wish = config(growing, tmp_path / "run", partial=True, checkpoint_minutes=0)
    stop_at(3, wish)
    (growing / "shards" / shard_name(2)).rename(tmp_path / "aside")
    with pytest.raises(X2StaticError, match=r"shard 2, which this run began with, is missing or damaged"):
        train(wish)


def test_a_shard_encoded_anew_with_other_content_is_refused(growing: Path, straight: Path, tmp_path: Path):
    (growing / "shards" / shard_name(2)).rename(tmp_path / "aside")
    fingerprint = encoding(dim=DIM).fingerprint
    write_shard(growing / "shards", 2, shard_content(7, 130, DIM), marker(2, fingerprint=fingerprint))
    with pytest.raises(X2StaticError, match=r"cache_content: '\w+' there, '\w+' here"):
        train(config(growing, straight, partial=True))


def test_damaged_shards_are_left_out_and_named(
    growing: Path, straight: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    add_shard(growing, 1)
    (growing / "shards" / shard_name(1) / "shard.json").unlink()
    train(config(growing, tmp_path / "run", partial=True))
    assert "shard 000001 is left out: " in caplog.text
    assert result(tmp_path / "run") == result(straight)


def test_a_cache_without_any_committed_shard_is_refused(tmp_path: Path):
    write_cache(tmp_path / "cache", [], plans=[plan(3)])
    with pytest.raises(X2StaticError, match="no committed shard yet; wait for `x2static encode`"):
        train(config(tmp_path / "cache", tmp_path / "run", partial=True))
