"""Paragraphs cut into what the teacher reads at once, and which pieces make up which context (default mode)."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from x2static.schemas.encoding import Context
from x2static.schemas.segmentation import WordSegmentation
from x2static.stage1_encode.text.segmentation import SentenceSplitter
from x2static.stage1_encode.text.tokens import TeacherTokenizer
from x2static.stage1_encode.text.unit_words import Lexicon

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """One text for the teacher.

    Attributes:
        pieces: (n_pieces,) int64, token ids, special tokens included.
        spans: (n_spans, 3) int64, rows (context, start, stop): pieces [start, stop) belong to that context of the
            unit. A context may have spans in several windows; its vector is the mean over the pieces of them all.
        occurrences: (n_occurrences, 3) int64, rows (word, start, stop): pieces [start, stop) belong to an occurrence of
            a word whose contextual vectors are added up.
    """

    pieces: Ids
    spans: Ids
    occurrences: Ids = field(default_factory=lambda: np.zeros((0, 3), np.int64))


def flattened(spans: list[Ids], width: int) -> Ids:
    """Return the spans of a batch's windows as they lie in its flattened states.

    Args:
        spans: of each window, (n, 3) rows (anything, start, stop), in pieces of the window.
        width: pieces in a row of the states, padding included.

    Returns:
        (sum of n, 3) int64, starts and stops counted from the first row's first piece.
    """
    return np.concatenate([one + np.array([0, row * width, row * width]) for row, one in enumerate(spans)])


class PackedWindows:
    """Windows in three arrays; each window is made when it is asked for.

    Thousands of small arrays lie between all that was made and freed with them, and keep its memory from going back
    (docs/LOG.md, 2026-11-21).

    Attributes:
        lengths: (n_windows,) int64, pieces of each.
        spans: (n, 3) int64, of all windows.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        """Pack windows."""
        nothing = np.zeros((0, 3), np.int64)
        self.lengths: Ids = np.array([len(window.pieces) for window in windows], np.int64)
        self.spans: Ids = np.concatenate([nothing, *(window.spans for window in windows)])
        self._pieces: Ids = np.concatenate([nothing[:, 0], *(window.pieces for window in windows)])
        self._occurrences: Ids = np.concatenate([nothing, *(window.occurrences for window in windows)])
        self._piece_ends = np.cumsum(self.lengths)
        self._span_ends = np.cumsum([len(window.spans) for window in windows])
        self._occurrence_ends = np.cumsum([len(window.occurrences) for window in windows])

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.lengths)

    def __getitem__(self, number: int) -> Window:
        """Return a window, whose arrays are slices of those of all."""
        return Window(
            _part(self._pieces, self._piece_ends, number),
            _part(self.spans, self._span_ends, number),
            _part(self._occurrences, self._occurrence_ends, number),
        )

    def __iter__(self) -> Iterator[Window]:
        """Yield the windows, in corpus order."""
        return map(self.__getitem__, range(len(self)))


def _part(array: Ids, ends: Ids, number: int) -> Ids:
    if not 0 <= number < len(ends):
        raise IndexError(number)
    return array[ends[number - 1] if number else 0 : ends[number]]


@dataclass
class PreparedText:
    """Paragraphs of a unit, ready for the teacher.

    Attributes:
        windows: in corpus order.
        paragraphs: of each context, the number of its paragraph among those kept.
        lexicon: number of each distinct word, in order of first occurrence.
        word_ids: of every occurrence, in text order, its word's number.
        ends: of each context, the occurrence behind its last one; a context without words is not made.
        n_paragraphs: paragraphs kept by the filter.
        last: whether the unit ends with them.
    """

    windows: list[Window] = field(default_factory=list)
    paragraphs: "array[int]" = field(default_factory=lambda: array("i"))
    lexicon: Lexicon = field(default_factory=Lexicon)
    word_ids: "array[int]" = field(default_factory=lambda: array("i"))
    ends: "array[int]" = field(default_factory=lambda: array("i"))
    n_paragraphs: int = 0
    last: bool = True
    _packed: PackedWindows | None = field(default=None, init=False)

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

    @property
    def packed(self) -> PackedWindows:
        """The windows, packed when they are first asked for."""
        if self._packed is None:
            self._packed = PackedWindows(self.windows)
        return self._packed

    def pack(self) -> None:
        """Pack the windows, and let go of what they were made of."""
        self._packed, self.windows = self.packed, []


