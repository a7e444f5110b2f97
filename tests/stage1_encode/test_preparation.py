"""Text prepared by processes: the same cache, ends with its parent, and a killed worker is told of."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, run, write_lines
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.text import preparation
from x2static.stage1_encode.text.preparation import PORTION, pick_workers, prepared
from x2static.stage1_encode.text.windows import PreparedText, Window


def test_two_processes_make_the_cache_of_one_thread_a_segmenter_that_is_loaded_included(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PORTION, "cpu", 3)  # paragraphs
    corpus = write_lines(tmp_path / "t.txt", ["我们喜欢学习语言。今天天气很好。", *paragraphs(20)])
    run(teacher, corpus, tmp_path / "thread", unit=7, language="zh")
    run(teacher, corpus, tmp_path / "processes", unit=7, language="zh", workers=2)
    assert files_of(tmp_path / "processes") == files_of(tmp_path / "thread")


def test_a_killed_worker_is_told_of_and_the_run_goes_on_later(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(teacher, write_lines(tmp_path / "t.txt", paragraphs(60)), tmp_path / "cache", unit=7, workers=2)
    original = preparation._packed

    def killing(*arguments: Any) -> PreparedText:
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "_packed", killing)
        with pytest.raises(X2StaticError, match=r"a process that prepares text was killed .* fewer --workers"):
            encode(config)
    encode(config)
    run(teacher, tmp_path / "t.txt", tmp_path / "whole", unit=7)
    assert files_of(tmp_path / "cache") == files_of(tmp_path / "whole")


@pytest.mark.exhaustive  # it reads the states of all processes
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see whose child a process is")
def test_workers_end_with_a_killed_parent(teacher: Path, tmp_path: Path) -> None:
    lines = paragraphs(3000)
    config = config_of(teacher, write_lines(tmp_path / "t.txt", lines), tmp_path / "cache", unit=7, workers=2)
    process = subprocess.Popen([sys.executable, "-m", "x2static", *as_options(config)], cwd=ROOT)
    while not list((tmp_path / "cache").glob("shards/0*")):
        assert process.poll() is None
        time.sleep(0.05)
    children = children_of(process.pid)
    assert len(children) >= 2
    process.kill()
    process.wait()
    for _ in range(600):
        if not any(Path("/proc", str(child)).exists() for child in children):
            return
        time.sleep(0.05)
    pytest.fail("workers are still there 30 seconds after their parent was killed")


def children_of(parent: int) -> list[int]:
    """Return the ids of a process's children."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(after_name[1]) == parent:
            found.append(int(path.parent.name))
    return found


def test_a_processor_is_left_to_the_teacher_and_an_accelerator_is_fed_by_several() -> None:
    assert pick_workers(None, torch.device("cpu")) == 1
    assert 1 <= pick_workers(None, torch.device("cuda")) <= 8
    assert pick_workers(3, torch.device("cpu")) == 3


class Lengths:
    """Prepares a window for each paragraph, with as many pieces as the paragraph has characters."""

    window = 512

    def prepare(self, paragraphs: list[str]) -> PreparedText:
        return PreparedText(
            [
                Window(np.arange(len(text)), np.array([[number, 0, len(text)]]), np.zeros((number % 2, 3), np.int64))
                for number, text in enumerate(paragraphs)
            ]
        )


def test_a_prepared_unit_waits_in_three_arrays_and_without_its_text() -> None:
    texts = ["abcd", "", "ab", "abcdefg"]
    given = list(texts)
    ((unit, text),) = prepared([("unit", given)], Lengths(), 1, 10)
    assert (unit, given) == ("unit", [])
    expected = Lengths().prepare(texts).windows
    for name in ("pieces", "spans", "occurrences"):
        ours, plain = ([getattr(window, name) for window in windows] for windows in (text.packed, expected))
        assert len({id(array.base) for array in ours}) == 1
        for one, other in zip(ours, plain, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.shape == other.shape


def test_a_unit_is_prepared_in_portions_and_its_text_goes_with_the_last() -> None:
    units = [["a", "bb", "ccc", "dddd", "eeeee"], [], ["f", "gg"]]
    portions = []
    for number, text in prepared(enumerate(units), Lengths(), 1, 2):
        assert (units[number] == []) is text.last
        portions.append((number, text.packed.lengths.tolist(), text.last))
    assert portions == [(0, [1, 2], False), (0, [3, 4], False), (0, [5], True), (1, [], True), (2, [1, 2], True)]
