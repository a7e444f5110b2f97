"""Processes and threads beside this one. No process outlives it, and it waits for no thread.

Processes are started afresh ("spawn"), not forked: a fork takes along the locks of torch's threads, not the threads.
There are two forms: a pool for calls, and a `Child`, which is talked to and whose death is reported.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar, cast

from x2static.machine.screen import screen

Item = TypeVar("Item")
Result = TypeVar("Result")

SPAWN = multiprocessing.get_context("spawn")
BACKGROUND = "x2static-background"  # name of a thread
GRACE_SECONDS = 2.0  # for the item in hand when its consumer leaves; a read from a dead network takes far longer


def process_pool(count: int, start: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """Return processes for calls, each of which calls `start` first. Calls raise BrokenProcessPool: one was killed."""
    return ProcessPoolExecutor(count, SPAWN, _begin, (start, *arguments))


def alone(work: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function in a process of its own: memory and threads of one measurement do not count for another."""
    with process_pool(1) as process:
        return process.submit(work, *arguments).result()


def peak_rss() -> int:
    """Return the most bytes of memory that this process has held."""
    import resource  # Windows has none

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Child:
    """A process that is talked to."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        """Start it: it calls `work` with its end of the connection and the arguments."""
        self.connection, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_work, args=(work, theirs, *arguments))
        self.process.start()
        theirs.close()

    def send(self, message: Any) -> None:
        """Send it a message; one that has died does not hear it, and `receive` then says so."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def receive(self) -> Any:
        """Return its next message; None where it has ended."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return None

    def death(self) -> str:
        """Return how it ended, in words."""
        code = self.process.exitcode or 0
        if code < 0:
            return f"its process was killed by {signal.Signals(-code).name}, perhaps for lack of memory"
        return f"its process ended with status {code}"


class Place:
    """Where children work: on this machine. Those of a cluster are `machine/remote.py`'s, and are talked to alike."""

    tries = 1  # of work of which a child dies; here it would most likely die of the same
    has_own_threads = False  # whether children do not share the threads of one machine

    def start(self, work: Callable[..., None], *arguments: Any) -> Child:
        """Return a new child."""
        return Child(work, *arguments)

    def ready(self, children: Sequence[Child]) -> list[Child]:
        """Wait until some have sent a message, or have died, and return them."""
        talking = wait([child.connection for child in children])
        return [child for child in children if child.connection in talking]

    def stop_all(self, children: Sequence[Child]) -> None:
        """Ask all to end, by SIGTERM and by the end of the connection, and wait until they have."""
        for child in children:
            child.connection.close()
            child.process.terminate()
        for child in children:
            child.process.join()


def _begin(start: Callable[..., None] | None = None, *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent decides
    threading.Thread(target=_follow_parent, daemon=True).start()
    sys.stdout, sys.stderr = map(screen, (sys.stdout, sys.stderr))  # what libraries say there, names included
    if start:
        start(*arguments)


def _follow_parent() -> None:
    """End when the parent has: a pipe's reader does not learn of its writer's kill -9 while others hold the pipe.

    By SIGTERM, which a child may handle to save its state.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _work(work: Callable[..., None], connection: Connection, *arguments: Any) -> None:
    _begin()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone, or has closed the connection
        work(connection, *arguments)


def in_background(call: Callable[[], Result]) -> Future[Result]:
    """Start a call in a thread that does not keep the process from ending; one can stop waiting for the result."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  # raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name=BACKGROUND, daemon=True).start()
    return future


def left_behind() -> bool:
    """Return whether a call in the background is still going on."""
    return any(thread.name == BACKGROUND for thread in threading.enumerate())


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items while a thread works on the next one, from now on; an exception is raised in its item's place."""
    end = object()
    make_next: Callable[[], Item | object] = partial(next, iter(items), end)
    first = in_background(make_next)

    def rest(future: Future[Item | object]) -> Iterator[Item]:
        try:
            while (item := future.result()) is not end:
                future = in_background(make_next)
                yield cast(Item, item)
                del item  # the consumer's now; waiting for the next one takes long
        finally:
            wait_for([future], GRACE_SECONDS)

    return rest(first)
