"""Small caches, made by the writer that stage one uses."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from x2static.durable.storage import commit_folder, read_sealed, remove, sealed_json
from x2static.schemas.cache import begin_cache
from x2static.schemas.encoding import Dtype, Encoding
from x2static.schemas.manifest import UNCOUNTED, Manifest, Marker, Plan, Unit
from x2static.schemas.segmentation import WordSegmentation
from x2static.schemas.shard import CONTEXTS, ShardWords, shard_name, stage_shard, staged_folder, write_contexts

DIM = 8
RULES = WordSegmentation('{"normalizer": null}')  # nothing splits by them


@dataclass(frozen=True)
class ShardContent(ShardWords):
    contexts: np.ndarray  # (n_contexts, dim) float16 or float32


def write_shard(
    shards: Path, index: int, content: ShardContent, marker: Marker, dtype: Dtype = "float16", replace: bool = False
) -> Marker:
    write = partial(write_contexts, contexts=content.contexts, dtype=dtype)
    shards.mkdir(parents=True, exist_ok=True)
    complete = stage_shard(shards, index, marker, {CONTEXTS: write}, {}, content)
    commit_folder(staged_folder(shards, index), shards / shard_name(index), replace)
    return complete


def change(path: Path, to: bytes | dict[str, object] | float | None) -> None:
    """Write other bytes into a file, change fields of its JSON, cut it to a share of itself, or (None) remove it."""
    if to is None:
        remove(path)
    elif isinstance(to, bytes):
        path.write_bytes(to)
    elif isinstance(to, dict):
        path.write_bytes(sealed_json(read_sealed(path) | to))  # as one would who knows of the seal
    else:
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * to)])


def amend(path: Path, **changes: object) -> None:
    """Change fields of a sealed record, and seal it anew: as if it had been written so."""
    path.write_bytes(sealed_json({**read_sealed(path), **changes}))


def flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def encoding(**changes: object) -> Encoding:
    hashes = {"weights": "w" * 64, "teacher_config": "c" * 64, "tokenizer": "t" * 64, "words": RULES.sha256}
    teacher = {"layer": "last", "window": 512, "precision": "float32", "attention": "sdpa", "dim": DIM}
    return Encoding.model_validate(
        {**hashes, **teacher, "sentences": "sentencex 1.0", "min_sentences": 3, "min_characters": 140, **changes}
    )


def manifest(kind: Encoding) -> Manifest:
    names = {"format": 1, "teacher": "fake", "revision": None, "versions": {"x2static": "0"}}
    return Manifest(fingerprint=kind.fingerprint, encoding=kind, **names)


MANIFEST = manifest(encoding())


def unit(index: int, stop: int | None = None) -> Unit:
    return Unit(source="corpus.txt", start=index * 100, stop=stop or (index + 1) * 100, paragraphs=10)


def plan(units: int, first: int = 0) -> Plan:
    whole = {"identity": {"kind": "text", "xxh3": "0"}, "seen": {"size": 1}, "licence": None, "skipped": 0, "first": 0}
    return Plan(corpus="corpus.txt", unit=10, limit=None, units=tuple(map(unit, range(first, first + units))), **whole)


def marker(index: int, plan: int = 0, last: bool = False, fingerprint: str | None = None) -> Marker:
    fingerprint = fingerprint or encoding().fingerprint
    return Marker(plan=plan, unit=unit(index), last=last, encoding=fingerprint, **UNCOUNTED)


def content(rows: int, seed: int = 0, dim: int = DIM) -> ShardContent:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(0, 6, rows)  # sentences without words are among them
    ids = draw.integers(0, 5, int(lengths.sum())).astype(np.int32)
    return ShardContent(
        contexts=draw.normal(size=(rows, dim)).astype(np.float16),
        paragraphs=(np.arange(rows) // 3).astype(np.int32),
        word_offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        word_ids=ids,
        lexicon=["the", "naïve", "새", "a\nb", "</s>"] if rows else [],
        counts=np.bincount(ids, minlength=5) if rows else np.zeros(0, np.int64),
        n_paragraphs=(rows + 2) // 3,
        n_tokens=rows * 7,
    )


def make_cache(path: Path, shards: int = 2, rows: int = 6, plans: list[Plan] | None = None) -> Path:
    path.mkdir(parents=True)
    begin_cache(path, MANIFEST, RULES, dict(enumerate([plan(shards)] if plans is None else plans)))
    for index in range(shards):
        write_shard(path / "shards", index, content(rows, seed=index), marker(index))
    return path
