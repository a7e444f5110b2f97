"""Several batches at once: results in order, cores shared and given back, the same cache however many lanes."""

import os
import threading
import time

import pytest
import torch

from tests.stage1_encode.runs import files_of, paragraphs, run, write_lines
from x2static.stage1_encode.teacher.lanes import MOST_LANES, Lanes, count_lanes, keep_few_kernels, shared_cores


def test_results_come_in_the_order_of_their_batches_and_run_side_by_side():
    both = threading.Barrier(2, timeout=10)

    def read(number: int) -> int:
        if number < 2:
            both.wait()  # passed only if two run at once
        time.sleep(0.02 * (3 - number))
        return number * 10

    lanes: Lanes[int, int] = Lanes(2)
    for number in range(3):
        assert lanes.has_room
        lanes.begin(read, number)
    assert not lanes.has_room
    results = [(batch, future.result()) for batch, future in (lanes.first() for _ in range(3))]
    assert results == [(0, 0), (1, 10), (2, 20)]
    lanes.close()


def test_a_wait_that_is_interrupted_leaves_nothing_for_the_next(monkeypatch):
    go_on = threading.Event()
    lanes: Lanes[int, int] = Lanes(1)
    for number in range(2):
        lanes.begin(lambda batch: batch * 10 * go_on.wait(10), number)

    def interrupt(futures: list[object]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("x2static.stage1_encode.teacher.lanes.wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lanes.first()
    assert not lanes.idle, "what runs is still waited for"
    with pytest.raises(KeyboardInterrupt):
        lanes.close()
    monkeypatch.undo()
    go_on.set()
    assert lanes.idle
    lanes.begin(lambda batch: batch + 1, 5)
    batch, future = lanes.first()
    assert (batch, future.result()) == (5, 6)


def test_cores_are_shared_and_given_back():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with pytest.raises(InterruptedError), shared_cores(3):
            assert torch.get_num_threads() == 1
            raise InterruptedError
        assert torch.get_num_threads() == 4
        assert count_lanes(torch.device("cpu")) == MOST_LANES
        assert count_lanes(torch.device("cuda")) == 1
    finally:
        torch.set_num_threads(before)


def test_few_kernels_are_kept_and_a_users_own_setting_stays(monkeypatch):
    monkeypatch.setattr(os, "environ", {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"})
    keep_few_kernels()
    assert os.environ == {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024", "LRU_CACHE_CAPACITY": "8"}


def test_the_cache_is_the_same_with_one_lane_and_with_three(teacher, tmp_path):
    lines = [*paragraphs(40), " ".join(paragraphs(120, seed=1))]  # the last one fills several windows
    corpus = write_lines(tmp_path / "t.txt", lines)
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            run(teacher, corpus, tmp_path / str(threads), unit=20)
    finally:
        torch.set_num_threads(before)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "3")
