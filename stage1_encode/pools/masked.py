"""Masked contexts (`--masked`): each frequent word, in at most so many sentences, read with the word masked.

The better pairs of the paper's section 3.1, a word and its sentence without it, cost one reading each; so they are read
of a bounded choice alone (`stage1_encode/masked.py`). A sentence is read alone, as stage one has cut it, with the
teacher's mask token in the place of each occurrence of the word; where the teacher has none, the word's pieces are left
out. `schemas/masked.py` has their form in a shard.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import Dtype
from x2static.schemas.masked import NAME, Draws, write_masked
from x2static.schemas.shard import Shard
from x2static.stage1_encode.pools.contexts import ContextMeans
from x2static.stage1_encode.pools.pool import Pool, Shape
from x2static.stage1_encode.teacher.teacher import Teacher
from x2static.stage1_encode.text.windows import Ids, PreparedText, Window

OTHERWISE = (
    "its text is cut otherwise here than when it was written; use the versions that are in the cache's manifest.json"
)


@dataclass(frozen=True)
class Pairs:
    """Pairs of a word and a context of one shard, (n_pairs,) each, ascending by context, then by word."""

    contexts: Ids  # rows of the shard's contexts
    words: Ids  # rows of its lexicon
    draws: Draws  # the lower, the sooner a pair is chosen

    def row(self, place: int) -> tuple[int, int, int]:
        """Return word, context and draw of a pair."""
        return int(self.words[place]), int(self.contexts[place]), int(self.draws[place])


@dataclass
class MaskedText(PreparedText):
    """Readings of a portion, each a window of its own with one context."""

    pairs: list[tuple[int, int, int]] = field(default_factory=list)  # of each: word and context in the shard, draw


class Readings:
    """What is read of one shard, portion by portion, in order."""

    def __init__(self, shard: Shard, pairs: Pairs, teacher: Teacher) -> None:
        self._folder, self._pairs = shard.folder, pairs
        self._mask, self._tokenizer = teacher.mask, teacher.tokenizer
        lists = shard.words()["word_ids"].chunk(0)
        self._ends, self._ids = lists.offsets.to_numpy(), lists.flatten().to_pylist()
        self._lexicon = shard.lexicon()["word"].to_pylist()
        self._first = 0  # the row of the next portion's first context

    def of(self, text: PreparedText) -> MaskedText:
        """Return the readings of those pairs whose contexts are in a portion; one that leaves nothing to read is none.

        Raises X2StaticError: the text is cut otherwise than when the shard was written.
        """
        first, stop = self._first, self._first + text.n_contexts
        begin, there = int(self._ends[first]), list(text.lexicon)
        ids = self._ids[begin : begin + len(text.word_ids)]
        ends = self._ends[first + 1 :] if text.last else self._ends[first + 1 : stop + 1]
        same = np.array_equal(ends - begin, text.ends)
        if not same or [self._lexicon[word] for word in ids] != [there[word] for word in text.word_ids]:
            raise X2StaticError(f"{self._folder}: {OTHERWISE}")
        self._first = stop
        wanted = defaultdict[int, list[tuple[int, int]]](list)  # place and word in this portion, by context in it
        for place in range(*np.searchsorted(self._pairs.contexts, [first, stop])):
            word = text.lexicon[self._lexicon[self._pairs.words[place]]]
            wanted[int(self._pairs.contexts[place]) - first].append((place, word))
        masked = MaskedText(n_given=text.n_given, n_paragraphs=text.n_paragraphs, last=text.last)
        for window in text.packed:
            for context, start, stop in window.spans.tolist():
                of_window = [(place, word, self._window(window, start, stop, word)) for place, word in wanted[context]]
                for place, _, read in of_window:
                    if read is None:  # its occurrences are in another window, if anywhere
                        continue
                    read.spans[:, 0] = masked.add_context([])
                    masked.windows.append(read)
                    masked.pairs.append(self._pairs.row(place))
                # A sentence that is spread over windows is read where the word first is.
                wanted[context] = [(place, word) for place, word, read in of_window if read is None]
        return masked

    def _window(self, window: Window, start: int, stop: int, word: int) -> Window | None:
        """Return the pieces [start, stop) of a window, a word masked in them; None where it is not there."""
        listed = window.occurrences
        listed = listed[(listed[:, 0] == word) & (listed[:, 1] >= start) & (listed[:, 1] < stop)]
        pieces, kept = window.pieces[start:stop].copy(), np.ones(stop - start, bool)
        for begin, end in (listed[:, 1:] - start).tolist():
            kept[begin:end] = False
            if self._mask is not None:
                pieces[begin], kept[begin] = self._mask, True
        if not len(listed) or not kept.any():
            return None
        shift = len(self._tokenizer.prefix)
        return Window(self._tokenizer.with_special(pieces[kept]), np.array([[0, shift, shift + kept.sum()]]))


@dataclass(frozen=True)
class Masked(Pool):
    """The masked contexts of a cache; what is read of a unit, its `MaskedText`, says which they are."""

    name = option = NAME
    most: int = 1  # contexts of a word in the whole cache
    seed: int = 0  # of the choice
    min_count: int = 1  # of rarer words nothing is read
    dtype: Dtype = "float16"  # number format on the disk

    def asked(self) -> list[Any]:
        """Return what decides which contexts are read."""
        return [self.most, self.seed, self.min_count]

    def begin(self, shape: Shape, number: int) -> "UnitMasked":
        """Begin a unit."""
        return UnitMasked(shape, self.dtype)


class UnitMasked(ContextMeans):
    """The mean of the states over each reading, special tokens left out, as of any other context."""

    def __init__(self, shape: Shape, dtype: Dtype) -> None:
        super().__init__(shape, dtype)
        self._pairs: list[tuple[int, int, int]] = []

    def extend(self, text: PreparedText, numbers: Ids) -> None:
        """Make room for the readings of a portion."""
        super().extend(text, numbers)
        self._pairs += text.pairs if isinstance(text, MaskedText) else []

    def store(self, folder: Path, rows: npt.NDArray[np.floating], dtype: Dtype) -> None:
        """Write them into a shard's folder."""
        write_masked(folder, self._pairs, rows, dtype)
