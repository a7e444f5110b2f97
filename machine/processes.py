"""Processes beside this one: started afresh, deaf to Ctrl-C, and gone when this one is, however it ends.

Started afresh ("spawn"), not forked: a fork takes along the locks of torch's threads, not the threads. There are two
forms: a pool for calls, and a `Child`, which is talked to and whose death is reported.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

SPAWN = multiprocessing.get_context("spawn")


@contextmanager
def process_pool(
    count: int, start: Callable[..., None] | None = None, *arguments: Any
) -> Iterator[ProcessPoolExecutor]:
    """Give some processes for calls, until the block ends; a killed one breaks the pool (BrokenProcessPool).

    Args:
        count: how many processes.
        start: called once in each, with the arguments.
        *arguments: of `start`; they can be pickled.
    """
    with ProcessPoolExecutor(count, SPAWN, _begin, (start, *arguments)) as pool:
        yield pool


class Child:
    """A process that is talked to."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        """Start it.

        Args:
            work: what it does: it gets its end of the connection, then the arguments; it can be pickled, as they can.
            *arguments: of `work`.
        """
        self.connection, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_work, args=(work, theirs, *arguments))
        self._process.start()
        theirs.close()

    def send(self, message: Any) -> None:
        """Tell it something; one that has died does not hear it, and `receive` then says so."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def receive(self) -> Any:
        """Return the next thing it has to say; None where it has ended."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return None

    @property
    def failed(self) -> bool:
        """Whether it has ended otherwise than by itself."""
        return bool(self._process.exitcode)

    def death(self) -> str:
        """Return how it ended, in words."""
        code = self._process.exitcode or 0
        if code < 0:
            return f"its process was killed by {signal.Signals(-code).name}, perhaps for lack of memory"
        return f"its process ended with status {code}"

    def stop(self) -> None:
        """Ask it to end: by SIGTERM, and by the end of the connection."""
        self.connection.close()
        self._process.terminate()

    def join(self) -> None:
        """Wait until it has ended."""
        self._process.join()


def ready(children: Sequence[Child]) -> list[Child]:
    """Wait until some have something to say, or have died, and return them."""
    talking = wait([child.connection for child in children])
    return [child for child in children if child.connection in talking]


def stop_all(children: Iterable[Child]) -> None:
    """Ask all to end, and wait until they have."""
    listed = list(children)
    for child in listed:
        child.stop()
    for child in listed:
        child.join()


def _begin(start: Callable[..., None] | None = None, *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent decides
    threading.Thread(target=_follow_parent, daemon=True).start()
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
