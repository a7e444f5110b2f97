"""`--part`: machines that share the units of a corpus make, together, the cache of one machine, byte for byte."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tests.stage1_encode.runs import config_of, files_of, paragraphs, run, write_lines
from x2static.durable.storage import folder_bytes
from x2static.machine.progress import Progress
from x2static.schemas.cache import Cache
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.encoder import ChosenTeacher
from x2static.stage1_encode.plan.estimate import estimate

LINES = paragraphs(40)


def text(folder: Path) -> str:
    return str(write_lines(folder / "text.txt", LINES))


def parquet(folder: Path) -> str:
    (folder / "data").mkdir()
    rows = ["\n".join(LINES[i : i + 2]) for i in range(0, len(LINES), 2)]
    pq.write_table(pa.table({"text": rows}), folder / "data" / "train.parquet", row_group_size=3)
    return f"hf://{folder / 'data'}"


@pytest.fixture(params=[text, parquet])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    write: Callable[[Path], str] = request.param
    return write(tmp_path)


def shards_in(cache: Path) -> set[int]:
    return set(Cache.open(cache).committed()[0])


@pytest.mark.parametrize("options", [{}, {"sample": 0.5, "limit": 18}], ids=["all", "sample"])
def test_parts_made_apart_hold_together_the_shards_of_an_undivided_run(options, corpus, teacher, tmp_path):
    run(teacher, corpus, tmp_path / "once", unit=4, **options)
    expected = files_of(tmp_path / "once")
    together: dict[str, bytes] = {}
    for number in (1, 2):
        cache = tmp_path / f"part-{number}"
        figures = run(teacher, corpus, cache, unit=4, part=f"{number}/2", **options)
        assert shards_in(cache) == {shard for shard in shards_in(tmp_path / "once") if shard % 2 == number - 1}
        assert figures["shards"] == len(shards_in(cache))
        files = files_of(cache)
        assert files.items() <= expected.items(), "manifest, plans and shards are those of the undivided run"
        together |= files
    assert together == expected


def test_parts_made_in_turn_fill_one_cache_and_a_run_without_part_makes_the_rest(corpus, teacher, tmp_path, log):
    once = run(teacher, corpus, tmp_path / "once", unit=4)
    cache = tmp_path / "cache"
    parts = [run(teacher, corpus, cache, unit=4, part=part) for part in ("3/4", "1/4")]
    assert shards_in(cache) == {0, 2, 4, 6, 8}
    assert [part["shards"] for part in parts] == [2, 3]
    markers = Cache.open(cache).committed()[0]
    assert parts[0]["contexts"] == markers[2].n_contexts + markers[6].n_contexts
    assert parts[0]["cache_bytes"] == sum(folder_bytes(cache / "shards" / f"{shard:06d}") for shard in (2, 6))
    again = run(teacher, corpus, cache, unit=4, part="3/4")
    assert (again["shards"], again["shards_resumed"], again["tokens_per_second"]) == (2, 2, 0)
    assert f"{cache}: part 3/4: finished already, 2 units" in log.text
    assert Cache.open(cache).missing() == [1, 3, 5, 7, 9]
    rest = run(teacher, corpus, cache, unit=4)
    assert (rest["shards"], rest["shards_resumed"], rest["contexts"]) == (10, 5, once["contexts"])
    assert files_of(cache) == files_of(tmp_path / "once")


def test_progress_and_estimate_are_those_of_the_part(corpus, teacher, tmp_path, monkeypatch):
    config = config_of(teacher, corpus, tmp_path / "cache", unit=4, part="2/3", limit=40)
    whole, part = estimate(config.model_copy(update={"part": None})), estimate(config)
    assert (whole["units"], part["units"], part["units_left"], part["paragraphs"]) == (10, 3, 3, 12)
    assert part["cache_bytes"] == pytest.approx(0.3 * whole["cache_bytes"], rel=0.01)
    reports: list[Progress] = []
    encode(config, reports.append)
    told = dict.fromkeys((progress.done, progress.total) for progress in reports)  # within a unit, and at its end
    assert list(told) == [(0, 12), (4, 12), (8, 12), (12, 12)]
    monkeypatch.setattr(ChosenTeacher, "load", None)  # nobody needs it where nothing is left to do
    after, held = estimate(config), encode(config)
    assert (after["units"], after["units_left"], after["seconds"]) == (3, 0, 0)
    assert [after[name] for name in ("sentences", "teacher_tokens", "cache_bytes")] == [
        held[name] for name in ("contexts", "teacher_tokens", "cache_bytes")
    ]


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "1/0", "a/b", "1/2/3", "-1/2", "1/-2", ""])
def test_what_is_no_part_is_refused(part, tmp_path):
    with pytest.raises(ValidationError, match="part"):
        config_of(tmp_path, "any", tmp_path, part=part)