@dataclass(frozen=True)
class Preparer:
    """Cuts paragraphs of raw text into sentences, words and windows.

    Attributes:
        tokenizer: the teacher's.
        splitter: cuts sentences.
        segmentation: cuts words.
        context: "paragraph" or "sentence".
        window: pieces that the teacher holds, special tokens included.
        min_sentences: paragraphs with fewer are dropped.
        min_characters: paragraphs with fewer are dropped.
        wanted: number of each word whose contextual vectors are added up.
    """

    tokenizer: TeacherTokenizer
    splitter: SentenceSplitter
    segmentation: WordSegmentation
    context: Context
    window: int
    min_sentences: int
    min_characters: int
    wanted: Mapping[str, int] = field(default_factory=dict)

    def prepare(self, paragraphs: list[str]) -> PreparedText:
        """Return the windows and words of paragraphs, those that the filter drops left out."""
        unit = PreparedText()
        kept = [(text, spans) for text in paragraphs if (spans := self._passed(text)) is not None]
        if self.context == "paragraph":
            encoded = self.tokenizer.encode([text for text, _ in kept])
            for (text, spans), (pieces, places) in zip(kept, encoded, strict=True):
                self._add_text(unit, pieces, places, spans, [text[start:stop] for start, stop in spans])
                unit.n_paragraphs += 1
            return unit
        # A sentence is a paragraph of one sentence.
        sentences = [[text[start:stop].strip() for start, stop in spans] for text, spans in kept]
        pairs = self.tokenizer.encode([sentence for paragraph in sentences for sentence in paragraph])
        for paragraph in sentences:
            for sentence, (pieces, places) in zip(paragraph, pairs, strict=False):
                self._add_text(unit, pieces, places, [(0, len(sentence))], [sentence])
            unit.n_paragraphs += 1
        return unit

    def _passed(self, text: str) -> list[tuple[int, int]] | None:
        if len(text) < self.min_characters:
            return None
        spans = self.splitter.spans(text)
        return spans if spans and len(spans) >= self.min_sentences else None

    def _add_text(
        self, unit: PreparedText, pieces: Ids, places: Ids, spans: list[tuple[int, int]], sentences: list[str]
    ) -> None:
        if not len(pieces):
            return
        bounds = piece_bounds(places[:, 1], np.array([start for start, _ in spans]))
        contexts = np.full(len(spans), -1, np.int64)
        listed: list[tuple[int, int, int]] = []
        for number, (sentence, (begin, _)) in enumerate(zip(sentences, spans, strict=True)):
            has_pieces = bounds[number] < bounds[number + 1]
            if has_pieces and (words := self._words(sentence, begin, listed)):
                contexts[number] = unit.add_context(words)
        occurrences = piece_spans(places, np.array(listed, np.int64).reshape(-1, 3))
        room = self.window - self.tokenizer.n_special
        for start, stop in cuts(bounds, room):
            shift = len(self.tokenizer.prefix) - start
            inside = np.clip(bounds, start, stop) + shift
            rows = np.stack([contexts, inside[:-1], inside[1:]], axis=1)
            rows = rows[(rows[:, 0] >= 0) & (rows[:, 1] < rows[:, 2])]
            if len(rows):
                # An occurrence that is cut in two counts with its first part.
                here = occurrences[(start <= occurrences[:, 1]) & (occurrences[:, 1] < stop)]
                here = np.stack([here[:, 0], here[:, 1] + shift, np.minimum(here[:, 2], stop) + shift], axis=1)
                unit.windows.append(Window(self.tokenizer.with_special(pieces[start:stop]), rows, here))

    def _words(self, sentence: str, begin: int, listed: list[tuple[int, int, int]]) -> list[str]:
        """Return the words of a sentence; add (number, start, stop), in characters of the text, of those wanted."""
        if not self.wanted:
            return self.segmentation.split(sentence)
        found = self.segmentation.occurrences(sentence)
        listed += [
            (self.wanted[word], begin + start, begin + stop) for word, start, stop in found if word in self.wanted
        ]
        return [word for word, _, _ in found]


def piece_spans(places: Ids, characters: Ids) -> Ids:
    """Return the pieces that touch each of some stretches of a text; a stretch without pieces is left out.

    Args:
        places: (n_pieces, 2) first character of each piece and the one behind it.
        characters: (n, 3) rows (anything, first character, the one behind the last).

    Returns:
        (at most n, 3) rows (anything, first piece, the one behind the last).
    """
    if not len(characters):
        return characters
    first = np.searchsorted(np.maximum.accumulate(places[:, 1]), characters[:, 1], side="right")
    last = np.searchsorted(np.maximum.accumulate(places[:, 0]), characters[:, 2], side="left")
    found = np.stack([characters[:, 0], first, last], axis=1)
    return found[first < last]


def piece_bounds(ends: Ids, starts: Ids) -> Ids:
    """Return where the sentences begin among the pieces: sentence i has pieces [bounds[i], bounds[i + 1]).

    A piece belongs to the sentence of its last character, because the pieces of some tokenizers begin with the space
    before the word.

    Args:
        ends: (n_pieces,) character behind each piece.
        starts: (n_sentences,) character at which each sentence begins.
    """
    sentence = np.searchsorted(starts, np.maximum.accumulate(ends) - 1, side="right") - 1
    bounds = np.searchsorted(np.maximum(sentence, 0), np.arange(len(starts) + 1))
    return np.asarray(bounds, np.int64)


def cuts(bounds: Ids, room: int) -> Iterator[tuple[int, int]]:
    """Cut pieces into windows of at most `room`, at sentence ends where possible.

    A sentence longer than the room begins a window of its own and is cut into runs of `room` pieces; others may follow
    behind its last run.

    Args:
        bounds: (n_sentences + 1,) where the sentences begin among the pieces.
        room: pieces in a window, special tokens not counted.

    Yields:
        [start, stop) of each window, in pieces.
    """
    begin = 0
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if stop - begin <= room:
            continue
        if start > begin:
            yield begin, start
            begin = start
        while stop - begin > room:
            yield begin, begin + room
            begin += room
    if begin < bounds[-1]:
        yield begin, int(bounds[-1])
