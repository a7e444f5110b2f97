"""Local files as a corpus, for tests of their formats."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.manifest import Plan, Unit
from x2static.stage1_encode.corpora.sources import LocalFiles, find_files

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def corpus_at(spec: Path | str, **options: Any) -> LocalFiles:
    """Return the corpus that a --corpus names."""
    settings = {"cache": Path("any")} | options
    config = EncodeConfig(model="any", corpus=(str(spec),), **settings)
    files = find_files(str(spec), config.format, config.cache)
    return LocalFiles(str(spec), config, lambda: files)


def corpus_of(path: Path, data: bytes, **options: Any) -> LocalFiles:
    """Write a file and return it as a corpus."""
    path.write_bytes(data)
    return corpus_at(path, **options)


def plan_of(corpus: LocalFiles, first: int = 0, after: Unit | None = None) -> Plan:
    """Return the plan for what comes after a unit."""
    return corpus.plan(corpus.identity(), first, after)


def read(corpus: LocalFiles, plan: Plan) -> list[list[str]]:
    """Return the paragraphs of each unit."""
    return [corpus.read(unit).paragraphs for unit in plan.units]


def read_all(corpus: LocalFiles) -> list[str]:
    """Return all paragraphs; every unit is read twice, the second time out of order."""
    plan = plan_of(corpus)
    texts = read(corpus, plan)
    assert [corpus.read(unit).paragraphs for unit in reversed(plan.units)] == texts[::-1]
    corpus.close()
    return [text for unit in texts for text in unit]
