"""Calls in threads of their own, for which nobody waits at the end: a read from a dead network hangs for minutes."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")

NAME = "x2static-background"


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
