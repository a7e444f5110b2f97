"""What is kept in a comparison's folder: which corpus and vocabulary it is of, and a record of each set of vectors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash
from pydantic import BaseModel, ConfigDict, ValidationError

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json, hash_file, read_json, write_atomically
from x2static.pipeline.compare.plan import CompareConfig
from x2static.schemas.cache import Cache, content_of, missing_shards

COMPARISON, SCORES = "comparison.json", "scores"


def identity(config: CompareConfig) -> dict[str, Any]:
    """Return what all vectors of a comparison have in common.

    Raises X2StaticError: the cache is not whole, so that no method could be made.
    """
    if config.cache is None:
        return {"cache_content": None}
    cache = Cache.open(config.cache)
    shards = dict(zip(cache.indices(), cache.shards(), strict=True))
    if missing_shards(cache.plans(), {index: shard.marker for index, shard in shards.items()}) != []:
        raise X2StaticError(
            f"{cache.path}: the cache is incomplete; finish `x2static encode` first (the same command goes on where it "
            f"stopped)"
        )
    return {
        "cache_content": content_of(list(shards.values())),
        "min_count": config.min_count,
        "max_vocab": config.max_vocab,
    }


class TaskScore(BaseModel):
    """The result on one set of word pairs: Spearman's rho or None, pairs covered and pairs there are."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)

    task: str
    score: float | None
    covered: int
    total: int


class TaskAccuracy(BaseModel):
    """The result on one classification task: shares between 0 and 1, and of how many runs they are the mean."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)

    task: str
    accuracy: float
    macro_f1: float
    accuracy_deviation: float | None = None
    macro_f1_deviation: float | None = None
    runs: int = 1


class Scored(BaseModel):
    """Scores, and a hash of the data that they were found on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    seconds: float
    pairs: tuple[TaskScore, ...] = ()
    classes: tuple[TaskAccuracy, ...] = ()


class Record(BaseModel):
    """What is kept of one set of vectors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vectors: str  # hash of the run.json that the scores belong to; "" of what has no vectors (the teacher itself)
    seconds: float
    vocabulary: int
    dim: int
    losses: tuple[float, ...] = ()  # mean loss of each epoch, if it has any
    units_found: int = 0  # units of the cache that the teacher had read before those seconds began
    similarity: Scored | None = None
    classification: Scored | None = None


def file_of(out: Path, name: str) -> Path:
    """Return where the record of a step is kept."""
    return out / SCORES / f"{name}.json"


def save(out: Path, name: str, record: Record) -> None:
    """Keep a record, whole or not at all."""
    (out / SCORES).mkdir(exist_ok=True)
    write_atomically(file_of(out, name), canonical_json(record.model_dump(mode="json")))


def load(out: Path, name: str, vectors: str) -> Record | None:
    """Return the record of a step; None where there is none, or one of other vectors.

    Raises X2StaticError: the record is damaged.
    """
    file = file_of(out, name)
    if not file.is_file():
        return None
    try:
        record = Record.model_validate(read_json(file))
    except ValidationError as error:
        raise X2StaticError(f"{file}: not the record of a comparison; remove it, and it is scored again") from error
    return record if record.vectors == vectors else None


def hash_of_files(files: Mapping[str, Path]) -> str:
    """Return one hash for names and what is in the file of each."""
    listed = {name: hash_file(file) for name, file in files.items()}
    return xxhash.xxh3_128(canonical_json(listed)).hexdigest()
