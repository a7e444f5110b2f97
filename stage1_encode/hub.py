"""Questions to the Hugging Face hub, and one clear line when it cannot be reached."""

import errno
from collections.abc import Callable
from concurrent.futures import wait
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError

from x2static.durable.errors import X2StaticError, first_line
from x2static.machine.processes import in_background

PATIENCE_SECONDS = 5.0  # for each of model and data set, so that one line comes within 15 seconds, imports included
UNREACHABLE = (OSError, HfHubHTTPError)
HTTP_ERROR: type[Exception] = HfHubHTTPError.__mro__[1]  # the base of all errors of its HTTP library

Result = TypeVar("Result")


def answered(call: Callable[[], Result], seconds: float | None) -> Result:
    """Return what a network call returns; a name look-up in it can hang beyond every timeout of its library.

    After the seconds, if any, it raises TimeoutError; ConnectionError if no answer came at all or it broke off; OSError
    if the disk is full; HfHubHTTPError if the hub's answer is an error; ValueError if the question makes no sense.
    """
    future = in_background(call)
    if wait([future], seconds).not_done:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    if (error := future.exception()) is None:
        return future.result()
    if isinstance(error, (HfHubHTTPError, ValueError)) or disk_is_full(error):
        raise error
    raise ConnectionError(first_line(error)) from error  # whatever the HTTP library of the day calls it


def disk_is_full(error: BaseException) -> bool:
    """Return whether an error is not the network's but the disk's."""
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def unreachable(what: str, cause: Exception, ways_out: str) -> X2StaticError:
    """Return the error for a hub that does not answer."""
    return X2StaticError(f"{what}: the Hugging Face hub cannot be reached ({first_line(cause)[:200]}); use {ways_out}")
