"""Several batches at once, and what lies in memory: cores are given back, the cache is the same."""

import os
from array import array
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stage1_encode.runs import files_of, paragraphs, run, write_lines
from x2static.machine.device import ResultStream
from x2static.stage1_encode.encoder import shared_cores
from x2static.stage1_encode.pools.contexts import ContextMeans
from x2static.stage1_encode.pools.pool import Shape
from x2static.stage1_encode.teacher.teacher import keep_few_kernels
from x2static.stage1_encode.text.windows import PreparedText, Window


def test_cores_are_shared_and_given_back() -> None:
    torch.set_num_threads(4)
    with pytest.raises(InterruptedError), shared_cores(3):
        assert torch.get_num_threads() == 1
        raise InterruptedError
    assert torch.get_num_threads() == 4


def test_few_kernels_are_kept_and_a_users_own_setting_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"})
    keep_few_kernels()
    assert os.environ == {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024", "LRU_CACHE_CAPACITY": "8"}


def test_the_cache_is_the_same_with_one_lane_and_with_three(teacher: Path, tmp_path: Path) -> None:
    lines = [*paragraphs(40), " ".join(paragraphs(120, seed=1))]  # the last one fills several windows
    corpus = write_lines(tmp_path / "t.txt", lines)
    for threads in (1, 3):
        torch.set_num_threads(threads)
        run(teacher, corpus, tmp_path / str(threads), unit=20)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "3")


def test_a_context_without_pieces_is_zero_whatever_lay_in_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def filled(self: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        return torch.full(size, torch.nan, dtype=self.dtype)

    monkeypatch.setattr(torch.Tensor, "new_empty", filled)
    means = ContextMeans(Shape(1, 3, torch.device("cpu")), "float16")
    for size in (2, 1, 5):
        window = Window(np.zeros(0, np.int64), np.zeros((0, 3), np.int64))
        means.extend(PreparedText([window], ends=array("i", [0]) * size))
    means.end(ResultStream(torch.device("cpu")))
    np.testing.assert_array_equal(means.read(), np.zeros((8, 3), np.float16))
