"""`--compat paper`: what the reference implementation feeds its teacher and averages, peculiarities included.

docs/COMPAT.md tables them; the scripts in question are learn_from_{bert,roberta,gpt2}_ver2[_paragraph].py in the
paper's repository. A target whose sentence has no span (GPT-2: the paragraph begins with a stop) gets a context of
zeros, as there.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from x2static.schemas.encoding import Context
from x2static.stage1_encode.text.segmentation import STOPS, SentenceSplitter, paper_sentences, stop_groups
from x2static.stage1_encode.text.tokens import TeacherTokenizer
from x2static.stage1_encode.text.windows import Ids, PreparedText, Window

PARAGRAPH_WINDOW, SENTENCE_WINDOW = 500, 200  # pieces
PARAGRAPH_WORDS = 2 * PARAGRAPH_WINDOW // 3


@dataclass(frozen=True)
class PaperPreparer:
    """Cuts paragraphs as the reference implementation does.

    Attributes:
        tokenizer: the teacher's.
        splitter: counts sentences for the filter; the reference's input was filtered beforehand.
        context: "paragraph" or "sentence".
        min_sentences: paragraphs with fewer are dropped.
        min_characters: paragraphs with fewer are dropped.
    """

    tokenizer: TeacherTokenizer
    splitter: SentenceSplitter
    context: Context
    min_sentences: int
    min_characters: int

    @property
    def window(self) -> int:
        """Pieces that the teacher reads at once."""
        return PARAGRAPH_WINDOW if self.context == "paragraph" else SENTENCE_WINDOW

    def prepare(self, paragraphs: list[str]) -> PreparedText:
        """Return the windows and words of paragraphs, those that the filter drops left out."""
        unit = PreparedText()
        kept = [text.lower().split() for text in paragraphs if self._passed(text)]
        if self.context == "paragraph":
            self._add_paragraphs(unit, [words[:PARAGRAPH_WORDS] for words in kept])
        else:
            self._add_sentences(unit, [paper_sentences(words) for words in kept])
        return unit

    def _passed(self, text: str) -> bool:
        if len(text) < self.min_characters:
            return False
        # Text that was tokenised beforehand has its stops as words; raw text has not, and needs the splitter.
        by_words = len(paper_sentences(text.lower().split()))
        return by_words >= max(self.min_sentences, 1) or len(self.splitter.spans(text)) >= self.min_sentences

    def _add_paragraphs(self, unit: PreparedText, kept: list[list[str]]) -> None:
        stops = stop_pieces(self.tokenizer)
        encoded = self.tokenizer.encode([self._read_as(words) for words in kept], parse_special=True)
        for words, (pieces, _) in zip(kept, encoded, strict=True):
            spans = self._spans(pieces, stops)
            window = self._cut(pieces)
            rows = []
            for number, sentence in enumerate(stop_groups(words)):
                if not sentence:
                    continue
                context = unit.add_context(sentence)
                if number + 1 < len(spans):
                    start, stop = min(len(window) - 1, spans[number]), min(len(window), spans[number + 1])
                    rows.append((context, start, stop))
            if len(window):
                unit.windows.append(Window(window, np.array(rows, np.int64).reshape(-1, 3)))
            unit.n_paragraphs += 1

    def _add_sentences(self, unit: PreparedText, kept: list[list[list[str]]]) -> None:
        texts = [self._read_as(sentence) for sentences in kept for sentence in sentences]
        encoded = self.tokenizer.encode(texts, parse_special=True)
        for sentences in kept:
            for sentence, (pieces, _) in zip(sentences, encoded, strict=False):
                window = self._cut(pieces)
                context = unit.add_context(sentence)
                if len(window):
                    unit.windows.append(Window(window, np.array([(context, 0, len(window))], np.int64)))
            unit.n_paragraphs += 1

    def _read_as(self, words: list[str]) -> str:
        """Return what the tokenizer is given: "[CLS] the words [SEP]", the special tokens written into the text.

        The spaces count: RoBERTa's first word gets its `Ġ`, and a piece `Ġ` stands before its end token.
        """
        begin, end = (
            [str(self.tokenizer.backend.id_to_token(piece)) for piece in pieces]
            for pieces in (self.tokenizer.prefix, self.tokenizer.suffix)
        )
        return " ".join([*begin, *words, *end])

    def _cut(self, pieces: Ids) -> Ids:
        """Cut to the window: its last piece gives way to the end token, if there is one."""
        if len(pieces) <= self.window:
            return pieces
        return np.concatenate([pieces[: self.window - 1], np.array(self.tokenizer.suffix, np.int64)])

    def _spans(self, pieces: Ids, stops: Ids) -> list[int]:
        """Return where the spans begin, and where the last one ends, in pieces before the cut to the window."""
        begins = [len(self.tokenizer.prefix), *(np.flatnonzero(np.isin(pieces, stops)) + 1).tolist()]
        if begins[-1] != len(pieces) or len(begins) == 1:
            begins.append(len(pieces))
        return begins


def stop_pieces(tokenizer: TeacherTokenizer) -> npt.NDArray[np.int64]:
    """Return the ids of the words `.` `?` `!` inside a text: `.` for WordPiece, `Ġ.` for byte-level BPE."""
    return np.array([next(tokenizer.encode([f"a {stop}"]))[0][-1] for stop in STOPS], np.int64)
