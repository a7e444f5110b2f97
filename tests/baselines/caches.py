"""Caches of tiny teachers, and baselines made from them."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.reference import Reader
from tests.stage1_encode.runs import paragraphs, run, write_lines
from tests.stage1_encode.test_word_sums import slowly
from tests.teachers import make_teacher
from x2static.pipeline.baselines import make
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.teacher.teacher import Teacher

TEXTS = paragraphs(24)


def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="x2static-"))
    atexit.register(shutil.rmtree, folder)
    return folder


@cache
def reader(family: str = "bert", window: int = 512) -> Reader:
    """A reader of a tiny teacher, made when it is first asked for."""
    return Reader(make_teacher(_temporary(), family, window))


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
    """Make a baseline of words that occur twice, on the processor."""
    make(config_of(name, cache, out, **options))
    return WordVectors.load(out)


def config_of(name: str, cache: Path, out: Path, **options: Any) -> BaselineConfig:
    return BaselineConfig(name=name, cache=cache, out=out, **({"min_count": 2, "device": "cpu"} | options))


def occurring(vectors: WordVectors, family: str = "bert", texts: list[str] = TEXTS) -> list[npt.NDArray[np.float64]]:
    """The vectors of each word's occurrences, (n_occurrences, n_layers, dim), computed one paragraph at a time."""
    return list(map(np.array, slowly(reader(family), texts, vectors.words).values()))


def no_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a teacher is loaded."""
    monkeypatch.setattr(Teacher, "__init__", lambda *_: pytest.fail("the teacher is loaded"))


def cosines(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The cosine of each pair of rows."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    products: npt.NDArray[np.float64] = (ours * theirs).sum(axis=1) / lengths
    return products
