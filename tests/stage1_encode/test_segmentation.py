"""Words and sentences, in several scripts."""

import re
import unicodedata
from functools import cache
from importlib.metadata import version
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from x2static.schemas.segmentation import DEFAULT_RULES, WordSegmentation
from x2static.stage1_encode.text.segmentation import (
    SPACELESS,
    SentenceSplitter,
    choose_words,
    default_words,
    paper_words,
)

# Spaces, invisible characters, marks that are composed with or reordered around others, letters that change in number
TRICKY = (
    " \t\0\n\u00ad\u200b\u200c\u200d\u200f\u0301\u0323\u0307\u0338\u3099\u0e48\u1112\u1161\u11abaeİßΣ<=![]かキ我กเา가"
)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(TRICKY), max_size=20)


def in_canonical_order(text: str) -> bool:
    """Return whether no mark stands behind one that Unicode sorts after it; invisible characters do not separate."""
    visible = [char for char in text if unicodedata.category(char) != "Cf"]
    classes = [unicodedata.combining(char) for char in visible]
    return not any(before > after > 0 for before, after in pairwise(classes))


@cache
def rules_of(language: str) -> WordSegmentation:
    return choose_words(None, language)  # loading a library takes longer than cutting the text of a test


@cache
def letters_of(language: str) -> list[str]:
    everything = "".join(chr(code) for code in range(0x21000) if not 0xD800 <= code < 0xE000)
    return re.findall(f"[{SPACELESS[language].letters}]", everything)


def test_no_sentence_is_empty_and_the_version_decides_where_they_end():
    assert SentenceSplitter("en").spans("   ") == []
    assert SentenceSplitter("en").name == SentenceSplitter("ko").name != f"sentencex {version('sentencex')}"
    assert SentenceSplitter("en", 1).name == f"sentencex {version('sentencex')}"


def test_the_default_rules_are_those_of_the_caches_that_exist():
    assert (default_words(1).sha256, default_words().sha256) == DEFAULT_RULES
    assert default_words(1).sha256 == "30cd62fee70c1d6cd6be275ec6d026fac021e6de686eddf79b52757779a44b94"
    assert paper_words().sha256 == "9ab709743300e8f2dde84932581925c6503a076c596cc40c36fdbb93f44fb628"
    assert choose_words(None, "en").rules == choose_words(None, "ko").rules == default_words().rules


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("zh", "我昨天在图书馆看了3本Python书。卡拉OK！", "我 昨天 在 图书馆 看 了 3 本 python 书 。 卡拉 ok ！"),
        ("zh", "北京\u00ad大学的学生们", "北京大学 的 学生 们"),
        ("ja", "新しいコンピューターをiPhoneと2台買った。", "新しい コンピューター を iphone と 2 台 買っ た 。"),
        ("ja", "学生か\u3099本\u00adを", "学生 が 本 を"),
        ("th", "ฉันไปอ่านหนังสือที่ห้องสมุดกับ COVID-19ในปี 2563 ต่าง ๆ", "ฉัน ไป อ่านหนังสือ ที่ ห้องสมุด กับ covid - 19 ใน ปี 2563 ต่าง ๆ"),
    ],
)
def test_a_segmenter_cuts_what_has_no_spaces_and_leaves_the_rest(language, text, words):
    rules = choose_words(None, language)
    assert rules.split(text) == words.split()
    assert [word for word, _, _ in rules.occurrences(text)] == words.split()
    assert WordSegmentation(rules.rules).split(text) == words.split()


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("zh", "我爱Python。", "我 爱 python 。"),
        ("ja", "彼女はコンピューターを買った。", "彼 女 は コンピューター を 買 った 。"),
        ("th", "ฉันอ่านหนังสือเก่าๆ ในปี 2563", "ฉั น อ่า น ห นั ง สื อ เก่า ๆ ใน ปี 2563"),
    ],
)
@pytest.mark.usefixtures("without_segmenters")
def test_without_the_library_words_are_characters_or_what_is_written_as_one(language, text, words):
    rules = choose_words(None, language)
    assert rules.split(text) == words.split()
    assert (rules.rules == default_words().rules) is (language == "zh")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't", [("don", 0, 3), ("'", 3, 4), ("t", 4, 5)]),
        ("CAFÉ 😀", [("café", 0, 4), ("😀", 5, 6)]),
        ('e-M "x"', [("e", 0, 1), ("-", 1, 2), ("m", 2, 3), ('"', 4, 5), ("x", 5, 6), ('"', 6, 7)]),
        ("3.5\tSN_k", [("3", 0, 1), (".", 1, 2), ("5", 2, 3), ("sn_k", 4, 8)]),
        ("我爱北 한국은.", [("我", 0, 1), ("爱", 1, 2), ("北", 2, 3), ("한국은", 4, 7), (".", 7, 8)]),
        ("\u200fمرحبا हिन्दी", [("مرحبا", 1, 6), ("हिन्दी", 7, 13)]),
        ("a\u200bb</s>", [("a", 0, 1), ("b", 2, 3), ("<", 3, 4), ("/", 4, 5), ("s", 5, 6), (">", 6, 7)]),
        ("cafe\u0301 x", [("café", 0, 5), ("x", 6, 7)]),
        ("İx y", [("i\u0307x", 0, 2), ("y", 3, 4)]),
        ("\u00adso\u00adft\u00ad y", [("soft", 1, 6), ("y", 8, 9)]),
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8 y", [("한국", 0, 6), ("y", 7, 8)]),
        ("e\u00ad\u0301\u00ad x", [("é", 0, 3), ("x", 5, 6)]),
        ("a<\u0338 [UNK]", [("a", 0, 1), ("≮", 1, 3), ("[", 4, 5), ("unk", 5, 8), ("]", 8, 9)]),
        ("می\u200cخواهم 😀\0مرحبا", [("می\u200cخواهم", 0, 8), ("😀", 9, 10), ("مرحبا", 11, 16)]),
        ("", []),
        (" \u00ad", []),
    ],
)
def test_words_are_lower_cased_runs_and_single_marks_and_their_places_those_in_the_text_itself(text, expected):
    assert default_words().occurrences(text) == expected
    assert default_words().split(text) == [word for word, _, _ in expected]


