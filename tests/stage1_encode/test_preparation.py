"""Text prepared by processes: the same cache, ends with its parent, and a killed worker is told of."""

import multiprocessing
import os
import signal
from typing import Any

import numpy as np
import pytest
import torch

from tests.stage1_encode.runs import config_of, files_of, paragraphs, run, write_lines
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.text import preparation
from x2static.stage1_encode.text.preparation import PORTION, pick_workers, prepared
from x2static.stage1_encode.text.windows import PreparedText, Window


def test_two_processes_make_the_cache_of_one_thread_a_segmenter_that_is_loaded_included(teacher, tmp_path, monkeypatch):
    monkeypatch.setitem(PORTION, "cpu", 3)  # paragraphs
    corpus = write_lines(tmp_path / "t.txt", ["我们喜欢学习语言。今天天气很好。", *paragraphs(20)])
    run(teacher, corpus, tmp_path / "thread", unit=7, language="zh")
    run(teacher, corpus, tmp_path / "processes", unit=7, language="zh", workers=2)
    assert files_of(tmp_path / "processes") == files_of(tmp_path / "thread")


def test_a_killed_worker_is_told_of_and_the_run_goes_on_later(teacher, tmp_path, monkeypatch):
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


def test_a_processor_is_left_to_the_teacher_and_an_accelerator_is_fed_by_several():
    assert pick_workers(None, torch.device("cpu")) == 1
    assert 1 <= pick_workers(None, torch.device("cuda")) <= 8
    assert pick_workers(3, torch.device("cpu")) == 3


class Lengths:
    """Prepares a window for each paragraph, with as many pieces as the paragraph has characters."""

    window = 512

    def prepare(self, paragraphs: list[str], language: str | None = None) -> PreparedText:
        windows = [Window(np.arange(len(text)), np.array([[0, 0, len(text)]])) for text in paragraphs]
        return PreparedText(windows)


def test_a_unit_is_prepared_in_portions_and_its_text_goes_with_the_last():
    units = [["a", "bb", "ccc", "dddd", "eeeee"], [], ["f", "gg"]]
    portions = []
    for number, text in prepared(enumerate(units), Lengths(), 1, 2):
        assert (units[number] == []) is text.last
        portions.append((number, text.packed.lengths.tolist(), text.last))
    assert portions == [(0, [1, 2], False), (0, [3, 4], False), (0, [5], True), (1, [], True), (2, [1, 2], True)]
