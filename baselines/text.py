"""The text that gensim's methods read: a cache's words, or text files cut into sentences and words as a cache is.

It is written as gensim's fast reader wants it: a file, a line a sentence, words between spaces.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from x2static.baselines.request import Request
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically
from x2static.machine.screen import quantity
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.encoding import ReadingOptions
from x2static.schemas.segmentation import WordSegmentation

if TYPE_CHECKING:
    from x2static.stage1_encode.corpora.corpus import Corpus

logger = logging.getLogger(__name__)

LONGEST_LINE = 10_000  # words; gensim cuts longer ones there itself
SLICE = 1 << 16  # contexts made text at once
WHITE = re.compile(r"[ \t\n\v\f\r]")  # gensim's reader (C++ in the C locale) ends a word there, and nowhere else


@dataclass
class Text:
    """A text, written, and its vocabulary."""

    file: Path  # a line a sentence, words between spaces
    words: list[str]  # the vocabulary, by descending count; each occurs
    counts: npt.NDArray[np.int64]  # (len(words),) int64, occurrences in the text
    segmentation: WordSegmentation  # how it was cut into words
    origin: dict[str, Any] = field(default_factory=dict)  # what run.json is to say of it
    n_words: int = 0  # words in the file, those outside the vocabulary included
    n_lines: int = 0
    longest: int = 0  # words of the longest line

    def write(self, out: BinaryIO, lines: list[str], lengths: npt.NDArray[np.int64]) -> None:
        """Write lines of so many words each, lengths (len(lines),)."""
        if lines:
            out.write(("\n".join(lines) + "\n").encode())
        self.n_words += int(lengths.sum())
        self.n_lines += len(lines)
        self.longest = max(self.longest, int(lengths.max(initial=0)))


def write_text(request: Request, longest_line: int = LONGEST_LINE) -> Text:
    """Write the text of a request into its folder.

    Without --corpus it is the words that the cache recorded, sentence by sentence, those outside the vocabulary left
    out: gensim drops them too before it looks at windows. With --corpus it is text files, a paragraph or a sentence a
    line, in any format that `x2static encode` reads; with both, the vocabulary is the cache's words as far as they
    occur in the files. A sentence of more words than `longest_line` goes on in another line. Raises X2StaticError:
    there is no text, it holds no word of the vocabulary, or a word holds white space.
    """
    if not request.config.corpus and request.cache is None:
        raise X2StaticError(f"{request.config.name} needs text: give --cache, or text files with --corpus")
    file = request.folder / "text.txt"
    with open_atomically(file) as out:
        text = (_from_files if request.config.corpus else _from_cache)(request, file, out, longest_line)
    logger.info("text: %s in %s", quantity(text.n_words, "word"), quantity(text.n_lines, "line"))
    text.origin |= {"text_words": text.n_words, "text_lines": text.n_lines}
    return text


def _refuse_white_space(words: list[str]) -> None:
    if white := [word for word in words if not word or WHITE.search(word)]:
        why = "gensim's reader ends words at white space; leave such words out by a --vocab file"
        raise X2StaticError(f"the vocabulary holds the word {white[0]!r}: {why}")


def _from_cache(request: Request, file: Path, out: BinaryIO, longest: int) -> Text:
    _refuse_white_space(request.words)
    vocabulary, cache = pa.array(request.words, pa.string()), request.needed_cache()
    text = Text(file, request.words, request.counts, cache.segmentation())
    for shard in cache.shards():
        lexicon = shard.lexicon()["word"].combine_chunks()  # of strings: binary_join knows no large ones
        known = pc.is_in(lexicon, value_set=vocabulary).to_numpy(zero_copy_only=False)
        table = shard.words()
        for start in range(0, len(table), SLICE):
            rows = table.slice(start, SLICE)
            part = rows["word_ids"].combine_chunks()
            ids = part.flatten().to_numpy()
            chosen = known[ids]
            # (sentences + 1,) int64, bounds of the sentences among all words, then among those of the vocabulary
            starts = np.concatenate([[0], np.cumsum(pc.list_value_length(part).to_numpy(), dtype=np.int64)])
            if cache.manifest.encoding.context_words:  # of parts of sentences: lines are paragraphs then
                ends = np.flatnonzero(np.diff(rows["paragraph"].to_numpy())) + 1
                starts = starts[np.concatenate([[0], ends, [len(rows)]])]
            bounds = np.concatenate([[0], np.cumsum(chosen, dtype=np.int64)])[starts]
            bounds = np.unique(bounds)  # a sentence without words is no line
            if np.diff(bounds).max(initial=0) > longest:
                pieces = [np.arange(begin, end, longest) for begin, end in pairwise(bounds.tolist())]
                bounds = np.append(np.concatenate(pieces), bounds[-1])
            lists = pa.ListArray.from_arrays(bounds.astype(np.int32), lexicon.take(pa.array(ids[chosen])))
            text.write(out, pc.binary_join(lists, " ").to_pylist(), np.diff(bounds))
    return text


def identities(config: BaselineConfig) -> list[dict[str, Any]]:
    """Return what the corpora that --corpus names hold, in order. Raises X2StaticError: one is not there."""
    with _opened(config) as corpora:
        return [corpus.identity() for corpus in corpora]


def _opened(config: BaselineConfig) -> "AbstractContextManager[list[Corpus]]":
    from x2static.stage1_encode.corpora.sources import open_corpora  # all that reads corpora: seconds of imports

    if hub := [spec for spec in config.corpus if spec.startswith("hf://")]:
        raise X2StaticError(f"--corpus {hub[0]}: {config.name} reads files alone; save it as one first")
    return open_corpora(config.corpus, ReadingOptions(on_bad_text="skip"), config.out)


def _from_files(request: Request, file: Path, out: BinaryIO, longest: int) -> Text:
    """Write every paragraph: the filter of stage one wants full ones, and these files may hold a sentence a line."""
    from x2static.stage1_encode.text.paper import paper_sentences
    from x2static.stage1_encode.text.segmentation import SentenceSplitter, default_words

    cache = request.cache
    rules = cache.segmentation() if cache else default_words()
    encoding = cache.manifest.encoding if cache else None
    splitter = SentenceSplitter(encoding.language, encoding.text_rules) if encoding else SentenceSplitter("en")
    paper = cache is not None and cache.manifest.encoding.compat == "paper"
    counts: Counter[str] = Counter()
    text = Text(file, [], request.counts, rules, {"corpus": [], "paragraphs_skipped": 0, "words_absent": 0})
    with _opened(request.config) as corpora:
        for paragraph in _paragraphs(corpora, text.origin):
            if paper:
                sentences = paper_sentences(rules.split(paragraph))
            else:
                sentences = [rules.split(paragraph[start:stop]) for start, stop in splitter.spans(paragraph)]
            for words in sentences:
                counts.update(words)
                lines = [words[start : start + longest] for start in range(0, len(words), longest)]
                text.write(out, [" ".join(line) for line in lines], np.array([len(line) for line in lines], np.int64))
    text.words = _vocabulary(request, counts)
    _refuse_white_space(text.words)
    text.counts = np.array([counts[word] for word in text.words], np.int64)
    if request.words:
        text.origin["words_absent"] = len(request.words) - len(text.words)
    return text


def _paragraphs(corpora: "list[Corpus]", origin: dict[str, Any]) -> Iterator[str]:
    """Yield the paragraphs of corpora; text that is no valid UTF-8 is left out, and counted in `origin`."""
    for corpus in corpora:
        identity = corpus.identity()
        plan = corpus.plan(identity)
        if plan.skipped:
            logger.warning("corpus %s: %s left out: no valid text", corpus.spec, quantity(plan.skipped, "paragraph"))
        origin["corpus"].append(identity)
        origin["paragraphs_skipped"] += plan.skipped
        for unit in plan.units:
            yield from corpus.read(unit).paragraphs


def _vocabulary(request: Request, counts: Counter[str]) -> list[str]:
    """Return the words of text files that get a vector, by descending count, ties by word; refuse to return none."""
    candidates = counts.keys() & set(request.words) if request.words else counts.keys()
    # The cache's vocabulary is chosen already, by the counts in the cache.
    least = 1 if request.cache is not None else request.config.min_count
    chosen = [word for word in candidates if counts[word] >= least]
    if not chosen:
        highest = max((counts[word] for word in candidates), default=0)
        lower = "" if request.cache is not None else "lower --min-count, "
        raise X2StaticError(
            f"corpus {', '.join(request.config.corpus)}: no word of the vocabulary occurs {least} times or more; the "
            f"highest count is {highest}; {lower}give more text of the same language, and a --vocab file as words are "
            "cut (lower-cased)"
        )
    return sorted(chosen, key=lambda word: (-counts[word], word))[: request.config.max_vocab]
