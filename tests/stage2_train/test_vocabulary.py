from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from x2static.durable.errors import X2StaticError
from x2static.schemas import lexicons
from x2static.stage2_train.vocabulary import Vocabulary, WordList, build_vocabulary

LEXICONS = [{"the": 5, "b": 2, "zebra": 1}, {"a": 2, "the": 4, "ö": 2}, {"rare": 1, "zebra": 1}]
TABLES = [pa.table({"word": list(counts), "count": list(counts.values())}) for counts in LEXICONS]
SHARDS = [SimpleNamespace(lexicon=partial(pa.Table.slice, table)) for table in TABLES]  # nothing else of them matters


def build(vocab: Path | None = None, min_count: int = 1, max_vocab: int = 100, shards: list = SHARDS) -> Vocabulary:
    return build_vocabulary(Path("cache"), shards, min_count, max_vocab, WordList.load(vocab) if vocab else None)


@pytest.mark.parametrize("pending", [1, 1000])  # with 1, lexicons are added up in between
def test_lexicons_are_merged_by_count_and_ties_by_word(monkeypatch: pytest.MonkeyPatch, pending: int):
    monkeypatch.setattr(lexicons, "PENDING_ROWS", pending)
    merged = build(min_count=1)
    assert merged.words.to_pylist() == ["the", "a", "b", "zebra", "ö", "rare"]
    assert merged.counts.tolist() == [9, 2, 2, 2, 2, 1]
    assert merged.total == 18


def test_min_count_counts_the_whole_cache_and_max_vocab_keeps_the_most_frequent():
    assert build(min_count=2).words.to_pylist() == ["the", "a", "b", "zebra", "ö"]
    assert build(min_count=2, max_vocab=3).words.to_pylist() == ["the", "a", "b"]


def test_id_maps_lead_from_a_lexicon_to_the_vocabulary():
    merged = build(min_count=2)
    assert [merged.id_map(shard.lexicon()).tolist() for shard in SHARDS] == [[0, 2, 3], [1, 0, 4], [-1, 3]]


def test_a_vocabulary_file_restricts_the_words(tmp_path: Path):
    file = tmp_path / "words.txt"
    file.write_bytes("\ufeffö\r\n\nzebra \nzebra\nunknown\n".encode())
    assert build(vocab=file).words.to_pylist() == ["zebra", "ö"]


def test_a_vocabulary_left_empty_names_the_highest_count(tmp_path: Path):
    with pytest.raises(X2StaticError, match=r"--min-count 10.*highest count is 9; lower --min-count"):
        build(min_count=10)
    (tmp_path / "words.txt").write_text("zebra\n")
    with pytest.raises(X2StaticError, match=r"among the words of .*words.txt is 2"):
        build(vocab=tmp_path / "words.txt", min_count=3)
    with pytest.raises(X2StaticError, match="highest count is 0"):
        build(shards=[])


def test_a_small_vocabulary_says_what_it_leaves_out_and_by_which_option(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    build(min_count=2)
    assert "vocabulary: 5 of 6 distinct words, 94% of the text: the others occur fewer than" in caplog.text
    caplog.clear()
    build(min_count=1)
    assert caplog.messages == ["vocabulary: 6 of 6 distinct words"]
    caplog.clear()
    many = {str(n): 10 for n in range(1001)}
    for rare, hint in (({"rare": 1}, False), ({f"rare{n}": 1 for n in range(4000)}, True)):
        table = pa.table({"word": [*many, *rare], "count": [*many.values(), *rare.values()]})
        build(min_count=10, max_vocab=2000, shards=[SimpleNamespace(lexicon=partial(pa.Table.slice, table))])
        assert ("--min-count" in caplog.text) is hint, "only where little of the text has a vector"


OF_NO_USE = [
    (None, "no such file or directory; name a file of one word a line"),
    (b"\xff\xfe\x00", "not valid UTF-8"),
    (b"\n  \n", "holds no word"),
    (b"Zebra\n", "none of its 1 words occurs in the corpus.*'Zebra'"),
]


@pytest.mark.parametrize(("data", "message"), OF_NO_USE)
def test_a_vocabulary_file_that_is_of_no_use_is_refused(tmp_path: Path, data: bytes | None, message: str):
    file = tmp_path / "words.txt"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(X2StaticError, match=f"words.txt: .*{message}"):
        build(vocab=file)


def test_words_of_a_list_that_get_no_vector_are_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "words.txt"
    file.write_text("the\nabsent\nother\nzebra\n")
    assert build(vocab=file, min_count=3).words.to_pylist() == ["the"]
    (message,) = {line for line in caplog.messages if "of its 4 words" in line}
    assert "2 do not occur in the corpus (absent, other)" in message
    assert "1 occur fewer than --min-count 3 times (zebra)" in message


def test_a_vocabulary_file_of_which_hardly_a_word_occurs_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "words.txt"
    for others, warned in ((9, False), (10, True)):  # a tenth is enough
        file.write_text("\n".join(["the", *(f"other{number}" for number in range(others))]))
        assert build(vocab=file).words.to_pylist() == ["the"]
        assert ("words.txt: only 1 of its 11 words occur in the corpus" in caplog.text) == warned
