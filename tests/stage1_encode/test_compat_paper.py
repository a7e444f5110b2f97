"""`--compat paper`, one claim of DESIGN's table (section 1) at a time, each on a text in which the claim shows.

What a context must be is written out here by hand, as positions of pieces; the texts are checked to have the pieces
that the arithmetic relies on, and the default mode is checked to differ.
"""

from collections import Counter

import numpy as np
import pytest

from tests.reference import Reader, Row, Vector, assert_apart, assert_close, assert_rows_equal, compat_rows
from tests.stage1_encode.conftest import Encode, Encoded, Readers
from tests.teachers import FAMILIES

families = pytest.mark.parametrize("family", FAMILIES)
with_end_token = pytest.mark.parametrize("family", ["bert", "roberta"])
byte_level = pytest.mark.parametrize("family", ["roberta", "gpt2"])
contexts = pytest.mark.parametrize("context", ["paragraph", "sentence"])


class Modes:
    """One text, encoded both ways."""

    def __init__(self, encode: Encode, reader: Reader, text: str, context: str) -> None:
        self.paper = encode(reader, [text], context=context, compat="paper")
        self.default = encode(reader, [text], context=context)

    @property
    def vectors(self) -> list[Vector]:
        return [row.vector.astype(np.float32) for row in self.paper.rows]

    def differ_in_words(self) -> bool:
        return self.paper.words != self.default.words


@pytest.fixture
def both(encode: Encode):
    """Encode one text as the paper does and by default."""

    def run(reader: Reader, text: str, context: str = "paragraph") -> Modes:
        return Modes(encode, reader, text, context)

    return run


def read(reader: Reader, text: str) -> tuple[list[str], Vector]:
    """Return the pieces of a text between its begin and end tokens, and the state of each."""
    return reader.pieces(text), reader.states(reader.ids(text))


def edges(reader: Reader) -> tuple[int, int]:
    """Return how many pieces stand before and after the words: the special tokens, and RoBERTa's `Ġ` before `</s>`."""
    return len(reader.teacher.begin), {"bert": 1, "roberta": 2, "gpt2": 0}[reader.teacher.family]


def read_by_default(reader: Reader, text: str) -> Vector:
    """Return the state of each piece of a text between the special tokens, as the default mode reads it."""
    begin, end = list(reader.teacher.begin), list(reader.teacher.end)
    states = reader.states(begin + [piece for piece, _ in reader.plain_pieces(text)] + end)
    return states[len(begin) : len(states) - len(end)]


def words_of(encoded: Encoded) -> list[str]:
    return [word for row in encoded.rows for word in row.words]


def sized(reader: Reader, n_pieces: int, stops: tuple[int, ...] = ()) -> str:
    """Return lower-case words that have so many pieces, special tokens included.

    Args:
        reader: whose pieces are counted.
        n_pieces: how many.
        stops: a stop is put where the text has at least so many pieces before it, begin token included.
    """
    begin, end = edges(reader)
    words: list[str] = ["the"]
    pieces, left = begin + 1, list(stops)
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
    assert len(reader.ids(text)) == n_pieces
    assert not left
    return text


# --- words -----------------------------------------------------------------------------------------------------------


@contexts
@families
def test_words_are_what_stands_between_white_space_lower_cased(readers: Readers, both, family, context):
    text = 'Hello, World!  "It\'s" 3.5%\tU.S.A. co-operate \u2028 (Straße) İz'
    modes = both(readers(family), text, context)
    assert modes.paper.words == [
        ["hello,", "world!", '"it\'s"', "3.5%", "u.s.a.", "co-operate", "(straße)", "i\u0307z"],
    ]
    assert words_of(modes.default) != words_of(modes.paper)


