"""How text is cut: sentences by `sentencex`, words by rules of the `tokenizers` library, or a segmenter behind them."""

import json
import logging
import re
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import sentencex
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel

from x2static.durable.storage import canonical_json
from x2static.machine.packages import install_extra
from x2static.schemas.encoding import EncodeConfig, Encoding, TextRules
from x2static.schemas.segmentation import LIBRARIES, LanguageRules, SegmenterRules, WordSegmentation

# Insides of character classes, which `re` and the tokenizers library read alike.
HAN = "\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
HIRAGANA = "\u3041-\u3096\u3099\u309a\u309d-\u309f\u30fc"  # the last one lengthens the vowel, in katakana too
KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
THAI = "\u0e01-\u0e3a\u0e40-\u0e4e"
THAI_MARKS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"  # above and below a consonant

# Where sentencex 1.0 panics: it takes one byte for the space between an initial and a stop, and these have several.
# Every character was tried in each of the three places, and millions of short texts in all its languages.
INITIAL = re.compile(r"[A-Z][.\s]*[^\S\x00-\x7f](?=\.)")
WIDE_SPACE = re.compile(r"[^\S\x00-\x7f]")
# Control and private characters, and letters and symbols that are blanks: of Braille, and fillers of Hangul.
SPACES = r"[\p{Cc}\p{Co}\x{200B}\x{2800}\x{3164}\x{FFA0}]"
VARIATION_SELECTORS = r"[\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]"
UNSEEN = r"[\p{M}\x{200C}\x{200D}]"  # where no letter is before them
AFTER_DIGIT = re.compile(r'\d"')

THAI_SENTENCE = 60  # characters; sentences in prose are about as long
# A mark that ends a sentence all the same, with what closes it; or a space. The signs \u0e2f and \u0e46 belong to the
# word before the space.
THAI_BREAK = re.compile(
    rf"(?P<mark>[!?\u2026\n]+[\"'\u201d\u2019)\]]*\s*)|(?<=[{THAI}])\s+(?=[{THAI}])(?![\u0e2f\u0e46])"
)

HAN_ALONE = r"\p{Han}"
LONGEST_RUN = 1000  # characters; sudachipy takes 49,149 bytes, and the work of pythainlp grows with the square

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spaceless:
    """How the words of a language without spaces are found."""

    segmenter: str  # the library that cuts runs of its letters, a key of LIBRARIES; the extra is named by the language
    settings: dict[str, Any]  # what the library is loaded with
    letters: str  # its letters, as the inside of a character class
    alone: str  # regular expression of what is a word by itself where the library is not installed
    alone_said: str  # the same for a person


SPACELESS = {
    "zh": Spaceless("rjieba", {"hmm": True}, HAN, HAN_ALONE, "each Han character by itself"),
    "ja": Spaceless(
        "sudachipy",
        {"mode": "C"},  # the longest words that its dictionary has
        HAN + HIRAGANA + KATAKANA,
        f"{HAN_ALONE}|[{HIRAGANA}]+|[{KATAKANA}]+",
        "each Han character by itself, runs of hiragana and of katakana whole",
    ),
    "th": Spaceless(
        "pythainlp",
        {},
        THAI,
        # A consonant with the vowels and tone marks around it.
        rf"{HAN_ALONE}|[\u0e40-\u0e44]?[\u0e01-\u0e2e][{THAI_MARKS}]*[\u0e30\u0e32\u0e33\u0e45]?|[{THAI}]",
        "each consonant with the vowels and tone marks around it by itself",
    ),
}


@dataclass(frozen=True)
class SentenceSplitter:
    """Cuts paragraphs into sentences, in any language that sentencex knows, at millions of words a second.

    Thai has no mark for the end of a sentence: a space ends one where Thai letters are on both sides and the sentence
    has grown to THAI_SENTENCE characters.
    """

    language: str  # ISO 639-1 code; it picks the abbreviations and the marks that end a sentence; or several, "de+en"
    text_rules: TextRules | None = None  # of 1, inch marks are quotation marks

    @property
    def name(self) -> str:
        """The library and its version, or the rule: what, with the language, the boundaries depend on."""
        if "+" in self.language:
            return "; ".join(dict.fromkeys(self.of(language).name for language in self.language.split("+")))
        if self.language == "th":
            return f"spaces between Thai letters after {THAI_SENTENCE} characters"
        return f"sentencex {version('sentencex')}" + ("" if self.text_rules == 1 else ", inch marks apart")

    def of(self, language: str | None) -> "SentenceSplitter":
        """Return the splitter for text of one of its languages, None where it has but one."""
        return self if language is None else replace(self, language=language)

    def spans(self, paragraph: str) -> list[tuple[int, int]]:
        """Return the sentences of a paragraph as [start, stop) in characters; sentences of white space are left out."""
        if self.language == "th":
            ends = [0]
            for gap in THAI_BREAK.finditer(paragraph):
                if gap["mark"] or gap.start() - ends[-1] >= THAI_SENTENCE:
                    ends.append(gap.end())
            pairs = pairwise([*ends, len(paragraph)])
            return [(start, stop) for start, stop in pairs if paragraph[start:stop].strip()]
        if not paragraph.isascii():  # as long as before, so that places stay the same
            paragraph = INITIAL.sub(lambda match: WIDE_SPACE.sub(" ", match[0]), paragraph)
        spans = self._spans(paragraph)
        if self.text_rules != 1 and AFTER_DIGIT.search(paragraph):
            # Taken for a quote that opens, an inch mark hides the ends of sentences up to the next one.
            return max(spans, self._spans(without_inch_marks(paragraph)), key=len)  # of equals the first
        return spans

    def _spans(self, paragraph: str) -> list[tuple[int, int]]:
        boundaries = sentencex.get_sentence_boundaries(self.language, paragraph)
        return [(item["start_index"], item["end_index"]) for item in boundaries if not item["text"].isspace()]


