"""Work that runs ahead of its consumer in a thread of its own."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class _End:
    """What the producer sends last: nothing more, or the error that ended it."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[Item], depth: int = 1) -> Iterator[Item]:
    """Yield the items of an iterable, which is run in a thread, at most `depth` finished items ahead.

    An exception of the producer reaches the consumer; a consumer that stops early stops the producer.
    """
    buffer: queue.Queue[Item | _End] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(item: Item | _End) -> bool:
        while not stopped.is_set():
            try:
                buffer.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        error = None
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as raised:  # handed to the consumer below
            error = raised
        put(_End(error))

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            item = buffer.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()