@contexts
def test_every_occurrence_of_a_word_is_a_target_and_counted(readers: Readers, both, context):
    text = "the cat , the CAT . The dog , the cat ."
    modes = both(readers("bert"), text, context)
    assert modes.paper.words == ["the cat , the cat .".split(), "the dog , the cat .".split()]
    (shard,) = modes.paper.cache.shards()
    counts = dict(zip(*shard.lexicon().to_pydict().values(), strict=True))
    assert counts == Counter(text.lower().split()) == {"the": 4, "cat": 3, ",": 2, ".": 2, "dog": 1}


# --- sentences, `sentence` -------------------------------------------------------------------------------------------


@families
def test_in_sentence_context_only_a_word_that_is_a_stop_ends_a_sentence(readers: Readers, both, family):
    text = "Anna sees a dog. The dog sees Anna! Who reads . the cat ? it is old ! the rest"
    modes = both(readers(family), text, "sentence")
    assert modes.paper.words == [
        ["anna", "sees", "a", "dog.", "the", "dog", "sees", "anna!", "who", "reads", "."],
        ["the", "cat", "?"],
        ["it", "is", "old", "!"],
        ["the", "rest"],
    ]
    assert modes.differ_in_words()


@families
def test_in_sentence_context_a_stop_after_a_stop_is_a_sentence_of_its_own(readers: Readers, both, family):
    reader = readers(family)
    modes = both(reader, "the dog . ! the cat", "sentence")
    assert modes.paper.words == [["the", "dog", "."], ["!"], ["the", "cat"]]
    for vector, sentence in zip(modes.vectors, ["the dog .", "!", "the cat"], strict=True):
        assert_close(vector, read(reader, sentence)[1].mean(axis=0))
    assert modes.differ_in_words()


# --- what the teacher reads ------------------------------------------------------------------------------------------


@contexts
@byte_level
def test_a_cased_teacher_reads_the_lower_cased_words_joined_by_single_spaces(readers: Readers, both, family, context):
    reader = readers(family)
    text = "The  Old\tCat sees   Anna"
    begin, _ = edges(reader)
    states = read(reader, "the old cat sees anna")[1]
    modes = both(reader, text, context)
    (row,) = modes.paper.rows
    assert_close(row.vector, states[begin if context == "paragraph" else 0 :].mean(axis=0))
    cased, spaced = read(reader, "The Old Cat sees Anna")[1], read(reader, "the  old cat sees   anna")[1]
    for other in (cased, spaced):
        assert_apart(row.vector, other[begin if context == "paragraph" else 0 :].mean(axis=0))
    assert_apart(row.vector, modes.default.rows[0].vector.astype(np.float32))


@contexts
@families
def test_the_teacher_reads_its_begin_and_end_tokens_around_the_words_and_gpt2_none(
    readers: Readers, encode: Encode, family, context
):
    reader = readers(family)
    text = "the old cat sees anna"
    begin, end = edges(reader)
    encoded = encode(reader, [text], context=context, compat="paper")
    assert encoded.cache.shards()[0].marker.n_tokens == 5 + begin + end == len(reader.pieces(text))
    special = {"bert": ("[CLS]", "[SEP]"), "roberta": ("<s>", "</s>"), "gpt2": ("the", "anna")}[family]
    assert (reader.pieces(text)[0], reader.pieces(text)[-1].strip("Ġ")) == special


def test_with_roberta_the_spaces_beside_the_special_tokens_count(readers: Readers, both):
    reader = readers("roberta")
    text = "the old cat"
    assert reader.pieces(text) == ["<s>", "Ġthe", "Ġold", "Ġcat", "Ġ", "</s>"]
    modes = both(reader, text, "sentence")
    assert_close(modes.vectors[0], read(reader, text)[1].mean(axis=0))
    bare = [*reader.teacher.begin, *(piece for piece, _ in reader.plain_pieces(text)), *reader.teacher.end]
    assert_apart(modes.vectors[0], reader.states(bare).mean(axis=0))


