"""Text prepared ahead of the teacher: in a thread, or, for an accelerator, by several processes."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

from x2static.durable.errors import X2StaticError
from x2static.machine.processes import ahead, process_pool
from x2static.stage1_encode.text.windows import PreparedText, Preparer

if TYPE_CHECKING:  # the processes that prepare text need not load it
    import torch

# One process prepares some 420,000 pieces a second; an accelerator reads millions (docs/SCALE.md).
MOST_WORKERS = 8

# Paragraphs that are prepared at once, by kind of device: some thirty batches on a CPU, eight on an accelerator.
PORTION = {"cpu": 1024, "cuda": 8192}

Unit = TypeVar("Unit")  # whatever the caller knows a unit by


def pick_workers(workers: int | None, device: "torch.device") -> int:
    """Return how many processes prepare text; on a CPU, which the teacher needs for itself, one thread does."""
    if workers is not None:
        return workers
    return 1 if device.type == "cpu" else min(MOST_WORKERS, max(1, (os.cpu_count() or 1) // 2))


def units_ahead(
    units: Iterable[tuple[Unit, list[str]]], preparer: Preparer, workers: int, device: "torch.device"
) -> Iterator[tuple[Unit, Iterator[PreparedText]]]:
    """Begin at once to prepare units, as `prepared` does, and yield each with its portions, as they are ready."""
    portions = ahead(prepared(units, preparer, workers, PORTION[device.type]))
    return ((unit, map(itemgetter(1), of_unit)) for unit, of_unit in groupby(portions, itemgetter(0)))


def prepared(
    units: Iterable[tuple[Unit, list[str]]], preparer: Preparer, workers: int, size: int
) -> Iterator[tuple[Unit, PreparedText]]:
    """Yield units prepared, portion by portion, in their order; a unit without paragraphs is one portion.

    A portion is `size` paragraphs, fewer at a unit's end; they are gone from their list once they are prepared. One
    worker is the caller's own thread, more are processes. Raises X2StaticError: a process was killed.
    """
    if workers == 1:
        for unit, texts, last in _portions(units, size):
            yield unit, _packed(preparer.prepare(texts), last)
        return
    with process_pool(workers, _start, preparer) as pool:
        pending: deque[tuple[Unit, Future[PreparedText], bool]] = deque()

        def ready(most: int) -> Iterator[tuple[Unit, PreparedText]]:
            while len(pending) > most:
                unit, future, last = pending.popleft()
                yield unit, _packed(future.result(), last)

        try:
            for unit, texts, last in _portions(units, size):
                pending.append((unit, pool.submit(_prepare, texts), last))
                yield from ready(workers)
            yield from ready(0)
        except BrokenProcessPool as error:
            raise X2StaticError(
                "a process that prepares text was killed (out of memory?); run the same command again to go on, with "
                "fewer --workers"
            ) from error


def _portions(units: Iterable[tuple[Unit, list[str]]], size: int) -> Iterator[tuple[Unit, list[str], bool]]:
    """Yield so many paragraphs at once, and whether their unit ends with them."""
    for unit, paragraphs in units:
        n_paragraphs = len(paragraphs)
        for start in range(0, max(n_paragraphs, 1), size):
            texts, last = paragraphs[start : start + size], start + size >= n_paragraphs
            if last:
                paragraphs.clear()  # megabytes, while the unit waits for the teacher and for the disk
            yield unit, texts, last


def _packed(text: PreparedText, last: bool) -> PreparedText:
    """Pack the windows of a portion, and let go of what they were made of."""
    _, text.windows, text.last = text.packed, [], last
    return text


_preparer: Preparer | None = None  # of a worker process


def _start(preparer: Preparer) -> None:
    global _preparer
    _preparer = preparer
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _prepare(paragraphs: list[str]) -> PreparedText:
    if _preparer is None:
        raise RuntimeError("a worker was not started by _start")
    return _preparer.prepare(paragraphs)