def without_inch_marks(paragraph: str) -> str:
    """Write the sign for inches where a straight quote behind a digit closes none; every character keeps its place."""
    characters, is_open = list(paragraph), False
    for quote in re.finditer('"', paragraph):
        at = quote.start()
        if is_open or not at or not paragraph[at - 1].isdigit():
            is_open = not is_open
        else:
            characters[at] = "\u2033"
    return "".join(characters)


def default_words(text_rules: TextRules | None = None) -> WordSegmentation:
    """Return the default rules: lower-cased runs of letters, digits and marks; every other visible character alone.

    Han characters are words of their own, since their text has no spaces. Control characters and zero-width spaces
    separate words; other invisible marks (soft hyphens, writing direction) vanish, but for the joiners that Persian and
    Indic scripts spell with. What nobody can see is no word: marks, variation selectors and joiners without a letter
    before them, private characters and fillers; the rules of 0.1.0 (`text_rules` 1) have such words.
    """
    return WordSegmentation(_rules(HAN_ALONE, text_rules))


def _rules(apart: str, text_rules: TextRules | None) -> str:
    """Return the default rules with a regular expression of what is kept apart from letters beside it."""
    first = text_rules == 1
    rules = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    spaces = normalizers.Replace(Regex(r"[\p{Cc}\x{200B}]" if first else SPACES), " ")
    variants = [] if first else [normalizers.Replace(Regex(rf"(?<=\p{{Han}}){VARIATION_SELECTORS}+"), "")]
    # The library lower-cases each letter by itself: ΟΔΟΣ and οδος are one word.
    greek = r"[\p{Greek}&&\p{L}]"
    sigma = [] if first else [normalizers.Replace(Regex(f"(?<={greek})σ(?!{greek})"), "ς")]
    marks = normalizers.Replace(Regex(r"(?![\x{200C}\x{200D}])\p{Cf}"), "")
    rules.normalizer = normalizers.Sequence(
        [spaces, marks, *variants, normalizers.NFC(), normalizers.Lowercase(), *sigma]
    )
    letters = r"\p{L}\p{M}\p{N}_\x{200C}\x{200D}"
    split = pre_tokenizers.Split(Regex(f"[^{letters}]|{apart}"), "isolated")
    steps = [pre_tokenizers.WhitespaceSplit(), split]
    if not first:
        # Han characters are words of their own, so that a mark behind one would be a word, too.
        stray = pre_tokenizers.Split(Regex(rf"(?<![[{letters}]&&[^\p{{Han}}]]){UNSEEN}+"), "removed")
        rest = pre_tokenizers.Split(Regex(rf"\A{UNSEEN}+\z"), "removed")
        steps = [steps[0], stray, split, rest]
    rules.pre_tokenizer = pre_tokenizers.Sequence(steps)
    return rules.to_str()


def paper_words() -> WordSegmentation:
    """Return the reference implementation's rules: `line.lower().split()`, as the library can say it."""
    rules = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    rules.normalizer = normalizers.Lowercase()
    rules.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return WordSegmentation(rules.to_str())


def choose_words(
    compat: str | None, language: str, text_rules: TextRules | None = None, marked: bool = False
) -> WordSegmentation:
    """Return the word segmentation rules of a mode and a language; None is for those of new caches.

    Of several languages ("de+zh") they are those of each, unless all are the same. With `marked`, words begin with the
    code of their language.
    """
    if marked or "+" in language:
        rules_of = {code: choose_words(compat, code, text_rules).rules for code in language.split("+")}
        if marked or len({*rules_of.values()}) > 1:
            of_languages = LanguageRules(languages=rules_of, marked=marked)
            return WordSegmentation(canonical_json(of_languages.model_dump()).decode())
        language = language.partition("+")[0]
    if compat == "paper":
        return paper_words()
    if language not in SPACELESS:
        return default_words(text_rules)
    spaceless = SPACELESS[language]
    library = LIBRARIES[spaceless.segmenter]
    if library.missing:
        return WordSegmentation(_rules(spaceless.alone, text_rules))
    run = f"[{spaceless.letters}]+"
    rules = SegmenterRules(
        segmenter=spaceless.segmenter,
        versions=library.versions,
        language=language,
        runs=run,
        longest_run=LONGEST_RUN,
        settings=spaceless.settings,
        rules=json.loads(_rules(f"{run}|{HAN_ALONE}", text_rules)),
    )
    return WordSegmentation(canonical_json(rules.model_dump()).decode())


def words_of(options: EncodeConfig | Encoding) -> WordSegmentation:
    """Return the word segmentation rules that a configuration asks for, or that an encoding is of."""
    return choose_words(options.compat, options.language, options.text_rules, options.mark_language)


def log_words(compat: str | None, language: str) -> None:
    """Say what cuts the words of a language without spaces; a library that is missing is worth a warning."""
    for code in language.split("+") if compat != "paper" else ():
        if (spaceless := SPACELESS.get(code)) is None:
            continue
        if missing := " and ".join(LIBRARIES[spaceless.segmenter].missing):
            install = f"for words, {install_extra(code)} before the cache is begun"
            logger.warning("words: %s, because %s is not installed; %s", spaceless.alone_said, missing, install)
        else:
            logger.info("words: cut by %s", choose_words(compat, code).name)