@pytest.mark.parametrize(("family", "token"), [("roberta", "</s>"), ("gpt2", "<|endoftext|>")])
@contexts
def test_a_special_token_among_the_words_is_taken_for_the_token(readers: Readers, both, family, token, context):
    reader = readers(family)
    text = f"the cat {token} sees the dog"
    pieces, states = read(reader, text)
    begin, _ = edges(reader)
    assert token in pieces[begin : begin + 5]
    modes = both(reader, text, context)
    (row,) = modes.paper.rows
    assert row.words == text.split()
    assert_close(row.vector, states[begin if context == "paragraph" else 0 :].mean(axis=0))
    assert_apart(row.vector, modes.default.rows[0].vector.astype(np.float32))


def test_with_bert_no_word_is_a_special_token_because_words_are_lower_case(readers: Readers, both):
    reader = readers("bert")
    text = "the cat [SEP] sees the dog"
    special = reader.tokenizer.sep_token_id
    assert reader.ids(text).count(special) == 2
    assert reader.ids(text.lower()).count(special) == 1
    modes = both(reader, text)
    assert_close(modes.vectors[0], read(reader, text.lower())[1][1:].mean(axis=0))
    assert_apart(modes.vectors[0], read(reader, text)[1][1:].mean(axis=0))


# --- window, `paragraph` ---------------------------------------------------------------------------------------------


@families
def test_of_a_paragraph_the_first_333_words_are_read_and_are_targets(readers: Readers, both, family):
    reader = readers(family)
    words = ("the cat sees anna " * 100).split()
    words[329:331] = ["?", "anna"]  # so that the last span is short, and a word more or less shows in it
    modes = both(reader, " ".join(words))
    assert words_of(modes.paper) == words[:333]
    assert len(words_of(modes.default)) > 333
    pieces, states = read(reader, " ".join(words[:333]))
    assert len(pieces) == 333 + sum(edges(reader)), "all of them fit in 500 pieces"
    begin, _ = edges(reader)
    assert_close(modes.vectors[1], states[begin + 330 :].mean(axis=0))
    assert_apart(modes.vectors[1], read(reader, " ".join(words[:334]))[1][begin + 330 :].mean(axis=0))
    assert_apart(modes.vectors[1], read(reader, " ".join(words[:332]))[1][begin + 330 :].mean(axis=0))


@with_end_token
def test_of_a_longer_paragraph_500_pieces_are_read_the_last_replaced_by_the_end_token(readers: Readers, both, family):
    reader = readers(family)
    text = sized(reader, 520, stops=(490,))
    ids, pieces = reader.ids(text), reader.pieces(text)
    stop = pieces.index(reader.teacher.gap + ".")
    assert 488 < stop < 495
    assert ids[499] != reader.teacher.end[0], "otherwise nothing is replaced"
    modes = both(reader, text)
    states = reader.states(ids[:499] + list(reader.teacher.end))
    assert_close(modes.vectors[0], states[1 : stop + 1].mean(axis=0))
    assert_close(modes.vectors[1], states[stop + 1 : 500].mean(axis=0))
    assert modes.paper.cache.shards()[0].marker.n_tokens == 500
    assert_apart(modes.vectors[1], reader.states(ids[:500])[stop + 1 : 500].mean(axis=0))
    assert_apart(modes.vectors[1], states[stop + 1 : 499].mean(axis=0))
    assert modes.default.cache.shards()[0].marker.n_tokens > 520, "the default reads all of it"


def test_gpt2_keeps_499_pieces_of_a_longer_paragraph_and_adds_no_end_token(readers: Readers, both):
    reader = readers("gpt2")
    text = sized(reader, 501, stops=(490,))
    ids = reader.ids(text)
    stop = reader.pieces(text).index("Ġ.")
    modes = both(reader, text)
    assert_close(modes.vectors[1], reader.states(ids[:499])[stop + 1 :].mean(axis=0))
    assert modes.paper.cache.shards()[0].marker.n_tokens == 499
    assert_apart(modes.vectors[1], reader.states(ids[:500])[stop + 1 :].mean(axis=0))
    assert_apart(modes.vectors[1], reader.states(ids)[stop + 1 :].mean(axis=0))
    assert modes.default.cache.shards()[0].marker.n_tokens == 501