def occurrences(rules: WordSegmentation, text: str) -> list[tuple[str, int, int]]:
    """Return the occurrences of words in a text, which are its words, in order and apart."""
    found = rules.occurrences(text)
    assert [word for word, _, _ in found] == rules.split(text)
    edges = [0, *(edge for _, start, stop in found for edge in (start, stop)), len(text)]
    assert edges == sorted(edges)
    assert all(start < stop for _, start, stop in found)
    return found


BY_THE_LIBRARY = WordSegmentation(default_words().rules + "\n")  # the same rules with another hash: no short way


@given(st.text(st.characters(max_codepoint=127)))
@settings(deadline=None)
@example(" ".join(chr(first) + chr(second) for first in range(128) for second in range(128)))
def test_the_short_way_through_ascii_is_what_the_library_makes_of_it(text):
    assert default_words().split(text) == BY_THE_LIBRARY.split(text)
    assert default_words().occurrences(text) == BY_THE_LIBRARY.occurrences(text)


@given(ANY_TEXT)
@settings(deadline=None)
@pytest.mark.parametrize("rules", [default_words(), paper_words()], ids=["default", "paper"])
def test_each_word_is_what_its_own_characters_are_split_into(rules, text):
    found = occurrences(rules, text)
    # Out of order, a mark may be composed with a character that it does not stand beside.
    assume(in_canonical_order(text))
    assert [rules.split(text[start:stop]) for _, start, stop in found] == [[word] for word, _, _ in found]


def seen(text: str) -> str:
    """Return a text without marks and joiners, which are left out where they would be words by themselves."""
    return "".join(char for char in text if unicodedata.category(char)[0] != "M" and char not in "\u200c\u200d")


@given(st.data())
@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("language", SPACELESS)
def test_a_segmenter_loses_no_character_and_knows_the_place_of_each(language, data):
    letters = letters_of(language)
    text = data.draw(st.text(st.sampled_from(letters) | st.sampled_from(TRICKY), max_size=20))
    rules = rules_of(language)
    found = occurrences(rules, text)
    assert seen("".join(word for word, _, _ in found)) == seen("".join(default_words().split(text)))
    assume(in_canonical_order(text))
    places = ["".join(default_words().split(text[start:stop])) for _, start, stop in found]
    assert list(map(seen, places)) == [seen(word) for word, _, _ in found]


ADDED = {"": "a word of its own", "a": "behind a letter", "\u2764": "behind a symbol"}
VISIBLE = ("L", "N", "P", "S")
BLANKS = "\u2800\u3164\uffa0\u115f\u1160"  # symbols and letters without a picture; the last two begin syllables


@pytest.mark.parametrize("before", ADDED, ids=ADDED.values())
@pytest.mark.parametrize(
    "category", ["Cc", "Cf", "Co", "Lm", "Lo", "Lu", "Mc", "Me", "Mn", "Nd", "No", "Po", "Sc", "So", "Zl", "Zs"]
)
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_a_word_has_something_that_can_be_seen(category, before, data):
    char = data.draw(st.characters(categories=[category], exclude_characters=BLANKS))
    for text in (f"{before}{char}", f"x {before}{char} y", f"{before}{char}{char} y", f"x {before}{char}y"):
        words = default_words().split(text)
        assert all(any(unicodedata.category(one)[0] in VISIBLE for one in word) for word in words)
        assert [word for word, _, _ in default_words().occurrences(text)] == words
        assert {word.replace("ς", "σ") for word in words} >= {
            word.replace("ς", "σ")
            for word in default_words(1).split(text)
            if unicodedata.category(word[0])[0] in VISIBLE
        }, "as the rules of 0.1.0, but for the final sigma"


