"""Paragraphs cut for the teacher, without `--compat`: raw text, real sentences, pieces found by their characters."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from x2static.schemas.encoding import Context
from x2static.schemas.segmentation import Occurrence, WordSegmentation
from x2static.stage1_encode.text.segmentation import SentenceSplitter
from x2static.stage1_encode.text.tokenizer import TeacherTokenizer
from x2static.stage1_encode.text.windows import Ids, PreparedText, Window


@dataclass(frozen=True)
class DefaultPreparer:
    """Cuts paragraphs of raw text into sentences, words and windows."""

    tokenizer: TeacherTokenizer
    splitter: SentenceSplitter
    segmentation: WordSegmentation
    context: Context
    window: int  # pieces that the teacher holds, special tokens included
    min_sentences: int  # paragraphs with fewer sentences, or fewer than `min_characters`, are dropped
    min_characters: int
    occurrences: bool = False  # whether the occurrences of words are listed in the windows
    words: int | None = None  # that a context has, cut from a sentence one after another; None: all of the sentence's

    def prepare(self, paragraphs: list[str], language: str | None = None) -> PreparedText:
        """Return the windows and words of paragraphs, those that the filter drops left out.

        `language` is theirs; None where splitter and segmentation are of one alone.
        """
        if language is not None:
            splitter, segmentation = self.splitter.of(language), self.segmentation.of(language)
            return replace(self, splitter=splitter, segmentation=segmentation).prepare(paragraphs)
        unit = PreparedText(n_given=len(paragraphs))
        texts = [(text, self.splitter.spans(text)) for text in paragraphs if len(text) >= self.min_characters]
        texts = [(text, spans) for text, spans in texts if spans and len(spans) >= self.min_sentences]
        if self.context == "paragraph":
            read = [[text] for text in texts]
        else:  # a sentence is a paragraph of one sentence
            sentences = [[text[start:stop].strip() for start, stop in spans] for text, spans in texts]
            read = [[(sentence, [(0, len(sentence))]) for sentence in paragraph] for paragraph in sentences]
        encoded = self.tokenizer.encode([text for paragraph in read for text, _ in paragraph])
        for paragraph in read:
            for (text, spans), (pieces, places) in zip(paragraph, encoded, strict=False):
                self._add_text(unit, text, spans, pieces, places)
            unit.n_paragraphs += 1
        return unit

    def _add_text(self, unit: PreparedText, text: str, spans: list[tuple[int, int]], pieces: Ids, places: Ids) -> None:
        """Append the windows and contexts of a text that the teacher reads as one.

        Its sentences are [start, stop) in characters, its pieces (n_pieces,) ids, and their places (n_pieces, 2) the
        first character of each and the one behind it.
        """
        if not len(pieces):
            return
        # Sentence i has pieces [bounds[i], bounds[i + 1]). A piece belongs to the sentence of its last character: those
        # of some tokenizers begin with the space before the word.
        ends = np.maximum.accumulate(places[:, 1])
        sentences = np.searchsorted([start for start, _ in spans], ends - 1, side="right") - 1
        bounds: Ids = np.searchsorted(np.maximum(sentences, 0), np.arange(len(spans) + 1))
        contexts: list[tuple[int, int, int]] = []  # context, first piece, the one behind the last
        listed: list[tuple[int, int, int]] = []  # word, first character, the one behind the last
        for number, (begin, end) in enumerate(spans):
            if bounds[number] == bounds[number + 1]:
                continue
            if self.occurrences or self.words:
                found = [
                    (word, begin + at, begin + to) for word, at, to in self.segmentation.occurrences(text[begin:end])
                ]
                if self.words:
                    found = self._add_runs(unit, found, places, contexts)
                words = [word for word, _, _ in found]
                listed += [(unit.lexicon[word], at, to) for word, at, to in found]
            else:
                words = self.segmentation.split(text[begin:end])
            if words and not self.words:
                contexts.append((unit.add_context(words), int(bounds[number]), int(bounds[number + 1])))
        whole: Ids = np.array(contexts, np.int64).reshape(-1, 3)
        occurrences = piece_spans(places, np.array(listed, np.int64).reshape(-1, 3))
        for start, stop in cuts(bounds, self.window - self.tokenizer.n_special):
            shift = len(self.tokenizer.prefix) - start
            inside = np.clip(whole[:, 1:], start, stop) + shift
            rows = np.column_stack([whole[:, 0], inside])[inside[:, 0] < inside[:, 1]]
            if len(rows):
                # An occurrence that is cut in two counts with its first part.
                here = occurrences[(start <= occurrences[:, 1]) & (occurrences[:, 1] < stop)]
                here = np.stack([here[:, 0], here[:, 1] + shift, np.minimum(here[:, 2], stop) + shift], axis=1)
                unit.windows.append(Window(self.tokenizer.with_special(pieces[start:stop]), rows, here))

    def _add_runs(
        self, unit: PreparedText, found: list[Occurrence], places: Ids, contexts: list[tuple[int, int, int]]
    ) -> list[Occurrence]:
        """Append a context for each run of so many words of a sentence; return the words that are in one.

        Its pieces are those that touch it; a run without any, which the teacher does not read, is left out.
        """
        runs = [found[start : start + (self.words or 1)] for start in range(0, len(found), self.words or 1)]
        characters = [(number, run[0][1], run[-1][2]) for number, run in enumerate(runs)]
        there = piece_spans(places, np.array(characters, np.int64).reshape(-1, 3)).tolist()
        contexts += [(unit.add_context([word for word, _, _ in runs[run]]), first, last) for run, first, last in there]
        return [occurrence for run, _, _ in there for occurrence in runs[run]]


def piece_spans(places: Ids, characters: Ids) -> Ids:
    """Return the pieces that touch each of some stretches of a text; a stretch without pieces is left out.

    The places are (n_pieces, 2) first character of each piece and the one behind it; the stretches (n, 3) rows
    (anything, first character, the one behind the last), and what is returned has pieces in place of characters.
    """
    if not len(characters):
        return characters
    first = np.searchsorted(np.maximum.accumulate(places[:, 1]), characters[:, 1], side="right")
    last = np.searchsorted(np.maximum.accumulate(places[:, 0]), characters[:, 2], side="left")
    return np.stack([characters[:, 0], first, last], axis=1)[first < last]


def cuts(bounds: Ids, room: int) -> Iterator[tuple[int, int]]:
    """Cut pieces into windows of at most `room`, at sentence ends where possible: yield [start, stop) of each.

    The (n_sentences + 1,) bounds are where the sentences begin among the pieces. A sentence longer than the room begins
    a window of its own and is cut into runs of `room` pieces; others may follow behind its last run.
    """
    begin = 0
    for start, stop in pairwise(bounds.tolist()):
        if begin < start and stop - begin > room:
            yield begin, start
            begin = start
        while stop - begin > room:
            yield begin, begin + room
            begin += room
    if begin < bounds[-1]:
        yield begin, int(bounds[-1])
