"""Which corpora a cache is made of, how a raised limit goes on, and what is refused."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.stage1_encode.runs import files_of, paragraphs, run, texts_of, write_lines
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.stage1_encode.corpora.sources import LocalFiles


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "first.txt", paragraphs(7, seed=1))


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "second.txt", paragraphs(5, seed=2))


def test_corpora_are_read_one_after_the_other(teacher, first, second, tmp_path):
    for name, corpora in {"1": first, "2": second, "both": (first, second)}.items():
        run(teacher, corpora, tmp_path / name, unit=3)
    assert texts_of(tmp_path / "both") == texts_of(tmp_path / "1") + texts_of(tmp_path / "2")
    units = [marker.unit.source for marker in Cache.open(tmp_path / "both").committed()[0].values()]
    assert units == ["first.txt"] * 3 + ["second.txt"] * 2


def test_a_raised_limit_goes_on_in_every_corpus_and_reads_no_paragraph_twice(teacher, first, second, tmp_path):
    both, cache = (first, second), tmp_path / "cache"
    assert run(teacher, both, cache, unit=2, limit=3)["paragraphs"] == 6
    assert run(teacher, both, cache, unit=2, limit=5)["paragraphs"] == 10  # second.txt ends here
    assert run(teacher, both, cache, unit=2)["paragraphs"] == 12
    run(teacher, both, tmp_path / "once")
    assert sorted(texts_of(cache)) == sorted(texts_of(tmp_path / "once"))
    assert [plan.corpus for plan in Cache.open(cache).plans()] == [str(path) for path in (*both, *both, first)]


def test_a_corpus_named_twice_and_two_files_with_the_same_text_are_refused(teacher, first, tmp_path):
    copy = tmp_path / "copy.txt"
    copy.write_bytes(first.read_bytes())
    for corpora, message in (
        ((first, first), r"named twice: .*first\.txt, .*first"),
        (("-", "-#text"), "the same corpus is named twice: -, -#text"),
        ((first, copy), r"first\.txt and .*copy\.txt hold"),
    ):
        with pytest.raises(X2StaticError, match=rf"--corpus: .*{message}"):
            run(teacher, corpora, tmp_path / "cache")
        assert not (tmp_path / "cache" / "manifest.json").exists()


def test_other_corpora_or_another_order_of_them_are_refused(teacher, first, second, tmp_path):
    cache = tmp_path / "cache"
    run(teacher, (first, second), cache)
    before = files_of(cache)
    sizes = first.stat().st_size, second.stat().st_size
    swapped = rf"corpus \(.*first\.txt\) size: {sizes[0]} != {sizes[1]}; corpus .* xxh3: "
    with pytest.raises(X2StaticError, match=swapped):
        run(teacher, (second, first), cache)
    with pytest.raises(X2StaticError, match=r"corpus: .*first\.txt, .*second\.txt != .*first\.txt\. Ask for the same"):
        run(teacher, first, cache)
    third = write_lines(tmp_path / "third.txt", paragraphs(2, seed=3))
    with pytest.raises(X2StaticError, match=r"corpus: .*second\.txt != .*second\.txt, .*third\.txt\. Ask"):
        run(teacher, (first, second, third), cache)
    with pytest.raises(X2StaticError, match=rf"corpus \(.*second\.txt\) size: {sizes[1]} != {third.stat().st_size}"):
        run(teacher, (first, third), cache)
    assert files_of(cache) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": 4}, "unit: 3 != 4"),
        ({"on_bad_text": "fail"}, "on_bad_text: 'replace' != 'fail'"),
        ({"sample": 0.5, "seed": 2**62}, "sample: None != 0.5; seed: 0 != 4611686018427387904"),
        ({"unit": 4, "limit": 2}, "unit: 3 != 4; limit: 5 paragraphs planned already != 2"),
    ],
)
def test_what_changes_the_planning_is_refused_with_both_values(change, message, teacher, first, tmp_path):
    options = {"unit": 3, "limit": 5, "on_bad_text": "replace"}
    run(teacher, first, tmp_path / "cache", **options)
    before = files_of(tmp_path / "cache")
    with pytest.raises(X2StaticError) as caught:
        run(teacher, first, tmp_path / "cache", **(options | change))
    assert str(caught.value) == (
        f"{tmp_path / 'cache'}: this cache was made from something else (cache != asked for): {message}. "
        "Ask for the same again, or use another --cache"
    )
    assert files_of(tmp_path / "cache") == before


def test_a_corpus_is_hashed_again_only_if_it_may_have_changed(teacher, first, tmp_path, monkeypatch):
    run(teacher, first, tmp_path / "cache", limit=3)

    def hash_it(corpus: LocalFiles) -> dict[str, Any]:
        raise InterruptedError("hashed")

    monkeypatch.setattr(LocalFiles, "identity", hash_it)
    run(teacher, first, tmp_path / "cache", limit=4)
    os.utime(first, (1, 1))
    with pytest.raises(InterruptedError, match="hashed"):
        run(teacher, first, tmp_path / "cache", limit=5)
