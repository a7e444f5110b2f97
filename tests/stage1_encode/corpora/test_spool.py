"""Standard input: kept in the cache, so that a run that was broken off goes on, with the same text or none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.test_full_disk import run_on_small_disk
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


def test_standard_input_gives_the_rows_of_a_file(
    pipe: Pipe, text: Path, teacher: Path, cache: Path, tmp_path: Path
) -> None:
    status, output = pipe(text)
    assert status == 0, output
    run(teacher, text, tmp_path / "file", unit=3)
    assert texts_of(cache) == texts_of(tmp_path / "file")
    assert Cache.open(cache).plans()[0].corpus == "-"
    assert (cache / "spool" / "stdin").read_bytes() == text.read_bytes()


@pytest.mark.parametrize("form", ["jsonl", "parquet", "wikiextractor", "blank-lines"])
def test_standard_input_may_be_of_any_format_and_name_a_column(
    form: str, pipe: Pipe, text: Path, teacher: Path, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "input").write_bytes(data_in(form, TEXTS))
    spec = "-#text" if form in ("jsonl", "parquet") else "-"
    status, output = pipe(tmp_path / "input", "--format", form, spec=spec)
    assert status == 0, output
    run(teacher, text, tmp_path / "file", unit=3)
    assert texts_of(cache) == texts_of(tmp_path / "file")


def test_a_raised_limit_needs_no_input_and_takes_the_same_one(pipe: Pipe, text: Path, cache: Path) -> None:
    assert pipe(text, "--limit", "4")[0] == 0
    status, output = pipe(None, "--limit", "7")
    assert (status, len(Cache.open(cache).plans())) == (0, 2), output
    status, output = pipe(text)
    assert (status, len(Cache.open(cache).plans())) == (0, 3), output
    before = files_of(cache)
    status, output = pipe(text)
    assert (status, "finished already" in output) == (0, True)
    assert files_of(cache) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"More.\n",
        lambda data: data[:-7],
        lambda data: b"X" + data[1:],
        lambda data: data[:40],
    ],
    ids=["longer", "shorter", "changed", "begun"],
)
def test_other_text_is_refused_and_the_cache_stays(
    change: Callable[[bytes], bytes], pipe: Pipe, text: Path, cache: Path, tmp_path: Path
) -> None:
    assert pipe(text, "--limit", "4")[0] == 0
    before = files_of(cache)
    other = tmp_path / "other"
    other.write_bytes(change(text.read_bytes()))
    status, output = pipe(other)
    assert status == 1
    assert "error: corpus -: standard input brings other text than the run before" in output
    assert "(< /dev/null)" in output
    assert files_of(cache) == before


def test_no_input_at_all_is_refused(pipe: Pipe, cache: Path) -> None:
    status, output = pipe(None)
    assert (status, output.splitlines()[-1]) == (
        1,
        "error: corpus -: standard input is empty; pipe text into it",
    )
    assert not (cache / "spool").exists()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_killed_while_it_reads_its_input_needs_it_again_and_leaves_nothing(
    moment: str, pipe: Pipe, text: Path, cache: Path
) -> None:
    assert pipe(text, kill=("os:utime", moment, 1))[0] == -9  # the last step before the file gets its name
    (left,) = spool_of(cache)
    assert left.startswith(TEMPORARY)
    status, output = pipe(None)
    assert (status, "standard input is empty" in output) == (1, True)
    status, output = pipe(text)
    assert status == 0, output
    assert spool_of(cache) == ["stdin"]


@pytest.mark.parametrize(
    "kill",
    [
        ("x2static.stage1_encode.corpora.spool:_write", "after", 1),
        ("x2static.schemas.cache:write_plan", "after", 1),
        ("x2static.stage1_encode.encode:create", "before", 1),
    ],
    ids=["read", "planned", "before the cache is made"],
)
def test_a_run_killed_before_its_manifest_goes_on_without_input(
    kill: tuple[str, str, int], pipe: Pipe, text: Path, cache: Path, tmp_path: Path
) -> None:
    assert pipe(text)[0] == 0
    whole = files_of(cache)
    shutil.rmtree(cache)
    assert pipe(text, kill=kill)[0] == -9
    assert spool_of(cache) == ["stdin"]
    status, output = pipe(None)
    assert status == 0, output
    assert files_of(cache) == whole


def test_text_that_could_not_be_planned_may_be_mended(pipe: Pipe, text: Path, cache: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(text.read_bytes() + b"\xff\n")
    for stdin in (bad, None):
        status, output = pipe(stdin)
        assert (status, "is not valid UTF-8" in output) == (1, True)
    assert pipe(text)[0] == 0
    assert (cache / "spool" / "stdin").read_bytes() == text.read_bytes()


def test_verify_does_not_mind_the_input_that_is_kept(pipe: Pipe, text: Path, forks: Forks, cache: Path) -> None:
    assert pipe(text)[0] == 0
    status, output = forks.run("cache", "verify", str(cache))
    assert (status, "every hash is right" in output) == (0, True), output


def test_kept_input_that_was_changed_is_refused(pipe: Pipe, text: Path, cache: Path) -> None:
    assert pipe(text, "--limit", "4")[0] == 0
    spool = cache / "spool" / "stdin"
    spool.write_bytes(spool.read_bytes()[:-5] + b"HERE\n")
    status, output = pipe(None)
    assert (status, "corpus (-) xxh3: '" in output) == (1, True)


def test_a_plan_reads_no_input_but_what_an_earlier_run_kept(
    pipe: Pipe, text: Path, cache: Path, tmp_path: Path
) -> None:
    status, output = pipe(text, "--plan")
    assert (status, "error: corpus -: --plan would use standard input up" in output) == (1, True)
    assert not cache.exists()
    assert pipe(text, "--limit", "4")[0] == 0
    other = tmp_path / "other"
    other.write_text("Other text, which --plan does not read.\n")
    status, output = pipe(other, "--plan")
    assert status == 0, output
    assert "units          4 (2 to do)" in output


def test_standard_input_can_be_named_once(teacher: Path, forks: Forks, text: Path, cache: Path) -> None:
    arguments = as_options(config_of(teacher, ("-", "-#text"), cache))
    status, output = forks.run(*arguments, stdin=str(text))
    assert (status, "the same corpus is named twice: -, -#text" in output) == (1, True)
    assert not cache.exists()


def test_input_and_files_are_read_in_one_run(teacher: Path, forks: Forks, text: Path, cache: Path) -> None:
    other = write_lines(text.with_name("other.txt"), paragraphs(4, seed=1))
    status, output = forks.run(*as_options(config_of(teacher, (other, "-"), cache, unit=3)), stdin=str(text))
    assert status == 0, output
    assert [plan.corpus for plan in Cache.open(cache).plans()] == [str(other), "-"]


def test_a_disk_that_fills_up_while_input_is_read_leaves_nothing_half_written(teacher: Path, tmp_path: Path) -> None:
    source, disk, copy = tmp_path / "input", tmp_path / "disk", tmp_path / "copy"
    lines = write_lines(tmp_path / "lines", paragraphs(6)).read_bytes()
    source.write_bytes(lines + b"\n" * 3_000_000)
    arguments = as_options(config_of(teacher, "-", disk / "cache"))
    done = run_on_small_disk([*arguments, "<", source], "2m", disk, copy)
    assert "first {1}" in done.stdout, done.stderr
    assert "second {0}" in done.stdout, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "the disk is full" in errors[0]
    assert "Traceback" not in done.stderr
    assert spool_of(copy / "cache") == ["stdin"]
