"""Data sets on a hub, here a server on the loopback interface: what is requested, and what a bad network does."""

import io
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import HfHubHTTPError

from tests.conftest import ROOT
from tests.stage1_encode.forks import Forks, shared_hub
from tests.stage1_encode.hub_server import Hub
from tests.stage1_encode.runs import as_options, assert_same_rows, config_of, files_of, paragraphs, run, write_lines
from x2static.schemas.cache import Cache
from x2static.stage1_encode.corpora import hub_rows
from x2static.stage1_encode.corpora.hub_rows import RETRY_WAITS, ParquetRows, may_pass, retried, rows_retried

N_FILES, GROUPS, ROWS = 3, 3, 2  # of each: files, row groups of a file, rows of a group
N_ROWS = N_FILES * GROUPS * ROWS
LINES = paragraphs(2 * N_ROWS)  # two paragraphs a row
TEXTS = ["\n".join(LINES[i : i + 2]) for i in range(0, len(LINES), 2)]


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
    forks.succeed(*options(teacher, tmp_path / "once", spec, **more))
    return files_of(tmp_path / "once")


def groups_sent(hub: Hub) -> list[int]:
    """Return the first rows of the row groups whose text was sent, in the order of the requests."""
    return [group.first_row for sent in hub.ranges for group in ROW_GROUPS if group.touched(*sent)]


@pytest.mark.exhaustive
def test_a_resume_requests_no_row_group_before_the_one_in_hand(parquet, forks, teacher, tmp_path):
    expected = once(forks, teacher, tmp_path)
    run(teacher, write_lines(tmp_path / "same.txt", LINES), tmp_path / "lines", unit=4)
    assert_same_rows(tmp_path / "once", tmp_path / "lines")
    cache = tmp_path / "cache"
    kill = ("x2static.stage1_encode.encode:commit_folder", "after", 5)
    status, output = forks.run(*options(teacher, cache), kill=kill)
    assert status == -9, output
    parquet.ranges.clear()
    forks.succeed(*options(teacher, cache))
    assert files_of(cache) == expected
    assert groups_sent(parquet) == [10, 12, 14, 16], "each once, and none before row 10"


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_what_a_limit_asks_for_is_requested_once_and_encoded_without_the_hub(kind, hub, forks, teacher, tmp_path):
    hub.add_dataset(f"tiny/{kind}", FILES if kind == "parquet" else JSONL)
    spec, limit = f"hf://tiny/{kind}:train#text", 18  # the first paragraphs of 9 rows
    expected = once(forks, teacher, tmp_path, spec, limit=limit)
    arguments = options(teacher, tmp_path / "cache", spec, limit=limit)
    hub.ranges.clear()
    for kill in (
        ("x2static.stage1_encode.corpora.hub_rows:RowSpool._write", "after", 1),
        ("x2static.stage1_encode.encode:commit_folder", "before", 3),
    ):
        status, output = forks.run(*arguments, kill=kill)
        assert status == -9, output
    if kind == "parquet":
        assert groups_sent(hub) == [0, 2, 4, 6, 8], "nothing behind the limit"
    hub.ranges.clear()
    hub.close()
    for _ in range(2):
        output = forks.succeed(*arguments)
        assert files_of(tmp_path / "cache") == expected
    assert "finished already" in output


def test_rows_from_all_over_are_few_and_those_of_small_data_sets_all(tmp_path):
    for path, data in FILES.items():
        (tmp_path / Path(path).name).write_bytes(data)
    rows = ParquetRows([str(path) for path in sorted(tmp_path.iterdir())], "text")
    assert rows.total() == N_ROWS
    assert rows.spread(places=3, most=2) == [TEXTS[row] for row in (0, 1, 6, 7, 12, 13)]
    assert set(rows.spread(places=4, most=1000)) == set(TEXTS)
    assert [list(rows.values(start)) for start in range(N_ROWS + 2)] == [TEXTS[start:] for start in range(N_ROWS + 2)]


def fails_at(kind: str, first_row: int, times: int) -> Callable[[str, int, int], str | None]:
    """Return trouble with the text of a row group, so many times."""
    (group,) = (group for group in ROW_GROUPS if group.first_row == first_row)
    left = repeat(kind, times)
    return lambda *sent: next(left, None) if group.touched(*sent) else None


def planned_without_trouble(forks: Forks, teacher: Path, cache: Path) -> None:
    """Make the cache and its plan, so that what fails later is the reading of its units."""
    kill = ("x2static.stage1_encode.encode:planned_paragraphs", "before", 1)
    status, output = forks.run(*options(teacher, cache), kill=kill)
    assert status == -9, output
    assert Cache.open(cache).committed() == ({}, {})


