"""A tiny cache, word pairs for its words, and `x2static compare` on them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.ran import Ran, run_here
from tests.pipeline.sweeps.conftest import state_of as state_of_all
from tests.stage2_train.caches import make_cache

PAPER = "method,parent,dim,rg65,ws353,sl999,sv3500,rw2034,average\nX2Static <para>,BERT,768,0.7,0.6,0.5,0.4,0.3,0.5\n"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four units of contexts of 16 numbers, not to be changed."""
    return make_cache(tmp_path_factory.mktemp("compare") / "cache", shards=4, paragraphs=60, dim=16)


def write_pairs(folder: Path, words: list[str]) -> Path:
    """Word similarity data of two of the paper's sets and another, in a folder as --data takes it."""
    inner = folder / "wordsim"
    inner.mkdir(parents=True)
    for name, step in (("simlex999", 3), ("rw2034", 7), ("own", 5)):
        pairs = [f"{word}\t{words[(i + step) % len(words)]}\t{i * 13 % 11}\n" for i, word in enumerate(words)]
        (inner / f"{name}.tsv").write_text("".join([*pairs, f"{words[0]}\tabsent\t5\n"]))
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data"), [f"w{i:02d}" for i in range(40)])


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The paper's figures, invented."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "word_similarity.csv").write_text(PAPER)
    return folder


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    return lambda *arguments: run_here(capsys, ["compare", *arguments])


def state_of(folder: Path, *parts: str) -> dict[str, tuple[bytes, int]]:
    """Every file of vectors and scores, or of some parts: its bytes, and when they were written."""
    parts = parts or ("vectors/", "scores/", "curve/")
    return {name: state for name, state in state_of_all(folder).items() if name.startswith(parts)}
