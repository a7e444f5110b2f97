"""Synthetic caches: words with a hidden meaning each, contexts that are the mean of their words' meanings."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tests.schemas.caches import RULES, ShardContent, encoding, manifest, marker, plan, write_shard
from x2static.durable.storage import canonical_json
from x2static.schemas.cache import Cache, begin_cache
from x2static.schemas.manifest import Plan
from x2static.schemas.segmentation import WordSegmentation
from x2static.schemas.shard import MARKER, shard_name
from x2static.schemas.training import TrainConfig
from x2static.stage2_train.sampling import Draws
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.transform import SHRINKAGE
from x2static.stage2_train.vocabulary import Vocabulary, build_vocabulary

DIM = 512  # so that a buffer of 1 MB, the smallest, holds but 976 contexts
WORDS = 60


def shard_content(index: int, paragraphs: int, dim: int, scale: float = 0.5) -> ShardContent:
    """A shard of paragraphs of one to six sentences of no to eleven words, frequent and rare."""
    draw = np.random.default_rng(1000 + index)
    meanings = np.random.default_rng(7).normal(size=(WORDS, dim))
    sentences = draw.integers(1, 7, paragraphs)
    rows = int(sentences.sum())
    lengths = draw.integers(0, 12, rows)
    weights = 1 / np.arange(1, WORDS + 1)
    drawn = draw.choice(WORDS, int(lengths.sum()), p=weights / weights.sum())
    contexts = np.zeros((rows, dim))
    np.add.at(contexts, np.repeat(np.arange(rows), lengths), meanings[drawn])
    contexts = scale * contexts / np.maximum(lengths, 1)[:, None] + 0.1 * draw.normal(size=(rows, dim))
    encoded = pa.array([f"w{word:02d}" for word in drawn], pa.string()).dictionary_encode()  # by first occurrence
    ids = encoded.indices.to_numpy()
    words = {"word_ids": ids, "lexicon": encoded.dictionary.to_pylist(), "counts": np.bincount(ids)}
    of_rows = {"paragraphs": np.repeat(np.arange(paragraphs), sentences).astype(np.int32)}
    of_rows["word_offsets"] = np.append(0, np.cumsum(lengths)).astype(np.int32)
    contexts = contexts.astype(np.float16)
    return ShardContent(contexts=contexts, **of_rows, **words, n_paragraphs=paragraphs, n_tokens=rows)


def write_cache(
    path: Path,
    shards: list[ShardContent],
    context: str = "paragraph",
    dim: int = DIM,
    plans: list[Plan] | None = None,
    rules: WordSegmentation = RULES,
) -> Path:
    """A complete cache of these shards, unless `plans` say otherwise."""
    kind = encoding(context=context, dim=dim, words=rules.sha256)
    path.mkdir(parents=True)
    begin_cache(path, manifest(kind), rules, dict(enumerate([plan(len(shards))] if plans is None else plans)))
    for index, content in enumerate(shards):
        write_shard(path / "shards", index, content, marker(index, fingerprint=kind.fingerprint))
    return path


def make_cache(
    path: Path,
    shards: int = 3,
    paragraphs: int = 130,
    context: str = "paragraph",
    dim: int = DIM,
    rules: WordSegmentation = RULES,
) -> Path:
    contents = [shard_content(index, paragraphs, dim) for index in range(shards)]
    return write_cache(path, contents, context, dim, rules=rules)


def occurrences(path: Path, words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """For every occurrence of one of these words, its context in float64, and its word; without the code under test."""
    rows, names = [], []
    for shard in Cache.open(path).shards():
        lexicon = shard.lexicon()["word"].to_pylist()
        for context, ids in zip(shard.contexts(), shard.words()["word_ids"].to_pylist(), strict=True):
            for name in (lexicon[i] for i in ids):
                if name in words:
                    rows.append(context.astype(np.float64))
                    names.append(name)
    return np.array(rows), np.array(names)


def bags_and_contexts(cache: Path, words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """How often each word stands in each context that has some, and these contexts in float64."""
    bags, contexts = [], []
    for shard in Cache.open(cache).shards():
        lexicon = shard.lexicon()["word"].to_pylist()
        for context, ids in zip(shard.contexts(), shard.words()["word_ids"].to_pylist(), strict=True):
            if here := [words.index(lexicon[i]) for i in ids if lexicon[i] in words]:
                bags.append(np.bincount(here, minlength=len(words)))
                contexts.append(context.astype(np.float64))
    return np.array(bags), np.array(contexts)


def shrunk_covariance(contexts: np.ndarray) -> np.ndarray:
    """The covariance of rows, with the identity mixed in."""
    covariance = np.cov(contexts.T, bias=True)
    dim = len(covariance)
    return (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / dim * np.eye(dim)


def config(cache: Path, out: Path, **changes: object) -> TrainConfig:
    """Settings that use several buffers, cut shards, rare words and subsampling, in a second."""
    values: dict[str, object] = {"compat": "paper", "epochs": 2, "batch_size": 32, "min_count": 20, "subsample": 0.02}
    values |= {"negatives": 5, "lr": 1e-2, "buffer_megabytes": 1, "checkpoint_minutes": 60}
    return TrainConfig.model_validate({"cache": cache, "out": out, **values, **changes})


def opened(path: Path, **changes: object) -> tuple[TrainConfig, Stream, Vocabulary]:
    """A cache as training sees it."""
    cache, wish = Cache.open(path), config(path, Path("nowhere"), **changes)
    shards = cache.shards()
    vocabulary = build_vocabulary(path, shards, wish.min_count, wish.max_vocab)
    reading = {name: getattr(wish, name) for name in ("seed", "batch_size", "buffer_megabytes")}
    return wish, Stream(cache, shards, vocabulary, **reading), vocabulary


def draws(wish: TrainConfig, counts: np.ndarray) -> Draws:
    """The draws of a run on a CPU."""
    return Draws.of(wish.seed, counts, wish.subsample, wish.noise_power, torch.device("cpu"))


def result(out: Path) -> tuple[bytes, bytes]:
    """What must not differ by a byte between a run and a resumed run."""
    return (out / "vectors.safetensors").read_bytes(), (out / "vocabulary.arrow").read_bytes()


def add_shard(cache: Path, index: int, **changes: object) -> None:
    """Write a shard of a cache of `make_cache`, anew if it is there, with a content that is changed."""
    folder = cache / "shards" / shard_name(index)
    shutil.rmtree(folder, ignore_errors=True)
    content = ShardContent(**{**vars(shard_content(index, 130, DIM)), **changes})
    written = write_shard(cache / "shards", index, content, marker(index, fingerprint=encoding(dim=DIM).fingerprint))
    fitting = written.model_copy(update={"n_contexts": len(content.contexts)})
    (folder / MARKER).write_bytes(canonical_json(fitting.model_dump()))
