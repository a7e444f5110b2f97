"""Data sets as a corpus, here local folders: rows of several paragraphs, units that end inside a row, and the spool."""

import json
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stage1_encode.runs import config_of, files_of, paragraphs, run, texts_of, write_lines
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json, read_sealed
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import ReadingOptions
from x2static.schemas.manifest import Unit
from x2static.stage1_encode.corpora.corpus import in_sample
from x2static.stage1_encode.corpora.hub import HubDataset
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.plan.estimate import estimate

# 22 paragraphs in 11 rows: rows of one, of many, of none, and null.
SIZES = (1, 3, 0, 7, None, 2, 1, 0, 5, 3, 0)


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets-cache")


LINES = paragraphs(22)
left = iter(LINES)
ROWS = [None if size is None else "\n \n".join(islice(left, size)) for size in SIZES]  # blank lines between


def write_parquet(folder: Path, texts: list[str | None] = ROWS) -> str:
    folder.mkdir(exist_ok=True)
    for number, part in enumerate((texts[:4], texts[4:])):  # two files, several row groups
        table = pa.table({"text": pa.array(part, pa.string()), "n": list(range(len(part)))})
        pq.write_table(table, folder / f"train-{number:05d}-of-00002.parquet", row_group_size=2)
    return f"hf://{folder}:train#text"


def write_jsonl(folder: Path, texts: list[str | None] = ROWS) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "train.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return f"hf://{folder}:train#text"