@families
def test_a_paragraph_of_exactly_500_pieces_is_read_whole(readers: Readers, both, family):
    reader = readers(family)
    text = sized(reader, 500, stops=(490,))
    ids = reader.ids(text)
    stop = reader.pieces(text).index(reader.teacher.gap + ".")
    modes = both(reader, text)
    assert_close(modes.vectors[1], reader.states(ids)[stop + 1 : 500].mean(axis=0))
    assert modes.paper.cache.shards()[0].marker.n_tokens == 500
    assert_apart(modes.vectors[1], reader.states(ids[:499])[stop + 1 :].mean(axis=0))


# --- window, `sentence` ----------------------------------------------------------------------------------------------


@with_end_token
def test_of_a_longer_sentence_200_pieces_are_read_the_last_replaced_by_the_end_token(readers: Readers, both, family):
    reader = readers(family)
    text = sized(reader, 201)
    ids = reader.ids(text)
    modes = both(reader, text, "sentence")
    (vector,) = modes.vectors
    assert modes.paper.words == [text.split()]
    assert_close(vector, reader.states(ids[:199] + list(reader.teacher.end)).mean(axis=0))
    assert modes.paper.cache.shards()[0].marker.n_tokens == 200
    for other in (ids, ids[:200], ids[:199]):
        assert_apart(vector, reader.states(other).mean(axis=0))
    assert modes.default.cache.shards()[0].marker.n_tokens == 202 - edges(reader)[1], "the default reads all words"


def test_gpt2_keeps_199_pieces_of_a_longer_sentence_and_adds_no_end_token(readers: Readers, both):
    reader = readers("gpt2")
    text = sized(reader, 201)
    ids = reader.ids(text)
    modes = both(reader, text, "sentence")
    (vector,) = modes.vectors
    assert modes.paper.words == [text.split()]
    assert_close(vector, reader.states(ids[:199]).mean(axis=0))
    assert modes.paper.cache.shards()[0].marker.n_tokens == 199
    for other in (ids, ids[:200], ids[:198]):
        assert_apart(vector, reader.states(other).mean(axis=0))


@families
def test_a_sentence_of_exactly_200_pieces_is_read_whole(readers: Readers, both, family):
    reader = readers(family)
    text = sized(reader, 200)
    modes = both(reader, text, "sentence")
    assert_close(modes.vectors[0], reader.states(reader.ids(text)).mean(axis=0))
    assert modes.paper.cache.shards()[0].marker.n_tokens == 200


@families
def test_a_sentence_is_not_cut_to_333_words(readers: Readers, both, family):
    reader = readers(family)
    text = sized(reader, 700)
    assert len(text.split()) > 333
    assert both(reader, text, "sentence").paper.words == [text.split()]


# --- mean, `sentence` ------------------------------------------------------------------------------------------------


@with_end_token
def test_in_sentence_context_the_special_tokens_are_averaged_too(readers: Readers, both, family):
    reader = readers(family)
    text = "the old dog sees anna"
    states = read(reader, text)[1]
    modes = both(reader, text, "sentence")
    assert_close(modes.vectors[0], states.mean(axis=0))
    for other in (states[1:-1], states[1:], states[:-1]):
        assert_apart(modes.vectors[0], other.mean(axis=0))
    assert_close(
        modes.default.rows[0].vector, read_by_default(reader, text).mean(axis=0), "the default leaves them out"
    )


# --- mean, `paragraph` -----------------------------------------------------------------------------------------------


