"""Work in threads of its own, for which nobody waits at the end: a read from a dead network hangs for minutes."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from typing import TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")

NAME = "x2static-background"
GRACE_SECONDS = 2.0  # for the item in hand when its consumer leaves; a read from a dead network takes far longer


def in_background(call: Callable[[], Result]) -> Future[Result]:
    """Start a call in a thread of its own, which does not keep the process from ending.

    Returns:
        Its result or exception; waiting for it can be interrupted.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  # raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name=NAME, daemon=True).start()
    return future


def left_behind() -> bool:
    """Return whether such a call is still going on."""
    return any(thread.name == NAME for thread in threading.enumerate())


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
