"""Tiny teachers, each made and loaded once a session, and a way to encode a few paragraphs and read the cache back."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch

from tests.reference import Reader, Row
from tests.stage1_encode.forks import Forks, shared_forks
from tests.teachers import make_teacher
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.segmentation import LIBRARIES, Library, WordSegmentation


@dataclass(frozen=True)
class Encoded:
    """A cache, read back.

    Attributes:
        cache: the cache itself.
        shards: the rows of each shard, in order.
    """

    cache: Cache
    shards: list[list[Row]]

    @property
    def rows(self) -> list[Row]:
        """The rows of all shards, in order."""
        return [row for shard in self.shards for row in shard]

    @property
    def words(self) -> list[list[str]]:
        """The words of each row."""
        return [row.words for row in self.rows]

    @property
    def rules(self) -> WordSegmentation:
        """The stored word segmentation rules."""
        return WordSegmentation.load(self.cache.segmentation_file)


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
    """Encode paragraphs with a reader's teacher; float32 and no filter, unless options say otherwise."""
    runs = 0

    def run(reader: Reader, paragraphs: list[str], **options: object) -> Encoded:
        from x2static.stage1_encode.encode import encode

        nonlocal runs
        runs += 1
        corpus = tmp_path / f"corpus-{runs}.txt"
        corpus.write_bytes(b"".join(paragraph.encode() + b"\n" for paragraph in paragraphs))
        settings = {"precision": "float32", "device": "cpu", "min_sentences": 0, "min_characters": 0} | options
        config = EncodeConfig(
            model=str(reader.teacher.folder), corpus=(str(corpus),), cache=tmp_path / f"cache-{runs}", **settings
        )
        encode(config)
        return read_back(config.cache)

    return run


def read_back(folder: Path) -> Encoded:
    """Read a cache's rows."""
    found = Cache.open(folder)
    shards = []
    for shard in found.shards():
        table, lexicon = shard.words().to_pydict(), shard.lexicon()["word"].to_pylist()
        words = [[lexicon[word] for word in ids] for ids in table["word_ids"]]
        contexts = shard.contexts()
        shards.append([Row(*row) for row in zip(table["paragraph"], words, contexts, strict=True)])
    return Encoded(found, shards)


@pytest.fixture
def teacher(readers: Readers) -> Path:
    """The folder of a tiny BERT."""
    return readers("bert").teacher.folder


@pytest.fixture
def forks() -> Forks:
    """A way to run the command line in processes that need no imports of their own."""
    return shared_forks()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What stage one logs, also where the command line has set up logging before."""
    logger = logging.getLogger("x2static.stage1_encode")
    logger.addHandler(caplog.handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield caplog
    logger.setLevel(level)
    logger.removeHandler(caplog.handler)


@pytest.fixture
def without_segmenters(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where none of the extras for languages is installed."""
    for name, library in LIBRARIES.items():
        monkeypatch.setitem(LIBRARIES, name, Library((f"{name}-is-not-called-so",), library.load))