@families
def test_a_span_ends_after_each_stop_and_the_begin_token_is_in_none(readers: Readers, both, family):
    reader = readers(family)
    text = "anna sees the dog . who reads it ? the end ! the old cat"
    pieces, states = read(reader, text)
    begin, _ = edges(reader)
    first, second, third = (pieces.index(reader.teacher.gap + stop) + 1 for stop in ".?!")
    modes = both(reader, text)
    assert [len(words) for words in modes.paper.words] == [5, 4, 3, 3]
    bounds = [begin, first, second, third, len(pieces)]
    for vector, start, stop in zip(modes.vectors, bounds[:-1], bounds[1:], strict=True):
        assert_close(vector, states[start:stop].mean(axis=0))
    if begin:
        assert_apart(modes.vectors[0], states[:first].mean(axis=0))


@with_end_token
def test_after_a_final_stop_the_end_token_is_a_span_of_its_own_without_targets(readers: Readers, both, family):
    reader = readers(family)
    text = "anna sees the dog . the old cat reads ."
    pieces, states = read(reader, text)
    stop = pieces.index(reader.teacher.gap + ".") + 1
    modes = both(reader, text)
    assert modes.paper.words == ["anna sees the dog .".split(), "the old cat reads .".split()]
    _, tail = edges(reader)
    assert_close(modes.vectors[1], states[stop:-tail].mean(axis=0))
    assert_apart(modes.vectors[1], states[stop:].mean(axis=0))


@with_end_token
def test_without_a_final_stop_the_end_token_joins_the_last_span(readers: Readers, both, family):
    reader = readers(family)
    text = "anna sees the dog . the old cat reads"
    pieces, states = read(reader, text)
    stop = pieces.index(reader.teacher.gap + ".") + 1
    modes = both(reader, text)
    assert_close(modes.vectors[1], states[stop:].mean(axis=0))
    assert_apart(modes.vectors[1], states[stop:-1].mean(axis=0))
    # The default agrees where the sentence ends, and leaves the end token out.
    assert_close(
        both(reader, "anna sees the dog").default.rows[0].vector,
        read_by_default(reader, "anna sees the dog").mean(axis=0),
    )


def test_gpt2_after_a_final_stop_has_no_further_span(readers: Readers, both):
    reader = readers("gpt2")
    text = "anna sees the dog . the old cat reads ."
    pieces, states = read(reader, text)
    stop = pieces.index("Ġ.") + 1
    modes = both(reader, text)
    assert_close(modes.vectors[0], states[:stop].mean(axis=0))
    assert_close(modes.vectors[1], states[stop:].mean(axis=0))


@families
def test_a_stop_after_a_stop_is_a_span_of_one_piece(readers: Readers, both, family):
    reader = readers(family)
    text = "the dog sees anna . ! the old cat"
    pieces, states = read(reader, text)
    position = pieces.index(reader.teacher.gap + "!")
    modes = both(reader, text)
    assert modes.paper.words == ["the dog sees anna .".split(), ["!"], "the old cat".split()]
    assert_close(modes.vectors[1], states[position])
    assert modes.differ_in_words()


def test_with_bert_a_stop_at_the_end_of_a_word_ends_a_span(readers: Readers, both):
    reader = readers("bert")
    text = "the old dog. the cat sees anna"
    pieces, states = read(reader, text)
    stop = pieces.index(".") + 1
    modes = both(reader, text)
    assert modes.paper.words == [text.split()], "no word is a stop, so all targets belong to the first span"
    assert_close(modes.vectors[0], states[1:stop].mean(axis=0))
    assert_apart(modes.vectors[0], states[1:].mean(axis=0))


@byte_level
def test_with_roberta_and_gpt2_a_stop_at_the_end_of_a_word_ends_no_span(readers: Readers, both, family):
    reader = readers(family)
    text = "the old dog. the cat sees anna . who reads"
    pieces, states = read(reader, text)
    begin, _ = edges(reader)
    stop = pieces.index("Ġ.") + 1
    assert pieces.index(".") < stop
    modes = both(reader, text)
    assert modes.paper.words == ["the old dog. the cat sees anna .".split(), ["who", "reads"]]
    assert_close(modes.vectors[0], states[begin:stop].mean(axis=0))
    assert_apart(modes.vectors[0], states[begin : pieces.index(".") + 1].mean(axis=0))
    assert_close(modes.vectors[1], states[stop:].mean(axis=0))


