"""Standard input: kept in the cache, so that a run that was broken off goes on, with the same text or none."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stage1_encode.corpora.test_formats import data_in
from tests.stage1_encode.forks import Forks
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, run, texts_of, write_lines
from x2static.durable.storage import TEMPORARY
from x2static.schemas.cache import Cache

TEXTS = paragraphs(10)
Pipe = Callable[..., tuple[int, str]]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "text.txt", TEXTS)


@pytest.fixture
def pipe(teacher: Path, forks: Forks, cache: Path) -> Pipe:
    """Encode standard input (a file; none: empty) in units of three."""

    def encode(stdin: Path | None = None, *extra: str, spec: str = "-", **settings: object) -> tuple[int, str]:
        if stdin:
            settings["stdin"] = str(stdin)
        arguments = [*as_options(config_of(teacher, spec, cache, unit=3)), *extra]
        return forks.run(*arguments, **settings)

    return encode


def spool_of(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "spool").glob("*"))


@pytest.mark.parametrize("form", ["lines", "jsonl", "parquet"])
def test_standard_input_gives_the_rows_of_a_file_whatever_its_format(form, pipe, forks, text, teacher, cache, tmp_path):
    (tmp_path / "input").write_bytes(data_in(form, TEXTS))
    spec = "-#text" if form in ("jsonl", "parquet") else "-"
    status, output = pipe(tmp_path / "input", "--format", form, spec=spec)
    assert status == 0, output
    run(teacher, text, tmp_path / "file", unit=3)
    assert texts_of(cache) == texts_of(tmp_path / "file")
    assert (cache / "spool" / "stdin").read_bytes() == (tmp_path / "input").read_bytes()
    status, output = forks.run("cache", "verify", str(cache))
    assert (status, "every hash is right" in output) == (0, True), output


def test_a_raised_limit_needs_no_input_and_takes_the_same_one(pipe, text, cache):
    assert pipe(text, "--limit", "4")[0] == 0
    status, output = pipe(None, "--limit", "7")
    assert (status, len(Cache.open(cache).plans())) == (0, 2), output
    status, output = pipe(text)
    assert (status, len(Cache.open(cache).plans())) == (0, 3), output
    before = files_of(cache)
    status, output = pipe(text)
    assert (status, "finished already" in output) == (0, True)
    assert files_of(cache) == before


def test_other_text_is_refused_and_the_cache_stays(pipe, text, cache, tmp_path):
    assert pipe(text, "--limit", "4")[0] == 0
    before, data, other = files_of(cache), text.read_bytes(), tmp_path / "other"
    for changed in (data + b"More.\n", data[:-7], b"X" + data[1:]):
        other.write_bytes(changed)
        status, output = pipe(other)
        assert status == 1
        assert "error: corpus -: standard input brings other text than the run before" in output
        assert "(< /dev/null)" in output
        assert files_of(cache) == before


def test_a_run_killed_while_it_reads_its_input_needs_it_again_and_leaves_nothing(pipe, text, cache):
    assert pipe(text, kill=("os:utime", "before", 1))[0] == -9  # the last step before the file gets its name
    (left,) = spool_of(cache)
    assert left.startswith(TEMPORARY)
    status, output = pipe(None)
    assert (status, "standard input is empty" in output) == (1, True)
    status, output = pipe(text)
    assert status == 0, output
    assert spool_of(cache) == ["stdin"]


@pytest.mark.parametrize(("step", "when"), [("corpora.sources:_write", "after"), ("encode:create", "before")])
def test_a_run_killed_before_its_manifest_goes_on_without_input(step, when, pipe, text, cache):
    assert pipe(text)[0] == 0
    whole = files_of(cache)
    shutil.rmtree(cache)
    assert pipe(text, kill=(f"x2static.stage1_encode.{step}", when, 1))[0] == -9
    assert spool_of(cache) == ["stdin"]
    status, output = pipe(None)
    assert status == 0, output
    assert files_of(cache) == whole


def test_text_that_could_not_be_planned_may_be_mended(pipe, text, cache, tmp_path):
    bad = tmp_path / "bad"
    bad.write_bytes(text.read_bytes() + b"\xff\n")
    for stdin in (bad, None):
        status, output = pipe(stdin)
        assert (status, "is not valid UTF-8" in output) == (1, True)
    assert pipe(text)[0] == 0
    assert (cache / "spool" / "stdin").read_bytes() == text.read_bytes()


def test_a_plan_reads_no_input_but_what_an_earlier_run_kept(pipe, text, cache, tmp_path):
    status, output = pipe(text, "--plan")
    assert (status, "error: corpus -: --plan would use standard input up" in output) == (1, True)
    assert not cache.exists()
    assert pipe(text, "--limit", "4")[0] == 0
    other = tmp_path / "other"
    other.write_text("Other text, which --plan does not read.\n")
    status, output = pipe(other, "--plan")
    assert status == 0, output
    assert "units          4 (2 to do)" in output


def test_standard_input_can_be_named_once(teacher, text, cache, forks):
    arguments = as_options(config_of(teacher, ("-", "-#text"), cache))
    status, output = forks.run(*arguments, stdin=str(text))
    assert (status, "the same corpus is named twice: -, -#text" in output) == (1, True)


@pytest.mark.parametrize("touched", [False, True])
def test_text_that_was_kept_and_is_damaged_is_not_read_and_can_be_brought_again(touched, pipe, text, cache):
    assert pipe(text)[0] == 0
    whole, kept = files_of(cache), cache / "spool" / "stdin"
    shutil.rmtree(cache / "shards" / "000002")
    data = bytearray(kept.read_bytes())
    data[-9] ^= 1
    kept.write_bytes(data)
    if not touched:
        os.utime(kept, (0, 0))
    for stdin in (None, text):
        status, output = pipe(stdin)
        assert status == 1, output
        assert str(kept) in output
    kept.unlink()
    assert pipe(text)[0] == 0
    assert files_of(cache) == whole
