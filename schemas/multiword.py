"""Several words as one: entries such as "new york", which training, our own encoding and exports join alike.

An entry is two words or more, as word segmentation cuts them. Wherever they follow one another they are joined, from
left to right and at each place the longest entry first, and called "new_york". Between two words nothing but what
separates words may stand: a comma is a word, and parts them. Training sees sentences one by one and joins nothing
across their ends; a text that is encoded is joined as it is cut, across what ends a sentence without a mark, too.

A text that spells an entry with underscores means the entry: if the corpus has the word new_york as well, the two are
one word. So are two entries of the same name.
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import lines_of

if TYPE_CHECKING:
    from x2static.schemas.segmentation import WordSegmentation

Entry = tuple[str, ...]  # two words or more

JOINT = "_"
SHOWN = 3  # lines of a list that make no entry, as samples
# A regular expression of which every match is one character, as the rules of most languages have it.
ONE_CHARACTER = re.compile(r"\[\^[^\[\]&]+\](\|\\p\{\w+\})*")
SPECIAL = re.compile(r"[\\^$.*+?()\[\]{}|]")

logger = logging.getLogger(__name__)


def name_of(entry: Entry) -> str:
    """Return what an entry is called among the words."""
    return JOINT.join(entry)


def read_entries(file: Path, segmentation: "WordSegmentation") -> dict[Entry, str]:
    """Return the entries of a list, one a line, each with its spelling as rules for words normalise it; in order.

    Of lines that are no entry, or one that is there already, it warns. Raises X2StaticError: the file is missing, not
    UTF-8, or holds no entry.
    """
    if segmentation.languages:
        what = f"entries of several words are of one language, and words here of {', '.join(segmentation.languages)}"
        raise X2StaticError(f"{file}: {what}; leave --multiword out")
    lines = [" ".join(line.split()) for line in lines_of(file, "a file of one entry a line, such as new york")]
    entries, single, twice = dict[Entry, str](), list[str](), list[str]()
    for line in filter(None, lines):
        entry = tuple(segmentation.split(line))
        if len(entry) < 2:
            single.append(line)
        elif entry in entries:
            twice.append(line)
        else:
            entries[entry] = segmentation.normalise(line)
    reasons = (single, "are not several words, and left out"), (twice, "are there twice")
    if said := [f"{len(some):,} {why} ({', '.join(some[:SHOWN])})" for some, why in reasons if some]:
        logger.warning(
            "%s: of its %s lines %s", file, f"{len(entries) + len(single) + len(twice):,}", " and ".join(said)
        )
    if not entries:
        raise X2StaticError(f"{file}: it holds no entry; write one a line, of several words (new york)")
    return entries


@dataclass(frozen=True)
class Multiword:
    """Entries that are joined."""

    entries: tuple[Entry, ...] = ()  # distinct

    @classmethod
    def load(cls, file: Path | None, segmentation: "WordSegmentation") -> "Multiword":
        """Return the entries of a list, none where there is no file; see `read_entries`."""
        return cls() if file is None else cls(tuple(read_entries(file, segmentation)))

    @property
    def identity(self) -> dict[str, str]:
        """The hash of the entries, whatever their order, under "multiword"; nothing without any."""
        listed = "\n".join(sorted(map(" ".join, self.entries)))
        return {"multiword": hashlib.sha256(listed.encode()).hexdigest()} if self.entries else {}

    def known(self, words: Iterable[str]) -> "Multiword":
        """Return those entries whose names are among some words."""
        names = set(words)
        return Multiword(tuple(entry for entry in self.entries if name_of(entry) in names))

    @cached_property
    def _lengths(self) -> dict[str, list[int]]:
        """How many words the entries have that begin with a word, most first."""
        lengths: dict[str, set[int]] = {}
        for entry in self.entries:
            lengths.setdefault(entry[0], set()).add(len(entry))
        return {word: sorted(some, reverse=True) for word, some in lengths.items()}

    @cached_property
    def _entries(self) -> frozenset[Entry]:
        return frozenset(self.entries)

    def places(self, words: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Yield [start, stop) of each word or entry in a text's words, in order."""
        at = 0
        while at < len(words):
            lengths = (n for n in self._lengths.get(words[at], ()) if at + n <= len(words))
            stop = next((at + n for n in lengths if tuple(words[at : at + n]) in self._entries), at + 1)
            yield at, stop
            at = stop

    def join(self, words: list[str]) -> list[str]:
        """Return a text's words, entries joined."""
        if self._lengths.keys().isdisjoint(words):
            return words
        return [JOINT.join(words[start:stop]) for start, stop in self.places(words)]

    def joining_rules(self, rules: dict[str, Any]) -> dict[str, Any] | None:
        """Return JSON of a `tokenizers.Tokenizer` that cuts text as another does and joins entries, None if none can.

        The normalizer makes of the text its words with one space between any two, and one regular expression cuts it
        into entries and words; of the steps that cut, those of this project's rules are known here, but for those of
        Thai and Japanese where no library cuts these.
        """
        steps = rules["pre_tokenizer"]
        spacing: list[dict[str, Any]] = []
        for step in steps["pretokenizers"] if steps["type"] == "Sequence" else [steps]:
            if step["type"] == "WhitespaceSplit":
                spacing.append(_replace(r"\p{White_Space}+"))
                continue
            found = step.get("pattern", {}).get("Regex", "")
            if step["type"] != "Split" or step["invert"] or not found:
                return None
            if step["behavior"] == "Removed":
                spacing.append(_replace(found.replace(r"\A", "(?<![^ ])").replace(r"\z", "(?![^ ])")))
            elif step["behavior"] == "Isolated" and ONE_CHARACTER.fullmatch(found):
                spacing.append(_replace(f"(?<={found})|(?={found})"))
            else:
                return None
        before = [rules["normalizer"]] if rules["normalizer"] else []
        cut = f"(?:{_trie(sorted(map(' '.join, self.entries)))})(?![^ ])|[^ ]+"
        return {
            **rules,
            "normalizer": {"type": "Sequence", "normalizers": [*before, *spacing, _replace(" {2,}")]},
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": cut}, "behavior": "Removed", "invert": True},
                    {"type": "Metaspace", "replacement": JOINT, "prepend_scheme": "never", "split": False},
                ],
            },
        }


def _replace(pattern: str) -> dict[str, Any]:
    """Return a normalizer that writes a space for what is found."""
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": " "}


def _trie(texts: list[str]) -> str:
    """Return a regular expression of distinct sorted texts, the longest first: of 10,000 a letter tries few."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(texts[0], texts[-1], strict=False))
    shared = "".join(letter for letter, _ in pairs)
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(text[len(shared) :][:1], []).append(text[len(shared) :])
    ends = groups.pop("", None) is not None
    branches = "|".join(map(_trie, groups.values()))
    return SPECIAL.sub(r"\\\g<0>", shared) + (f"(?:{branches})" if groups else "") + ("?" if ends and groups else "")
