"""Units prepared for the teacher: in the thread that reads ahead, or, for an accelerator, by several processes."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait

import torch

from schemas.errors import X2StaticError
from stage1_encode.compat import PaperPreparer
from stage1_encode.remaining import Work
from stage1_encode.windows import PreparedUnit, Preparer, compacted

# One process prepares some 290,000 pieces a second; an accelerator reads millions (docs/SCALE.md).
MOST_WORKERS = 8


@dataclass(frozen=True)
class PreparedWork:
    """A unit between its reading and the teacher; its text is gone."""

    work: Work
    unit: PreparedUnit


def pick_workers(asked: int | None, device: torch.device) -> int:
    """Return how many processes prepare text; on a CPU, which the teacher needs for itself, one thread does."""
    if asked is not None:
        return asked
    return 1 if device.type == "cpu" else min(MOST_WORKERS, max(1, (os.cpu_count() or 1) // 2))


def prepared(works: Iterator[Work], preparer: Preparer | PaperPreparer, workers: int) -> Iterator[PreparedWork]:
    """Yield units prepared, in the order in which they were read.

    Args:
        works: the units, read.
        preparer: cuts text into windows and words.
        workers: processes; 1 prepares in the caller's own thread.

    Raises:
        X2StaticError: a process was killed.
    """
    if workers == 1:
        for work in works:
            yield _done(work, preparer.prepare(work.text.paragraphs))
        return
    # Started afresh, not forked: the teacher's threads would not survive that.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (preparer,)) as pool:
        pending: deque[tuple[Work, Future[PreparedUnit]]] = deque()
        try:
            for work in works:
                pending.append((work, pool.submit(_prepare, work.text.paragraphs)))
                if len(pending) > workers:
                    yield _first(pending)
            while pending:
                yield _first(pending)
        except BrokenProcessPool as error:
            raise X2StaticError(
                "a process that prepares text was killed (out of memory?); run the same command again to go on, with "
                "fewer --workers"
            ) from error


def _first(pending: "deque[tuple[Work, Future[PreparedUnit]]]") -> PreparedWork:
    work, future = pending.popleft()
    return _done(work, future.result())


def _done(work: Work, unit: PreparedUnit) -> PreparedWork:
    unit.windows = compacted(unit.windows)
    work.text.paragraphs.clear()  # read, and megabytes, while the unit waits for the teacher and for the disk
    return PreparedWork(work, unit)


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


def _prepare(paragraphs: list[str]) -> PreparedUnit:
    if _preparer is None:
        raise RuntimeError("a worker was not started by _start")
    return _preparer.prepare(paragraphs)