@pytest.fixture(params=[write_parquet, write_jsonl])
def write(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def spec(write: Callable[..., str], tmp_path: Path) -> str:
    return write(tmp_path / "data")


@pytest.fixture
def parquet(tmp_path: Path) -> str:
    return write_parquet(tmp_path / "data")


def dataset_of(spec: str, cache: Path = Path("none"), spool: bool = True, **options: Any) -> HubDataset:
    return HubDataset(spec, ReadingOptions(**options), cache, spool)


def units_of(spec: str, cache: Path, **options: Any) -> list[tuple[list[str], Unit]]:
    """Return the paragraphs of each unit; they are read once in order, once in the other one, and compared."""
    corpus = dataset_of(spec, cache, **options)
    plan = corpus.plan(corpus.identity())
    read = [corpus.read(unit) for unit in plan.units]
    alone = dataset_of(spec, cache, **options)
    alone.connect(plan.identity)
    assert [alone.read(unit) for unit in reversed(plan.units)] == read[::-1]
    return [(text.paragraphs, text.unit) for text in read]


@pytest.mark.parametrize("unit", [1, 3, 22])
def test_each_line_of_a_row_is_a_paragraph_and_the_limit_counts_paragraphs_wherever_units_end(unit, spec, tmp_path):
    for limit in (1, 2, 11, 21, 22, 23):
        units = units_of(spec, tmp_path, unit=unit, limit=limit)
        assert [text for texts, _ in units for text in texts] == LINES[:limit]
        assert all(len(texts) == unit for texts, _ in units[:-1])
        assert all(bounds.paragraphs == len(texts) and bounds.counted for texts, bounds in units)


def test_rows_that_are_spooled_are_read_once_and_go_on_after_any_row(tmp_path, monkeypatch):
    monkeypatch.setattr("x2static.stage1_encode.corpora.hub_rows.PART_BYTES", 1)  # a file a row with text
    jsonl = write_jsonl(tmp_path / "data")
    corpus = dataset_of(jsonl, tmp_path, limit=9)
    identity = corpus.identity()
    first = corpus.plan(identity)
    parts = sorted(path.name for path in (tmp_path / "spool").glob("*/*"))
    assert parts == [f"{row:012}.parquet" for row in (0, 1, 2)], "no row behind the limit is read"
    assert [text for unit in first.units for text in corpus.read(unit).paragraphs] == LINES[:9]
    corpus.close()

    (next((tmp_path / "spool").glob("*")) / parts[1]).unlink()  # what stands behind the gap does not count
    rest = dataset_of(jsonl, tmp_path)
    second = rest.plan(identity, 9, first.units[-1])
    (tmp_path / "data" / "train.jsonl").unlink()
    alone = dataset_of(jsonl, tmp_path)
    alone.connect(identity)
    units = [*first.units, *second.units]
    assert [text for unit in units for text in alone.read(unit).paragraphs] == LINES, "the source is not needed"


def test_a_stream_of_version_0_1_0_is_closed_by_its_markers_and_refused_unfinished(teacher, tmp_path):
    jsonl, cache = write_jsonl(tmp_path / "data"), tmp_path / "cache"
    run(teacher, jsonl, cache, unit=3, limit=8)
    file, shard = cache / "plans" / "0.json", cache / "shards" / "000001" / "shard.json"
    (plan,) = Cache.open(cache).plans()
    old = read_sealed(file) | {"units": None, "ended": None, "start": 0, "start_line": 0}
    file.write_bytes(canonical_json(old))
    shutil.rmtree(cache / "spool")  # it had none
    assert Cache.open(cache).plans() == [plan]
    assert Cache.open(cache).verify() == []
    assert run(teacher, jsonl, cache, unit=3)["paragraphs"] == 22
    assert texts_of(cache) == texts_of_file(teacher, tmp_path)
    shard.unlink()
    with pytest.raises(X2StaticError, match=r"0\.json: the corpus .* was not read to its end.* with x2static 0\.1\.0"):
        Cache.open(cache).plans()


def texts_of_file(teacher: Path, tmp_path: Path) -> list[str]:
    run(teacher, write_lines(tmp_path / "same.txt", LINES), tmp_path / "text")
    return texts_of(tmp_path / "text")


def test_parquet_without_a_limit_is_ranges_of_rows_with_about_so_many_sampled_paragraphs(tmp_path):
    spec = write_parquet(tmp_path / "data", ["\n".join(f"{row}-{line}" for line in range(3)) for row in range(400)])
    for share, n_rows in ((None, 20), (0.5, 40), (0.05, 400)):
        corpus = dataset_of(spec, tmp_path, unit=60, sample=share)
        units = corpus.plan(corpus.identity()).units
        assert [(unit.start, unit.stop) for unit in units] == [(row, row + n_rows) for row in range(0, 400, n_rows)]
        assert all(unit.paragraphs == 60 and not unit.counted for unit in units)
        read = [corpus.read(unit) for unit in reversed(units)]
        assert all(text.unit.counted and text.unit.paragraphs == len(text.paragraphs) for text in read)
    assert not (tmp_path / "spool").exists()
    shorter = write_parquet(tmp_path / "data", ["\n".join("abcdefgh" if row < 100 else "a") for row in range(800)])
    corpus = dataset_of(shorter, tmp_path, unit=90)
    planned = sum(unit.paragraphs for unit in corpus.plan(corpus.identity()).units)
    assert planned == pytest.approx(800 + 700, rel=0.05), "rows from all over are counted"


def test_lifting_the_limit_of_parquet_goes_on_within_a_row_and_a_later_limit_is_refused(parquet, teacher, tmp_path):
    cache = tmp_path / "cache"
    run(teacher, parquet, cache, unit=3, limit=6)
    run(teacher, parquet, cache, unit=3, part="1/2")
    second = Cache.open(cache).plans()[1]
    assert (second.units[0].start, second.units[0].start_line) == (3, 2)
    with pytest.raises(X2StaticError, match=r"limit: all of the corpus planned already != 30\."):
        run(teacher, parquet, cache, unit=3, limit=30)
    run(teacher, parquet, cache, unit=3)
    before = files_of(cache)
    assert texts_of(cache) == texts_of_file(teacher, tmp_path)
    run(teacher, parquet, cache, unit=3, limit=22)
    assert files_of(cache) == before


def test_an_estimate_writes_nothing_and_needs_a_limit_where_nothing_tells_the_length(write, teacher, tmp_path):
    spec = write(tmp_path / "data", [f"{line} Again." for line in paragraphs(40)])
    config = config_of(teacher, spec, tmp_path / "cache", unit=4, limit=10)
    figures = estimate(config)
    assert (figures["units"], figures["units_left"], figures["paragraphs"]) == (3, 3, 10)
    assert not figures["paragraphs_counted"]
    if write is write_parquet:
        assert estimate(config.model_copy(update={"limit": None}))["paragraphs"] == 40
    else:
        with pytest.raises(X2StaticError, match="--plan needs a --limit"):
            estimate(config.model_copy(update={"limit": None}))
    assert not (tmp_path / "cache").exists()
    encode(config)
    figures = estimate(config)
    assert (figures["units_left"], figures["paragraphs"], figures["paragraphs_counted"]) == (0, 10, True)


@pytest.mark.parametrize("limit", [None, 100])
def test_a_sample_is_drawn_by_row_and_line_whatever_the_units(limit, spec, tmp_path):
    places = [
        (row, number, line)
        for row, text in enumerate(ROWS)
        for number, line in enumerate(line for line in (text or "").split("\n") if line.strip())
    ]
    expected = [line for row, number, line in places if in_sample(0.4, 7, row, number)]
    assert 3 < len(expected) < 15

    def sampled(**options: Any) -> list[str]:
        return [text for texts, _ in units_of(spec, tmp_path, sample=0.4, **options) for text in texts]

    for unit in (1, 5, 100):
        assert sampled(unit=unit, limit=limit, seed=7) == expected
    assert sampled(unit=2, limit=limit, seed=8) != expected
    assert sampled(unit=2, limit=3, seed=7) == expected[:3]


@pytest.mark.parametrize("limit", [None, 9])
def test_lines_that_are_too_long_are_counted_once_and_reported(limit, write, teacher, tmp_path, log):
    long = "x" * 300
    spec = write(tmp_path / "data", ["a\n" + long + "\nb\nc", long, None, "d\ne\nf", f"{long}\ng\nh\n{long}", "i"])
    options = {"unit": 2, "on_bad_text": "skip", "max_paragraph_bytes": 200}
    for raised in (4, limit):
        run(teacher, spec, tmp_path / "cache", limit=raised, **options)
    cache = Cache.open(tmp_path / "cache")
    assert texts_of(tmp_path / "cache") == list("abcdefghi")
    in_units = [marker.unit.skipped for marker in cache.committed()[0].values()]
    assert sum(plan.skipped for plan in cache.plans()) + sum(in_units) == 4
    assert log.text.count("left out") >= 2
    with pytest.raises(X2StaticError, match=r"a line of row 0 is longer than 200 bytes"):
        units_of(spec, tmp_path, max_paragraph_bytes=200)


def test_a_split_or_column_that_is_not_there_or_holds_no_text_is_named(parquet, tmp_path):
    for ending, message in (
        (":test#text", r"Bad split: test|Unknown split|split"),
        (":train#body", r"no column 'body'; it has .*text"),
        (":train#n", r"column 'n' holds int in row 0, not text"),
    ):
        spec = parquet.removesuffix(":train#text") + ending
        for limit in (None, 5):
            with pytest.raises(X2StaticError, match=rf"^corpus {spec}: ({message})"):
                units_of(spec, tmp_path, limit=limit)
    other = tmp_path / "data" / "train-00001-of-00002.parquet"
    pq.write_table(pa.table({"body": ["text"]}), other)
    for limit in (None, 100):
        with pytest.raises(X2StaticError, match=rf"{other}: no column 'text', which the files before it have"):
            units_of(parquet, tmp_path, limit=limit)


def test_a_spec_names_data_set_configuration_split_and_column_and_another_form_is_refused(tmp_path):
    def parts(spec: str) -> tuple[str, str | None, str, str]:
        corpus = dataset_of(spec)
        return corpus.name, corpus.subset, corpus.split, corpus.column

    assert parts("hf://owner/name/20231101.en:validation#body") == ("owner/name", "20231101.en", "validation", "body")
    assert parts("hf://owner/name") == ("owner/name", None, "train", "text")
    assert parts("hf://name#line#2") == ("name", None, "train", "line#2")
    for spec in ("hf://", "hf://:train", "hf://name#", "hf://name:#text", "hf://name:train:more#"):
        with pytest.raises(X2StaticError, match=rf"^corpus {spec}: expected hf://name/config:split#column$"):
            dataset_of(spec)
    with pytest.raises(X2StaticError, match=rf"corpus hf://{tmp_path}/none: no such folder: {tmp_path}/none"):
        dataset_of(f"hf://{tmp_path}/none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(X2StaticError, match=rf"corpus hf://{tmp_path}/empty: .*any data files"):
        units_of(f"hf://{tmp_path}/empty", tmp_path)
    with pytest.raises(X2StaticError, match="it holds no paragraph"):
        units_of(write_parquet(tmp_path / "rowless", []), tmp_path)


def test_a_damaged_file_is_one_clear_error_naming_the_corpus(spec, tmp_path):
    for path in (tmp_path / "data").iterdir():
        path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(X2StaticError, match=rf"^corpus {spec}: "):
        units_of(spec, tmp_path)
