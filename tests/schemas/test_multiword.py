"""Several words as one: what a list means, and that text is joined alike by us and by a tokenizer JSON."""

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from x2static.durable.errors import X2StaticError
from x2static.schemas.multiword import Multiword, name_of, read_entries
from x2static.schemas.segmentation import WordSegmentation
from x2static.stage1_encode.text import segmentation
from x2static.stage1_encode.text.segmentation import SPACELESS, default_words, paper_words

RULES = {"default": default_words(), "0.1.0": default_words(1), "paper": paper_words()}
PIECES = [
    "a",
    "b",
    "ab",
    "new",
    "york",
    "New York",
    "_",
    "_a",
    "__",
    "new_york",
    " ",
    "  ",
    "\t",
    "\n",
    "\u00a0",
    "\u200b",
]
PIECES += [
    ",",
    ".",
    "'",
    "-",
    "(",
    "\\",
    "[a]",
    "$",
    "1",
    "世",
    "界",
    "世界",
    "ΑΣ",
    "σ",
    "\u0301",
    "\ufe0f",
    "\u200d",
    "\ufeff",
]
PIECES += ["é", "e\u0301", "İ", "नमस्ते", "ภาษา", "かな", "🙂", "👩\u200d👧", "\x00", "\ue000", "\u00ad", "\u2028"]
TEXT = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.lists(st.sampled_from(["a", "b", "c", ","]), max_size=20).map(" ".join),
    st.text(st.characters(codec="utf-8"), max_size=40),
)


def plainly(words: list[str], entries: set[tuple[str, ...]]) -> list[str]:
    """Left to right, the longest at each place, by trying all."""
    result, at = [], 0
    while at < len(words):
        here = [entry for entry in entries if tuple(words[at : at + len(entry)]) == entry]
        longest = max(here, key=len, default=(words[at],))
        result.append("_".join(longest))
        at += len(longest)
    return result


def some_entries(data: st.DataObject, words: list[str]) -> set[tuple[str, ...]]:
    """Entries that occur, overlap and do not occur."""
    entries = {("new", "york"), ("new", "york", "city"), ("york", "city"), ("a", "a"), ("b", "c"), ("a", "b", "c", "d")}
    for _ in range(data.draw(st.integers(0, 4))):
        if len(words) > 1:
            start = data.draw(st.integers(0, len(words) - 2))
            entries.add(tuple(words[start : start + data.draw(st.integers(2, 4))]))
    return entries


@pytest.mark.parametrize("kind", RULES)
@settings(max_examples=400, deadline=None)
@given(text=TEXT, data=st.data())
def test_a_tokenizer_joins_what_we_join(kind: str, text: str, data: st.DataObject):
    rules = RULES[kind]
    words = rules.split(text)
    entries = some_entries(data, words)
    multiword = Multiword(tuple(entries))
    ours = rules.joining(multiword)
    assert ours.split(text) == plainly(words, entries)
    assert [word for word, _, _ in ours.occurrences(text)] == ours.split(text)
    tokenizer = Tokenizer.from_str(json.dumps(multiword.joining_rules(json.loads(rules.rules))))
    cut = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
    assert [word for word, _ in cut] == ours.split(text)


def test_a_tokenizer_of_many_entries_tries_the_longest_first():
    entries = [("a", "b" * n) for n in range(1, 40)] + [("a", "b", "c"), ("a", "b", "c", "d")]
    rules = Multiword(tuple(entries)).joining_rules(json.loads(default_words().rules))
    tokenizer = Tokenizer.from_str(json.dumps(rules))
    for text, expected in [("a b c d a bbb a b c", ["a_b_c_d", "a_bbb", "a_b_c"]), ("a b cd", ["a_b", "cd"])]:
        assert [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)] == expected


def test_rules_are_kept_and_taken_apart_again():
    rules = default_words()
    joined = rules.joining(Multiword((("new", "york"), ("york", "city"))))
    again = WordSegmentation(joined.rules)
    assert again.multiword.entries == (("new", "york"), ("york", "city"))
    assert again.split("In New York City, new, york") == ["in", "new_york", "city", ",", "new", ",", "york"]
    assert again.occurrences("In New\nYork!")[1] == ("new_york", 3, 11)
    assert (again.single.rules, again.name, again.normalise("New")) == (rules.rules, rules.name, "new")
    assert joined.joining(Multiword((("a", "b"),))).multiword.entries == (("a", "b"),)
    assert joined.joining(Multiword()).rules == rules.rules
    assert rules.multiword == Multiword()


@pytest.mark.parametrize(("language", "holds"), [("zh", True), ("ja", False), ("th", False)])
def test_which_rules_of_languages_without_spaces_a_tokenizer_can_join(language: str, holds: bool):
    rules = json.loads(segmentation._rules(SPACELESS[language].alone, None))
    assert (Multiword((("世", "界"),)).joining_rules(rules) is not None) == holds


def test_words_that_a_library_cuts_are_joined_behind_it():
    pytest.importorskip("rjieba")
    from x2static.stage1_encode.text.segmentation import choose_words

    rules = choose_words(None, "zh")
    words = rules.split("我们热爱人工智能和自然语言")
    joined = rules.joining(Multiword((tuple(words[1:3]),)))
    assert joined.split("我们热爱人工智能和自然语言") == [words[0], name_of(tuple(words[1:3])), *words[3:]]


def test_a_list_is_cut_by_the_rules_and_says_what_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "list.txt"
    file.write_bytes("\ufeffNew  York\r\n\nAT&T\nsingle\nnew york\n世界\n \t\nÉcole d'été\n".encode())
    with caplog.at_level(logging.WARNING):
        entries = read_entries(file, default_words())
    assert entries == {
        ("new", "york"): "new york",
        ("at", "&", "t"): "at&t",
        ("世", "界"): "世界",
        ("école", "d", "'", "été"): "école d'été",
    }
    (line,) = caplog.messages
    assert line.endswith(
        "of its 6 lines 1 are not several words, and left out (single) and 1 are there twice (new york)"
    )
    assert Multiword.load(None, default_words()) == Multiword()
    assert Multiword().identity == {}
    one, two = Multiword(tuple(entries)), Multiword(tuple(reversed(entries)))
    assert one.identity == two.identity != Multiword(one.entries[1:]).identity


@pytest.mark.parametrize("data", [None, b"\xff\xfe\x00", b"\n  \n", b"word\n"])
def test_a_list_of_no_use_is_refused(tmp_path: Path, data: bytes | None):
    if data is not None:
        (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(
        X2StaticError, match=r"list.txt: (not valid UTF-8|no such file or|it holds no entry; write one a l)"
    ):
        Multiword.load(tmp_path / "list.txt", default_words())