@pytest.mark.parametrize("kind", ["drop", pytest.param("hang", marks=pytest.mark.exhaustive)])
def test_a_network_that_fails_for_a_while_is_tried_again_and_changes_nothing(kind, parquet, forks, teacher, tmp_path):
    expected = once(forks, teacher, tmp_path)
    planned_without_trouble(forks, teacher, tmp_path / "cache")
    parquet.trouble = fails_at(kind, first_row=8, times=2)
    arguments = options(teacher, tmp_path / "cache")
    output = forks.succeed(*arguments, waits=[0.01] * 3, read_seconds=0.5)
    warnings = [line for line in output.splitlines() if line.startswith("warning: ")]
    assert [line.rsplit("(", 1)[1] for line in warnings] == ["1 of 3)", "2 of 3)"]
    assert all(line.startswith(f"warning: corpus {SPEC}: row 8: the network failed (") for line in warnings)
    assert files_of(tmp_path / "cache") == expected


@pytest.mark.exhaustive
def test_a_network_that_stays_away_is_one_clear_line_and_the_next_run_goes_on(parquet, forks, teacher, tmp_path):
    expected = once(forks, teacher, tmp_path)
    planned_without_trouble(forks, teacher, tmp_path / "cache")
    parquet.trouble = fails_at("drop", first_row=8, times=1000)
    status, output = forks.run(*options(teacher, tmp_path / "cache"), waits=[0.01, 0.01])
    assert status == 1
    assert output.count("the network failed") == 2
    line = output.splitlines()[-1]
    assert line.startswith(f"error: corpus {SPEC}: reading failed at row 8: ")
    assert line.endswith("; run again to go on there")
    assert Cache.open(tmp_path / "cache").committed()[0].keys() == {0, 1, 2, 3}
    parquet.trouble = lambda *_: None
    forks.succeed(*options(teacher, tmp_path / "cache"))
    assert files_of(tmp_path / "cache") == expected


@pytest.mark.exhaustive
def test_an_interrupt_ends_the_process_though_a_read_hangs(parquet, forks, teacher, tmp_path):
    parquet.trouble = fails_at("hang", first_row=10, times=1000)
    environment = {"HF_ENDPOINT": parquet.url, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "*"}
    process = subprocess.Popen(
        [sys.executable, "-m", "x2static", *options(teacher, tmp_path / "cache", limit=30)],
        cwd=ROOT,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
        # As a terminal's process; a shell lets what it starts in the background ignore interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert parquet.hanging.wait(300)
        process.send_signal(signal.SIGINT)
        # The server goes on hanging: waiting for the read, and for its five further tries, would take two minutes.
        _, output = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output
    assert output.splitlines()[-1] == "interrupted; run the same command again to go on with what is not finished yet"
    assert not list(tmp_path.glob("cache/shards/.tmp-*"))
    parquet.trouble = lambda *_: None
    parquet.ranges.clear()
    forks.succeed(*options(teacher, tmp_path / "cache", limit=30))
    assert 0 not in groups_sent(parquet), "what was read before the interrupt is in the spool"


def test_five_tries_over_a_minute_follow_the_first_for_a_call_and_for_each_row(monkeypatch):
    waited: list[float] = []
    monkeypatch.setattr(hub_rows.time, "sleep", waited.append)
    tries: Counter[int] = Counter()

    def rows_from(start: int) -> Iterator[int]:
        for row in range(start, 10):
            tries[row] += 1
            if row in (0, 4, 5) and tries[row] <= 5:
                raise TimeoutError("slow")
            yield 10 * row

    assert list(rows_retried(rows_from, 0, "it")) == [(row, 10 * row) for row in range(10)]
    assert tuple(waited) == 3 * RETRY_WAITS
    assert 55 <= sum(RETRY_WAITS) <= 65
    waited.clear()
    with pytest.raises(ZeroDivisionError):
        retried(lambda: 1 // 0, "it")
    assert waited == []

    def reset() -> None:
        raise ConnectionResetError("reset")

    with pytest.raises(ConnectionResetError):
        retried(reset, "it")
    assert tuple(waited) == RETRY_WAITS


def error_of(status: int) -> HfHubHTTPError:
    error = HfHubHTTPError.__new__(HfHubHTTPError)  # whatever its HTTP library calls a response
    error.response = SimpleNamespace(status_code=status)  # type: ignore[assignment]
    return error


def test_the_network_and_the_server_may_recover_and_what_is_wrong_with_the_request_stays():
    wrapped = RuntimeError("the library could not read on")
    wrapped.__cause__ = ConnectionError("reset")
    assert all(map(may_pass, [wrapped, TimeoutError(), *map(error_of, (408, 429, 500, 503))]))
    lasting = [ValueError("no number"), FileNotFoundError("gone"), PermissionError("not yours")]
    assert not any(map(may_pass, [*lasting, *map(error_of, (401, 403, 404))]))
