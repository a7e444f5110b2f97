"""The exceptions that are meant for the person at the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager


class X2StaticError(Exception):
    """Something the user can mend: the message says what was expected, what came, where, and what to do.

    The command line prints it as one line and exits with 1; every other exception is a defect of x2static.
    """


REMEDY = "the shard is damaged: run `x2static cache repair DIR` on its cache, which encodes it again"


class DamagedShard(X2StaticError):  # noqa: N818
    """A shard that does not hold what its marker says, or has no marker: it is as good as not there."""


class Interrupted(X2StaticError):  # noqa: N818 - it is no error
    """A signal stopped the work after its state was saved; the command line exits with 130."""


def is_panic(error: BaseException) -> bool:
    """Return whether an exception is the panic of a library in Rust, which is no `Exception`, and cannot be pickled.

    Rust's own line on stderr ("thread ... panicked at") comes before Python hears of it.
    """
    return type(error).__name__ == "PanicException"


@contextmanager
def panics_caught() -> Iterator[None]:
    """Let a library's panic, past which no `except Exception` comes, be an error like others."""
    try:
        yield
    except BaseException as error:
        if not is_panic(error):
            raise
        raise X2StaticError(f"a library gave up (panic: {first_line(error)}); please report it") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
