"""What holds for every pool of the registry, all in one cache: a new one is missed here until it has its options."""

from pathlib import Path

import pytest

from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, write_lines
from tests.stage1_encode.test_damage import FILES
from x2static.pipeline import cli
from x2static.schemas.cache import Cache
from x2static.schemas.shard import CONTEXTS
from x2static.stage1_encode.pools.registry import POOLS

OPTIONS = {
    "contexts": "",
    "word_sums": "--ase words.txt",
    "word_states": "--word-states --state-layers 0",
    "occurrences": "--occurrences 8",
    "masked": "--masked 2",
}


def test_every_pool_has_options_here_and_files_that_are_damaged():
    assert set(POOLS) == set(OPTIONS)
    assert not [name for name in POOLS if not any(file.startswith(f"shard/{name}") for file in FILES)]


@pytest.fixture(scope="module")
def options(readers, tmp_path_factory) -> list[str]:
    """Options of an encode, but for the folder of the cache, which takes every pool."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "words.txt").write_text("cat\ndog\nthe\n")
    corpus = write_lines(folder / "corpus.txt", paragraphs(24))
    config = config_of(readers("bert").teacher.folder, corpus, folder / "cache", unit=6)
    of_pools = " ".join(OPTIONS.values()).replace("words.txt", str(folder / "words.txt")).split()
    listed = [*as_options(config), *of_pools]
    place = listed.index("--cache")
    return listed[:place] + listed[place + 2 :]


@pytest.fixture(scope="module")
def whole(options, tmp_path_factory) -> Path:
    cache = tmp_path_factory.mktemp("whole") / "cache"
    assert cli.run([*options, "--cache", str(cache)]) == 0
    return cache


def test_all_are_there(whole):
    for shard in Cache.open(whole).shards():
        folders = {CONTEXTS, *shard.marker.pools}
        assert not [name for name in OPTIONS if not any(folder.startswith(name) for folder in folders)]


@pytest.mark.parametrize("where", ["schemas.occurrences", "schemas.masked"])
def test_a_killed_cache_of_all_pools_has_the_bytes_of_one_in_one_go(where, options, whole, forks, tmp_path):
    arguments = [*options, "--cache", str(tmp_path / "cache")]
    assert forks.run(*arguments, kill=(f"x2static.{where}:write_table", "after", 3))[0] == -9
    forks.succeed(*arguments)
    assert files_of(tmp_path / "cache") == files_of(whole)


def test_a_merged_and_a_grown_cache_have_all_pools_whole(options, whole, tmp_path):
    more = write_lines(tmp_path / "more.txt", paragraphs(40)[24:])
    place = options.index("--corpus")
    theirs = [*options[:place], "--corpus", str(more), *options[place + 2 :]]
    assert cli.run([*theirs, "--cache", str(tmp_path / "theirs")]) == 0
    both = [str(whole), str(tmp_path / "theirs")]
    assert cli.run(["cache", "merge", *both, "--out", str(tmp_path / "merged"), "--copy"]) == 0
    grown = str(tmp_path / "grown")
    assert cli.run([*options, "--cache", grown]) == 0
    assert cli.run([*theirs, "--cache", grown, "--append"]) == 0
    of_one, names = Cache.open(whole).shards(), []
    for name in ("merged", "grown"):
        assert cli.run(["cache", "verify", str(tmp_path / name)]) == 0
        shards = Cache.open(tmp_path / name).shards()
        names.append([sorted(shard.marker.pools) for shard in shards])
        assert [files_of(ours.folder) == files_of(one.folder) for ours, one in zip(shards, of_one, strict=False)]
    assert names[0] == names[1]
    assert all(of == names[0][0] for of in names[0])
