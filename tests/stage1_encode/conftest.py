"""Tiny teachers, each made and loaded once a session, and a way to encode a few paragraphs and read the cache back."""

import logging
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.reference import Reader
from tests.stage1_encode.forks import Forks, shared_forks
from tests.stage1_encode.runs import Encoded, paragraphs, read_back, run, write_lines
from tests.teachers import WINDOW, make_teacher
from x2static.schemas.segmentation import LIBRARIES, Library

Encode = Callable[..., Encoded]
Readers = Callable[..., Reader]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny teachers gain nothing from threads, and lose seconds waiting for them where cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Readers:
    """Readers of tiny teachers by family and window; each teacher is made when it is first asked for."""

    @cache
    def reader(family: str, window: int = 512) -> Reader:
        folder = tmp_path_factory.mktemp(f"{family}-{window}")
        return Reader(make_teacher(folder, family, window))

    return reader


@pytest.fixture
def encode(tmp_path: Path) -> Encode:
    """Encode paragraphs with a reader's teacher, and read the cache back; options are those of `runs.run`."""
    numbers = count()

    def encoded(reader: Reader, texts: list[str], **options: Any) -> Encoded:
        number = next(numbers)
        corpus, folder = write_lines(tmp_path / f"corpus-{number}.txt", texts), tmp_path / f"cache-{number}"
        run(reader.teacher.folder, corpus, folder, **options)
        return read_back(folder)

    return encoded


@pytest.fixture
def teacher(readers: Readers) -> Path:
    """The folder of a tiny BERT."""
    return readers("bert").teacher.folder


@pytest.fixture
def copy_of(readers: Readers, tmp_path: Path) -> Callable[[str], Path]:
    """Copies of the tiny teachers of short windows, to be changed."""
    return lambda family: Path(shutil.copytree(readers(family, WINDOW).teacher.folder, tmp_path / "model"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Ten paragraphs."""
    return write_lines(tmp_path / "corpus.txt", paragraphs(10))


@pytest.fixture
def forks() -> Forks:
    """A way to run the command line in processes that need no imports of their own."""
    return shared_forks()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What stage one logs, also where the command line has set up logging before."""
    logger = logging.getLogger("x2static.stage1_encode")
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger.name)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def without_segmenters(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where none of the extras for languages is installed."""
    for name, library in LIBRARIES.items():
        monkeypatch.setitem(LIBRARIES, name, Library((f"{name}-is-not-called-so",), library.load))
