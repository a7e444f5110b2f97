"""What a unit's text becomes: windows for the teacher, and the words and contexts of its shard."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from x2static.schemas.shard import ShardWords

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """One text for the teacher."""

    pieces: Ids  # (n_pieces,) int64, token ids, special tokens included
    # (n_spans, 3) int64, rows (context, start, stop): pieces [start, stop) belong to that context of the unit. A
    # context may have spans in several windows; its vector is the mean over the pieces of them all.
    spans: Ids
    # (n_occurrences, 3) int64, rows (word, start, stop): pieces [start, stop) belong to an occurrence of that word of
    # the unit; none where nobody looks at the contextual vectors of words
    occurrences: Ids = field(default_factory=lambda: np.zeros((0, 3), np.int64))


class PackedWindows:
    """Windows, in corpus order, in three arrays; each is made when it is asked for, of slices of them.

    Thousands of small arrays lie between all that was made and freed with them, and keep its memory from going back
    (docs/LOG.md, 2026-11-21).
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        nothing = np.zeros((0, 3), np.int64)
        pieces = np.concatenate([nothing[:, 0], *(window.pieces for window in windows)])
        self.spans: Ids = np.concatenate([nothing, *(window.spans for window in windows)])  # (n, 3) int64
        self.occurrences: Ids = np.concatenate([nothing, *(window.occurrences for window in windows)])  # (n, 3) int64
        self._arrays = (pieces, self.spans, self.occurrences)
        sizes = [(len(window.pieces), len(window.spans), len(window.occurrences)) for window in windows]
        counts = np.array(sizes, np.int64).reshape(-1, 3)
        self.lengths: Ids = counts[:, 0]  # (n_windows,) int64, pieces of each
        self._ends = np.cumsum(np.vstack([np.zeros(3, np.int64), counts]), axis=0)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> Window:
        parts = zip(self._arrays, *self._ends[number : number + 2].tolist(), strict=True)
        return Window(*(values[start:stop] for values, start, stop in parts))

    def __iter__(self) -> Iterator[Window]:
        return map(self.__getitem__, range(len(self)))


class Lexicon(dict[str, int]):
    """Number of each distinct word, in the order in which they were first asked for."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


@dataclass
class PreparedText:
    """Paragraphs of a unit, ready for the teacher."""

    windows: list[Window] = field(default_factory=list)  # in corpus order
    # of each context, the number of its paragraph among those that passed the filter
    paragraphs: "array[int]" = field(default_factory=lambda: array("i"))
    lexicon: Lexicon = field(default_factory=Lexicon)  # number of each distinct word, in order of first occurrence
    # of every occurrence, in text order, its word's number
    word_ids: "array[int]" = field(default_factory=lambda: array("i"))
    # of each context, the occurrence behind its last one; a context without words is not made
    ends: "array[int]" = field(default_factory=lambda: array("i"))
    n_given: int = 0  # paragraphs that it was made of
    n_paragraphs: int = 0  # paragraphs that passed the filter
    n_skipped: int = 0  # paragraphs that are left out because a library cannot take them
    last: bool = True  # whether the unit ends with them

    @property
    def n_contexts(self) -> int:
        """Contexts in it."""
        return len(self.ends)

    @property
    def n_tokens(self) -> int:
        """Pieces that the teacher reads, special tokens included."""
        return int(self.packed.lengths.sum())

    def add_context(self, words: list[str]) -> int:
        """Append a context of the paragraph in hand and return its number."""
        self.paragraphs.append(self.n_paragraphs)
        self.word_ids.extend(map(self.lexicon.__getitem__, words))
        self.ends.append(len(self.word_ids))
        return len(self.ends) - 1

    @cached_property
    def packed(self) -> PackedWindows:
        """The windows, packed when they are first asked for."""
        return PackedWindows(self.windows)


class Preparer(Protocol):
    """Cuts paragraphs into windows and words; the ways to do so are `default.py` and `paper.py`."""

    @property
    def window(self) -> int:
        """Pieces that the teacher reads at once, special tokens included."""

    def prepare(self, paragraphs: list[str], language: str | None = None) -> PreparedText:
        """Return the windows and words of paragraphs, those that the filter drops left out.

        `language` is theirs; None where the preparer is for one alone.
        """


class UnitWords:
    """The words and contexts of a unit, put together from its portions, as its shard holds them."""

    def __init__(self) -> None:
        self._lexicon = Lexicon()
        self._word_ids, self._paragraphs = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        self._ends = [np.zeros(1, np.int32)]
        self._n_words = self._n_paragraphs = 0
        self.n_given = 0  # paragraphs that it was made of, so far
        self.n_skipped = 0  # paragraphs that are left out because a library cannot take them
        self.n_contexts = self.n_tokens = 0  # so far; pieces that the teacher reads, special tokens included

    def add(self, text: PreparedText) -> Ids:
        """Append a portion; return the number in the unit of each of its words, (n_words,) int64."""
        numbers = np.fromiter(map(self._lexicon.__getitem__, text.lexicon), np.int64, len(text.lexicon))
        self._word_ids.append(numbers.astype(np.int32)[np.array(text.word_ids, np.int32)])
        self._paragraphs.append(np.array(text.paragraphs, np.int32) + np.int32(self._n_paragraphs))
        self._ends.append(np.array(text.ends, np.int32) + np.int32(self._n_words))
        self._n_words += len(text.word_ids)
        self._n_paragraphs += text.n_paragraphs
        self.n_given += text.n_given
        self.n_skipped += text.n_skipped
        self.n_contexts += text.n_contexts
        self.n_tokens += text.n_tokens
        return numbers

    def of_shard(self) -> ShardWords:
        """Return them as the unit's shard holds them."""
        word_ids = np.concatenate(self._word_ids)
        return ShardWords(
            paragraphs=np.concatenate(self._paragraphs),
            word_offsets=np.concatenate(self._ends),
            word_ids=word_ids,
            lexicon=list(self._lexicon),
            counts=np.bincount(word_ids, minlength=len(self._lexicon)).astype(np.int64),
            n_paragraphs=self._n_paragraphs,
            n_tokens=self.n_tokens,
        )
