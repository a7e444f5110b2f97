"""Several batches at once on a processor: each in a thread of its own, with a share of the cores."""

import os
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

# What is made for each shape of a product. A layer has three to eight kinds of products, and batches of one shape come
# one after the other.
KERNELS_BY_THREAD, KERNELS_IN_ALL = "8", "16"


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


def keep_few_kernels() -> None:
    """Let a CPU's matrix library keep the code of the last few shapes, not that of the last 1,024 in every lane.

    It took 2 MB a shape, 130 MB of an encode, and came to lie between the states, so that the next batch's did not fit
    into the holes: 8 in a thread instead of 16 are 5 % faster. To make it again costs less than can be measured, unless
    there is no room for all kinds of a layer (docs/LOG.md, 2026-11-21 and 22). The libraries read these settings at the
    first product of the process; a user's own ones stay.
    """
    os.environ.setdefault("LRU_CACHE_CAPACITY", KERNELS_BY_THREAD)  # ideep's, between torch and oneDNN
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KERNELS_IN_ALL)


class Lanes(Generic[Batch, Result]):
    """Batches under way, whose results come back in the order in which they were begun.

    The threads stay from one unit to the next and end with this object. A new one may get the heap of one that prepared
    text, and what lives longer than a batch leaves holes there (docs/LOG.md, 2026-11-21).
    """

    def __init__(self, count: int) -> None:
        """Make so many lanes."""
        self._count = count
        self._pool = ThreadPoolExecutor(count)
        self._pending: deque[tuple[Batch, Future[Result]]] = deque()

    @property
    def has_room(self) -> bool:
        """Whether another batch may begin; one more than there are lanes, so that none waits for its next."""
        return len(self._pending) <= self._count

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._pending

    def begin(self, read: Callable[[Batch], Result], batch: Batch) -> None:
        """Begin to read a batch."""
        self._pending.append((batch, self._pool.submit(read, batch)))

    def first(self) -> tuple[Batch, Future[Result]]:
        """Return the batch that was begun first, once it is read, and its result or exception."""
        wait([self._pending[0][1]])  # interrupted here, it is still one that `close` waits for
        return self._pending.popleft()

    def close(self) -> list[Batch]:
        """Drop what was begun, wait until nothing of it runs, and return the dropped batches; another may begin."""
        dropped, self._pending = self._pending, deque()  # whatever interrupts the waiting, none of them comes back
        for _, future in dropped:
            future.cancel()
        wait([future for _, future in dropped])
        return [batch for batch, _ in dropped]
