"""Data sets on a hub, here a server on the loopback interface: what is requested, and what a bad network does."""

import io
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from tests.stage1_encode.forks import Forks, shared_hub
from tests.stage1_encode.hub_server import Hub
from tests.stage1_encode.runs import as_options, assert_same_rows, config_of, files_of, paragraphs, run, write_lines
from x2static.schemas.cache import Cache
from x2static.stage1_encode.corpora.hub_rows import ParquetRows

N_FILES, GROUPS, ROWS = 3, 3, 2  # of each: files, row groups of a file, rows of a group
N_ROWS = N_FILES * GROUPS * ROWS
LINES = paragraphs(2 * N_ROWS)  # two paragraphs a row
TEXTS = ["\n".join(LINES[i : i + 2]) for i in range(0, len(LINES), 2)]
KILLS = (("x2static.schemas.shard:commit_folder", "before", 3), ("x2static.schemas.shard:_write_table", "after", 4))


@dataclass(frozen=True)
class Group:
    """Where the text of a row group stands: bytes of a file, and numbers of rows."""

    path: str
    start: int
    stop: int
    first_row: int

    def touched(self, path: str, first: int, last: int) -> bool:
        return path == self.path and first < self.stop and last >= self.start


def parquet_files() -> tuple[dict[str, bytes], list[Group]]:
    """Return files whose text stands far before their ends, where footers are read 64 kB at once."""
    files, groups, drawn = {}, [], random.Random(0)
    for number in range(N_FILES):
        rows = TEXTS[number * GROUPS * ROWS :][: GROUPS * ROWS]
        table = pa.table({"text": rows, "padding": [drawn.randbytes(40_000) for _ in rows]})
        sink, path = io.BytesIO(), f"data/train-{number:05d}-of-{N_FILES:05d}.parquet"
        pq.write_table(table, sink, row_group_size=ROWS)
        files[path] = sink.getvalue()
        footer = pq.read_metadata(io.BytesIO(files[path]))
        for group in range(GROUPS):
            column = footer.row_group(group).column(0)
            start = column.dictionary_page_offset
            groups.append(Group(path, start, start + column.total_compressed_size, (number * GROUPS + group) * ROWS))
    return files, groups


