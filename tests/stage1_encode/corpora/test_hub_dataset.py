"""Data sets as a corpus, here local folders: rows of several paragraphs, units that end inside a row, and resuming."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.stage1_encode.forks import Forks
from tests.stage1_encode.runs import (
    as_options,
    assert_same_rows,
    config_of,
    files_of,
    paragraphs,
    run,
    texts_of,
    write_lines,
)
from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Progress
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.manifest import Unit
from x2static.stage1_encode.corpora.hub_dataset import HubDataset
from x2static.stage1_encode.corpora.sampling import Sample
from x2static.stage1_encode.corpora.sources import Source
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.encoder import Encoder
from x2static.stage1_encode.plan.remaining import read_remaining

# 22 paragraphs in 11 rows: rows of one, of many, of none, and null.
SIZES = (1, 3, 0, 7, None, 2, 1, 0, 5, 3, 0)


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets-cache")


def rows() -> tuple[list[str], list[str | None]]:
    """Return the paragraphs, and the rows that hold them, with blank lines between."""
    lines = paragraphs(22)
    left, texts = iter(lines), []
    for size in SIZES:
        texts.append(None if size is None else "\n \n".join(next(left) for _ in range(size)))
    assert not list(left)
    return lines, texts


def write_parquet(folder: Path, texts: list[str | None]) -> str:
    folder.mkdir(exist_ok=True)
    # Two files, several row groups: a stream goes on from one to the other.
    for number, part in enumerate((texts[:4], texts[4:])):
        pq.write_table(
            pa.table({"text": pa.array(part, pa.string()), "n": list(range(len(part)))}),
            folder / f"train-{number:05d}-of-00002.parquet",
            row_group_size=2,
        )
    return f"hf://{folder}:train#text"


def write_jsonl(folder: Path, texts: list[str | None]) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "train.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return f"hf://{folder}:train#text"


@pytest.fixture(params=[write_parquet, write_jsonl])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    write: Callable[[Path, list[str | None]], str] = request.param
    return write(tmp_path / "data", rows()[1])


@pytest.fixture
def parquet(tmp_path: Path) -> str:
    return write_parquet(tmp_path / "data", rows()[1])


def dataset_of(spec: str, **options: Any) -> HubDataset:
    return HubDataset(spec, EncodeConfig(model="any", corpus=(spec,), cache=Path("any"), **options))


def units_of(spec: str, **options: Any) -> list[tuple[list[str], Unit]]:
    corpus = dataset_of(spec, **options)
    plan = corpus.plan(corpus.identity(), 0, None)
    return [(work.text.paragraphs, work.text.unit) for work in read_remaining([plan], [Source(corpus, {}, (0,))], {})]


@pytest.mark.parametrize("unit", [1, 2, 3, 5, 22, 100])
def test_each_line_of_a_row_is_a_paragraph_wherever_units_end(spec: str, unit: int) -> None:
    lines, _ = rows()
    found = units_of(spec, unit=unit, limit=100)  # with a limit, Parquet is read as a stream, too
    assert [text for texts, _ in found for text in texts] == lines
    sizes = [len(texts) for texts, _ in found]
    assert all(size == unit for size in sizes[:-1])
    assert [bounds.paragraphs for _, bounds in found] == sizes


@pytest.mark.parametrize("unit", [2, 3])
def test_a_unit_read_by_itself_is_the_unit_read_in_its_turn(spec: str, unit: int) -> None:
    for texts, bounds in units_of(spec, unit=unit, limit=100):
        corpus = dataset_of(spec, unit=unit, limit=100)
        corpus.connect(corpus.plan(corpus.identity(), 0, None))
        again = corpus.read(bounds.model_copy(update={"stop": None, "stop_line": 0, "paragraphs": unit}))
        assert (again.paragraphs, again.unit) == (texts, bounds)


@pytest.mark.parametrize("limit", [1, 2, 6, 11, 21, 22, 23])
def test_the_limit_counts_paragraphs_not_rows(spec: str, limit: int) -> None:
    texts = [text for texts, _ in units_of(spec, unit=4, limit=limit) for text in texts]
    assert texts == rows()[0][:limit]


def test_a_data_set_gives_the_rows_of_a_text_file_with_its_paragraphs(spec: str, teacher: Path, tmp_path: Path) -> None:
    run(teacher, spec, tmp_path / "cache", unit=5)
    run(teacher, write_lines(tmp_path / "same.txt", rows()[0]), tmp_path / "text", unit=5)
    assert_same_rows(tmp_path / "cache", tmp_path / "text")


def test_raising_the_limit_in_steps_gives_the_rows_of_one_run(spec: str, teacher: Path, tmp_path: Path) -> None:
    run(teacher, spec, tmp_path / "once", unit=3)
    for limit in (2, 7, 8, 8, None, None):
        figures = run(teacher, spec, tmp_path / "steps", unit=3, limit=limit)
        if limit:
            assert figures["paragraphs"] == limit
    assert_same_rows(tmp_path / "steps", tmp_path / "once")
    assert figures["shards"] == figures["shards_resumed"]


class Stop(Exception):  # noqa: N818 - it stands for a kill
    """The run is over."""


def stop_after(units: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the teacher encode so many units and then break the run off."""
    left, original = units, Encoder.encode

    def encode(encoder: Encoder, portions: Any, what: str, dtype: torch.dtype) -> Any:
        nonlocal left
        if not left:
            raise Stop
        left -= 1
        return original(encoder, portions, what, dtype)

    monkeypatch.setattr(Encoder, "encode", encode)


