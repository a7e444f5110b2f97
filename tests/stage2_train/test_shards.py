"""--partial: training on what is committed of a cache that is not finished."""

from pathlib import Path

import pytest

from tests.schemas.caches import plan
from tests.stage2_train.caches import DIM, add_shard, config, result, shard_content, write_cache
from tests.stage2_train.stops import stop_at
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer
from x2static.schemas.cache import Cache, content_of
from x2static.schemas.shard import shard_name
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.shards import list_numbers, parse_numbers
from x2static.stage2_train.trainer import train


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


@pytest.mark.parametrize(("numbers", "text"), [([0], "0"), ([0, 1, 2], "0-2"), ([0, 2, 3, 7, 9, 10], "0,2-3,7,9-10")])
def test_lists_of_shards_are_short_and_can_be_read_back(numbers: list[int], text: str):
    assert list_numbers(numbers) == text
    assert parse_numbers(text) == numbers
    with pytest.raises(X2StaticError, match=r"not a list of shards.*settings.json"):
        parse_numbers(f"{text},")


def test_partial_trains_what_is_there(growing: Path, straight: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    run = WordVectors.load(straight).run
    assert run["cache"]["content"] == content_of(Cache.open(growing).shards())
    assert run["cache"]["shards"] == "0,2"
    whole = write_cache(tmp_path / "two", [shard_content(0, 130, DIM), shard_content(2, 130, DIM)])
    train(config(whole, tmp_path / "whole"))
    assert result(tmp_path / "whole") == result(straight)
    add_shard(growing, 1)
    (growing / "shards" / shard_name(1) / "shard.json").unlink()
    train(config(growing, tmp_path / "run", partial=True))
    assert "shard 000001 is left out: " in caplog.text
    assert result(tmp_path / "run") == result(straight)


def test_a_whole_cache_is_trained_on_while_another_process_holds_it(cache_copy: Path, tmp_path: Path):
    with only_writer(cache_copy, "cache"):
        train(config(cache_copy, tmp_path / "run"))
        train(config(cache_copy, tmp_path / "partial", partial=True))
    assert result(tmp_path / "run") == result(tmp_path / "partial")


def test_a_partial_run_goes_on_with_its_shards_when_the_cache_has_grown(growing: Path, straight: Path, tmp_path: Path):
    wish = config(growing, tmp_path / "run", partial=True)
    stop_at(4, wish)
    add_shard(growing, 1)
    add_shard(growing, 3)
    assert train(wish)["resumed"]
    assert result(wish.out) == result(straight)
    assert WordVectors.load(wish.out).run["cache"]["shards"] == "0,2"
    assert train(wish)["finished_before"]
    (growing / "shards" / shard_name(2)).rename(tmp_path / "aside")
    with pytest.raises(X2StaticError, match="shard 2, which this run began with, is missing or damaged"):
        train(wish)


def test_a_partial_run_is_not_one_on_the_whole_cache(growing: Path, straight: Path, tmp_path: Path):
    add_shard(growing, 1)
    add_shard(growing, 3)
    with pytest.raises(X2StaticError, match=r"shards: '0,2' there, None here.*began with --partial.*another --out"):
        train(config(growing, straight))
    train(config(growing, tmp_path / "whole", epochs=1))
    with pytest.raises(X2StaticError, match=r"shards: None there, '0-3' here"):
        train(config(growing, tmp_path / "whole", epochs=1, partial=True))