FILES, ROW_GROUPS = parquet_files()
JSONL = {"train.jsonl": "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()}
SPEC = "hf://tiny/rows:train#text"


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = shared_hub()
    yield hub
    hub.trouble = lambda *_: None
    hub.close()
    hub.open()
    hub.requests.clear()
    hub.ranges.clear()


@pytest.fixture
def parquet(hub: Hub) -> Hub:
    hub.add_dataset("tiny/rows", FILES)
    return hub


def options(teacher: Path, cache: Path, spec: str = SPEC, **more: object) -> list[str]:
    return as_options(config_of(teacher, spec, cache, **({"unit": 4} | more)))


def once(forks: Forks, teacher: Path, tmp_path: Path, spec: str = SPEC, **more: object) -> dict[str, bytes]:
    status, output = forks.run(*options(teacher, tmp_path / "once", spec, **more))
    assert status == 0, output
    return files_of(tmp_path / "once")


def groups_sent(hub: Hub) -> list[int]:
    """Return the first rows of the row groups whose text was sent, in the order of the requests."""
    return [group.first_row for sent in hub.ranges for group in ROW_GROUPS if group.touched(*sent)]


@pytest.mark.parametrize("limit", [None, 1000], ids=["closed plan", "open plan"])
def test_a_resume_requests_no_row_group_before_the_one_in_hand(
    limit: int | None, parquet: Hub, forks: Forks, teacher: Path, tmp_path: Path
) -> None:
    expected = once(forks, teacher, tmp_path, limit=limit)
    assert_same_rows(tmp_path / "once", encoded_lines(teacher, tmp_path))
    cache = tmp_path / "cache"
    kill = ("x2static.schemas.shard:commit_folder", "after", 5)
    status, output = forks.run(*options(teacher, cache, limit=limit), kill=kill)
    assert status == -9, output
    held = {marker.unit.stop for marker in Cache.open(cache).committed()[0].values()}
    assert max(held) == 10
    parquet.ranges.clear()

    status, output = forks.run(*options(teacher, cache, limit=limit))

    assert status == 0, output
    assert files_of(cache) == expected
    assert groups_sent(parquet) == [10, 12, 14, 16], "each once, and none before row 10"
    ends = [first for path, first, _ in parquet.ranges if path == ROW_GROUPS[0].path]
    assert ends, "of the file before only its footer was asked for"
    assert min(ends) >= len(FILES[ROW_GROUPS[0].path]) - 65_536


def encoded_lines(teacher: Path, tmp_path: Path) -> Path:
    run(teacher, write_lines(tmp_path / "same.txt", LINES), tmp_path / "lines", unit=4)
    return tmp_path / "lines"


def test_planning_with_a_limit_reads_no_row_and_without_one_all_footers(
    parquet: Hub, forks: Forks, teacher: Path, tmp_path: Path
) -> None:
    kill = ("x2static.schemas.new_cache:write_plan", "after", 1)
    status, output = forks.run(*options(teacher, tmp_path / "cache", limit=1000), kill=kill)
    assert status == -9, output
    assert groups_sent(parquet) == []
    parquet.ranges.clear()
    status, output = forks.run(*options(teacher, tmp_path / "cache"), kill=kill)
    assert status == -9, output
    assert {path for path, _, _ in parquet.ranges} == FILES.keys()


def test_rows_from_all_over_are_few_and_those_of_small_data_sets_all(tmp_path: Path) -> None:
    for path, data in FILES.items():
        (tmp_path / Path(path).name).write_bytes(data)
    rows = ParquetRows([str(path) for path in sorted(tmp_path.iterdir())], "text")
    assert rows.total() == N_ROWS
    assert rows.spread(places=3, most=2) == [TEXTS[row] for row in (0, 1, 6, 7, 12, 13)]
    assert set(rows.spread(places=4, most=1000)) == set(TEXTS)
    assert [list(rows.values(start)) for start in range(N_ROWS + 2)] == [TEXTS[start:] for start in range(N_ROWS + 2)]


class FailsAt:
    """Trouble with the text of a row group, so many times."""

    def __init__(self, kind: str | int, first_row: int, times: int = 1) -> None:
        self.kind, self.times = kind, times
        self.group = next(group for group in ROW_GROUPS if group.first_row == first_row)

    def __call__(self, path: str, first: int, last: int) -> str | int | None:
        if not self.times or not self.group.touched(path, first, last):
            return None
        self.times -= 1
        return self.kind


def planned_without_trouble(forks: Forks, teacher: Path, cache: Path) -> None:
    """Make the cache and its plan, so that what fails later is the reading of its units."""
    status, output = forks.run(
        *options(teacher, cache), kill=("x2static.stage1_encode.encode:read_remaining", "before", 1)
    )
    assert status == -9, output
    assert Cache.open(cache).committed() == ({}, {})


@pytest.mark.parametrize("kind", ["drop", "hang", 503, 500, 429])
def test_a_network_that_fails_for_a_while_is_tried_again_and_changes_nothing(
    kind: str | int, parquet: Hub, forks: Forks, teacher: Path, tmp_path: Path
) -> None:
    expected = once(forks, teacher, tmp_path)
    planned_without_trouble(forks, teacher, tmp_path / "cache")
    parquet.trouble = FailsAt(kind, first_row=8, times=2)
    arguments = options(teacher, tmp_path / "cache")
    status, output = forks.run(*arguments, waits=[0.01] * 3, read_seconds=0.5)
    assert status == 0, output
    warnings = [line for line in output.splitlines() if line.startswith("warning: ")]
    assert [line.rsplit("(", 1)[1] for line in warnings] == ["1 of 3)", "2 of 3)"]
    assert all(line.startswith(f"warning: corpus {SPEC}: row 8: the network failed (") for line in warnings)
    assert files_of(tmp_path / "cache") == expected


def test_trouble_while_planning_is_tried_again_too(parquet: Hub, forks: Forks, teacher: Path, tmp_path: Path) -> None:
    expected = once(forks, teacher, tmp_path)
    parquet.trouble = FailsAt("drop", first_row=0, times=1)
    status, output = forks.run(*options(teacher, tmp_path / "cache"), waits=[0.01])
    assert status == 0, output
    assert output.count("the network failed") == 1
    assert files_of(tmp_path / "cache") == expected


def test_a_network_that_stays_away_is_one_clear_line_and_the_next_run_goes_on(
    parquet: Hub, forks: Forks, teacher: Path, tmp_path: Path
) -> None:
    expected = once(forks, teacher, tmp_path)
    planned_without_trouble(forks, teacher, tmp_path / "cache")
    parquet.trouble = FailsAt("drop", first_row=8, times=1000)
    status, output = forks.run(*options(teacher, tmp_path / "cache"), waits=[0.01, 0.01])
    assert status == 1
    assert output.count("the network failed") == 2
    line = output.splitlines()[-1]
    assert line.startswith(f"error: corpus {SPEC}: reading failed at row 8: ")
    assert line.endswith("; run again to go on there")
    assert Cache.open(tmp_path / "cache").committed()[0].keys() == {0, 1, 2, 3}
    parquet.trouble = lambda *_: None
    status, output = forks.run(*options(teacher, tmp_path / "cache"))
    assert status == 0, output
    assert files_of(tmp_path / "cache") == expected


@pytest.mark.parametrize("kind", [401, 403, 404])
def test_what_the_hub_refuses_is_not_asked_for_again(
    kind: int, parquet: Hub, forks: Forks, teacher: Path, tmp_path: Path
) -> None:
    planned_without_trouble(forks, teacher, tmp_path / "cache")
    parquet.trouble = trouble = FailsAt(kind, first_row=8, times=9)
    status, output = forks.run(*options(teacher, tmp_path / "cache"), waits=[0.01] * 5)
    assert (status, trouble.times) == (1, 8)
    assert "the network failed" not in output
    assert output.splitlines()[-1].startswith(f"error: corpus {SPEC}: reading failed at row 8: ")
    assert str(kind) in output.splitlines()[-1]


def local_folder(kind: str) -> Callable[[Hub, Path], str]:
    def write(hub: Hub, folder: Path) -> str:
        for path, data in (FILES if kind == "parquet" else JSONL).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        return f"hf://{folder}:train#text"

    return write


def on_the_hub(kind: str) -> Callable[[Hub, Path], str]:
    def write(hub: Hub, folder: Path) -> str:
        hub.add_dataset(f"tiny/{kind}", FILES if kind == "parquet" else JSONL)
        return f"hf://tiny/{kind}:train#text"

    return write


@pytest.mark.parametrize("place", [local_folder, on_the_hub])
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
@pytest.mark.parametrize("limit", [None, 30])
def test_killed_twice_in_a_row_every_kind_of_data_set_ends_as_if_never_interrupted(
    place: Callable[[str], Callable[[Hub, Path], str]],
    kind: str,
    limit: int | None,
    hub: Hub,
    forks: Forks,
    teacher: Path,
    tmp_path: Path,
) -> None:
    spec = place(kind)(hub, tmp_path / "data")
    expected = once(forks, teacher, tmp_path, spec, limit=limit)
    arguments = options(teacher, tmp_path / "cache", spec, limit=limit)
    for kill, held in zip(KILLS, (2, 3), strict=True):
        status, output = forks.run(*arguments, kill=kill)
        assert status == -9, output
        assert len(Cache.open(tmp_path / "cache").committed()[0]) == held
    for _ in range(2):
        status, output = forks.run(*arguments)
        assert status == 0, output
        assert files_of(tmp_path / "cache") == expected
    assert "finished already" in output


def test_a_stream_of_other_files_goes_on_after_a_broken_connection(
    hub: Hub, forks: Forks, teacher: Path, tmp_path: Path
) -> None:
    spec = on_the_hub("jsonl")(hub, tmp_path)
    expected = once(forks, teacher, tmp_path, spec)
    left = 2

    def trouble(*_: object) -> str | None:
        nonlocal left
        left -= 1
        return "drop" if left >= 0 else None

    hub.trouble = trouble
    status, output = forks.run(*options(teacher, tmp_path / "cache", spec), waits=[0.01] * 3)
    assert status == 0, output
    assert left < 0, "the trouble came"
    assert files_of(tmp_path / "cache") == expected


def heed_interrupts() -> None:
    """Take interrupts as a terminal's process does; a shell lets what it starts in the background ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("limit", "row"), [(1000, 10), (None, 0)], ids=["encoding", "planning"])
def test_an_interrupt_ends_the_process_though_a_read_hangs(
    limit: int | None, row: int, parquet: Hub, teacher: Path, tmp_path: Path
) -> None:
    parquet.trouble = FailsAt("hang", first_row=row, times=1000)
    environment = {"HF_ENDPOINT": parquet.url, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "*"}
    process = subprocess.Popen(
        [sys.executable, "-m", "x2static", *options(teacher, tmp_path / "cache", limit=limit)],
        cwd=ROOT,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    try:
        assert parquet.hanging.wait(300)
        process.send_signal(signal.SIGINT)
        # The server goes on hanging: waiting for the read, and for its five further tries, would take two minutes.
        _, output = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output
    assert output.splitlines()[-1] == "interrupted; what is committed stays, run the same command again to go on"
    assert (tmp_path / "cache" / "manifest.json").exists() == (limit is not None)
    assert not list(tmp_path.glob("cache/shards/.tmp-*"))
    if limit:
        assert Cache.open(tmp_path / "cache").committed()[1] == {}
