"""Caches of sentences that a test writes, and requests on them."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tests.schemas.caches import ShardContent, encoding
from tests.stage2_train.caches import write_cache
from x2static.baselines.request import Request
from x2static.durable.storage import canonical_json
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.cache import MANIFEST, Cache
from x2static.schemas.segmentation import SEGMENTATION, WordSegmentation

Sentences = list[list[str]]
DIM = 8


def cache_of(path: Path, *shards: Sentences) -> Path:
    """A cache whose shards hold these sentences; the contexts are of no matter."""
    return write_cache(path, list(map(_content, shards)), dim=DIM)


def _content(sentences: Sentences) -> ShardContent:
    words = [word for sentence in sentences for word in sentence]
    lexicon = list(dict.fromkeys(words))
    ids = np.array([lexicon.index(word) for word in words], np.int32)
    return ShardContent(
        contexts=np.ones((len(sentences), DIM), np.float16),
        paragraphs=np.arange(len(sentences), dtype=np.int32),
        word_offsets=np.cumsum([0, *map(len, sentences)]).astype(np.int32),
        word_ids=ids,
        lexicon=lexicon,
        counts=np.bincount(ids, minlength=len(lexicon)),
        n_paragraphs=len(sentences),
        n_tokens=len(words),
    )


def cut_by(cache: Path, rules: WordSegmentation, **changes: object) -> Path:
    """A cache with other word segmentation rules; its shards do not belong to it any more."""
    kind = encoding(dim=DIM, words=rules.sha256, **changes)
    opened = Cache.open(cache).manifest.model_copy(update={"encoding": kind, "fingerprint": kind.fingerprint})
    (cache / MANIFEST).write_bytes(canonical_json(opened.model_dump(mode="json")))
    (cache / SEGMENTATION).write_text(rules.rules, encoding="utf-8")
    return cache


def counted(sentences: Sentences, least: int = 1) -> Counter[str]:
    """The vocabulary of sentences, by descending count, ties by word."""
    counts = Counter(word for sentence in sentences for word in sentence)
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    return Counter({word: counts[word] for word in ordered if counts[word] >= least})


def request_of(folder: Path, cache: Path | None, vocabulary: Counter[str], **settings: Any) -> Request:
    """What a method gets, in a folder of its own."""
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    config = BaselineConfig.model_validate({"name": "skipgram", "out": folder / "out", "cache": cache} | settings)
    opened = Cache.open(cache) if cache else None
    return Request(config, opened, list(vocabulary), np.array(list(vocabulary.values()), np.int64), work)


def two_topics(sentences: int = 400) -> Sentences:
    """Sentences about one of two things, each with eight words of its own, and words of neither."""
    drawn = random.Random(0)
    topics = [[f"{name}{number}" for number in range(8)] for name in ("sea", "hill")]
    common = [f"and{number}" for number in range(4)]
    return [drawn.choices(drawn.choice(topics), k=8) + drawn.choices(common, k=2) for _ in range(sentences)]
