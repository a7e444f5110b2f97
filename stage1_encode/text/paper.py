"""Paragraphs cut for the teacher under `--compat paper`: as the reference implementation does, peculiarities included.

docs/COMPAT.md tables them; the scripts in question are learn_from_{bert,roberta,gpt2}_ver2[_paragraph].py in the
paper's repository. A target whose sentence has no span (GPT-2: the paragraph begins with a stop) gets a context of
zeros, as there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from x2static.schemas.encoding import Context
from x2static.stage1_encode.text.segmentation import SentenceSplitter
from x2static.stage1_encode.text.tokenizer import TeacherTokenizer
from x2static.stage1_encode.text.windows import Ids, PreparedText, Window

STOPS = (".", "?", "!")  # the words that end a sentence
PARAGRAPH_WINDOW, SENTENCE_WINDOW = 500, 200  # pieces
PARAGRAPH_WORDS = 2 * PARAGRAPH_WINDOW // 3


@dataclass(frozen=True)
class PaperPreparer:
    """Cuts paragraphs as the reference implementation does."""

    tokenizer: TeacherTokenizer
    splitter: SentenceSplitter  # counts sentences for the filter; the reference's input was filtered beforehand
    context: Context
    min_sentences: int  # paragraphs with fewer sentences, or fewer than `min_characters`, are dropped
    min_characters: int

    @property
    def window(self) -> int:
        """Pieces that the teacher reads at once."""
        return PARAGRAPH_WINDOW if self.context == "paragraph" else SENTENCE_WINDOW

    def prepare(self, paragraphs: list[str], language: str | None = None) -> PreparedText:
        """Return the windows and words of paragraphs, those that the filter drops left out; all are of one language."""
        unit = PreparedText(n_given=len(paragraphs))
        texts = [text.lower().split() for text in paragraphs if self._passes(text)]
        if self.context == "paragraph":
            self._add_paragraphs(unit, [words[:PARAGRAPH_WORDS] for words in texts])
            return unit
        read = [paper_sentences(words) for words in texts]
        encoded = self._encode([sentence for sentences in read for sentence in sentences])
        for sentences in read:
            for sentence, pieces in zip(sentences, encoded, strict=False):
                window = self._cut(pieces)
                context = unit.add_context(sentence)
                if len(window):
                    unit.windows.append(Window(window, np.array([(context, 0, len(window))], np.int64)))
            unit.n_paragraphs += 1
        return unit

    def _passes(self, text: str) -> bool:
        if len(text) < self.min_characters:
            return False
        # Text that was tokenised beforehand has its stops as words; raw text has not, and needs the splitter.
        by_words = len(paper_sentences(text.lower().split()))
        return by_words >= max(self.min_sentences, 1) or len(self.splitter.spans(text)) >= self.min_sentences

    def _add_paragraphs(self, unit: PreparedText, texts: list[list[str]]) -> None:
        # The words `.` `?` `!` inside a text: `.` for WordPiece, `Ġ.` for byte-level BPE.
        stops = np.array([next(self.tokenizer.encode([f"a {stop}"]))[0][-1] for stop in STOPS], np.int64)
        for words, pieces in zip(texts, self._encode(texts), strict=True):
            # Where the spans begin, and the last one ends, in pieces before the cut to the window.
            bounds = [len(self.tokenizer.prefix), *(np.flatnonzero(np.isin(pieces, stops)) + 1).tolist()]
            if bounds[-1] != len(pieces) or len(bounds) == 1:
                bounds.append(len(pieces))
            window = self._cut(pieces)
            rows = []
            for number, sentence in enumerate(stop_groups(words)):
                if not sentence:
                    continue
                context = unit.add_context(sentence)
                if number + 1 < len(bounds):
                    rows.append((context, min(len(window) - 1, bounds[number]), min(len(window), bounds[number + 1])))
            if len(window):
                unit.windows.append(Window(window, np.array(rows, np.int64).reshape(-1, 3)))
            unit.n_paragraphs += 1

    def _encode(self, texts: list[list[str]]) -> Iterator[Ids]:
        """Yield the pieces of "[CLS] the words [SEP]", the special tokens written into the text.

        The spaces count: RoBERTa's first word gets its `Ġ`, and a piece `Ġ` stands before its end token.
        """
        names = self.tokenizer.backend.id_to_token
        begin, end = ([str(names(piece)) for piece in ids] for ids in (self.tokenizer.prefix, self.tokenizer.suffix))
        read = [" ".join([*begin, *words, *end]) for words in texts]
        return (pieces for pieces, _ in self.tokenizer.encode(read, parse_special=True))

    def _cut(self, pieces: Ids) -> Ids:
        """Cut to the window: its last piece gives way to the end token, if there is one."""
        if len(pieces) <= self.window:
            return pieces
        return np.concatenate([pieces[: self.window - 1], np.array(self.tokenizer.suffix, np.int64)])


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
