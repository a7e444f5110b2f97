"""Texts and runs of stage one for tests that look at a whole cache."""

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reference import Row
from tests.teachers import english_sentence
from x2static.durable.storage import SEAL, canonical_json, read_json, read_sealed, sealed_json
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.segmentation import SEGMENTATION, WordSegmentation
from x2static.schemas.training import TrainConfig
from x2static.stage1_encode import phrases
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.plan.origin import Origin
from x2static.stage1_encode.pools.pool import Pool
from x2static.stage1_encode.repair import repair
from x2static.stage1_encode.teacher.teacher import Teacher


def repaired(config: EncodeConfig, pools: list[Pool], lost: str) -> tuple[dict[str, Any], bool]:
    """Encode, lose a file of a shard, or all of it (""), and repair; return figures, and whether all bytes are back."""
    encode(config, pools=pools)
    before, shard = files_of(config.cache), config.cache / "shards" / "000002"
    if lost:
        (shard / lost).unlink()
    else:
        shutil.rmtree(shard)
    figures = repair(config.cache, Origin(None, (), "cpu", False))
    return figures, files_of(config.cache) == before


def paragraphs(count: int, seed: int = 0) -> list[str]:
    """Return paragraphs of two to five sentences, no two alike."""
    drawn = random.Random(seed)
    return [
        f"In {seed}-{number} it began. " + " ".join(f"{english_sentence(drawn)}." for _ in range(drawn.randint(1, 4)))
        for number in range(count)
    ]


def prose(seed: int, sentences: int, stops: tuple[str, ...] = (".", "?", "!")) -> str:
    """Return a paragraph as a book prints it."""
    drawn = random.Random(seed)
    return " ".join(english_sentence(drawn) + drawn.choice(stops) for _ in range(sentences))


def write_lines(path: Path, lines: list[str]) -> Path:
    """Write a text file, one paragraph a line."""
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


def changed(folder: Path, file: str, **values: object) -> None:
    """Change keys of a JSON file, and its seal where it has one."""
    written = sealed_json if SEAL in read_json(folder / file) else canonical_json
    (folder / file).write_bytes(written(read_sealed(folder / file) | values))


def config_of(model: Path, corpus: Path | str | tuple[Path | str, ...], cache: Path, **options: Any) -> EncodeConfig:
    """Return a configuration without filter, in float32 on the processor, unless options say otherwise."""
    corpora = corpus if isinstance(corpus, tuple) else (corpus,)
    settings = {"precision": "float32", "device": "cpu", "min_sentences": 0, "min_characters": 0} | options
    return EncodeConfig(model=str(model), corpus=tuple(map(str, corpora)), cache=cache, **settings)


def run(model: Path, corpus: Path | str | tuple[Path | str, ...], cache: Path, **options: Any) -> dict[str, float]:
    """Encode; the figures come back."""
    return encode(config_of(model, corpus, cache, **options))


def no_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail from now on where a teacher is loaded."""
    monkeypatch.setattr(Teacher, "__init__", lambda *_: pytest.fail("the teacher is loaded"))


def as_options(config: EncodeConfig | TrainConfig) -> list[str]:
    """Return the arguments of `x2static encode` or `train` for a configuration."""
    arguments = ["encode" if isinstance(config, EncodeConfig) else "train"]
    for name, value in config.model_dump(mode="json", exclude_unset=True, by_alias=True).items():
        for item in value if isinstance(value, list) else [value]:
            if item is not None and item is not False:
                arguments += ["--" + name.replace("_", "-"), *([] if item is True else [str(item)])]
    return arguments


@dataclass(frozen=True)
class Encoded:
    """A cache, read back."""

    cache: Cache
    shards: list[list[Row]]  # the rows of each, in order

    @property
    def rows(self) -> list[Row]:
        return [row for shard in self.shards for row in shard]

    @property
    def words(self) -> list[list[str]]:
        return [row.words for row in self.rows]

    @property
    def rules(self) -> WordSegmentation:
        return WordSegmentation.load(self.cache.path / SEGMENTATION)


def set_environment(values: dict[str, str]) -> None:
    """Set variables of the environment, in a fork of the tests (a hook)."""
    os.environ.update(values)


def read_back(folder: Path) -> Encoded:
    """Read a cache's rows."""
    cache = Cache.open(folder)
    shards = []
    for shard in cache.shards():
        table, lexicon = shard.words().to_pydict(), shard.lexicon()["word"].to_pylist()
        words = [[lexicon[word] for word in ids] for ids in table["word_ids"]]
        contexts = shard.contexts()
        shards.append([Row(*row) for row in zip(table["paragraph"], words, contexts, strict=True)])
    return Encoded(cache, shards)


def texts_of(cache: Path) -> list[str]:
    """Return the words of each row of a cache, in order, joined by spaces."""
    return [" ".join(words) for words in read_back(cache).words]


def assert_same_rows(cache: Path, other: Path) -> None:
    """Fail unless two caches hold the same rows in the same order, whatever their units.

    Other units make other batches, and so other rounding in the last bit of a float16.
    """
    ours, theirs = read_back(cache).rows, read_back(other).rows
    assert [row.words for row in ours] == [row.words for row in theirs]
    np.testing.assert_allclose([row.vector for row in ours], [row.vector for row in theirs], rtol=2e-3, atol=1e-3)


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes, lock files left out."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@contextmanager
def killed_at_second_block(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Words are read alone, and it ends before the second block of them is written; it has to."""
    write, written = phrases.write_block, []

    def killed(*arguments: object) -> None:
        if len(written) == 1:
            raise ZeroDivisionError
        written.append(arguments)
        write(*arguments)

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(phrases, "write_block", killed)
        yield
