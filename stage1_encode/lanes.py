"""Several batches at once on a processor: each in a thread of its own, with a share of the cores."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

Batch = TypeVar("Batch")
Result = TypeVar("Result")

# More lanes hold the activations of more batches. Two lanes of one core read 12,500 pieces/s where both cores on each
# batch in turn read 10,200, and are not held up by whoever takes one core for a moment (docs/LOG.md, 2026-11-21).
MOST_LANES = 4


def count_lanes(device: torch.device) -> int:
    """Return how many batches a device reads at once: an accelerator one, its own queue keeps it busy."""
    return 1 if device.type != "cpu" else min(MOST_LANES, torch.get_num_threads())


@contextmanager
def shared_cores(lanes: int) -> Iterator[None]:
    """Give each of some lanes an equal share of the threads that torch computes with."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // lanes))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Lanes(Generic[Batch, Result]):
    """Batches under way, whose results come back in the order in which they were begun.

    The threads stay from one unit to the next and end with this object. A new one may get the heap of one that prepared
    text, and what lives longer than a batch leaves holes there (docs/LOG.md, 2026-11-21).
    """

    def __init__(self, count: int, read: Callable[[Batch], Result]) -> None:
        """Make the lanes.

        Args:
            count: how many batches are read at once.
            read: reads one.
        """
        self._count, self._read = count, read
        self._pool = ThreadPoolExecutor(count)
        self._pending: deque[tuple[Batch, Future[Result]]] = deque()

    @property
    def has_room(self) -> bool:
        """Whether another batch may begin; one more than there are lanes, so that none waits for its next."""
        return len(self._pending) <= self._count

    def begin(self, batch: Batch) -> None:
        """Begin to read a batch."""
        self._pending.append((batch, self._pool.submit(self._read, batch)))

    def first(self) -> tuple[Batch, Future[Result]]:
        """Return the batch that was begun first, and its result when it is there."""
        return self._pending.popleft()

    def close(self) -> None:
        """Forget what was begun, and wait until nothing of it runs; another batch may begin."""
        for _, future in self._pending:
            future.cancel()
        wait([future for _, future in self._pending])
        self._pending.clear()
