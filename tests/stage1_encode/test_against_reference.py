"""Stage one as a whole, held to an unbatched float32 computation that shares no code with it (tests/reference.py)."""

import random
from collections import Counter
from itertools import product

import pytest

from tests.reference import assert_apart, assert_rows_equal, compat_rows, cut_windows, default_rows, sentence_bounds
from tests.stage1_encode.conftest import Encode, Readers
from tests.stage1_encode.runs import Encoded, prose
from tests.teachers import FAMILIES, families
from x2static.stage1_encode.text.preparation import PORTION

CONTEXTS = ("paragraph", "sentence")
# Each family and each way once; the other combinations are exhaustive.
QUICK = {("bert", "paragraph", None), ("roberta", "sentence", None), ("gpt2", "paragraph", "paper")}

every_way = pytest.mark.parametrize(
    ("family", "context", "compat"),
    [
        pytest.param(*way, marks=[] if way in QUICK else [pytest.mark.exhaustive])
        for way in product(FAMILIES, CONTEXTS, (None, "paper"))
    ],
)


def tokenised(seed: int, sentences: int) -> str:
    """Return a paragraph as the paper's corpus has it: stops stand alone."""
    return prose(seed, sentences, (" .", " ?", " !"))


PLAIN = [
    *(prose(seed, 1 + seed % 8) for seed in range(12)),
    *(tokenised(seed, 1 + seed % 8) for seed in range(12, 24)),
    'Anna reads 3.5 words. Dr. Smith sees the U.S. city, e.g. Rome... Who draws it?! "The old dog." she sees .',
    "anna reads 3.5 words . the dog sees .5 of it . no stop at the end",
    "One",
    "  Space around it. Changes nothing. \t",
    "It's  a   wide\tspace.  Two spaces.   Three!",
    ". a stop comes first . and ? ! two in a row",
]
LONG = [
    " ".join(tokenised(seed, 20) for seed in range(30, 33)),
    prose(33, 60),
    "the dogs " * 190 + ". " + "teachers " * 60,
    prose(34, 2),
]


def expected_rows(reader, paragraphs: list[str], context: str, compat: str | None, encoded: Encoded, least=(0, 0)):
    if compat == "paper":
        return compat_rows(reader, paragraphs, context, least)
    return default_rows(reader, paragraphs, encoded.rules, context, least)


@pytest.mark.parametrize(
    ("lengths", "room", "windows"),
    [
        ([3, 2, 9, 1], 4, [[0, 0, 0], [1, 1], [2] * 4, [2] * 4, [2, 3]]),
        ([2, 2, 1], 4, [[0, 0, 1, 1], [2]]),
        ([4, 0, 4], 4, [[0] * 4, [2] * 4]),
        ([5], 4, [[0] * 4, [0]]),
        ([0, 0], 4, []),
    ],
)
def test_the_reference_cuts_windows_as_design_says(lengths, room, windows):
    assert cut_windows(lengths, room) == windows


@every_way
def test_rows_words_counts_and_vectors_are_the_references(readers, encode, monkeypatch, family, context, compat):
    monkeypatch.setitem(PORTION, "cpu", 7)  # paragraphs: the unit has five portions
    reader = readers(family)
    paragraphs = PLAIN + LONG
    encoded = encode(reader, paragraphs, context=context, compat=compat)
    before = reader.n_tokens
    expected = expected_rows(reader, paragraphs, context, compat, encoded)
    assert len(expected) > 100
    assert_rows_equal(encoded.rows, expected)
    (shard,) = encoded.cache.shards()
    counts = Counter(word for row in expected for word in row.words)  # in order of first occurrence
    assert dict(zip(*shard.lexicon().to_pydict().values(), strict=True)) == counts
    assert shard.lexicon()["word"].to_pylist() == list(counts)
    assert shard.marker.n_contexts == len(expected)
    assert shard.marker.n_words == counts.total()
    assert shard.marker.n_paragraphs == len(paragraphs)
    assert shard.marker.n_tokens == reader.n_tokens - before


