"""How text is cut into words: rules that are kept with the cache and the vectors.

Where the language has no spaces, a library cuts further, and the rules name it. Libraries are loaded when text is first
cut: stage two carries the rules along, and runs where none is installed. Rules by which several words are one hold the
entries and the text of other rules: {"multiword": [["new", "york"], ...], "rules": "..."}. Those of several languages
hold the rules of each: {"languages": {"de": "...", "zh": "..."}, "marked": true}; marked words are called de:gift.
"""

import hashlib
import json
import logging
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from x2static.durable.errors import X2StaticError, first_line
from x2static.durable.storage import canonical_json
from x2static.machine.packages import NOT_INSTALLED, package_version, pip_install
from x2static.schemas.encoding import Record
from x2static.schemas.multiword import Multiword, name_of

SEGMENTATION = "word_segmentation.json"  # in a cache, and beside vectors
MARK = ":"  # behind the code of a word's language; the rules keep it apart from letters
SEPARATORS = {"Cc", "Cf", "Zl", "Zp", "Zs"}  # categories of the characters that may stand between two words

# What the default rules, those of these hashes, make of lower-cased ASCII: a third of the time that the library takes.
DEFAULT_RULES = (
    "30cd62fee70c1d6cd6be275ec6d026fac021e6de686eddf79b52757779a44b94",  # of 0.1.0
    "7ef7100fc38e2179718fbc451d5444cde608eb47b5d183049a277f2f6e638fee",
)
ASCII_WORD = re.compile(r"\w+|[^\w\x00-\x20\x7f]", re.ASCII)

Rules = TypeVar("Rules", bound=Record)
Cut = Callable[[str], list[str]]  # a text to the words that it consists of
Occurrence = tuple[str, int, int]  # a word, and its [start, stop) in characters of the text as it was given

logger = logging.getLogger(__name__)


class SegmenterRules(Record):
    """Word segmentation rules that JSON of the `tokenizers` library cannot hold: which library cuts what, and how."""

    segmenter: str  # name of the library, a key of LIBRARIES
    versions: dict[str, str]  # of the library and its dictionary; others cut otherwise
    language: str  # ISO 639-1 code, and name of the extra that installs the library
    runs: str  # regular expression of the runs of letters that the library cuts; `rules` keep them apart from the rest
    longest_run: int = Field(ge=1)  # characters that the library gets at once; a longer run is cut there
    settings: dict[str, Any]  # what the library is loaded with
    rules: dict[str, Any]  # JSON of a `tokenizers.Tokenizer`, which normalises, and cuts all else


class MultiwordRules(Record):
    """Rules by which some words are joined that follow one another."""

    multiword: tuple[tuple[str, ...], ...]  # the entries
    rules: str  # JSON of a `tokenizers.Tokenizer`, or of SegmenterRules, that cuts the words; to the byte, for its hash


class LanguageRules(Record):
    """Rules of several languages; which of them are a text's, whoever has the text says."""

    languages: dict[str, str]  # the rules of each, by its ISO 639-1 code, as text, for its hash
    marked: bool  # whether words begin with the code of their language


@dataclass(frozen=True)
class Library:
    """A library that cuts runs of letters into words."""

    packages: tuple[str, ...]  # those whose versions decide where it cuts
    load: Callable[..., Cut]  # gives what cuts, by keyword settings

    @property
    def versions(self) -> dict[str, str]:
        """The version of each package that is installed here, NOT_INSTALLED for the others."""
        return {package: package_version(package) for package in self.packages}

    @property
    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [package for package, version in self.versions.items() if version == NOT_INSTALLED]


def _load_rjieba(hmm: bool) -> Cut:
    from rjieba import Jieba

    jieba = Jieba()  # the one that the module shares may have been given other words
    return lambda run: jieba.cut(run, hmm)


def _load_sudachipy(mode: str) -> Cut:
    from sudachipy import Dictionary

    tokenizer = Dictionary(dict="small").tokenizer(mode)
    lock = Lock()  # it refuses a second thread

    def cut(run: str) -> list[str]:
        with lock:
            return [word.raw_surface() for word in tokenizer.tokenize(run)]

    return cut


def _load_pythainlp() -> Cut:
    """Import the library, which would make a folder in the home folder if it might, and fail where it cannot."""
    decided = {"PYTHAINLP_READ_ONLY", "PYTHAINLP_READ_MODE"} & os.environ.keys()  # by the user
    if not decided:
        os.environ["PYTHAINLP_READ_ONLY"] = "1"
    try:
        from pythainlp.tokenize.newmm import segment
    finally:
        if not decided:
            del os.environ["PYTHAINLP_READ_ONLY"]
    return segment


