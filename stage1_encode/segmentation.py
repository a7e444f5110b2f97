"""How text is cut: sentences by `sentencex`, words by rules of the `tokenizers` library."""

from dataclasses import dataclass
from importlib.metadata import version

import sentencex
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel

from schemas.segmentation import WordSegmentation

STOPS = (".", "?", "!")  # the words that end a sentence in the reference implementation


@dataclass(frozen=True)
class SentenceSplitter:
    """Cuts paragraphs into sentences, in any language that sentencex knows, at millions of words a second.

    Attributes:
        language: ISO 639-1 code; it picks the abbreviations and the marks that end a sentence.
    """

    language: str

    @property
    def name(self) -> str:
        """The library and its version: what, with the language, the boundaries depend on."""
        return f"sentencex {version('sentencex')}"

    def spans(self, paragraph: str) -> list[tuple[int, int]]:
        """Return the sentences of a paragraph as [start, stop) in characters; sentences of white space are left out."""
        boundaries = sentencex.get_sentence_boundaries(self.language, paragraph)
        return [(item["start_index"], item["end_index"]) for item in boundaries if not item["text"].isspace()]


def default_words() -> WordSegmentation:
    """Return the default rules: lower-cased runs of letters, digits and marks; every other visible character alone.

    Han characters are words of their own, since their text has no spaces. Control characters and zero-width spaces
    separate words; other invisible marks (soft hyphens, writing direction) vanish, but for the joiners that Persian and
    Indic scripts spell with.
    """
    rules = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    rules.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"[\p{Cc}\x{200B}]"), " "),
            normalizers.Replace(Regex(r"(?![\x{200C}\x{200D}])\p{Cf}"), ""),
            normalizers.NFC(),
            normalizers.Lowercase(),
        ]
    )
    rules.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(r"[^\p{L}\p{M}\p{N}_\x{200C}\x{200D}]|\p{Han}"), "isolated"),
        ]
    )
    return WordSegmentation(rules.to_str())


def paper_words() -> WordSegmentation:
    """Return the reference implementation's rules: `line.lower().split()`, as the library can say it."""
    rules = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    rules.normalizer = normalizers.Lowercase()
    rules.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return WordSegmentation(rules.to_str())


def choose_words(compat: str | None) -> WordSegmentation:
    """Return the word segmentation rules of a mode."""
    return paper_words() if compat == "paper" else default_words()


def stop_groups(words: list[str]) -> list[list[str]]:
    """Group words by the number of words `.` `?` `!` before each; the last group may be empty."""
    groups: list[list[str]] = [[]]
    for word in words:
        groups[-1].append(word)
        if word in STOPS:
            groups.append([])
    return groups


def paper_sentences(words: list[str]) -> list[list[str]]:
    """Cut words after each word `.` `?` `!`; what follows the last one is a sentence too."""
    return [group for group in stop_groups(words) if group]