@pytest.mark.parametrize(("context", "compat"), [("paragraph", None), ("sentence", "paper")])
def test_rows_stay_in_corpus_order_and_paragraphs_are_numbered_anew_in_each_unit(readers, encode, context, compat):
    reader = readers("bert")
    encoded = encode(reader, PLAIN, context=context, compat=compat, unit=7)
    units = [PLAIN[start : start + 7] for start in range(0, len(PLAIN), 7)]
    assert len(encoded.shards) == len(units) > 3
    for rows, unit in zip(encoded.shards, units, strict=True):
        assert_rows_equal(rows, expected_rows(reader, unit, context, compat, encoded))


# --- windows ---------------------------------------------------------------------------------------------------------


def windows_of(reader, text: str) -> list[list[int]]:
    """Return the windows of a paragraph by the reference: the sentence of each piece."""
    last = [last for _, last in reader.plain_pieces(text)]
    lengths = [sum(start <= position < stop for position in last) for start, stop in sentence_bounds(text)]
    return cut_windows(lengths, reader.teacher.room)


@families
def test_a_paragraph_that_fills_the_window_exactly_is_read_in_one_piece(readers: Readers, encode: Encode, family):
    reader = readers(family, 24)
    second = " The cat sees the dog, and Anna reads it."
    first = "The old dog sees"
    while sum(map(len, windows_of(reader, first + "." + second))) < reader.teacher.room:
        first += " the"
    fits, too_long = first + "." + second, first + " the." + second
    assert [len(windows_of(reader, text)) for text in (fits, too_long)] == [1, 2]
    encoded = encode(reader, [fits, too_long])
    assert_rows_equal(encoded.rows, default_rows(reader, [fits, too_long], encoded.rules, "paragraph"))


@pytest.mark.parametrize("context", CONTEXTS)
@families
def test_a_sentence_longer_than_the_window_is_the_mean_over_all_its_pieces(readers, encode, family, context):
    reader = readers(family, 24)
    endless = "Anna sees " + ", ".join(f"the cat of Rome and {number} dogs" for number in range(30))
    while not 1 <= len(reader.plain_pieces(endless + ".")) % reader.teacher.room <= reader.teacher.room // 2:
        endless += " and"
    paragraphs = [
        f"The dog reads. {endless}. The cat sees it. Who draws Anna?",
        f"{endless}. The old cat sees it.",
        endless,
    ]
    windows = windows_of(reader, paragraphs[0])
    assert len({sentence for window in windows[1:2] for sentence in window}) == 1
    assert any({1, 2} <= set(window) for window in windows), "the remainder shares its window with what follows"
    encoded = encode(reader, paragraphs, context=context)
    assert len(encoded.rows) == 7
    assert_rows_equal(encoded.rows, default_rows(reader, paragraphs, encoded.rules, context))
    # What a cut at the first window would give is something else.
    ids = [piece for piece, _ in reader.plain_pieces(endless)]
    first = reader.states([*reader.teacher.begin, *ids[: reader.teacher.room], *reader.teacher.end])
    start = len(reader.teacher.begin)
    assert_apart(encoded.rows[6].vector, first[start : start + reader.teacher.room].mean(axis=0))


# --- hostile text ----------------------------------------------------------------------------------------------------

