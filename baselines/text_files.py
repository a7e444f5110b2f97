"""Text files that are read instead of a cache's words, cut into sentences and words as the cache was."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from x2static.baselines.request import Request
from x2static.durable.errors import X2StaticError
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.encoding import ReadingOptions
from x2static.schemas.segmentation import WordSegmentation
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.corpora.sources import open_corpora
from x2static.stage1_encode.text.paper import paper_sentences
from x2static.stage1_encode.text.segmentation import SentenceSplitter, default_words

logger = logging.getLogger(__name__)

Sentences = list[list[str]]  # the words of each sentence of a paragraph


def identities(config: BaselineConfig) -> list[dict[str, Any]]:
    """Return what the corpora that --corpus names hold, in order.

    Raises:
        X2StaticError: one is not there, or is on the hub.
    """
    with _opened(config) as corpora:
        return [corpus.identity() for corpus in corpora]


def _opened(config: BaselineConfig) -> AbstractContextManager[list[Corpus]]:
    if hub := [spec for spec in config.corpus if spec.startswith("hf://")]:
        raise X2StaticError(f"--corpus {hub[0]}: {config.name} reads files alone; save it as one first")
    return open_corpora(config.corpus, ReadingOptions(on_bad_text="skip"), config.out)


@dataclass
class TextFiles:
    """The files that --corpus names, in any format that `x2static encode` reads, a paragraph or a sentence a line.

    Every paragraph is used: the filter of stage one wants full paragraphs, and these files may hold a sentence a line.
    Text that is no valid UTF-8 is left out.

    Attributes:
        request: for `config.corpus`, and the cache, whose segmentation and language are used (English without one).
        identities: what was read, each corpus; filled in as they are read.
        skipped: paragraphs that were left out; likewise.
    """

    request: Request
    identities: list[dict[str, Any]] = field(default_factory=list, init=False)
    skipped: int = field(default=0, init=False)

    @cached_property
    def rules(self) -> WordSegmentation:
        """The word segmentation rules: the cache's, or the default ones where there is none."""
        return self.request.cache.segmentation() if self.request.cache is not None else default_words()

    def paragraphs(self) -> Iterator[Sentences]:
        """Yield paragraphs, the words of each sentence.

        Raises:
            X2StaticError: a corpus is not there, is damaged, holds no paragraph, or is on the hub.
        """
        cache = self.request.cache
        splitter = SentenceSplitter(cache.manifest.encoding.language if cache else "en")
        paper = cache is not None and cache.manifest.encoding.compat == "paper"
        with _opened(self.request.config) as corpora:
            for corpus in corpora:
                for text in self._read(corpus):
                    if paper:
                        yield paper_sentences(self.rules.split(text))
                    else:
                        yield [self.rules.split(text[start:stop]) for start, stop in splitter.spans(text)]

    def _read(self, corpus: Corpus) -> Iterator[str]:
        identity = corpus.identity()
        plan = corpus.plan(identity)
        if plan.skipped:
            logger.warning("corpus %s: %s paragraphs left out: no valid text", corpus.spec, f"{plan.skipped:,}")
        self.identities.append(identity)
        self.skipped += plan.skipped
        for unit in plan.units:
            yield from corpus.read(unit).paragraphs
