"""The examples in the docstrings of what users import run, and come to what is written there."""

import doctest
import importlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.stage1_encode.runs import paragraphs, write_lines
from tests.teachers import make_teacher
from x2static import WordVectors
from x2static.stage1_encode.text.segmentation import default_words

ROWS = {
    "man": (0, 2, 0, 1),
    "woman": (0, 0, 2, 1),
    "king": (2, 2, 0, 1),
    "queen": (2, 0, 2, 1),
    "apple": (0, 0, 0, 3),
    "pear": (0, 0.5, 0, 3),
}
FINDER, FLAGS = doctest.DocTestFinder(recurse=True), doctest.ELLIPSIS


@pytest.mark.parametrize("module", ["schemas.queries", "schemas.vectors", "pipeline.api"])
def test_examples_come_to_what_is_written(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if module == "pipeline.api":
        make_teacher(tmp_path / "my-bert", "bert")
        write_lines(tmp_path / "corpus.txt", paragraphs(60))
        (tmp_path / "pairs.tsv").write_text("king\tqueen\t7\nking\tapple\t1\nman\twoman\t8\napple\tpear\t9\n")
    vectors = WordVectors(list(ROWS), np.array(list(ROWS.values()), np.float32), np.arange(6, 0, -1), default_words())
    imported = importlib.import_module(f"x2static.{module}")
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for example in sorted(FINDER.find(imported, extraglobs={"vectors": vectors}), key=lambda one: one.lineno or 0):
        if find_spec("ot") or not example.name.endswith("wmdistance"):
            runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
    assert runner.tries > 3
