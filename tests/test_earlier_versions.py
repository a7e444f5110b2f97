"""What x2static 0.1.0 wrote still opens: a cache, a finished run and a run that was killed lie in tests/data/0.1.0.

The teacher was a random one of 32 dimensions, the text was made for this. Figures are compared within rounding: another
processor adds up in another order. They were made by float32 products, so the tests train by these everywhere: where a
processor has bfloat16, the half percent that it costs turns the first step of the three numbers that hardly have a
gradient (docs/LOG.md, 2026-11-29).
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.pipeline.ran import run_here
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.objectives import negative_sampling

BY_0_1_0 = Path(__file__).parent / "data" / "0.1.0"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what 0.1.0 left, as the current folder: its records name `cache` and `run` by relative paths."""
    shutil.copytree(BY_0_1_0, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    monkeypatch.setattr(negative_sampling, "has_bfloat16", lambda device: False)
    return tmp_path / "old"


def vectors(folder: Path) -> np.ndarray:
    return load_file(folder / "vectors.safetensors")["vectors"]


def test_a_cache_is_whole_and_trains_to_the_same_vectors(old, capsys):
    assert run_here(capsys, ["cache", "verify", "cache"]).status == 0
    info = run_here(capsys, ["cache", "info", "cache", "--json"]).json
    assert (info["shards"], info["contexts"], info["words"]) == (3, 192, 1939)

    trained = run_here(capsys, ["train", "--cache", "cache", "--out", "again", "--min-count", "2"])

    assert trained.status == 0, trained.err
    np.testing.assert_allclose(vectors(old / "again"), vectors(old / "run"), rtol=1e-3, atol=1e-5)


def test_a_killed_run_goes_on_from_its_checkpoint(old, capsys):
    options = ["--min-count", "2", "--epochs", "3", "--batch-size", "8"]
    resumed = run_here(capsys, ["train", "--cache", "cache", "--out", "stopped", *options, "--json"])

    assert resumed.status == 0, resumed.err
    assert resumed.json["resumed"]
    np.testing.assert_allclose(vectors(old / "stopped"), vectors(old / "longer"), rtol=1e-3, atol=1e-5)


def test_a_finished_run_is_loaded_exported_and_continued(old, capsys):
    words = WordVectors.load(old / "run")
    assert len(words) == 57
    assert words.encode(["The river hides seven lanterns."]).any()

    exported = run_here(capsys, ["export", "run", "--to", "word2vec", "--out", "vectors.txt"])
    assert exported.status == 0, exported.err
    continued = run_here(
        capsys, ["train", "--cache", "cache", "--continue", "run", "--out", "further", "--min-count", "2"]
    )
    assert continued.status == 0, continued.err
    assert vectors(old / "further").shape == (57, 32)
