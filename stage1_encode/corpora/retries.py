"""Reading over a network that fails now and then: again after a while, and on from the row in hand."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from huggingface_hub.errors import HfHubHTTPError

from x2static.durable.errors import first_line
from x2static.machine.background import in_background

RETRY_WAITS = (1.0, 3.0, 8.0, 18.0, 30.0)  # seconds before each try after the first: a minute together
HTTP_ERROR: type[Exception] = HfHubHTTPError.__mro__[1]  # the base of all errors of its HTTP library

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


def may_pass(error: BaseException) -> bool:
    """Return whether an error is the network's or the server's, and may be gone the next time.

    What the server says about the request itself (401, 403, 404) stays as it is.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            return status in (408, 429) or status >= 500
        if isinstance(cause, FileNotFoundError):
            return False
        if isinstance(cause, (HTTP_ERROR, ConnectionError, TimeoutError)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def retried(call: Callable[[], Result], what: str) -> Result:
    """Return what a call returns, tried again while the network fails.

    Args:
        call: reads over the network.
        what: what is read, for the log.

    Raises:
        Exception: what the call raises, at once or in the last try.
    """
    failures = 0
    while True:
        try:
            return in_background(call).result()  # a thread that hangs cannot be interrupted, waiting for it can
        except Exception as error:
            if not _wait(error, failures, what):
                raise
            failures += 1


def rows_retried(rows_from: Callable[[int], Iterator[Any]], start: int, what: str) -> Iterator[tuple[int, Any]]:
    """Yield (row, value) from a row on; when the network fails, go on with the row in hand.

    Args:
        rows_from: gives the values from a row on.
        start: number of the first row.
        what: what is read, for the log.

    Raises:
        Exception: what reading raises, at once or in the last try for a row.
    """
    row, failures = start, 0
    while True:
        try:
            for value in rows_from(row):
                yield row, value
                row, failures = row + 1, 0
            return
        except Exception as error:
            if not _wait(error, failures, f"{what}: row {row}"):
                raise
            failures += 1


def _wait(error: Exception, failures: int, what: str) -> bool:
    """Wait before the next try; False where none would help."""
    if failures == len(RETRY_WAITS) or not may_pass(error):
        return False
    seconds = RETRY_WAITS[failures]
    logger.warning(
        "%s: the network failed (%s); trying again in %g seconds (%d of %d)",
        what,
        first_line(error)[:200],
        seconds,
        failures + 1,
        len(RETRY_WAITS),
    )
    time.sleep(seconds)
    return True
