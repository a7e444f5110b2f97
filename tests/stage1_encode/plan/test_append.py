"""`--append`: a corpus that is added to a finished cache; what is in it stays untouched, and the rest is refused."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, run, texts_of, write_lines
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.stage1_encode.plan.estimate import estimate


@pytest.fixture
def old(tmp_path: Path) -> str:
    return str(write_lines(tmp_path / "1.txt", paragraphs(10, seed=1)))


@pytest.fixture
def new(tmp_path: Path) -> str:
    (tmp_path / "2").mkdir()
    pq.write_table(pa.table({"text": paragraphs(8, seed=2)}), tmp_path / "2" / "train.parquet", row_group_size=2)
    return f"hf://{tmp_path / '2'}"


@pytest.fixture
def third(tmp_path: Path) -> str:
    return str(write_lines(tmp_path / "3.txt", paragraphs(5, seed=3)))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def append(teacher: Path, corpus: str | tuple[str, ...], cache: Path, **options: Any) -> dict[str, int | float]:
    return run(teacher, corpus, cache, append=True, **({"unit": 3} | options))


def times_of(folder: Path) -> dict[str, int]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in files}


def test_an_appended_corpus_leaves_what_was_there_and_gives_the_cache_of_both(old, new, teacher, cache, tmp_path):
    run(teacher, old, cache, unit=3)
    before, times = files_of(cache), times_of(cache)
    config = config_of(teacher, new, cache, unit=3, append=True)
    planned = estimate(config)
    assert (planned["units"], planned["units_left"], planned["paragraphs"]) == (3, 3, 8), "what it adds"
    figures = append(teacher, new, cache)
    assert estimate(config)["units_left"] == 0
    assert (figures["shards"], figures["shards_resumed"], figures["paragraphs"]) == (7, 4, 18)
    assert before.items() < files_of(cache).items()
    assert times.items() < times_of(cache).items()
    run(teacher, (old, new), tmp_path / "both", unit=3)
    assert files_of(cache) == files_of(tmp_path / "both")
    assert run(teacher, (old, new), cache, unit=3)["shards_resumed"] == 7, "the whole is resumed without append too"


def test_an_append_killed_twice_goes_on_and_a_finished_one_says_so(old, new, forks, teacher, cache, tmp_path):
    run(teacher, (old, new), tmp_path / "both", unit=3)
    run(teacher, old, cache, unit=3)
    before, times = files_of(cache), times_of(cache)
    arguments = as_options(config_of(teacher, new, cache, unit=3, append=True))
    for kill in (
        ("x2static.stage1_encode.encode:write_plans", "after", 1),
        ("x2static.stage1_encode.encode:commit_folder", "before", 2),
        ("x2static.schemas.shard:write_table", "after", 3),
    ):
        status, output = forks.run(*arguments, kill=kill)
        assert status == -9, output
        assert before.items() < files_of(cache).items()
    for _ in range(2):
        output = forks.succeed(*arguments)
        assert files_of(cache) == files_of(tmp_path / "both")
        assert times.items() < times_of(cache).items()
    assert f"{cache}: finished already, 7 units" in output


def test_one_corpus_after_another_and_several_at_once(old, new, third, teacher, cache, tmp_path):
    run(teacher, old, cache, unit=3)
    append(teacher, new, cache)
    append(teacher, third, cache)
    run(teacher, old, tmp_path / "other", unit=3)
    append(teacher, (new, third), tmp_path / "other")
    assert files_of(cache) == files_of(tmp_path / "other")
    before = files_of(cache)
    assert append(teacher, (new, third), cache)["shards_resumed"] == 4 + 3 + 2
    with pytest.raises(X2StaticError, match=rf"holds the text of {new} already"):
        append(teacher, new, cache)
    assert files_of(cache) == before


def test_an_append_of_two_that_was_killed_between_their_plans_goes_on(old, new, third, forks, teacher, cache, tmp_path):
    run(teacher, (old, new, third), tmp_path / "all", unit=3)
    run(teacher, old, cache, unit=3)
    arguments = as_options(config_of(teacher, (new, third), cache, unit=3, append=True))
    status, output = forks.run(*arguments, kill=("x2static.stage1_encode.plan.planning:write_plan", "after", 1))
    assert status == -9, output
    assert len(Cache.open(cache).plans()) == 2
    forks.succeed(*arguments)
    assert files_of(cache) == files_of(tmp_path / "all")


def test_a_limit_of_what_is_appended_is_raised_by_the_same_append(old, new, teacher, cache):
    run(teacher, old, cache, unit=3, limit=4)
    append(teacher, new, cache, limit=2)
    append(teacher, new, cache, limit=5)
    assert append(teacher, new, cache)["paragraphs"] == 4 + 8
    lines = [*paragraphs(10, seed=1)[:4], *paragraphs(8, seed=2)]
    expected = cache.with_name("expected")
    run(teacher, write_lines(cache.with_name("lines.txt"), lines), expected)
    assert texts_of(cache) == texts_of(expected)


def test_a_cache_that_is_not_finished_is_not_added_to(old, new, teacher, cache):
    run(teacher, old, cache, unit=3, part="1/2")
    before = files_of(cache)
    for ask in (append, lambda *_: estimate(config_of(teacher, new, cache, unit=3, append=True))):
        with pytest.raises(X2StaticError, match=f"^--append: {cache} is not finished: units of {old} are missing"):
            ask(teacher, new, cache)
    assert files_of(cache) == before
    run(teacher, old, cache, unit=3)
    (cache / "shards" / "000001" / "words.arrow").unlink()
    before = files_of(cache)
    with pytest.raises(X2StaticError, match="is not finished"):
        append(teacher, new, cache)
    assert files_of(cache) == before, "the damaged shard is left for the run that mends it"


def test_a_folder_without_a_cache_is_not_added_to(old, teacher, cache):
    for ask in (append, lambda *_: estimate(config_of(teacher, old, cache, append=True))):
        with pytest.raises(X2StaticError, match=rf"^--append: no cache in {cache} to add to; leave out --append"):
            ask(teacher, old, cache)
    assert not cache.exists()


def test_a_text_that_is_there_already_is_refused_by_any_name(old, new, third, teacher, cache, tmp_path):
    run(teacher, (old, new), cache, unit=3)
    before = files_of(cache)
    copy = shutil.copy(third, tmp_path / "copy.txt")
    for corpora, message in (
        (old, rf"^--append: {cache} holds the text of {old} already; leave it out$"),
        ((third, new), f"holds the text of {new} already"),
        ((third, str(copy)), r"--corpus: .*3\.txt and .*copy\.txt hold the same text$"),
    ):
        with pytest.raises(X2StaticError, match=message):
            append(teacher, corpora, cache)
    assert files_of(cache) == before


def test_a_corpus_that_has_grown_is_refused_with_what_to_do(old, teacher, cache, tmp_path):
    run(teacher, old, cache, unit=3)
    before = files_of(cache)
    write_lines(Path(old), paragraphs(12, seed=1))
    for name in (old, f"{tmp_path}/../{tmp_path.name}/1.txt"):
        with pytest.raises(X2StaticError, match=rf"^--append: {name} is not what it was when {cache} was .* its own"):
            append(teacher, name, cache)
    assert files_of(cache) == before
