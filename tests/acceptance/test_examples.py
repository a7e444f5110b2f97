"""The scripts in examples/ run as they stand, one after the other, on the first paragraphs of the demo corpus."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytest.importorskip("gensim", reason="the demo corpus is gensim's")


@pytest.mark.exhaustive
def test_the_examples_distil_search_and_sweep(teacher, tmp_path):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "LIMIT": "200"}

    def run(name: str, *arguments: str) -> str:
        interpreter = sys.executable if name.endswith(".py") else "sh"
        command = [interpreter, str(ROOT / "examples" / name), str(tmp_path), *arguments]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    neighbours = run("distil.sh", "demo", teacher).splitlines()[-1]
    assert len(neighbours.split(", ")) == 5
    assert len(run("search.py", "Which sport did they play?").splitlines()) == 6
    assert "sweep.html" in run("sweep.sh")
    assert (tmp_path / "sweep" / "sweep.parquet").is_file()