# --- which span a target gets ----------------------------------------------------------------------------------------


def test_with_bert_a_decimal_number_shifts_later_targets_by_one(readers: Readers, both):
    reader = readers("bert")
    text = "anna reads 3.5 words . the dog sees it . the cat"
    pieces, states = read(reader, text)
    stops = [position + 1 for position, piece in enumerate(pieces) if piece == "."]
    assert len(stops) == 3, "one more than the words that are stops"
    modes = both(reader, text)
    assert modes.paper.words == ["anna reads 3.5 words .".split(), "the dog sees it .".split(), ["the", "cat"]]
    assert_close(modes.vectors[0], states[1 : stops[0]].mean(axis=0))  # anna reads 3 .
    assert_close(modes.vectors[1], states[stops[0] : stops[1]].mean(axis=0))  # 5 words .
    assert_close(modes.vectors[2], states[stops[1] : stops[2]].mean(axis=0))  # the dog sees it .
    assert_apart(modes.vectors[1], states[stops[1] : stops[2]].mean(axis=0))
    assert_apart(modes.vectors[2], states[stops[2] :].mean(axis=0))


@byte_level
def test_with_roberta_and_gpt2_a_decimal_number_shifts_no_target(readers: Readers, both, family):
    reader = readers(family)
    text = "anna reads 3.5 words . the dog sees it . the cat"
    pieces, states = read(reader, text)
    first, second = (position + 1 for position, piece in enumerate(pieces) if piece == "Ġ.")
    assert "." in pieces[:first]
    modes = both(reader, text)
    assert_close(modes.vectors[1], states[first:second].mean(axis=0))
    assert_close(modes.vectors[2], states[second:].mean(axis=0))


@byte_level
def test_with_roberta_and_gpt2_a_word_that_begins_with_a_stop_shifts_later_targets(readers: Readers, both, family):
    reader = readers(family)
    text = "anna reads .5 words . the dog sees it . the cat"
    pieces, states = read(reader, text)
    begin, _ = edges(reader)
    first, second, third = (position + 1 for position, piece in enumerate(pieces) if piece == "Ġ.")
    modes = both(reader, text)
    assert_close(modes.vectors[0], states[begin:first].mean(axis=0))  # anna reads .
    assert_close(modes.vectors[1], states[first:second].mean(axis=0))  # 5 words .
    assert_close(modes.vectors[2], states[second:third].mean(axis=0))  # the dog sees it .
    assert_apart(modes.vectors[2], states[third:].mean(axis=0))


def test_with_gpt2_a_stop_as_first_word_has_no_gap_so_the_last_targets_have_no_span_and_get_zeros(
    readers: Readers, both
):
    reader = readers("gpt2")
    text = ". the dog sees it . the cat"
    pieces, states = read(reader, text)
    begin, _ = edges(reader)
    assert pieces[begin] == "."
    stop = pieces.index("Ġ.") + 1
    modes = both(reader, text)
    assert modes.paper.words == [["."], "the dog sees it .".split(), ["the", "cat"]]
    assert_close(modes.vectors[0], states[begin:stop].mean(axis=0))
    assert_close(modes.vectors[1], states[stop:].mean(axis=0))
    assert not modes.vectors[2].any()
    assert all(row.vector.any() for row in modes.default.rows)


@with_end_token
def test_with_bert_and_roberta_a_stop_as_first_word_is_a_span(readers: Readers, both, family):
    reader = readers(family)
    text = ". the dog sees it . the cat"
    states = read(reader, text)[1]
    modes = both(reader, text)
    assert_close(modes.vectors[0], states[1])
    assert_close(modes.vectors[1], states[2:7].mean(axis=0))
    assert_close(modes.vectors[2], states[7:].mean(axis=0))


