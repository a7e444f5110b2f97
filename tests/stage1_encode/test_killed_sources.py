"""Every local source, killed twice at different places, goes on to the very bytes of an uninterrupted run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stage1_encode.conftest import Readers
from tests.stage1_encode.corpora.files import COMPRESSORS
from tests.stage1_encode.corpora.test_formats import data_in
from tests.stage1_encode.forks import Forks
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, run, texts_of, write_lines
from x2static.schemas.cache import Cache

TEXTS = paragraphs(14)
IN_A_SHARD = ("x2static.schemas.shard:write_table", "after", 3)  # of the second shard of that run, half is written
BEFORE_A_MARKER = (
    "x2static.stage1_encode.encode:commit_folder",
    "before",
    2,
)  # the second shard of that run waits for its name


def packed(data: bytes, ending: str) -> bytes:
    return COMPRESSORS[ending](data) if ending else data


def one_file(form: str, ending: str = "") -> Callable[[Path], dict[str, Any]]:
    def make(folder: Path) -> dict[str, Any]:
        path = folder / f"text{ending}"
        path.write_bytes(packed(data_in(form, TEXTS), ending))
        return {"corpus": path, "format": form}

    return make


def several_files(spec: str, form: str, ending: str = "") -> Callable[[Path], dict[str, Any]]:
    def make(folder: Path) -> dict[str, Any]:
        for number, size in enumerate((1, 4, 1, 2, 6)):
            path = folder / "texts" / str(number // 2) / f"wiki_{number:02}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            start = (0, 1, 5, 6, 8)[number]
            path.write_bytes(packed(data_in(form, TEXTS[start : start + size]), ending))
        return {"corpus": folder / spec, "format": form}

    return make


def standard_input(form: str, ending: str = "") -> Callable[[Path], dict[str, Any]]:
    def make(folder: Path) -> dict[str, Any]:
        path = folder / "input"
        path.write_bytes(packed(data_in(form, TEXTS), ending))
        return {"corpus": "-", "format": form, "stdin": path}

    return make


SOURCES = {
    **{form: one_file(form) for form in ("lines", "blank-lines", "wikiextractor", "jsonl", "parquet")},
    "lines.gz": one_file("lines", ".gz"),
    "lines.zst": one_file("lines", ".zst"),
    "blank-lines.bz2": one_file("blank-lines", ".bz2"),
    "wikiextractor.xz": one_file("wikiextractor", ".xz"),
    "jsonl.zst": one_file("jsonl", ".zst"),
    "folder": several_files("texts", "lines"),
    "folder of .bz2": several_files("texts", "wikiextractor", ".bz2"),
    "folder of Parquet": several_files("texts", "parquet"),
    "pattern": several_files("texts/**/wiki_*", "blank-lines"),
    "pattern of .gz": several_files("texts/*/*.gz", "jsonl", ".gz"),
    "standard input": standard_input("lines"),
    "standard input, .zst": standard_input("jsonl", ".zst"),
    "standard input, Parquet": standard_input("parquet"),
}


@pytest.fixture(scope="module")
def plain_texts(readers: Readers, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The rows that all sources have."""
    folder = tmp_path_factory.mktemp("plain")
    run(readers("bert").teacher.folder, write_lines(folder / "lines.txt", TEXTS), folder / "cache", unit=3)
    return texts_of(folder / "cache")


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_killed_twice_ends_with_the_bytes_of_an_uninterrupted_run(
    source: str, teacher: Path, plain_texts: list[str], forks: Forks, tmp_path: Path
) -> None:
    options = {"unit": 3, **SOURCES[source](tmp_path)}
    corpus, stdin = options.pop("corpus"), options.pop("stdin", None)
    pipe = {"stdin": str(stdin)} if stdin else {}

    def encode(cache: Path, **settings: Any) -> tuple[int, str]:
        return forks.run(*as_options(config_of(teacher, corpus, cache, **options)), **settings)

    once, killed = tmp_path / "once", tmp_path / "killed"
    status, output = encode(once, **pipe)
    assert status == 0, output
    assert encode(killed, kill=BEFORE_A_MARKER, **pipe)[0] == -9
    assert len(Cache.open(killed).committed()[0]) == 1
    assert encode(killed, kill=IN_A_SHARD)[0] == -9
    assert len(Cache.open(killed).committed()[0]) == 2
    status, output = encode(killed)
    assert status == 0, output
    assert "going on after 2 shards" in output
    assert files_of(killed) == files_of(once)
    assert texts_of(killed) == plain_texts
