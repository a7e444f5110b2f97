"""What a person sees while a stage works, on stderr: log lines, progress, and what an error comes to."""

import errno
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

import click
from tqdm import tqdm

from x2static.durable.errors import X2StaticError, first_line
from x2static.machine.packages import extra_of, install_extra
from x2static.machine.progress import Progress
from x2static.machine.screen import visible

SECONDS_BETWEEN_LINES = 10.0  # where stderr is no terminal
SECONDS_BETWEEN_TICKS = 1.0  # of the clock of a bar
# As tqdm's own, but for slow work, of which it says "12.30s/ trials".
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
FULL = "the disk is full{}; make room and run the same command again, what is committed stays"

_about: ContextVar[str] = ContextVar("about", default="")


@contextmanager
def about(name: str) -> Iterator[None]:
    """Begin what is logged, and the message of an error, by the name of what it is about."""
    token = _about.set(f"{name}: ")
    try:
        yield
    except X2StaticError as error:
        error.args = (f"{name}: {error}",)
        raise
    finally:
        _about.reset(token)


def named(text: str) -> str:
    """Return a text for people, in which what is in a bucket has its URL, not the folder of its view."""
    if "x2static/buckets/" not in text:
        return text
    from x2static.schemas.mirror import with_urls

    return with_urls(text)


def message(error: Exception) -> str:
    """Return the one line that says what went wrong, where, and what to do."""
    return named(_message(error))


def _message(error: Exception) -> str:
    text = str(error)
    if isinstance(error, X2StaticError):
        return " ".join(text.split())
    if isinstance(error, ModuleNotFoundError) and (extra := extra_of(error.name)):
        text = f"this needs {error.name}: {install_extra(extra)}"
    elif isinstance(error, OSError) and error.errno is not None:
        where = f" ({error.filename})" if error.filename else ""
        text = FULL.format(where) if error.errno == errno.ENOSPC else f"{error.strerror}{where}"
    elif isinstance(error, RuntimeError) and text.startswith("Symlink loop from "):  # an OSError since Python 3.13
        text = f"links that lead to themselves: {text.removeprefix('Symlink loop from ')}; name the file itself"
    elif isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        around = error.object[max(0, error.start - 60) : error.end + 60]
        text = f"a name is not valid UTF-8, so no record can hold it ({around!r}); rename it"
    elif isinstance(error, MemoryError) or "can't allocate memory" in text:  # numpy's, and torch's
        text = f"this does not fit into memory ({first_line(error)}); ask for less (--pool, --max-vocab, --batch-size)"
    elif "No space left on device" in text:  # zarrs reports the system's error in words of its own
        text = FULL.format("")
    else:
        text = f"unexpected {type(error).__name__}: {text} (--debug shows where; please report it)"
    return " ".join(text.split())


class EchoHandler(logging.Handler):
    """Writes log records to stderr above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; warnings say that they are."""
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        tqdm.write(prefix + visible(_about.get() + named(" ".join(record.getMessage().split()))), file=sys.stderr)


def log_to_stderr() -> None:
    """Show what x2static logs, and of other libraries only errors."""
    logging.getLogger().setLevel(logging.ERROR)
    logger = logging.getLogger("x2static")
    logger.handlers = [EchoHandler()]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _draws() -> bool:
    """Return whether a bar can be drawn over and over: on a terminal, and in a notebook, which says that it is none."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class ProgressLine:
    """A progress bar on a terminal and in a notebook; elsewhere a plain line every ten seconds and one at the end.

    A thread keeps the clock going, whether reports come or not: whoever waits sees that something happens.
    """

    def __init__(self, title: str) -> None:
        self.title = visible(title)  # what is being done, in a word
        self._bar: tqdm | None = None
        self._first: Progress | None = None
        self._latest: Progress | None = None
        self._last_line: Progress | None = None
        self._started = self._shown = time.monotonic()
        self._ended, self._lock = threading.Event(), threading.RLock()
        self._clock = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "ProgressLine":
        self._clock.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._clock.join()
        if self._bar is not None:
            self._bar.close()
        elif self._latest is not None and kind is None and self._latest not in (self._first, self._last_line):
            self._show(self._latest)

    def __call__(self, progress: Progress) -> None:
        """Take a report."""
        with self._lock:
            alone = self._first is None  # the clock
            if self._bar is not None and (alone or progress.done < self._bar.n):  # or another kind of work has begun
                self._bar.close()
                self._bar = None
            self._first = self._first or progress
            self._latest = progress
            if not _draws():
                self._show_if_due()
                return
            if self._bar is None:
                counts = {"total": progress.total, "initial": progress.done, "unit": f" {progress.unit}"}
                form = BAR if progress.total else None
                self._bar = tqdm(desc=self.title, file=sys.stderr, bar_format=form, **counts)
            self._bar.total = progress.total  # an estimate gets better on the way
            self._bar.set_postfix_str(progress.detail, refresh=False)
            self._bar.update(progress.done - self._bar.n)

    def _tick(self) -> None:
        """Show the time every second, until the work has ended or nobody reads (which the work notices by itself)."""
        with suppress(OSError, ValueError):
            while not self._ended.wait(SECONDS_BETWEEN_TICKS):
                with self._lock:
                    if not _draws():
                        self._show_if_due()
                    elif self._bar is not None:
                        self._bar.refresh()
                    else:  # before the first report
                        clock = {"bar_format": "{desc}: {elapsed}", "leave": False}
                        self._bar = tqdm(desc=self.title, file=sys.stderr, **clock)

    def _show_if_due(self) -> None:
        if time.monotonic() - self._shown >= SECONDS_BETWEEN_LINES:
            self._show(self._latest)

    def _show(self, progress: Progress | None) -> None:
        self._shown, self._last_line = time.monotonic(), progress
        seconds = self._shown - self._started
        if progress is None:
            click.echo(f"{self.title}: {duration(seconds)} so far", err=True)
            return
        done_now = progress.done - (self._first.done if self._first else 0)
        position = f"{self.title}: {progress.done:,}"
        if progress.total:
            position += f" of {'about ' if progress.about else ''}{progress.total:,}"
        parts = [f"{position} {progress.unit}", f"{duration(seconds)} so far"]
        if progress.total:
            parts[0] += f" ({progress.done / progress.total:.0%})"
            if done_now > 0 and progress.done < progress.total:
                parts.append(f"{duration(seconds / done_now * (progress.total - progress.done))} left")
        click.echo(", ".join([*parts, progress.detail] if progress.detail else parts), err=True)


def duration(seconds: float) -> str:
    """Return a time for people: "42 s", "3 min 05 s", "2 h 10 min"."""
    minutes, whole = divmod(round(seconds), 60)
    if not minutes:
        return f"{whole} s"
    return f"{minutes} min {whole:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(n_bytes: float) -> str:
    """Return a size for people: "83.0 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} bytes" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"
