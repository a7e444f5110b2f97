"""Stage one, killed in every phase of a shard and run again, makes the cache of an uninterrupted run, byte for byte."""

import pytest

from tests.stage1_encode.runs import files_of

PHASES = {
    "in the middle of the teacher": ("x2static.stage1_encode.pools.contexts:ContextMeans.add", "after", 60),
    "between two file writes of a shard": ("x2static.schemas.shard:write_table", "after", 5),
    "just before a marker": ("x2static.schemas.shard:hash_files", "after", 3),
    "between a marker and its rename": ("x2static.stage1_encode.encode:commit_folder", "before", 3),
    "just after a marker": ("x2static.stage1_encode.encode:commit_folder", "after", 3),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_encode_goes_on_and_ends_with_the_same_bytes(phase, run, encode_options, small_cache, tmp_path):
    cache = tmp_path / "cache"
    killed = run("encode", *encode_options, "--cache", cache, kill=PHASES[phase])
    assert killed.status == -9
    finished_before = len(list(cache.glob("shards/[0-9]*/shard.json")))
    assert 0 < finished_before < 5

    resumed = run("encode", *encode_options, "--cache", cache, "--json")

    assert resumed.status == 0, resumed.said
    assert resumed.json["shards_resumed"] == finished_before
    assert resumed.json["shards"] == 5
    assert files_of(cache) == files_of(small_cache)
