"""Text prepared ahead of the teacher: in a thread, or, for an accelerator, by several processes.

What a library makes of a text may fail: some panic. The paragraph is then found, and named or left out.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from x2static.durable.errors import X2StaticError, first_line, is_panic
from x2static.machine.processes import ahead, process_pool
from x2static.stage1_encode.text.windows import PreparedText, Preparer

if TYPE_CHECKING:  # the processes that prepare text need not load it
    import torch

# One process prepares some 420,000 pieces a second; an accelerator reads millions (docs/SCALE.md).
MOST_WORKERS = 8

# Paragraphs that are prepared at once, by kind of device: some thirty batches on a CPU, eight on an accelerator.
PORTION = {"cpu": 1024, "cuda": 8192}

Unit = TypeVar("Unit")  # whatever the caller knows a unit by
LanguageOf = Callable[[Any], str | None]  # the language of a unit's text, None where the preparer is for one alone


class UnreadableParagraph(X2StaticError):  # noqa: N818
    """A paragraph that a library cannot take; whoever knows its place says it (`prepared` gives the unit)."""

    def __init__(self, problem: str, number: int, unit: Any = None) -> None:
        """Take what went wrong, and which paragraph it was, of those that were prepared or of the unit."""
        super().__init__(problem, number, unit)  # so that it can come from another process
        self.problem, self.number, self.unit = problem, number, unit

    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True)
class CarefulPreparer:
    """A preparer that finds the paragraph which a library cannot take, names it or leaves it out."""

    inner: Preparer
    skip: bool  # whether it is left out, and counted

    @property
    def window(self) -> int:
        """Pieces that the teacher reads at once, special tokens included."""
        return self.inner.window

    def prepare(self, paragraphs: list[str], language: str | None = None) -> PreparedText:
        """Return the windows and words of paragraphs. Raises UnreadableParagraph: one cannot be read, and is to be."""
        try:
            return self.inner.prepare(paragraphs, language)
        except BaseException as error:
            if not _is_of_a_library(error):
                raise
            failed = error
        kept: list[str] = []
        for number, paragraph in enumerate(paragraphs):
            try:
                self.inner.prepare([paragraph], language)
                kept.append(paragraph)
            except BaseException as error:
                if not _is_of_a_library(error):
                    raise
                if not self.skip:
                    kind = "panic" if is_panic(error) else type(error).__name__
                    raise UnreadableParagraph(
                        f"a library cannot take it ({kind}: {first_line(error)})", number
                    ) from error
        if len(kept) == len(paragraphs):  # each by itself can be read: it is none of them
            raise failed
        text = self.inner.prepare(kept, language)
        text.n_skipped = len(paragraphs) - len(kept)
        return text


def _is_of_a_library(error: BaseException) -> bool:
    """Return whether an error may come of the text: not a signal, the system, memory, or what is said to the user."""
    others = (X2StaticError, OSError, MemoryError, ImportError)
    return is_panic(error) or (isinstance(error, Exception) and not isinstance(error, others))


def pick_workers(workers: int | None, device: "torch.device") -> int:
    """Return how many processes prepare text; on a CPU, which the teacher needs for itself, one thread does."""
    if workers is not None:
        return workers
    return 1 if device.type == "cpu" else min(MOST_WORKERS, max(1, (os.cpu_count() or 1) // 2))


def units_ahead(
    units: Iterable[tuple[Unit, list[str]]],
    preparer: Preparer,
    workers: int,
    device: "torch.device",
    language_of: LanguageOf = lambda _: None,
) -> Iterator[tuple[Unit, Iterator[PreparedText]]]:
    """Begin at once to prepare units, as `prepared` does, and yield each with its portions, as they are ready."""
    portions = ahead(prepared(units, preparer, workers, PORTION[device.type], language_of))
    return ((unit, map(itemgetter(1), of_unit)) for unit, of_unit in groupby(portions, itemgetter(0)))


def prepared(
    units: Iterable[tuple[Unit, list[str]]],
    preparer: Preparer,
    workers: int,
    size: int,
    language_of: LanguageOf = lambda _: None,
) -> Iterator[tuple[Unit, PreparedText]]:
    """Yield units prepared, portion by portion, in their order; a unit without paragraphs is one portion.

    A portion is `size` paragraphs, fewer at a unit's end; they are gone from their list once they are prepared. One
    worker is the caller's own thread, more are processes. Raises X2StaticError: a process was killed. Raises
    UnreadableParagraph: with the unit, and the number of the paragraph in it.
    """
    if workers == 1:
        for unit, start, texts, last in _portions(units, size):
            with _numbered(unit, start):
                text = preparer.prepare(texts, language_of(unit))
            yield unit, _packed(text, last)
        return
    with process_pool(workers, _start, preparer) as pool:
        pending: deque[tuple[Unit, int, Future[PreparedText], bool]] = deque()

        def ready(most: int) -> Iterator[tuple[Unit, PreparedText]]:
            while len(pending) > most:
                unit, start, future, last = pending.popleft()
                with _numbered(unit, start):
                    text = future.result()
                yield unit, _packed(text, last)

        try:
            for unit, start, texts, last in _portions(units, size):
                pending.append((unit, start, pool.submit(_prepare, texts, language_of(unit)), last))
                yield from ready(workers)
            yield from ready(0)
        except BrokenProcessPool as error:
            raise X2StaticError(
                "a process that prepares text was killed (out of memory?); run the same command again to go on, with "
                "fewer --workers"
            ) from error


@contextmanager
def _numbered(unit: Unit, start: int) -> Iterator[None]:
    """Count the paragraph that cannot be read from its unit's first, not its portion's."""
    try:
        yield
    except UnreadableParagraph as error:
        raise UnreadableParagraph(error.problem, start + error.number, unit) from error


def _portions(units: Iterable[tuple[Unit, list[str]]], size: int) -> Iterator[tuple[Unit, int, list[str], bool]]:
    """Yield so many paragraphs at once, the number of the first, and whether their unit ends with them."""
    for unit, paragraphs in units:
        n_paragraphs = len(paragraphs)
        for start in range(0, max(n_paragraphs, 1), size):
            texts, last = paragraphs[start : start + size], start + size >= n_paragraphs
            if last:
                paragraphs.clear()  # megabytes, while the unit waits for the teacher and for the disk
            yield unit, start, texts, last


def _packed(text: PreparedText, last: bool) -> PreparedText:
    """Pack the windows of a portion, and let go of what they were made of."""
    _, text.windows, text.last = text.packed, [], last
    return text


_preparer: Preparer | None = None  # of a worker process


def _start(preparer: Preparer) -> None:
    global _preparer
    _preparer = preparer
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _prepare(paragraphs: list[str], language: str | None) -> PreparedText:
    if _preparer is None:
        raise RuntimeError("a worker was not started by _start")
    return _preparer.prepare(paragraphs, language)