HOSTILE = [
    "The [SEP] token ends it. [CLS] begins, [PAD] fills. Is [MASK] hidden? [UNK]!",
    "A </s> ends. <s> begins. The <pad><pad> fills, a <mask> hides. <unk>? Yes.",
    "The <|endoftext|> mark.<|endoftext|> Then <|endoftext|>. [SEP]. </s>.",
    "👩‍👩‍👧‍👦 laughs. 🎉🎉 Yes! 🇰🇷 no? 👍🏽.",
    "e\u0301a\u0308o\u0302 and éäö. Z\u0351\u036b\u0343a\u0348l\u0323go\u0301. q\u0307\u0323. \u0301 alone.",
    "क्\u200dष joins. zero\u200dwidth\u200bspace. \u200b\u200b. non\u200cjoin! \ufeffmark. soft\u00adhyphen.",
    "مرحبا بالعالم. كيف حالك؟ \u200fנכון\u200e, שלום עולם! \u202eright to left\u202c. End.",
    "안녕하세요. 저는 학생입니다. \u1112\u1161\u11ab 좋아요! 한국어와 English 섞기.",
    "nul\x00char. bell\x07! \x1b[31mred\x1b[0m text. back\x08space. del\x7f. c1 \x9f.",
    "line\u2028separator. para\u2029separator. next\x85line. form\x0cfeed. tab\x0bvertical. group\x1dsep.",
    "日本語。次の文。中文也可以！Ａ full-width．",
    "𝒜𝒷 maths. ﬁligature. İstanbul ẞ ŉ ΐ. Ⅷ ½ x².",
    "The " + "a" * 300 + " is long. " + "Then it ends. " + "é" * 120 + "!",
    "\ufffd replaced. \ufffe\uffff none. \U0010ffff last. \ue000 private.",
    "no\u00a0break. thin\u2009space. wide\u3000space.  Two.   Three.\tTab.",
    "?! ... !!! — « » … ¿ ¡ ; . , '' \"\" .",
    "\u200d\u200d \u0301",  # BERT cleans away what is invisible: there are no pieces, and so is no row
    "The dog sees. \u0301. \u200d\u200d",
]
ATOMS = (
    *"aeé\u0301\u200d\u200b안뇽مשłß🎉👩\x00\x01\x1c\u2028\u00a0\t日本。？",
    *(" ", " ", " ", ". ", ".", "? ", "! ", "  ", "...", "[SEP]", "</s>", "<s>", "<pad>", "<|endoftext|>", "[UNK]"),
    *("the ", "dog", "3.5", "İ", "ﬁ", "Anna ", "U.S. ", "\u202e", "\ufeff", "(", ")", '"', "'s "),
)


def random_hostile(seed: int) -> str:
    drawn = random.Random(seed)
    return "x" + "".join(drawn.choices(ATOMS, k=drawn.randint(1, 120))) + "x"


@every_way
def test_hostile_text_is_read_as_the_reference_reads_it(readers: Readers, encode: Encode, family, context, compat):
    reader = readers(family)
    paragraphs = HOSTILE + [random_hostile(seed) for seed in range(60)]
    encoded = encode(reader, paragraphs, context=context, compat=compat)
    expected = expected_rows(reader, paragraphs, context, compat, encoded)
    assert len({row.paragraph for row in expected}) > 70
    assert_rows_equal(encoded.rows, expected)


@families
def test_hostile_text_survives_small_windows(readers: Readers, encode: Encode, family):
    reader = readers(family, 24)
    paragraphs = HOSTILE + [random_hostile(seed) for seed in range(60, 90)]
    assert sum(len(windows_of(reader, text)) > 1 for text in paragraphs) > 20
    encoded = encode(reader, paragraphs)
    assert_rows_equal(encoded.rows, default_rows(reader, paragraphs, encoded.rules, "paragraph"))


@pytest.mark.parametrize(("compat", "passing"), [(None, 2), ("paper", 3)])
def test_the_filter_drops_short_paragraphs_and_compat_counts_sentences_either_way(readers, encode, compat, passing):
    reader = readers("bert")
    three = "The dog sees. Anna reads it. Who draws?"
    two = "The dog sees the old cat in Rome. Anna reads the open book of Peter."
    short_stops = "the dog . , cat ! , anna sees"
    stops = f"{short_stops} the old city"
    paragraphs = [two, three, three[:-1], three + " Yes.", short_stops, stops]
    assert [len(sentence_bounds(text)) for text in paragraphs] == [2, 3, 3, 4, 1, 1]
    assert len(short_stops) < len(three) <= len(stops)
    encoded = encode(reader, paragraphs, compat=compat, min_sentences=3, min_characters=len(three))
    limits = (3, len(three))
    expected = expected_rows(reader, paragraphs, "paragraph", compat, encoded, limits)
    assert {row.paragraph for row in expected} == set(range(passing))
    assert encoded.cache.shards()[0].marker.n_paragraphs == passing
    assert_rows_equal(encoded.rows, expected)
