"""A walk over every file of a finished sweep: whatever is done to it, the same command makes it whole or names it."""

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.pipeline.ran import Ran, run_here
from tests.pipeline.sweeps.conftest import arguments, stay_in_this_process
from x2static.durable.storage import LOCK


@pytest.fixture
def run(cache: Path, data: Path, tmp_path: Path, capsys, monkeypatch) -> Callable[[Path], Ran]:
    """Run one and the same sweep in this process, to a folder."""
    stay_in_this_process(monkeypatch)
    (tmp_path / "space.toml").write_text("dim = {low = 4, high = 12}\n")
    more = ["--objective", "closed-form", "--space", str(tmp_path / "space.toml"), "--trials", "2", "--json"]
    return lambda out: run_here(capsys, [*arguments(cache, data), *more, "--out", str(out)])


def stable(value: Any) -> Any:
    """Return JSON without times, the hashes of records that hold times, and the folder's name."""
    if isinstance(value, dict):
        kept = [name for name in value if "second" not in name and name not in ("xxh3", "data_wait", "out")]
        return {name: stable(value[name]) for name in kept}
    return [stable(one) for one in value] if isinstance(value, list) else value


def result_of(out: Path) -> dict[str, object]:
    """Return what a sweep's folder holds, times left out."""
    found: dict[str, object] = {}
    for file in sorted(out.rglob("*")):
        name = str(file.relative_to(out))
        if file.suffix == ".json":
            found[name] = stable(json.loads(file.read_text()))
        elif file.suffix == ".parquet":
            found[name] = [stable(row) for row in pq.read_table(file).to_pylist()]
        elif file.suffix == ".html":
            found[name] = re.sub(r"[\d.]+ s\b|/\S*/out\b|/\S*/whole\b", "", file.read_text())
        elif file.is_file() and file.name != LOCK:
            found[name] = file.read_bytes()
    return found


def digit(path: Path, other: Path, dice: random.Random) -> None:
    data = path.read_bytes()
    places = [place.start() for place in re.finditer(rb"[0-9]", data)]
    if path.suffix.startswith(".json") and places:
        at = dice.choice(places)
        path.write_bytes(data[:at] + bytes([dice.choice(sorted(set(b"0123456789") - {data[at]}))]) + data[at + 1 :])


def flip(path: Path, other: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def swap(path: Path, other: Path, dice: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(data)


WAYS: dict[str, Callable[[Path, Path, random.Random], object]] = {
    "flip": flip,
    "digit": digit,
    "cut": lambda path, _, dice: path.write_bytes(path.read_bytes()[: dice.randrange(1, path.stat().st_size)]),
    "empty": lambda path, *_: path.write_bytes(b""),
    "delete": lambda path, *_: path.unlink(),
    "swap": swap,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_sweep_is_made_whole_by_the_same_command_or_the_file_is_named(way, run, tmp_path):
    whole, out, dice = tmp_path / "whole", tmp_path / "out", random.Random(way)
    assert run(whole).status == 0
    expected = result_of(whole)
    names = sorted(file.stem for file in (whole / "trials").glob("*.json"))
    assert len(names) == 2
    problems = []
    for file in [file for file in expected if names[1] not in file]:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(whole, out)
        twin = file.replace(names[0], names[1])
        WAYS[way](out / file, out / (twin if twin != file else "study.jsonl"), dice)
        ran = run(out)
        errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
        if ran.status == 0:
            now = result_of(out)
            different = [name for name in expected.keys() | now.keys() if now.get(name) != expected.get(name)]
            problems += [(file, different, ran)] if different else []
        elif len(errors) != 1 or Path(file).name not in errors[0] or "unexpected" in ran.err:
            problems.append((file, [], ran))
    assert not problems
