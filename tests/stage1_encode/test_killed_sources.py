"""Every source, killed twice at different places, goes on to the very bytes of an uninterrupted run."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.stage1_encode.conftest import Readers
from tests.stage1_encode.corpora.files import COMPRESSORS
from tests.stage1_encode.corpora.test_formats import data_in
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, run, texts_of, write_lines
from x2static.schemas.cache import Cache

TEXTS = paragraphs(14)
IN_A_SHARD = ("x2static.schemas.shard:write_table", "after", 3)  # of the second shard of that run, half is written
BEFORE_A_MARKER = ("x2static.stage1_encode.encode:commit_folder", "before", 2)  # it waits for its name


def source(form: str, ending: str, spec: str, folder: Path) -> dict[str, Any]:
    """Write the texts in a format, compressed by an ending: as one file, as five in folders, or as standard input."""

    def write(path: Path, texts: list[str]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = data_in(form, texts)
        path.write_bytes(COMPRESSORS[ending](data) if ending else data)
        return path

    if spec == "hf://":
        write(folder / "data" / f"train.{form}", TEXTS)
        return {"corpus": f"hf://{folder / 'data'}"}
    if not spec.startswith("texts"):
        path = write(folder / f"text{ending}", TEXTS)
        return {"corpus": "-", "format": form, "stdin": path} if spec == "-" else {"corpus": path, "format": form}
    for number, (start, stop) in enumerate(pairwise((0, 1, 5, 6, 8, 14))):
        write(folder / "texts" / str(number // 2) / f"wiki_{number:02}{ending}", TEXTS[start:stop])
    return {"corpus": folder / spec, "format": form}


SOURCES = [
    ("lines", "", "file"),
    ("parquet", "", "file"),
    ("blank-lines", ".bz2", "file"),
    ("wikiextractor", ".xz", "file"),
    ("jsonl", ".zst", "file"),
    ("lines", "", "texts"),
    ("parquet", "", "texts"),
    ("jsonl", ".gz", "texts/*/*.gz"),
    ("lines", "", "-"),
    ("parquet", "", "-"),
    ("parquet", "", "hf://"),
    ("jsonl", "", "hf://"),
]


@pytest.fixture(scope="module")
def plain_texts(readers: Readers, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The rows that all sources have."""
    folder = tmp_path_factory.mktemp("plain")
    run(readers("bert").teacher.folder, write_lines(folder / "lines.txt", TEXTS), folder / "cache", unit=3)
    return texts_of(folder / "cache")


# Of each way to name a source one; `make test-all` has them all, and `make chaos` kills whatever reads files and pipes.
FIRST = {("parquet", "", "file"), ("lines", "", "texts"), ("lines", "", "-"), ("jsonl", "", "hf://")}
MARKED = [pytest.param(*one, marks=[] if one in FIRST else pytest.mark.exhaustive) for one in SOURCES]


@pytest.mark.parametrize(("form", "ending", "spec"), MARKED)
def test_a_source_killed_twice_ends_with_the_bytes_of_one_run(
    form, ending, spec, teacher, plain_texts, forks, tmp_path
):
    options = {"unit": 3, **source(form, ending, spec, tmp_path)}
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
    assert "going on after 2 units" in output
    assert files_of(killed) == files_of(once)
    assert texts_of(killed) == plain_texts
