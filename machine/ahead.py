"""Work that runs ahead of its consumer in a thread of its own."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from typing import TypeVar, cast

from x2static.machine.background import in_background

Item = TypeVar("Item")

GRACE_SECONDS = 2.0  # for the item in hand when its consumer leaves; a read from a dead network takes far longer


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Begin at once to work on the first item of an iterable, and yield the items while a thread works on the next one.

    An exception in making an item is raised where that item is asked for.
    """
    iterator, end = iter(items), object()
    return _rest(iterator, end, in_background(partial(next, iterator, end)))


def _rest(iterator: Iterator[Item], end: object, future: "Future[Item | object]") -> Iterator[Item]:
    try:
        while (item := future.result()) is not end:
            future = in_background(partial(next, iterator, end))
            yield cast(Item, item)
            del item  # the consumer's now; waiting for the next one takes long
    finally:
        wait([future], GRACE_SECONDS)