@pytest.mark.parametrize("blank", BLANKS[:3])
def test_blanks_that_are_letters_by_their_category_are_no_words(blank):
    assert default_words().split(f"a {blank} b{blank}c") == ["a", "b", "c"]


def test_a_final_sigma_is_final_in_capitals_too():
    assert default_words().split("ΟΔΟΣ οδος Σ. ΣΑΣ ΤΙΣ.") == "οδος οδος σ . σας τις .".split()
    assert [word.lower() for word in ("ΟΔΟΣ", "ΣΑΣ")] == default_words().split("ΟΔΟΣ ΣΑΣ"), "as evaluation looks it up"


def test_emoji_are_words_and_what_joins_them_is_not():
    assert default_words().split("I ❤️ it, 👩\u200d💻\ufe0fyou") == ["i", "❤", "it", ",", "👩", "💻", "you"]
    assert default_words(1).split("❤️") == ["❤", "\ufe0f"], "caches of 0.1.0 keep theirs"
    japanese = choose_words(None, "ja").split("葛\U000e0100城 か\u3099")
    assert "".join(japanese) == "葛城が"


INCHES = {
    'A 7" single. It sold. Then a 12" single came. End.': (2, 4),
    'It is a 32" screen. The second is a 55" one. Both sell.': (2, 3),
    'He said "It was 1984. We left." Then he went.': (2, 2),
    '"In 1984" and "in 1985. Then" they stopped. End.': (2, 2),
}


@pytest.mark.parametrize(("text", "n_sentences"), INCHES.items())
def test_an_inch_mark_hides_no_end_of_a_sentence_and_quotes_stay_whole(text, n_sentences):
    spans = [SentenceSplitter("en", rules).spans(text) for rules in (1, 2)]
    assert tuple(map(len, spans)) == n_sentences
    for of_rules in spans:
        assert [start for start, _ in of_rules] == [0, *(stop for _, stop in of_rules[:-1])]
        assert of_rules[-1][1] == len(text)


SENTENCES = {
    "en": ["Dr. Smith paid 3.50 dollars.", "Was it 😀 enough?", "Yes!"],
    "ko": ["서울은 대한민국의 수도이다.", "인구는 약 940만 명이다.", "한강이 도시를 가로지를까?"],
    "zh": ["北京是中国的首都。", "他说：“今天天气很好。”", "我们去公园吧！", "你去吗？"],
    "ja": ["東京は日本の首都である。", "人口は約1400万人だ！", "本当ですか？"],
    "ar": ["القاهرة عاصمة مصر.", "هل زرت المتحف؟", "نعم، زرته أمس!"],
    "fa": ["تهران پایتخت ایران است.", "آیا می\u200cخواهید بروید؟", "بله!"],
    "ur": ["یہ ایک کتاب ہے۔", "کیا آپ نے پڑھی؟", "جی ہاں!"],
    "th": [
        "เมื่อวานนี้ฉันไปอ่านหนังสือประวัติศาสตร์ที่ห้องสมุดของมหาวิทยาลัย",
        "ในปี พ.ศ. 2560 ดร. สมชาย เขียนหนังสือเรื่องต่าง ๆ เกี่ยวกับกรุงเทพมหานคร ฯลฯ",
        "คุณอ่านแล้วหรือยัง?",
        "ยัง!",
    ],
}


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_end_where_the_language_ends_them(language):
    gap = "" if language in ("zh", "ja") else " "
    paragraph = gap.join(SENTENCES[language])
    spans = SentenceSplitter(language).spans(paragraph)
    assert [paragraph[start:stop].strip() for start, stop in spans] == SENTENCES[language]
    assert "".join(paragraph[start:stop] for start, stop in spans) == paragraph


def test_thai_sentences_are_cut_at_spaces_and_the_name_says_so():
    thai = SentenceSplitter("th")
    assert thai.name == "spaces between Thai letters after 60 characters"
    assert thai.spans(" \n ") == thai.spans("") == []
    short = "กา ขา " * 10  # 60 characters
    assert thai.spans(short + "งา") == [(0, 62)]
    assert thai.spans(short + "งา จา") == [(0, 63), (63, 65)]
    assert thai.spans(short + "งา 5 จา") == [(0, 67)]
