"""Carrier phrases: every frequent word read alone, in a few phrases, so that a vector has what the teacher knows of it.

A word's own states tell how it is used in the text, a phrase such as "a definition of {}" what it means; the two are
better together (docs/LOG.md, 2026-11-28). What is read is kept in the cache, block by block, as `schemas/phrases.py`
has it.
"""

import logging
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from x2static.durable.storage import only_writer
from x2static.machine.progress import Progress, Report, silent
from x2static.schemas.cache import Cache
from x2static.schemas.lexicons import by_count, merge_lexicons
from x2static.schemas.multiword import SHOWN, read_entries
from x2static.schemas.phrases import BlockMarker, block_numbers, drop_damaged, open_blocks, write_block
from x2static.schemas.segmentation import MARK
from x2static.stage1_encode.encoder import Encoder
from x2static.stage1_encode.plan.origin import Origin, find_teacher
from x2static.stage1_encode.texts import read_texts

NEUTRAL = "neutral"
WORDS_AT_ONCE = 2048  # in a block: 1.6 MB of 384 dimensions and two phrases, some twenty seconds on two cores

# (n_words, n_phrases, dim) of some words, and the synonyms of each if a dictionary has them
ReadSome = Callable[[Encoder, list[str]], tuple[npt.NDArray[np.float32], list[list[str]] | None]]

logger = logging.getLogger(__name__)


def carrier_phrases(language: str) -> tuple[str, ...]:
    """Return the carrier phrases of a language, {} for the word; neutral ones where it has none."""
    known = tomllib.loads(files(__package__).joinpath("phrases.toml").read_text(encoding="utf-8"))
    return tuple(known.get(language, known[NEUTRAL]))


def phrases_by_language(languages: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the carrier phrases of each of some languages; neutral ones for all where one has none of its own.

    Words that are read in unlike phrases are apart for that alone: translation fell from 0.84 to 0.60 (docs/LOG.md,
    2026-11-30).
    """
    each, neutral = {language: carrier_phrases(language) for language in languages}, carrier_phrases(NEUTRAL)
    return dict.fromkeys(languages, neutral) if neutral in each.values() else each


def recorded_phrases(each: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return phrases as a block records them: where languages have their own, each with its language before it."""
    if len({*each.values()}) == 1:
        return next(iter(each.values()))
    named = ([f"{language}: {phrase}" for phrase in phrases] for language, phrases in each.items())
    return tuple(map("; ".join, zip(*named, strict=True)))


def languages_of(cache: Cache, words: Sequence[str]) -> dict[str, str]:
    """Return the language of each word of a cache: that of its mark, or in whose corpora it occurs most often."""
    encoding = cache.manifest.encoding
    if encoding.mark_language:
        return {word: word.partition(MARK)[0] for word in words}
    if "+" not in encoding.language:
        return dict.fromkeys(words, encoding.language)
    most, plans, shards = dict.fromkeys(words, (0, "")), cache.plans(), cache.shards()
    for language in encoding.language.split("+"):
        lexicon = merge_lexicons(shard for shard in shards if plans[shard.marker.plan].language == language)
        for word, count in zip(lexicon["word"].to_pylist(), lexicon["count"].to_pylist(), strict=True):
            if word in most and count > most[word][0]:
                most[word] = count, language
    return {word: language for word, (_, language) in most.items()}


def counted_words(cache: Cache, min_count: int) -> list[str]:
    """Return the words that occur so often in a cache, the most frequent first, ties by word."""
    lexicon = merge_lexicons(cache.shards())
    words: list[str] = by_count(lexicon.filter(pc.greater_equal(lexicon["count"], min_count)))["word"].to_pylist()
    return words


def read_phrases(
    cache: Cache, origin: Origin, min_count: int, report: Report = silent, multiword: Path | None = None
) -> dict[str, Any]:
    """Read the words of a cache in carrier phrases, those that are not read yet, with the cache's own teacher.

    Each is read in the phrases of its language, without the mark that it may have.

    `multiword` is a list of several words a line: those all of which the corpus has are read as they are spelt, behind
    the single words, and kept under their words with spaces. Returns words (entries, and words that occur `min_count`
    times), words_read (by this call), phrases and seconds. Raises X2StaticError: the teacher is not found as it was, or
    the list cannot be used, or what is there is damaged.
    """
    each = phrases_by_language(cache.manifest.encoding.language.split("+"))
    phrases = recorded_phrases(each)
    marker = BlockMarker(encoding=cache.manifest.fingerprint, phrases=phrases)
    words, spelt = counted_words(cache, min_count), dict[str, str]()
    if multiword is not None:
        entries, known = read_entries(multiword, cache.segmentation()), set(counted_words(cache, 1))
        spelt = {" ".join(entry): spelling for entry, spelling in entries.items() if known.issuperset(entry)}
        if strange := [spelling for entry, spelling in entries.items() if not known.issuperset(entry)]:
            samples, what = ", ".join(strange[:SHOWN]), "entries hold a word that the corpus does not have"
            logger.warning("%s: %s of %s %s (%s)", multiword, len(strange), len(entries), what, samples)

    language_of, first, bare = languages_of(cache, words), next(iter(each)), cache.segmentation().bare

    def read(encoder: Encoder, some: list[str]) -> tuple[npt.NDArray[np.float32], None]:
        by_language: dict[str, list[int]] = {}
        for row, word in enumerate(some):
            by_language.setdefault(language_of.get(word, first), []).append(row)  # entries are of no language
        vectors = np.zeros((len(some), len(phrases), encoder.teacher.dim), np.float32)
        for language, rows in by_language.items():
            of_language = [spelt.get(some[row], bare(some[row])) for row in rows]
            vectors[rows] = in_phrases(encoder, of_language, each[language])
        return vectors, None

    return read_words(cache, origin, [*words, *spelt], marker, read, report)


def read_words(
    cache: Cache, origin: Origin, words: list[str], marker: BlockMarker, read: ReadSome, report: Report
) -> dict[str, Any]:
    """Read those words that no block of the marker's kind has, block by block; figures as of `read_phrases`."""
    started = time.perf_counter()
    with only_writer(cache.path, "cache"):
        cache.remove_leftovers()
        for damage in drop_damaged(cache.path):
            logger.warning("%s; read again", damage)
        blocks = [block for block in open_blocks(cache.path) if block.marker.reads_as(marker)]
        there = {word for block in blocks for word in block.words()}
        todo = [word for word in words if word not in there]
        if todo:
            encoder = find_teacher(cache, cache.plans()[0], origin)
            number = max(block_numbers(cache.path), default=-1) + 1
            for start in range(0, len(todo), WORDS_AT_ONCE):
                report(Progress(start, len(todo), "words read alone"))
                some = todo[start : start + WORDS_AT_ONCE]
                vectors, synonyms = read(encoder, some)
                write_block(cache.path, number, marker, some, vectors, synonyms)
                number += 1
            report(Progress(len(todo), len(todo), "words read alone"))
    seconds = round(time.perf_counter() - started, 3)
    return {"words": len(words), "words_read": len(todo), "phrases": len(marker.phrases), "seconds": seconds}


def in_phrases(encoder: Encoder, words: list[str], phrases: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the mean over all states of each word in each phrase, special tokens in it, (n_words, n_phrases, dim)."""
    texts = [phrase.replace("{}", word) for word in words for phrase in phrases]
    vectors = read_texts(encoder, texts, "phrases", special=True)
    return vectors.reshape(len(words), len(phrases), -1)
