from pathlib import Path

import pytest

from tests.stage2_train.caches import config, lexicon_cache
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.stage2_train import vocabulary
from x2static.stage2_train.vocabulary import WordList, build_vocabulary

LEXICONS = [{"the": 5, "b": 2, "zebra": 1}, {"a": 2, "the": 4, "ö": 2}, {"rare": 1, "zebra": 1}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return lexicon_cache(tmp_path / "cache", LEXICONS)


def build(path: Path, vocab: Path | None = None, **changes):
    wish = config(path, path / "out", **changes)
    allowed = WordList.load(vocab) if vocab else None
    return build_vocabulary(path, Cache.open(path).shards(), wish.min_count, wish.max_vocab, allowed)


def test_lexicons_are_merged_by_count_and_ties_by_word(path: Path):
    merged = build(path, min_count=1)
    assert merged.words.to_pylist() == ["the", "a", "b", "zebra", "ö", "rare"]
    assert merged.counts.tolist() == [9, 2, 2, 2, 2, 1]
    assert merged.total == 18


def test_merging_in_between_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch):
    expected = build(path, min_count=1)
    monkeypatch.setattr(vocabulary, "PENDING_ROWS", 1)
    merged = build(path, min_count=1)
    assert merged.words.to_pylist() == expected.words.to_pylist()
    assert merged.counts.tolist() == expected.counts.tolist()


def test_min_count_counts_the_whole_cache_and_max_vocab_keeps_the_most_frequent(path: Path):
    assert build(path, min_count=2).words.to_pylist() == ["the", "a", "b", "zebra", "ö"]
    assert build(path, min_count=2, max_vocab=3).words.to_pylist() == ["the", "a", "b"]


def test_id_maps_lead_from_a_lexicon_to_the_vocabulary(path: Path):
    merged = build(path, min_count=2)
    shards = Cache.open(path).shards()
    assert [merged.id_map(shard.lexicon()).tolist() for shard in shards] == [[0, 2, 3], [1, 0, 4], [-1, 3]]


def test_a_vocabulary_file_restricts_the_words(path: Path, tmp_path: Path):
    file = tmp_path / "words.txt"
    file.write_bytes("\ufeffö\r\n\nzebra \nzebra\nunknown\n".encode())
    assert build(path, vocab=file, min_count=1).words.to_pylist() == ["zebra", "ö"]


def test_the_hash_of_a_vocabulary_file_is_that_of_its_words(tmp_path: Path):
    first, second, third = (tmp_path / name for name in "abc")
    first.write_text("b\na\n")
    second.write_text("a\r\n\nb\nb")
    third.write_text("a\nc\n")
    assert WordList.load(first).sha256 == WordList.load(second).sha256 != WordList.load(third).sha256


def test_a_vocabulary_left_empty_names_the_highest_count(path: Path):
    with pytest.raises(X2StaticError, match=r"--min-count 10.*highest count is 9; lower --min-count"):
        build(path, min_count=10)


def test_a_vocabulary_left_empty_by_file_and_count_names_the_highest_of_the_file(path: Path, tmp_path: Path):
    file = tmp_path / "words.txt"
    file.write_text("zebra\n")
    with pytest.raises(X2StaticError, match=r"among the words of .*words.txt is 2"):
        build(path, vocab=file, min_count=3)


def test_a_cache_without_words_is_refused(tmp_path: Path):
    path = lexicon_cache(tmp_path / "cache", [{}])
    with pytest.raises(X2StaticError, match="highest count is 0"):
        build(path, min_count=1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "vocabulary file is missing"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"\n  \n", "holds no word"),
        (b"Zebra\n", "none of its 1 words occurs in the corpus.*'Zebra'"),
    ],
)
def test_a_vocabulary_file_that_is_of_no_use_is_refused(path: Path, tmp_path: Path, data: bytes | None, message: str):
    file = tmp_path / "words.txt"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(X2StaticError, match=f"words.txt: .*{message}"):
        build(path, vocab=file, min_count=1)


def test_a_vocabulary_file_of_which_hardly_a_word_occurs_is_warned_of(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    file = tmp_path / "words.txt"
    file.write_text("\n".join(["the", *(f"other{number}" for number in range(9))]))
    build(path, vocab=file, min_count=1)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]  # a tenth is enough
    file.write_text("\n".join(["the", *(f"other{number}" for number in range(10))]))
    assert build(path, vocab=file, min_count=1).words.to_pylist() == ["the"]
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert (
        "words.txt: only 1 of its 11 words occur in the corpus; is it the vocabulary of another cache?"
        in record.getMessage()
    )
