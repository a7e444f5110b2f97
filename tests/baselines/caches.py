"""Caches of tiny teachers and of sentences that a test writes, and baselines made from them."""

import atexit
import random
import shutil
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.reference import Reader
from tests.schemas.caches import ShardContent, encoding
from tests.stage1_encode.runs import paragraphs, run, write_lines
from tests.stage1_encode.test_word_sums import slowly
from tests.stage2_train.caches import write_cache
from tests.teachers import make_teacher
from x2static.baselines.request import Request
from x2static.durable.storage import canonical_json
from x2static.pipeline.baselines import make
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.cache import MANIFEST, Cache
from x2static.schemas.segmentation import SEGMENTATION, WordSegmentation
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.teacher.teacher import Teacher

Sentences = list[list[str]]
DIM = 8
TEXTS = paragraphs(24)


def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="x2static-"))
    atexit.register(shutil.rmtree, folder)
    return folder


@cache
def reader(family: str = "bert", window: int = 512) -> Reader:
    """A reader of a tiny teacher, made when it is first asked for."""
    return Reader(make_teacher(_temporary(), family, window))


def alone(slow: Reader, text: str, special: bool = False) -> npt.NDArray[np.float32]:
    """The mean of the reader's layer over the pieces of one text, read alone, cut at the window; zeros of no piece."""
    pieces, begin = [piece for piece, _ in slow.plain_pieces(text)][: slow.teacher.room], len(slow.teacher.begin)
    states = slow.states([*slow.teacher.begin, *pieces, *slow.teacher.end])
    states = states if special else states[begin : begin + len(pieces)]
    return states.mean(axis=0) if len(states) else np.zeros(states.shape[1], np.float32)


def encoded(folder: Path, texts: list[str] = TEXTS, family: str = "bert", **options: Any) -> Path:
    """Encode texts, in units of seven paragraphs unless options say otherwise; return the cache."""
    folder.mkdir(exist_ok=True)
    corpus = write_lines(folder / "text.txt", texts)
    run(reader(family).teacher.folder, corpus, folder / "cache", **({"unit": 7} | options))
    return folder / "cache"


@cache
def common(family: str = "bert") -> Path:
    """A cache of TEXTS in four units that tests share; what baselines keep in it is shared, too."""
    return encoded(_temporary(), family=family)


def made(name: str, cache: Path, out: Path, **options: Any) -> WordVectors:
    make(config_of(name, cache, out, **options))
    return WordVectors.load(out)


def config_of(name: str, cache: Path, out: Path, **options: Any) -> BaselineConfig:
    return BaselineConfig(name=name, cache=cache, out=out, **({"min_count": 2, "device": "cpu"} | options))


def occurring(vectors: WordVectors, family: str = "bert", texts: list[str] = TEXTS) -> list[npt.NDArray[np.float64]]:
    """The vectors of each word's occurrences, (n_occurrences, n_layers, dim), computed one paragraph at a time."""
    return list(map(np.array, slowly(reader(family), texts, vectors.words).values()))


def no_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Teacher, "__init__", lambda *_: pytest.fail("the teacher is loaded"))


def cosines(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return (ours.astype(np.float64) * theirs).sum(axis=1) / lengths


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
