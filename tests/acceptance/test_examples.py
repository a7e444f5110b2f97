"""The scripts in examples/ run as they stand, one after the other, on the first paragraphs of the demo corpus."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytest.importorskip("gensim", reason="the demo corpus is gensim's")


def run_example(name: str, *arguments: str | Path, **environment: str) -> str:
    interpreter = [sys.executable] if name.endswith(".py") else ["sh"]
    command = [*interpreter, str(ROOT / "examples" / name), *map(str, arguments)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command, env=os.environ | {"PATH": path, **environment}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_distil_search_and_sweep(tmp_path: Path) -> None:
    neighbours = run_example("distil.sh", tmp_path, LIMIT="400").splitlines()[-1]
    assert len(neighbours.split(", ")) == 5

    ranking = run_example("search.py", tmp_path, "Which sport did they play?").splitlines()
    assert len(ranking) == 6

    assert "sweep.html" in run_example("sweep.sh", tmp_path)
    assert (tmp_path / "sweep" / "sweep.parquet").is_file()
