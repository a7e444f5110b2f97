"""A sample is a smaller cache, complete in itself, that says that it is one."""

import json
import shutil
from pathlib import Path

import pytest

from tests.pipeline.caches.parts import flip, plan_of
from tests.pipeline.caches.test_merge import killed
from tests.schemas.caches import content, make_cache, marker, write_shard
from tests.stage1_encode.runs import files_of
from tests.stage2_train.caches import config
from tests.stage2_train.caches import make_cache as make_training_cache
from x2static.durable.errors import X2StaticError
from x2static.pipeline import cli
from x2static.pipeline.caches.merge import merge
from x2static.pipeline.caches.sample import sample
from x2static.schemas.cache import Cache
from x2static.schemas.manifest import UnitSample
from x2static.stage2_train.trainer import train


def every(n: int) -> UnitSample:
    return UnitSample(kind="every", n=n)


def first(n: int) -> UnitSample:
    return UnitSample(kind="first", n=n)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Seven shards of two corpora, four and three."""
    path = make_cache(tmp_path / "source", shards=4, plans=[plan_of("a.txt", 4), plan_of("b.txt", 3)])
    for index in range(4, 7):
        write_shard(path / "shards", index, content(6, seed=index), marker(index, plan=1, last=index == 6))
    return path


@pytest.mark.parametrize(
    ("taken", "shards", "corpora"),
    [
        (every(1), [0, 1, 2, 3, 4, 5, 6], ["a.txt", "b.txt"]),
        (every(2), [0, 2, 4, 6], ["a.txt", "b.txt"]),
        (every(3), [0, 3, 6], ["a.txt", "b.txt"]),
        (every(7), [0], ["a.txt"]),
        (first(1), [0], ["a.txt"]),
        (first(5), [0, 1, 2, 3, 4], ["a.txt", "b.txt"]),
    ],
)
def test_a_sample_holds_its_units_and_is_complete(
    taken: UnitSample, shards: list[int], corpora: list[str], source: Path, tmp_path: Path
) -> None:
    figures = sample(source, tmp_path / "out", taken)
    out, whole = Cache.open(tmp_path / "out"), Cache.open(source)
    assert (figures["shards"], figures["complete"], out.verify(), out.missing()) == (len(shards), True, [], [])
    assert out.indices() == list(range(len(shards)))
    assert [plan.corpus for plan in out.plans()] == corpora
    for index, number in enumerate(shards):
        assert out.shard(index).contexts().tobytes() == whole.shard(number).contexts().tobytes()
        assert out.shard(index).marker.unit == whole.shard(number).marker.unit
        assert out.plans()[out.shard(index).marker.plan].corpus == ("a.txt" if number < 4 else "b.txt")
    units = [unit for plan in out.plans() for unit in plan.units or ()]
    wanted = [unit for plan in whole.plans() for unit in plan.units or ()]
    assert units == [wanted[number] for number in shards]
    lasts = [shard.marker.last for shard in out.shards()]
    assert lasts.count(True) == len(corpora)
    assert lasts[-1]


def test_a_sample_says_that_it_is_one(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["cache", "sample", str(source), str(tmp_path / "out"), "--every", "3", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["command"], figures["shards"], figures["shards_linked"]) == ("cache sample", 3, 3)
    assert cli.run(["cache", "info", str(tmp_path / "out"), "--json"]) == 0
    out = capsys.readouterr().out
    assert "sample      one unit in 3 of a larger cache\n" in out
    assert "shards      3, complete\n" in out
    assert json.loads(out.splitlines()[-1])["sampled"] == ["one unit in 3"]


def test_a_sample_of_a_sample_says_both(source: Path, tmp_path: Path) -> None:
    sample(source, tmp_path / "one", every(2))
    sample(tmp_path / "one", tmp_path / "two", first(3))
    assert {plan.sampled for plan in Cache.open(tmp_path / "two").plans()} == {(every(2), first(3))}
    assert Cache.open(tmp_path / "two").verify() == []


def test_a_sample_is_not_merged_with_the_cache_that_it_is_of(source: Path, tmp_path: Path) -> None:
    sample(source, tmp_path / "out", every(1))
    with pytest.raises(X2StaticError, match=r"hold the same corpus \(a\.txt\), .*\(sampled: \[\] != \[\{"):
        merge(tmp_path / "merged", [source, tmp_path / "out"])


def test_a_sample_trains(tmp_path: Path) -> None:
    whole = make_training_cache(tmp_path / "whole", shards=3, paragraphs=40, dim=16)
    sample(whole, tmp_path / "out", first(2))
    assert train(config(tmp_path / "out", tmp_path / "run", epochs=1))["steps"] > 0


def test_a_cache_is_sampled_while_it_is_being_encoded(source: Path, tmp_path: Path) -> None:
    shutil.rmtree(source / "shards" / "000005")
    assert sample(source, tmp_path / "out", first(5))["complete"]
    with pytest.raises(X2StaticError, match=r"1 are missing \(the first is 000005\); finish .* --first 5 units"):
        sample(source, tmp_path / "other", first(6))
    assert sample(source, tmp_path / "even", every(2))["shards"] == 4


def test_more_units_than_there_are_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(X2StaticError, match=r"it has 7 units; --first 8 asks for more"):
        sample(source, tmp_path / "out", first(8))
    with pytest.raises(X2StaticError, match=r"it has 0 units; --every 2 asks for more"):
        sample(make_cache(tmp_path / "empty", shards=0, plans=[plan_of("c", 0)]), tmp_path / "out", every(2))
    assert not (tmp_path / "out").exists()


def test_a_damaged_shard_is_refused_by_name(source: Path, tmp_path: Path) -> None:
    flip(source / "shards" / "000002" / "words.arrow")
    with pytest.raises(X2StaticError, match=r"000002: words\.arrow has changed .*`x2static cache repair"):
        sample(source, tmp_path / "out", every(2))
    (source / "shards" / "000002" / "words.arrow").unlink()
    with pytest.raises(X2StaticError, match=r"1 damaged shards \(000002\); mend them by `x2static cache repair"):
        sample(source, tmp_path / "out", every(2))


def test_a_killed_sample_is_not_complete_and_goes_on(source: Path, tmp_path: Path) -> None:
    sample(source, tmp_path / "once", every(2))
    out = tmp_path / "out"
    where = ("x2static.pipeline.caches.derived:commit_folder", "before", 3)
    assert killed(where, "cache", "sample", source, out, "--every", "2") == -9
    assert Cache.open(out).missing() == [2, 3]
    assert sample(source, out, every(2))["shards_resumed"] == 2
    assert files_of(out) == files_of(tmp_path / "once")


def test_another_sample_is_not_mixed_in(source: Path, tmp_path: Path) -> None:
    sample(source, tmp_path / "out", every(2))
    before = files_of(tmp_path / "out")
    with pytest.raises(X2StaticError, match="holds another cache"):
        sample(source, tmp_path / "out", first(4))
    with pytest.raises(X2StaticError, match="is the cache itself"):
        sample(source, source, first(4))
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize("options", [[], ["--every", "2", "--first", "2"], ["--every", "0"], ["--first", "x"]])
def test_a_sample_is_asked_for_by_one_number(
    options: list[str], source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["cache", "sample", str(source), str(tmp_path / "out"), *options]) == 2
    assert "--first" in capsys.readouterr().err or "--every" in options
    assert not (tmp_path / "out").exists()