LIBRARIES = {
    "rjieba": Library(("rjieba",), _load_rjieba),
    "sudachipy": Library(("sudachipy", "sudachidict-small"), _load_sudachipy),
    "pythainlp": Library(("pythainlp",), _load_pythainlp),
}


class WordSegmentation:
    """A normalizer and a pre-tokenizer, so that users of the vectors split text exactly as training did."""

    def __init__(self, rules: str, mark: str = "") -> None:
        # JSON of a `tokenizers.Tokenizer`, of SegmenterRules, MultiwordRules or LanguageRules
        self.rules = rules
        self.mark = mark  # what every word begins with
        self._is_default = self.sha256 in DEFAULT_RULES

    def __reduce__(self) -> tuple[type["WordSegmentation"], tuple[str, str]]:
        """Go to another process as rules alone: a segmenter that is loaded holds locks and memory of its own."""
        return WordSegmentation, (self.rules, self.mark)

    @classmethod
    def load(cls, path: Path) -> "WordSegmentation":
        """Read the rules. Raises X2StaticError: there is no such file, or it is no text."""
        if not path.is_file():
            raise X2StaticError(f"{path}: the word segmentation rules are missing")
        try:
            return cls(path.read_bytes().decode())
        except UnicodeDecodeError as error:
            raise X2StaticError(f"{path}: not the word segmentation rules, no UTF-8 ({error})") from error

    @property
    def sha256(self) -> str:
        """Hash of the rules."""
        return hashlib.sha256(self.rules.encode()).hexdigest()

    @property
    def name(self) -> str:
        """What cuts the words: the library and its versions, where JSON of `tokenizers` does not say it all."""
        if self._joining:
            return self.single.name
        if self.languages:
            return ", ".join(f"{language} by {self.of(language).name}" for language in self.languages)
        return _described(self._segmenter.versions) if self._segmenter else "rules of the tokenizers library"

    def joining(self, multiword: Multiword) -> "WordSegmentation":
        """Return rules that cut as the single words of these do, and join entries; without any, those alone."""
        if not multiword.entries:
            return self.single
        content = MultiwordRules(multiword=multiword.entries, rules=self.single.rules)
        return WordSegmentation(canonical_json(content.model_dump()).decode())

    @cached_property
    def multiword(self) -> Multiword:
        """The entries that are joined."""
        return Multiword(self._joining.multiword if self._joining else ())

    @cached_property
    def single(self) -> "WordSegmentation":
        """These rules without joining."""
        return WordSegmentation(self._joining.rules) if self._joining else self

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The languages that have rules of their own here, or words of their own; none where all text is cut alike."""
        return tuple(sorted(self._of_languages.languages)) if self._of_languages else ()

    @property
    def marked(self) -> bool:
        """Whether words begin with the code of their language."""
        return self._of_languages is not None and self._of_languages.marked

    def of(self, language: str | None) -> "WordSegmentation":
        """Return the rules for text of a language: these, where all text is cut alike, whatever its language.

        Raises X2StaticError: the text's language is not said, or there are no rules for it.
        """
        if self._of_languages is None:
            return self
        if language not in self.languages:
            known = f"words of {', '.join(self.languages)} are cut by rules of each"
            asked = "which language is the text" if language is None else f"none are there for {language}"
            raise X2StaticError(f"{known}; {asked}? Name one of them as the language")
        return self._each[language]

    def bare(self, word: str) -> str:
        """Return a word without the mark of its language."""
        return word.partition(MARK)[2] if self.marked else word

    @cached_property
    def _each(self) -> dict[str | None, "WordSegmentation"]:
        rules = self._of_languages
        languages, marked = (rules.languages, rules.marked) if rules else ({}, False)
        return {code: WordSegmentation(text, f"{code}{MARK}" if marked else "") for code, text in languages.items()}

    @cached_property
    def _of_languages(self) -> LanguageRules | None:
        return self._parsed("languages", LanguageRules)

    @cached_property
    def _joining(self) -> MultiwordRules | None:
        return self._parsed("multiword", MultiwordRules)

    @cached_property
    def _segmenter(self) -> SegmenterRules | None:
        return self._parsed("segmenter", SegmenterRules)

    def _parsed(self, key: str, kind: type[Rules]) -> Rules | None:
        """Return the rules as what has such a key; None where they have none."""
        try:
            content = json.loads(self.rules)
            return kind.model_validate(content) if key in content else None
        except (json.JSONDecodeError, ValidationError) as error:
            reason = f"not what this version of x2static reads ({first_line(error)})"
            raise X2StaticError(f"word segmentation rules: {reason}") from error

    @cached_property
    def _bare(self) -> "WordSegmentation":
        return WordSegmentation(self.rules)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        self.of(None)  # refuses rules of several languages
        return Tokenizer.from_str(json.dumps(self._segmenter.rules) if self._segmenter else self.rules)

    @cached_property
    def _cut(self) -> Cut | None:
        """What cuts a word of the other rules further."""
        if (rules := self._segmenter) is None:
            return None
        needed = _described(rules.versions)
        if (library := LIBRARIES.get(rules.segmenter)) is None:
            unknown = f"this x2static does not know {rules.segmenter} ({needed})"
            raise X2StaticError(f"word segmentation: {unknown}; use a newer one")
        if library.missing:
            missing = f"the words were cut by {needed}, but {' and '.join(library.missing)} cannot be found here"
            install = pip_install(*(f"{name}=={version}" for name, version in rules.versions.items()))
            raise X2StaticError(f"word segmentation: {missing}; {install}")
        if (here := library.versions) != rules.versions:
            logger.warning("words were cut by %s, here is %s, which may cut some otherwise", needed, _described(here))
        run, longest, cut = re.compile(rules.runs), rules.longest_run, library.load(**rules.settings)

        def cut_runs(word: str) -> list[str]:
            starts = range(0, len(word), longest)
            return [part for i in starts for part in cut(word[i : i + longest])] if run.match(word) else [word]

        return cut_runs

    def split(self, text: str) -> list[str]:
        """Return the words of a text, in order.

        Raises X2StaticError: a library that cuts them is not installed, or the rules are those `of` several languages.
        """
        if self.mark:
            return [f"{self.mark}{word}" for word in self._bare.split(text)]
        if self._is_default and text.isascii():
            return ASCII_WORD.findall(text.lower())
        if self._joining:
            return self.multiword.join(self.single.split(text))
        words = [word for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(self.normalise(text))]
        cut = self._cut
        return [part for word in words for part in cut(word)] if cut else words

    def occurrences(self, text: str) -> list[Occurrence]:
        """Return the words of a text, those of `split` in their order, with the characters that each was made of.

        Normalising may change the number of characters; start and stop count those of `text` itself, stop exclusive.
        Raises X2StaticError, as `split`.
        """
        if self.mark:
            return [(f"{self.mark}{word}", start, stop) for word, start, stop in self._bare.occurrences(text)]
        if self._is_default and text.isascii():
            return [(word[0], *word.span()) for word in ASCII_WORD.finditer(text.lower())]
        if self._joining:
            single = self.single.occurrences(text)
            places = self.multiword.places([word for word, _, _ in single])
            joined = ((single[start:stop], single[start][1], single[stop - 1][2]) for start, stop in places)
            return [(name_of(tuple(word for word, _, _ in some)), start, stop) for some, start, stop in joined]
        from tokenizers import PreTokenizedString

        rules, pieces = self._tokenizer, PreTokenizedString(text)
        if rules.normalizer:
            pieces.normalize(rules.normalizer.normalize)
        rules.pre_tokenizer.pre_tokenize(pieces)
        splits = [(word, *span) for word, span, _ in pieces.get_splits("original", "char")]
        limits, words = [*(start for _, start, _ in splits), len(text)][1:], list[Occurrence]()
        # Marks are composed into a word's last character, which the library counts as the first that it was made of.
        # What is no separator belongs to some word, so what stands between two words belongs to the first.
        for (word, start, stop), limit in zip(splits, limits, strict=True):
            while limit > stop and unicodedata.category(text[limit - 1]) in SEPARATORS:
                limit -= 1
            words.append((word, start, max(stop, limit)))
        cut = self._cut
        return [part for word in words for part in self._parts(text, word, cut(word[0]))] if cut else words

    def normalise(self, text: str) -> str:
        """Return a text as it is before it is cut."""
        if self._joining:
            return self.single.normalise(text)
        normalizer = self._tokenizer.normalizer
        return str(normalizer.normalize_str(text)) if normalizer else text

    def _parts(self, text: str, occurrence: Occurrence, parts: list[str]) -> Iterator[Occurrence]:
        """Yield the parts of a word with their own places in the text."""
        word, start, stop = occurrence
        if len(parts) == 1:
            yield occurrence
            return
        same = len(word) == stop - start  # what changes these scripts' characters makes fewer of them, never more
        for part in parts:
            end = start + len(part)
            if not same:
                while start < stop - 1 and not self.normalise(text[start]):
                    start += 1
                # Cut between marks that normalising put into another order, a part has no place of its own.
                start = min(start, stop - 1)
                end = next((end for end in range(start + 1, stop) if self.normalise(text[start:end]) == part), stop)
            yield part, start, end
            start = end


def _described(versions: dict[str, str]) -> str:
    return " and ".join(f"{package} {version}" for package, version in versions.items())
