"""Work that runs ahead of its consumer in a thread of its own."""

from collections.abc import Iterable, Iterator
from concurrent.futures import wait
from functools import partial
from typing import TypeVar

from schemas.background import in_background

Item = TypeVar("Item")

GRACE_SECONDS = 2.0  # for the item in hand when its consumer leaves; a read from a dead network takes far longer


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items of an iterable while a thread works on the next one.

    An exception in making an item is raised where that item is asked for.
    """
    iterator = iter(items)
    end = object()
    future = in_background(partial(next, iterator, end))
    try:
        while (item := future.result()) is not end:
            future = in_background(partial(next, iterator, end))
            yield item
    finally:
        wait([future], GRACE_SECONDS)