# --- words past the window -------------------------------------------------------------------------------------------


@families
def test_a_span_past_the_window_takes_the_last_position(readers: Readers, both, family):
    reader = readers(family)
    text = sized(reader, 640, stops=(480, 560, 600))
    assert len(text.split()) <= 333
    ids, pieces = reader.ids(text), reader.pieces(text)
    stops = [position + 1 for position, piece in enumerate(pieces) if piece == reader.teacher.gap + "."]
    assert stops[0] < 490 < 540 < stops[1] < stops[2]
    states = reader.states(ids[:499] + list(reader.teacher.end))
    assert len(states) == (499 if family == "gpt2" else 500)
    modes = both(reader, text)
    begin, _ = edges(reader)
    assert_close(modes.vectors[0], states[begin : stops[0]].mean(axis=0))
    assert_close(modes.vectors[1], states[stops[0] :].mean(axis=0), "it ends past the window, and is cut there")
    assert_close(modes.vectors[2], states[-1])
    assert_close(modes.vectors[3], states[-1])
    assert_apart(modes.vectors[2], states[-2])
    for row, own in zip(modes.paper.rows[2:], modes.default.rows[-2:], strict=True):
        assert_apart(row.vector, own.vector.astype(np.float32))


@families
def test_words_past_the_window_remain_targets(readers: Readers, both, family):
    reader = readers(family)
    text = sized(reader, 640, stops=(480, 560, 600))
    modes = both(reader, text)
    assert words_of(modes.paper) == text.split()
    inside = reader.tokenizer.decode(reader.ids(text)[:499], skip_special_tokens=True)
    assert len(inside.split()) < len(text.split()) - 50, "many words are past it"
    assert [row.paragraph for row in modes.paper.rows] == [0] * 4


# --- teacher precision, and what a cache says of itself --------------------------------------------------------------


def test_the_teacher_runs_in_float16_unless_another_precision_is_asked_for(readers: Readers, encode: Encode):
    reader = readers("bert")
    text = "anna sees the dog . the old cat reads ."
    half = encode(reader, [text], compat="paper", precision="auto")
    assert half.cache.manifest.encoding.precision == "float16"
    full = encode(reader, [text], compat="paper")
    assert full.cache.manifest.encoding.precision == "float32"
    assert encode(reader, [text], precision="auto").cache.manifest.encoding.precision in {"bfloat16", "float32"}
    difference = [np.abs(a.vector - b.vector).max() for a, b in zip(half.rows, full.rows, strict=True)]
    assert 0 < max(difference) < 0.02


@contexts
def test_a_cache_made_under_compat_has_another_fingerprint(readers: Readers, both, context):
    modes = both(readers("bert"), "the dog sees anna", context)
    assert modes.paper.cache.manifest.encoding.compat == "paper"
    assert modes.default.cache.manifest.encoding.compat is None
    assert modes.paper.cache.manifest.fingerprint != modes.default.cache.manifest.fingerprint


# --- many paragraphs at once -----------------------------------------------------------------------------------------


@contexts
@families
def test_paragraphs_of_all_lengths_in_a_batch_do_not_touch_one_another(
    readers: Readers, encode: Encode, family, context
):
    reader = readers(family)
    paragraphs = [
        "the",
        sized(reader, 499, stops=(100, 490)),
        ". the cat . the dog",
        sized(reader, 500, stops=(490,)),
        sized(reader, 501, stops=(490,)),
        sized(reader, 650, stops=(480, 560)),
        "?",
        sized(reader, 201),
        "anna reads 3.5 words . the end .",
        "Anna reads .5 words!  The dog. sees it ? ! and </s> <|endoftext|> [SEP] the rest",
        "the cat sees anna " * 100,
        sized(reader, 640, stops=(480, 560, 600)),
    ]
    expected: list[Row] = compat_rows(reader, paragraphs, context)
    assert_rows_equal(encode(reader, paragraphs, context=context, compat="paper").rows, expected)
