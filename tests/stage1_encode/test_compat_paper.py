"""`--compat paper`: texts on which each peculiarity of DESIGN's table shows, held to the independent reference.

A few contexts are written out by hand as positions of pieces, so that the reference itself is held to the table.
"""

import numpy as np
import pytest

from tests.reference import Reader, assert_apart, assert_close, assert_rows_equal, compat_rows
from tests.stage1_encode.conftest import Encode, Readers
from tests.teachers import families

SMALL = [
    'Hello, World!  "It\'s" 3.5%\tU.S.A. co-operate \u2028 (Straße) İz',
    "the cat , the CAT . The dog , the cat .",
    "Anna sees a dog. The dog sees Anna! Who reads . the cat ? it is old ! the rest",
    "The  Old\tCat sees   Anna",
    "the dog sees anna . ! the old cat",
    "anna reads 3.5 words . the dog sees it . the cat",
    "anna reads .5 words . the dog sees it . the cat",
    ". the dog sees it . the cat",
    "anna sees the dog . the old cat reads .",
    "Anna reads .5 words!  The dog. sees it ? ! and </s> <|endoftext|> [SEP] the rest",
    "the",
    "?",
]


def sized(reader: Reader, n_pieces: int, stops: tuple[int, ...] = ()) -> str:
    """Return lower-case words that have so many pieces, special tokens included.

    A stop is put where the text has at least so many pieces before it, the begin token included.
    """
    end = {"bert": 1, "roberta": 2, "gpt2": 0}[reader.teacher.family]  # with RoBERTa's `Ġ` before `</s>`
    words, pieces, left = ["the"], len(reader.teacher.begin) + 1, list(stops)
    while pieces < n_pieces - end:
        if left and pieces >= left[0]:
            words.append(".")
            pieces += 1
            left.pop(0)
        elif pieces + 2 <= n_pieces - end:
            words.append(("dogs", "cats", "teachers", "birds")[len(words) % 4])
            pieces += 2
        else:
            words.append("cat")
            pieces += 1
    text = " ".join(words)
    assert (len(reader.ids(text)), left) == (n_pieces, [])
    return text


@pytest.mark.parametrize("context", ["paragraph", "sentence"])
@families
def test_every_peculiarity_and_length_about_the_windows_is_as_in_the_reference(readers, encode, family, context):
    reader = readers(family)
    long = [sized(reader, size, stops=(490,)) for size in (500, 501, 520)]
    long += [sized(reader, 499, stops=(100, 490)), sized(reader, 640, stops=(480, 560, 600))]
    short = [sized(reader, size) for size in (200, 201, 700)]
    many_words = ("the cat sees anna " * 100).split()
    many_words[329:331] = ["?", "anna"]  # so that the last span is short, and a word more or less shows in it
    paragraphs = [*SMALL, *long, *short, " ".join(many_words)]
    expected = compat_rows(reader, paragraphs, context)
    assert_rows_equal(encode(reader, paragraphs, context=context, compat="paper").rows, expected)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_of_a_long_paragraph_500_pieces_are_read_and_spans_past_them_take_the_last(readers, encode, family):
    reader = readers(family)
    text = sized(reader, 640, stops=(480, 560, 600))
    ids, pieces = reader.ids(text), reader.pieces(text)
    stop = pieces.index(reader.teacher.gap + ".") + 1
    states = reader.states(ids[:499] + list(reader.teacher.end))
    encoded = encode(reader, [text], compat="paper")
    vectors = [row.vector for row in encoded.rows]
    assert [word for words in encoded.words for word in words] == text.split(), "words past the window remain targets"
    assert_close(vectors[0], states[1:stop].mean(axis=0), "the begin token is in no span")
    assert_close(vectors[1], states[stop:].mean(axis=0))
    for vector in vectors[2:]:
        assert_close(vector, states[-1])
    assert encoded.cache.shards()[0].marker.n_tokens == 500


def test_with_bert_a_decimal_number_shifts_later_targets_by_one(readers: Readers, encode: Encode):
    reader = readers("bert")
    text = "anna reads 3.5 words . the dog sees it . the cat"
    states, pieces = reader.states(reader.ids(text)), reader.pieces(text)
    stops = [position + 1 for position, piece in enumerate(pieces) if piece == "."]
    encoded = encode(reader, [text], compat="paper")
    assert encoded.words == ["anna reads 3.5 words .".split(), "the dog sees it .".split(), ["the", "cat"]]
    for row, start, end in zip(encoded.rows, [1, *stops[:2]], stops, strict=True):
        assert_close(row.vector, states[start:end].mean(axis=0))
    assert_apart(encoded.rows[0].vector, states[: stops[0]].mean(axis=0))


def test_with_gpt2_499_pieces_are_kept_and_targets_without_a_span_get_zeros(readers: Readers, encode: Encode):
    reader = readers("gpt2")
    text = sized(reader, 501, stops=(490,))
    stop = reader.pieces(text).index("Ġ.") + 1
    rows = encode(reader, [text, ". the dog sees it . the cat"], compat="paper").rows
    assert_close(rows[1].vector, reader.states(reader.ids(text)[:499])[stop:].mean(axis=0))
    assert [row.words for row in rows[2:]] == [["."], "the dog sees it .".split(), ["the", "cat"]]
    assert not rows[4].vector.any(), "the first stop has no gap before it, and so ends no span"


def test_in_sentence_context_all_pieces_are_averaged_special_tokens_and_the_space_before_one_included(readers, encode):
    reader = readers("roberta")
    assert reader.pieces("the old cat") == ["<s>", "Ġthe", "Ġold", "Ġcat", "Ġ", "</s>"]
    (row,) = encode(reader, ["The  OLD cat"], compat="paper", context="sentence").rows
    states = reader.states(reader.ids("the old cat"))
    assert_close(row.vector, states.mean(axis=0))
    assert_apart(row.vector, states[1:-1].mean(axis=0))


def test_the_teacher_runs_in_float16_unless_another_precision_is_asked_for_and_the_cache_says_so(readers, encode):
    reader, text = readers("bert"), "anna sees the dog . the old cat reads ."
    half = encode(reader, [text], compat="paper", precision="auto")
    full = encode(reader, [text], compat="paper")
    manifests = [encoded.cache.manifest for encoded in (half, full, encode(reader, [text]))]
    assert [manifest.encoding.precision for manifest in manifests] == ["float16", "float32", "float32"]
    assert [manifest.encoding.compat for manifest in manifests] == ["paper", "paper", None]
    assert len({manifest.fingerprint for manifest in manifests}) == 3
    difference = [np.abs(a.vector - b.vector).max() for a, b in zip(half.rows, full.rows, strict=True)]
    assert 0 < max(difference) < 0.02
