"""What long work and whoever runs it tell each other: how far it is, and that it should stop between two steps."""

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType


@dataclass(frozen=True)
class Progress:
    """A position in a piece of work."""

    done: int  # units of work finished, counted from the beginning of the work, resumed parts included
    total: int | None  # units of work altogether; None where the end is not known (a stream)
    unit: str  # what is counted, in the plural ("paragraphs", "batches")
    detail: str = ""  # a short addition for the line ("12,345 tokens/s")
    about: bool = False  # whether `total` is an estimate


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report to nobody."""


class StopRequest:
    """Turns SIGINT and SIGTERM into a flag while it is entered; Python lets it do so in the main thread alone."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._receive) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
