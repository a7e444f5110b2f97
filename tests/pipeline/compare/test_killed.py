"""Comparisons that are killed, and called again: what was whole stays as it is, and the end is that of a whole one."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.compare.conftest import state_of
from tests.stage1_encode.forks import shared_forks
from tests.stage2_train.conftest import single_thread
from x2static.schemas.vectors import WordVectors

METHODS = ("skipgram-seed0", "cbow")
# Killed again and again, each time further on: while vectors are written, before a record is kept, before the page.
KILLS = [
    ("x2static.schemas.vectors:write_atomically", 2),
    ("x2static.pipeline.records:write_atomically", 2),
    ("x2static.report.page:Page.html", 1),
]


def results(out: Path) -> dict[str, object]:
    """Vectors and scores, without what depends on the clock."""
    files = sorted((out / "scores").glob("*.json"))
    scores = {file.stem: json.loads(file.read_bytes())["similarity"]["pairs"] for file in files}
    return scores | {name: (out / "vectors" / name / "vectors.safetensors").read_bytes() for name in METHODS}


@pytest.mark.exhaustive
def test_a_comparison_that_is_killed_again_and_again_ends_like_a_whole_one(cache, data, tmp_path, compare):
    run, out = tmp_path / "run", tmp_path / "out"
    WordVectors([f"w{i:02d}" for i in range(40)], np.eye(40, 6, dtype=np.float32) + 1, np.ones(40, np.int64)).save(run)
    command = f"{run} --cache {cache} --data {data} --min-count 5 --seeds 1 --threads 1 --only table3".split()
    command += ["--baselines", "skipgram,cbow", "--out"]
    for where, n in KILLS:
        before = state_of(out)
        finished = {name: before[name] for name in before if name.startswith("scores/") or name.endswith("run.json")}
        status, output = shared_forks().run("compare", *command, str(out), kill=(where, "before", n))
        assert status == -9, output
        after = state_of(out)
        assert {name: after[name] for name in finished} == finished
    assert not (out / "compare.html").exists()
    with single_thread():
        assert compare(*command, out).status == 0
        assert compare(*command, tmp_path / "whole").status == 0
    assert (out / "compare.html").is_file()
    assert results(out) == results(tmp_path / "whole")
