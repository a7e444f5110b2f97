"""Words and sentences, in several scripts."""

from importlib.metadata import version

import pytest

from schemas.segmentation import WordSegmentation
from stage1_encode.segmentation import SentenceSplitter, default_words, paper_sentences, paper_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'The Cat\'s 3.5 e-mails, "NOW"!',
            ["the", "cat", "'", "s", "3", ".", "5", "e", "-", "mails", ",", '"', "now", '"', "!"],
        ),
        ("", []),
        (" \t\n ", []),
        ("CAFÉ cafe\u0301", ["café", "café"]),
        ("snake_case", ["snake_case"]),
        ("서울은 대한민국의 수도이다.", ["서울은", "대한민국의", "수도이다", "."]),
        ("我爱北京。", ["我", "爱", "北", "京", "。"]),
        ("\u200fمرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("हिन्दी", ["हिन्दी"]),
        ("soft\u00adhyphen zero\u200bwidth a\x00b", ["softhyphen", "zero", "width", "a", "b"]),
        ("😀 :)", ["😀", ":", ")"]),
        (
            "[SEP] </s> {0} %s $(rm)",
            ["[", "sep", "]", "<", "/", "s", ">", "{", "0", "}", "%", "s", "$", "(", "rm", ")"],
        ),
    ],
)
def test_words_are_lower_cased_runs_and_single_marks(text: str, words: list[str]) -> None:
    assert default_words().split(text) == words


def test_the_rules_survive_being_stored() -> None:
    rules = WordSegmentation(default_words().rules)
    assert rules.split("Don't Stop") == default_words().split("Don't Stop")
    assert rules.sha256 != paper_words().sha256


def test_the_papers_words_are_what_python_splits() -> None:
    text = "The Cat's  3.5 e-mails,\tNOW !"
    assert paper_words().split(text) == text.lower().split()


def test_the_papers_sentences_end_with_a_stop_word() -> None:
    words = "a b . c ? . d.e f".split()
    assert paper_sentences(words) == [["a", "b", "."], ["c", "?"], ["."], ["d.e", "f"]]
    assert paper_sentences([]) == []


def test_sentences_cover_a_paragraph_without_its_empty_parts() -> None:
    text = "Dr. Smith paid 3.50 dollars. Was it 😀 enough? Yes!"
    spans = SentenceSplitter("en").spans(text)
    assert [text[start:stop].strip() for start, stop in spans] == [
        "Dr. Smith paid 3.50 dollars.",
        "Was it 😀 enough?",
        "Yes!",
    ]
    assert SentenceSplitter("en").spans("   ") == []
    assert SentenceSplitter("en").name == SentenceSplitter("ko").name == f"sentencex {version('sentencex')}"