def test_a_limit_may_change_while_the_stream_is_not_finished(
    parquet: str, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(Stop):
            run(teacher, parquet, cache, unit=3, limit=20)
    assert Cache.open(cache).missing() is None
    with pytest.raises(X2StaticError, match=r"limit: [36] paragraphs are planned already != 2\."):
        run(teacher, parquet, cache, unit=3, limit=2)
    assert run(teacher, parquet, cache, unit=3, limit=10)["paragraphs"] == 10
    with pytest.raises(X2StaticError, match=r"limit: 10 paragraphs are planned already != 9\."):
        run(teacher, parquet, cache, unit=3, limit=9)
    run(teacher, parquet, cache, unit=3)
    run(teacher, parquet, tmp_path / "once", unit=3)
    assert_same_rows(cache, tmp_path / "once")


def test_a_limit_that_is_lowered_to_what_is_there_finishes_the_stream(
    parquet: str, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(Stop):
            run(teacher, parquet, cache, unit=3, limit=20)
    held = sum(marker.unit.paragraphs for marker in Cache.open(cache).committed()[0].values())
    assert held in (3, 6)  # the second shard may not have been written yet
    assert run(teacher, parquet, cache, unit=3, limit=held)["paragraphs"] == held
    assert Cache.open(cache).missing() == []
    run(teacher, parquet, cache, unit=3)
    assert texts_of(cache) == texts_of_file(teacher, tmp_path)


def texts_of_file(teacher: Path, tmp_path: Path) -> list[str]:
    run(teacher, write_lines(tmp_path / "same.txt", rows()[0]), tmp_path / "text")
    return texts_of(tmp_path / "text")


def test_a_stream_stopped_twice_ends_as_the_uninterrupted_one(
    parquet: str, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(teacher, parquet, tmp_path / "once", unit=3)
    for units in (2, 3):
        with monkeypatch.context() as patch:
            stop_after(units, patch)
            with pytest.raises(Stop):
                run(teacher, parquet, tmp_path / "cache", unit=3)
    run(teacher, parquet, tmp_path / "cache", unit=3)
    assert files_of(tmp_path / "cache") == files_of(tmp_path / "once")


def test_a_stream_killed_twice_ends_as_the_uninterrupted_one(forks: Forks, teacher: Path, tmp_path: Path) -> None:
    spec = write_parquet(tmp_path / "data", rows()[1])
    run(teacher, spec, tmp_path / "once", unit=3)
    arguments = as_options(config_of(teacher, spec, tmp_path / "cache", unit=3))
    for kill, held in (
        (("x2static.schemas.shard:commit_folder", "before", 3), 2),  # shard 2 is whole but for its name
        (("x2static.schemas.shard:_write_table", "after", 4), 3),  # shard 4 has its tables and no marker
    ):
        status, output = forks.run(*arguments, kill=kill)
        assert status == -9, output
        committed, damaged = Cache.open(tmp_path / "cache").committed()
        assert (len(committed), damaged) == (held, {})
    status, output = forks.run(*arguments)
    assert status == 0, output
    assert "going on after 3 shards" in output
    assert files_of(tmp_path / "cache") == files_of(tmp_path / "once")


def test_a_shard_lost_from_the_middle_of_a_stream_is_encoded_again_alike(
    parquet: str, teacher: Path, tmp_path: Path
) -> None:
    run(teacher, parquet, tmp_path / "cache", unit=3)
    before = files_of(tmp_path / "cache")
    for name in ("000001", "000004"):
        (tmp_path / "cache" / "shards" / name / "shard.json").unlink()
    run(teacher, parquet, tmp_path / "cache", unit=3)
    assert files_of(tmp_path / "cache") == before


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        (":test#text", r"Bad split: test|Unknown split|split"),
        (":train#body", r"no column 'body'; it has .*text"),
        (":train#n", r"column 'n' holds int in row 0, not text"),
    ],
)
def test_a_split_or_column_that_is_not_there_or_holds_no_text_is_named(
    ending: str, message: str, tmp_path: Path
) -> None:
    spec = write_parquet(tmp_path / "data", rows()[1]).removesuffix(":train#text") + ending
    with pytest.raises(X2StaticError, match=rf"^corpus {spec}: ({message})"):
        units_of(spec)


@pytest.mark.parametrize("spec", ["hf://", "hf://:train", "hf://name#", "hf://name:#text", "hf://name:train:more#"])
def test_a_spec_of_another_form_is_refused_with_the_form(spec: str) -> None:
    with pytest.raises(X2StaticError, match=rf"^corpus {spec}: expected hf://name/config:split#column$"):
        dataset_of(spec)


def test_a_spec_names_data_set_configuration_split_and_column() -> None:
    def parts(spec: str) -> tuple[str, str | None, str, str]:
        corpus = dataset_of(spec)
        return corpus.name, corpus.subset, corpus.split, corpus.column

    assert parts("hf://owner/name/20231101.en:validation#body") == ("owner/name", "20231101.en", "validation", "body")
    assert parts("hf://owner/name") == ("owner/name", None, "train", "text")
    assert parts("hf://name#line#2") == ("name", None, "train", "line#2")


def test_a_folder_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(X2StaticError, match=rf"corpus hf://{tmp_path}/none: no such folder: {tmp_path}/none"):
        dataset_of(f"hf://{tmp_path}/none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(X2StaticError, match=rf"corpus hf://{tmp_path}/empty: .*any data files"):
        units_of(f"hf://{tmp_path}/empty")


@pytest.mark.parametrize("damage", ["no json", "cut parquet", "overwritten parquet"])
def test_a_damaged_file_is_one_clear_error_naming_the_corpus(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    if damage == "no json":
        spec = write_jsonl(folder, ["one", "two"])
        (folder / "train.jsonl").write_text('{"text": "one"}\n{"text":\n')
    else:
        spec = write_parquet(folder, rows()[1])
        for path in folder.iterdir():
            data = bytearray(path.read_bytes())
            data[4:60] = b"\xff" * 56
            path.write_bytes(data[:-50] if damage == "cut parquet" else data)
    with pytest.raises(X2StaticError, match=rf"^corpus {spec}: "):
        units_of(spec)


def test_a_file_damaged_behind_the_first_units_leaves_these_and_says_where_it_stopped(
    teacher: Path, tmp_path: Path
) -> None:
    spec = write_parquet(tmp_path / "data", rows()[1])
    second = tmp_path / "data" / "train-00001-of-00002.parquet"
    whole = bytearray(second.read_bytes())
    broken = bytearray(whole)
    broken[4:60] = b"\xff" * 56
    second.write_bytes(broken)
    with pytest.raises(X2StaticError, match=rf"corpus {spec}: reading failed at row 4: .*; run again to go on there"):
        run(teacher, spec, tmp_path / "cache", unit=3, limit=100)
    assert len(Cache.open(tmp_path / "cache").committed()[0]) >= 1
    assert not list((tmp_path / "cache" / "shards").glob(".tmp-*"))


def test_reading_without_a_connection_is_a_defect_of_ours(tmp_path: Path) -> None:
    corpus = dataset_of(write_parquet(tmp_path / "data", rows()[1]))
    with pytest.raises(RuntimeError, match="connect to the data set before reading"):
        corpus.read(Unit(source="any", start=0, stop=None, paragraphs=1))


def test_changed_files_are_refused_and_touched_ones_are_not(parquet: str, teacher: Path, tmp_path: Path) -> None:
    run(teacher, parquet, tmp_path / "cache", limit=4)
    path = sorted((tmp_path / "data").iterdir())[0]
    whole = path.read_bytes()
    path.write_bytes(whole)  # another time of change, the same bytes
    run(teacher, parquet, tmp_path / "cache", limit=5)
    path.write_bytes(whole + b"\n")
    before = files_of(tmp_path / "cache")
    with pytest.raises(
        X2StaticError, match=rf"corpus \({parquet}\) files: {path.name}: '\w+' != '\w+'\. Ask for the same"
    ):
        run(teacher, parquet, tmp_path / "cache", limit=6)
    assert files_of(tmp_path / "cache") == before


def test_another_column_or_split_is_another_corpus(teacher: Path, tmp_path: Path) -> None:
    spec = write_parquet(tmp_path / "data", rows()[1])
    run(teacher, spec, tmp_path / "cache", limit=4)
    other = spec.removesuffix("text") + "n"
    with pytest.raises(X2StaticError, match=r"column: 'text' != 'n'"):
        run(teacher, other, tmp_path / "cache", limit=4)


@pytest.mark.parametrize("lost", [0, 1, 2], ids=["first", "middle", "last"])
@pytest.mark.parametrize("limit", [10, None], ids=["raised", "lifted"])
def test_a_raised_limit_and_a_lost_shard_are_both_mended_in_one_call(
    lost: int, limit: int | None, parquet: str, teacher: Path, tmp_path: Path
) -> None:
    other = write_lines(tmp_path / "other.txt", paragraphs(7, seed=9))
    cache = tmp_path / "cache"
    run(teacher, (parquet, other), cache, unit=2, limit=6)
    (cache / "shards" / f"{lost:06d}" / "shard.json").unlink()
    figures = run(teacher, (parquet, other), cache, unit=2, limit=limit)
    lines = rows()[0] if limit is None else rows()[0][:limit]
    seventh = paragraphs(7, seed=9)
    assert figures["paragraphs"] == len(lines) + 7
    # What a raised limit adds stands behind what was there; the file's comes first, the stream has to be mended before.
    in_order = [*lines[:6], *seventh, *lines[6:]]
    run(teacher, write_lines(tmp_path / "same.txt", in_order), tmp_path / "t")
    assert texts_of(cache) == texts_of(tmp_path / "t")
    assert Cache.open(cache).verify() == []


def test_a_lowered_limit_over_a_lost_shard_mends_it_and_is_refused(
    parquet: str, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(Stop):
            run(teacher, parquet, cache, unit=2, limit=20)
    (cache / "shards" / "000001" / "shard.json").unlink()
    with pytest.raises(X2StaticError, match=r"limit: \d+ paragraphs are planned already != 5"):
        run(teacher, parquet, cache, unit=2, limit=5)
    run(teacher, parquet, cache, unit=2)
    assert texts_of(cache) == texts_of_file(teacher, tmp_path)


def test_reading_a_row_again_after_another_goes_on_behind_it(parquet: str) -> None:
    corpus = dataset_of(parquet, unit=2)
    corpus.plan(corpus.identity(), 0, None)
    row = Unit(source=parquet, start=3, stop=None, paragraphs=2)
    first = corpus.read(row)
    assert first.unit.stop == 3, "the row holds more"
    corpus.read(Unit(source=parquet, start=8, stop=None, paragraphs=2))
    whole = corpus.read(row.model_copy(update={"paragraphs": 9}))
    assert whole.paragraphs == rows()[0][4:13]


@pytest.mark.parametrize("policy", ["fail", "skip"])
def test_a_line_that_is_too_long_is_bad_text(policy: str, tmp_path: Path) -> None:
    spec = write_jsonl(tmp_path / "long", ["short\n" + "x" * 200 + "\nlast", "more"])
    if policy == "fail":
        with pytest.raises(X2StaticError, match=r"row 0 holds a line of 200 characters"):
            units_of(spec, unit=9, max_paragraph_bytes=100)
    else:
        found = units_of(spec, unit=9, max_paragraph_bytes=100, on_bad_text="skip")
        assert [text for texts, _ in found for text in texts] == ["short", "last", "more"]


def numbered(unit: int, **options: Any) -> list[str]:
    """Return the sampled paragraphs of the numbered lines."""
    return [text for texts, _ in units_of(options.pop("spec"), unit=unit, **options) for text in texts]


@pytest.mark.parametrize("limit", [None, 100])
def test_a_sample_is_drawn_by_row_and_line_whatever_the_units(spec: str, limit: int | None) -> None:
    places = [
        (row, number, line)
        for row, text in enumerate(rows()[1])
        for number, line in enumerate((text or "").split("\n"))
        if line.strip()
    ]
    expected = [line for row, number, line in places if Sample(0.4, 7).takes(row, number)]
    assert 3 < len(expected) < 15
    for unit in (1, 2, 5, 100):
        assert numbered(unit, spec=spec, limit=limit, sample=0.4, seed=7) == expected
    assert numbered(2, spec=spec, limit=limit, sample=0.4, seed=8) != expected
    assert numbered(2, spec=spec, limit=3, sample=0.4, seed=7) == expected[:3]


def test_units_of_parquet_are_ranges_of_rows_with_about_so_many_sampled_paragraphs(tmp_path: Path) -> None:
    spec = write_parquet(tmp_path / "data", ["\n".join(f"{row}-{line}" for line in range(3)) for row in range(400)])
    for share, n_rows in ((None, 20), (0.5, 40), (0.05, 400)):
        corpus = dataset_of(spec, unit=60, sample=share)
        plan = corpus.plan(corpus.identity(), 0, None)
        units = plan.units or ()
        assert [(unit.start, unit.stop) for unit in units] == [(row, row + n_rows) for row in range(0, 400, n_rows)]
        assert not any(unit.counted for unit in units)
        assert all(unit.paragraphs == 60 for unit in units)
        read = [corpus.read(unit) for unit in reversed(units)]
        assert all(text.unit.counted and text.unit.paragraphs == len(text.paragraphs) for text in read)
        assert [text.unit.stop for text in read] == [unit.stop for unit in reversed(units)]


def test_rows_that_get_shorter_are_counted_from_all_over(tmp_path: Path) -> None:
    spec = write_parquet(tmp_path / "data", ["\n".join("abcdefgh" if row < 100 else "a") for row in range(800)])
    corpus = dataset_of(spec, unit=90)
    plan = corpus.plan(corpus.identity(), 0, None)
    planned = sum(unit.paragraphs for unit in plan.units or ())
    assert planned == pytest.approx(800 + 700, rel=0.05)


def test_lifting_the_limit_of_parquet_goes_on_in_the_middle_of_a_row_with_a_closed_plan(
    parquet: str, teacher: Path, tmp_path: Path
) -> None:
    run(teacher, parquet, tmp_path / "cache", unit=3, limit=6)
    run(teacher, parquet, tmp_path / "cache", unit=3)
    first, second = Cache.open(tmp_path / "cache").plans()
    assert first.units is None
    assert second.units
    assert (second.units[0].start, second.units[0].start_line) == (3, 2)
    assert texts_of(tmp_path / "cache") == texts_of_file(teacher, tmp_path)


def test_a_limit_below_or_unknown_to_a_closed_plan_is_refused_and_one_beyond_it_adds_nothing(
    parquet: str, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(Stop):
            run(teacher, parquet, cache, unit=3)
    with pytest.raises(X2StaticError, match=r"limit: all of the corpus is planned already != 30\."):
        run(teacher, parquet, cache, unit=3, limit=30)
    run(teacher, parquet, cache, unit=3)
    before = files_of(cache)
    with pytest.raises(X2StaticError, match=r"limit: 22 paragraphs are planned already != 21\."):
        run(teacher, parquet, cache, unit=3, limit=21)
    run(teacher, parquet, cache, unit=3, limit=22)
    assert files_of(cache) == before


def test_progress_over_estimated_units_says_so_and_ends_at_what_there_was(
    parquet: str, teacher: Path, tmp_path: Path
) -> None:
    told: list[Progress] = []
    encode(config_of(teacher, parquet, tmp_path / "cache", unit=3), told.append)
    assert told[0].done == 0
    assert all(progress.about for progress in told[:-1])
    assert (told[-1].done, told[-1].total, told[-1].about) == (22, 22, False)


@pytest.mark.parametrize("limit", [None, 9])
@pytest.mark.parametrize("unit", [1, 2, 100])
def test_lines_that_are_too_long_are_counted_once_and_said(
    limit: int | None, unit: int, spec: str, teacher: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    long = "x" * 300
    write = write_jsonl if (tmp_path / "data" / "train.jsonl").exists() else write_parquet
    spec = write(tmp_path / "data", ["a\n" + long + "\nb\nc", long, None, "d\ne\nf", f"{long}\ng\nh\n{long}", "i"])
    options = {"unit": unit, "on_bad_text": "skip", "max_paragraph_bytes": 200}
    run(teacher, spec, tmp_path / "cache", limit=4, **options)  # then it is raised
    run(teacher, spec, tmp_path / "cache", limit=limit, **options)
    markers, _ = Cache.open(tmp_path / "cache").committed()
    assert sum(marker.unit.skipped for marker in markers.values()) == 4
    assert texts_of(tmp_path / "cache") == list("abcdefghi")
    records = {id(record): record for record in log.records if record.levelname == "WARNING"}  # each may come twice
    said = [record.getMessage() for record in records.values()]
    assert said == [f"{spec}: 2 lines are too long and left out"] * 2


def test_parquet_without_a_row_is_refused_as_empty(teacher: Path, tmp_path: Path) -> None:
    spec = write_parquet(tmp_path / "data", [])
    with pytest.raises(X2StaticError, match="the filter left nothing of 0 paragraphs"):
        run(teacher, spec, tmp_path / "cache")


@pytest.mark.parametrize("limit", [None, 100])
def test_a_later_file_without_the_column_is_named(limit: int | None, tmp_path: Path) -> None:
    spec = write_parquet(tmp_path / "data", rows()[1])
    other = tmp_path / "data" / "train-00001-of-00002.parquet"
    pq.write_table(pa.table({"body": ["text"]}), other)
    with pytest.raises(X2StaticError, match=rf"{other}: no column 'text', which the files before it have"):
        units_of(spec, limit=limit)
