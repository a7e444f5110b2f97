"""Text prepared for the teacher: in the thread that reads ahead, or, for an accelerator, by several processes."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import groupby
from multiprocessing.connection import wait
from operator import attrgetter

import torch

from x2static.durable.errors import X2StaticError
from x2static.machine.ahead import ahead
from x2static.stage1_encode.plan.remaining import Work
from x2static.stage1_encode.text.compat import PaperPreparer
from x2static.stage1_encode.text.windows import PreparedText, Preparer

# One process prepares some 420,000 pieces a second; an accelerator reads millions (docs/SCALE.md).
MOST_WORKERS = 8

Pending = tuple[Work, "Future[PreparedText]", bool]  # a portion, and whether its unit ends with it

# Paragraphs that are prepared at once, by kind of device: some thirty batches on a CPU, eight on an accelerator.
PORTION = {"cpu": 1024, "cuda": 8192}


@dataclass(frozen=True)
class Portion:
    """Some paragraphs of a unit between their reading and the teacher.

    Attributes:
        work: the unit; once its last portion is prepared, its text is gone.
        text: the paragraphs, prepared.
    """

    work: Work
    text: PreparedText


def pick_workers(asked: int | None, device: torch.device) -> int:
    """Return how many processes prepare text; on a CPU, which the teacher needs for itself, one thread does."""
    if asked is not None:
        return asked
    return 1 if device.type == "cpu" else min(MOST_WORKERS, max(1, (os.cpu_count() or 1) // 2))


def units_ahead(
    works: Iterator[Work], preparer: Preparer | PaperPreparer, workers: int, device: torch.device
) -> Iterator[tuple[Work, Iterator[PreparedText]]]:
    """Begin at once to prepare units ahead of the teacher, and yield each with its portions, as they are ready.

    Args:
        works: the units, read.
        preparer: cuts text into windows and words.
        workers: processes that prepare text.
        device: the teacher's.

    Raises:
        X2StaticError: a process was killed.
    """
    coming = ahead(prepared(works, preparer, workers, PORTION[device.type]))
    return ((work, map(attrgetter("text"), found)) for work, found in groupby(coming, attrgetter("work")))


def prepared(
    works: Iterator[Work], preparer: Preparer | PaperPreparer, workers: int, paragraphs: int
) -> Iterator[Portion]:
    """Yield units prepared, portion by portion, in the order in which they were read.

    Args:
        works: the units, read.
        preparer: cuts text into windows and words.
        workers: processes; 1 prepares in the caller's own thread.
        paragraphs: that make a portion; fewer may end a unit.

    Raises:
        X2StaticError: a process was killed.
    """
    if workers == 1:
        for work, texts, last in _portions(works, paragraphs):
            yield _done(work, preparer.prepare(texts), last)
        return
    # Started afresh, not forked: the teacher's threads would not survive that.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (preparer,)) as pool:
        pending: deque[Pending] = deque()
        try:
            for work, texts, last in _portions(works, paragraphs):
                pending.append((work, pool.submit(_prepare, texts), last))
                if len(pending) > workers:
                    yield _first(pending)
            while pending:
                yield _first(pending)
        except BrokenProcessPool as error:
            raise X2StaticError(
                "a process that prepares text was killed (out of memory?); run the same command again to go on, with "
                "fewer --workers"
            ) from error


def portions(paragraphs: list[str], size: int) -> Iterator[tuple[list[str], bool]]:
    """Yield a unit's paragraphs, so many at once, and whether the unit ends with them; an empty unit is one portion."""
    for start in range(0, max(len(paragraphs), 1), size):
        yield paragraphs[start : start + size], start + size >= len(paragraphs)


def _portions(works: Iterator[Work], size: int) -> Iterator[tuple[Work, list[str], bool]]:
    for work in works:
        for texts, last in portions(work.text.paragraphs, size):
            yield work, texts, last


def _first(pending: "deque[Pending]") -> Portion:
    work, future, last = pending.popleft()
    return _done(work, future.result(), last)


def _done(work: Work, text: PreparedText, last: bool) -> Portion:
    text.pack()
    text.last = last
    if last:
        work.text.paragraphs.clear()  # read, and megabytes, while the unit waits for the teacher and for the disk
    return Portion(work, text)


_preparer: Preparer | PaperPreparer | None = None  # of a worker process


def _start(preparer: Preparer | PaperPreparer) -> None:
    global _preparer
    _preparer = preparer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """End with the parent, however that ends; a queue's reader does not learn of its writer's kill -9."""
    started_by = multiprocessing.parent_process()
    if started_by:
        wait([started_by.sentinel])
    os._exit(1)


def _prepare(paragraphs: list[str]) -> PreparedText:
    if _preparer is None:
        raise RuntimeError("a worker was not started by _start")
    return _preparer.prepare(paragraphs)
