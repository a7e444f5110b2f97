"""Comparisons that are killed, and called again: what was whole stays as it is, and the end is that of a whole one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.pipeline.compare.conftest import Compare, state_of
from tests.stage2_train.conftest import single_thread
from x2static.schemas.vectors import WordVectors

METHODS = ("skipgram-seed0", "cbow")
# Killed again and again, each time further on: while vectors are written, before a record is kept, before the page.
KILLS = [
    ("x2static.schemas.vectors:write_atomically", "before", 2),
    ("x2static.pipeline.compare.records:write_atomically", "before", 2),
    ("x2static.report.page:Page.html", "before", 1),
]


def asked(cache: Path, data: Path, out: Path) -> list[str]:
    named = {"cache": cache, "data": data, "out": out, "min-count": 5, "seeds": 1, "threads": 1}
    given = [part for name, value in named.items() for part in (f"--{name}", str(value))]
    run = data.parent / "run"
    if not run.exists():
        words = [f"w{i:02d}" for i in range(20)]
        WordVectors(words, np.eye(20, 6, dtype=np.float32) + 1, np.ones(20, np.int64)).save(run)
    return [str(run), *given, "--baselines", "skipgram,cbow", "--only", "table3"]


def killed(where: str, moment: str, n: int, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "tests.killing", where, moment, str(n), "compare", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr


def results(out: Path) -> dict[str, Any]:
    """Vectors and scores, without what depends on the clock."""
    scores = {}
    for file in sorted((out / "scores").glob("*.json")):
        record = json.loads(file.read_bytes())
        scores[file.stem] = record["similarity"]["pairs"]
    vectors = {name: (out / "vectors" / name / "vectors.safetensors").read_bytes() for name in METHODS}
    return {"scores": scores, "vectors": vectors}


@pytest.fixture
def whole(cache: Path, data: Path, tmp_path: Path, compare: Compare) -> Path:
    with single_thread():
        assert compare(*asked(cache, data, tmp_path / "whole")).status == 0
    return tmp_path / "whole"


def test_a_comparison_that_is_killed_again_and_again_ends_like_a_whole_one(
    cache: Path, data: Path, tmp_path: Path, compare: Compare, whole: Path
):
    out = tmp_path / "out"
    arguments = asked(cache, data, out)
    for where, moment, n in KILLS:
        finished = {
            name: state
            for name, state in state_of(out).items()
            if name.startswith("scores/") or name.endswith(("run.json", "vectors.safetensors"))
        }
        killed(where, moment, n, arguments)
        after = state_of(out)
        kept = {name: state for name, state in finished.items() if not name.endswith("vectors.safetensors")}
        assert {name: after[name] for name in kept} == kept
    assert not (out / "compare.html").exists()
    with single_thread():
        assert compare(*arguments).status == 0
    assert (out / "compare.html").is_file()
    assert results(out) == results(whole)
