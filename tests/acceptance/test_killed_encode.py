"""Stage one, killed in every phase of a shard and run again, makes the cache of an uninterrupted run, byte for byte."""

from pathlib import Path

import pytest

from tests.acceptance.conftest import Run, files_of

PHASES = {
    "in the middle of the teacher": ("x2static.stage1_encode.pools.contexts:ContextMeans.add", "after", 18),
    "between two file writes of a shard": ("x2static.schemas.shard:write_table", "after", 5),
    "just before a marker": ("x2static.schemas.shard:hash_files", "after", 3),
    "between a marker and its rename": ("x2static.stage1_encode.encode:commit_folder", "before", 3),
    "just after a marker": ("x2static.stage1_encode.encode:commit_folder", "after", 3),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_encode_goes_on_and_ends_with_the_same_bytes(
    phase: str, run: Run, encode_options: tuple[str, ...], small_cache: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    killed = run("encode", *encode_options, "--cache", cache, kill=PHASES[phase])
    assert killed.status == -9
    finished_before = len(list(cache.glob("shards/[0-9]*/shard.json")))
    assert 0 < finished_before < 5

    resumed = run("encode", *encode_options, "--cache", cache, "--json")

    assert resumed.status == 0, resumed.stderr
    assert resumed.json["shards_resumed"] == finished_before
    assert resumed.json["shards"] == 5
    assert files_of(cache) == files_of(small_cache)


def test_a_finished_cache_asked_for_again_is_left_as_it_is(
    run: Run, encode_options: tuple[str, ...], small_cache: Path
) -> None:
    before = files_of(small_cache)
    again = run("encode", *encode_options, "--cache", small_cache, "--json")
    assert again.status == 0, again.stderr
    assert again.json["shards_resumed"] == again.json["shards"] == 5
    assert "finished already" in again.stderr
    assert files_of(small_cache) == before


def test_a_run_in_two_limits_holds_the_rows_of_one_run(
    run: Run, encode_options: tuple[str, ...], small_cache: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert run("encode", *encode_options, "--limit", "200", "--cache", cache).status == 0
    assert run("encode", *encode_options, "--cache", cache).status == 0
    shards = {name: data for name, data in files_of(cache).items() if "/contexts/" in name or name.endswith(".arrow")}
    assert len(shards) >= 5 * 3
    assert shards.items() <= files_of(small_cache).items()
