"""Published forms become those that the evaluation reads."""

import pytest

from x2static.durable.errors import X2StaticError
from x2static.pipeline.data.convert import (
    labelled_latin1,
    labelled_utf8,
    named_lists,
    questions,
    sentence_pairs,
    word_pairs,
)


def test_word_pairs_lose_windows_line_ends_marks_and_blanks():
    assert (
        word_pairs("\ufeffsea\tocean \t9.5\r\n\r\ncat\tnaïve\t1".encode())
        == "sea\tocean\t9.5\ncat\tnaïve\t1\n".encode()
    )


def test_label_and_text_part_at_the_first_space():
    assert labelled_utf8(b"0 it 's 1 of  those . \n4\tcr\xc3\xa8me\n") == "0\tit 's 1 of those .\n4\tcrème\n".encode()


def test_an_empty_text_keeps_its_line():
    assert labelled_utf8(b"0 \n1 good\n") == b"0\t\n1\tgood\n"


def test_latin1_becomes_utf8_and_only_newlines_end_lines():
    assert labelled_latin1(b"1 souffl\xe9 \x85 \x97 good\x85bad\n0 x\n") == "1\tsoufflé \x97 good bad\n0\tx\n".encode()


def test_analogies_stay_as_they_are():
    assert questions(b": capitals\r\nAthens Greece Oslo Norway\r\n") == b": capitals\nAthens Greece Oslo Norway\n"


def test_sentences_with_commas_quotes_and_tabs_are_kept_apart():
    raw = b'A plane.,"Say ""no"", man.",5.0\r\n"a\tb","c\nd",0.25\r\n'
    assert sentence_pairs(raw) == b'A plane.\tSay "no", man.\t5.0\na b\tc d\t0.25\n'


def test_lists_of_words_stay_as_they_are():
    assert named_lists(b'{"flowers": ["rose"]}') == b'{"flowers": ["rose"]}'


@pytest.mark.parametrize(
    ("convert", "raw"),
    [
        (word_pairs, b"sea\tocean\n"),
        (word_pairs, b"sea\t\t3\n"),
        (labelled_utf8, b"good film\n"),
        (questions, b"Athens Greece Oslo\n"),
        (sentence_pairs, b"one,two\n"),
        (word_pairs, b"\n"),
        (named_lists, b"<html>"),
        (named_lists, b'["rose"]'),
        (named_lists, b'{"flowers": []}'),
    ],
)
def test_other_forms_are_refused(convert, raw):
    with pytest.raises(X2StaticError, match=r"expected|nothing in it"):
        convert(raw)
