"""The exceptions that are meant for the person at the terminal."""


class X2StaticError(Exception):
    """Something the user can mend: the message says what was expected, what came, where, and what to do.

    The command line prints it as one line and exits with 1; every other exception is a defect of x2static.
    """


REMEDY = "the shard is damaged: run `x2static cache repair DIR` on its cache, which encodes it again"


class DamagedShard(X2StaticError):  # noqa: N818
    """A shard that does not hold what its marker says, or has no marker: it is as good as not there."""


class Interrupted(X2StaticError):  # noqa: N818 - it is no error
    """A signal stopped the work after its state was saved; the command line exits with 130."""


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
