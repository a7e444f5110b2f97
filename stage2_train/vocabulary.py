"""The vocabulary: the merge of the shards' lexicons, so that no setting of it ever touches the teacher."""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import lines_of
from x2static.schemas.lexicons import by_count, merge_lexicons
from x2static.schemas.multiword import Multiword, name_of

if TYPE_CHECKING:  # neither zarr nor PyTorch, which a list of words does not need
    from torch import Tensor

    from x2static.schemas.shard import Shard

logger = logging.getLogger(__name__)

SHOWN = 3  # words of a list that get no vector, as samples
# A vocabulary is small that has so few words, or so little of the text: min-count 10 leaves 64 % of 35 thousand words
# (409 distinct ones), 82 % of 0.3 million, 96 % of 12 million.
SMALL_VOCABULARY, SMALL_SHARE = 1000, 0.75
LITTLE_KNOWN = 0.1  # of a list of words, if fewer occur, it is probably another corpus's


@dataclass(frozen=True)
class Vocabulary:
    """The words that get a vector."""

    words: pa.LargeStringArray  # (n,) large_string, by descending count, ties by word
    counts: npt.NDArray[np.int64]  # (n,) int64, occurrences in the cache
    multiword: Multiword = field(default_factory=Multiword)  # those of its words that are several

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def total(self) -> int:
        """Occurrences of all its words in the cache."""
        return int(self.counts.sum())

    def id_map(self, lexicon: pa.Table) -> npt.NDArray[np.int32]:
        """Return, for each word of a shard's lexicon, its row in the vocabulary or -1; (len(lexicon),) int32."""
        words = lexicon["word"].cast(pa.large_string())
        rows = pc.fill_null(pc.index_in(words, value_set=self.words), -1)
        return np.asarray(rows.to_numpy(), dtype=np.int32)


@dataclass(frozen=True)
class Part:
    """Every n-th word of a vocabulary: all parts have as many words, and frequent and rare ones alike."""

    number: int  # from 0; its first word's row in the vocabulary
    of: int  # how many parts there are

    def __str__(self) -> str:
        return f"{self.number + 1}-of-{self.of}"

    def ascending(self, words: "Tensor") -> "tuple[Tensor, Tensor]":
        """Return those of some words, (n,) rows of the vocabulary, that are the part's: by their rows in it, ascending.

        And where each stands among the (n,); equal words in the order in which they stand there.
        """
        if self.of == 1:
            return words.sort(stable=True)
        places = (words % self.of == self.number).nonzero()[:, 0]
        rows, order = (words[places] // self.of).sort(stable=True)
        return rows, places[order]

    def rows(self, n_words: int) -> slice:
        """Return the rows of the part's words in a vocabulary of so many."""
        return slice(self.number, n_words, self.of)


WHOLE = Part(0, 1)


@dataclass(frozen=True)
class WordList:
    """The words of a `--vocab` file."""

    file: Path  # where they came from
    words: tuple[str, ...]  # the distinct words, in the file's order

    @property
    def sha256(self) -> str:
        """Hash of the words, not of the file: line ends, empty lines and repetitions do not count."""
        return hashlib.sha256("\n".join(sorted(self.words)).encode()).hexdigest()

    @classmethod
    def load(cls, file: Path) -> "WordList":
        """Read a file of words, one a line. Raises X2StaticError: it is missing, not UTF-8, or holds no word."""
        words = dict.fromkeys(line.strip() for line in lines_of(file, "a file of one word a line"))
        words.pop("", None)
        if not words:
            raise X2StaticError(f"{file}: the vocabulary holds no word; write one a line, or leave out --vocab")
        return cls(file, tuple(words))


def build_vocabulary(
    cache: Path,
    shards: Iterable["Shard"],
    min_count: int,
    max_vocab: int,
    allowed: WordList | None = None,
    multiword: Multiword | None = None,
) -> Vocabulary:
    """Merge the lexicons of the shards of a cache, and keep the most frequent words, of those that are allowed.

    Entries that are joined in the shards are always allowed: somebody has listed them, too. Raises X2StaticError: no
    word is left.
    """
    table = merge_lexicons(shards)
    distinct, occurrences = len(table), pc.sum(table["count"]).as_py() or 0
    if allowed is not None:
        names = map(name_of, multiword.entries if multiword else ())
        table = table.filter(pc.is_in(table["word"], value_set=pa.array([*allowed.words, *names], pa.large_string())))
        n_words = len(allowed.words)
        if not len(table):
            what = f"none of its {n_words:,} words occurs in the corpus (its first is {allowed.words[0]!r})"
            raise X2StaticError(f"{allowed.file}: {what}; write words as in the corpus (lower-cased), one a line")
        if len(table) < LITTLE_KNOWN * n_words:
            what = f"only {len(table):,} of its {n_words:,} words occur in the corpus"
            logger.warning("%s: %s; is it the vocabulary of another cache?", allowed.file, what)
    highest = pc.max(table["count"]).as_py() or 0
    if allowed is not None:
        _log_left_out(allowed, table, min_count)
    table = table.filter(pc.greater_equal(table["count"], min_count))
    if not len(table):
        where = f" among the words of {allowed.file}" if allowed is not None else ""
        what = f"no word occurs --min-count {min_count} times or more; the highest count{where} is {highest}"
        raise X2StaticError(f"{cache}: {what}; lower --min-count, or encode more text")
    share, hint = pc.sum(table["count"]).as_py() / occurrences, ""
    if allowed is None and len(table) < distinct and (share < SMALL_SHARE or len(table) <= SMALL_VOCABULARY):
        why = f"the others occur fewer than --min-count {min_count} times; lower it for more"
        hint = f", {share:.0%} of the text: {why}"
    table = by_count(table).slice(0, max_vocab).combine_chunks()
    logger.info("vocabulary: %s of %s distinct words%s", f"{len(table):,}", f"{distinct:,}", hint)
    return Vocabulary(table["word"].chunk(0), table["count"].to_numpy())


def _log_left_out(allowed: WordList, table: pa.Table, min_count: int) -> None:
    """Warn of the words of a list that get no vector: those that are absent, or too rare in the lexicon's `table`."""
    counts = dict(zip(table["word"].to_pylist(), table["count"].to_pylist(), strict=True))
    absent = [word for word in allowed.words if word not in counts]
    rare = [word for word in allowed.words if counts.get(word, min_count) < min_count]
    reasons = (absent, "do not occur in the corpus"), (rare, f"occur fewer than --min-count {min_count} times")
    said = [f"{len(words):,} {why} ({', '.join(words[:SHOWN])})" for words, why in reasons if words]
    if said:
        logger.warning("%s: of its %s words %s", allowed.file, f"{len(allowed.words):,}", " and ".join(said))
