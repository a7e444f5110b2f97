"""Downloading a pinned file by https: pooch checks and names it, bounds and retries are ours.

Two things pooch cannot do. Its downloader waits for whole chunks with no limit in bytes or time, so that a server that
drips or never ends holds it for hours; and it tries everything again, a missing file and a wrong hash too.
"""

import logging
import re
import socket
import ssl
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError, first_line
from x2static.machine.packages import package_version, require
from x2static.pipeline.data.sources import RemoteFile

TIMEOUT = 20.0  # seconds, for connecting and between two pieces
DEADLINE = 300.0  # seconds for a file: the largest has 1.3 MB
RETRY_WAITS = (1.0, 3.0, 8.0)  # seconds before each try after the first
PIECE = 1 << 16  # bytes
MARKUP = re.compile(rb"\s*<(!doctype html|html|head|\?xml)", re.IGNORECASE)

logger = logging.getLogger(__name__)


class Unreachable(X2StaticError):  # noqa: N818
    """There was no way to the server, so that there is none to the other files either."""


def download(file: RemoteFile, folder: Path) -> bytes:
    """Return the bytes of a remote file, which are those that were pinned.

    The folder keeps it under its sha256; one that is there already is not downloaded. Raises Unreachable: the network
    failed, in the last try too. Raises X2StaticError: the server refuses, redirects to something else than https, or
    sends another file.
    """
    require("data")
    import pooch  # an extra, and it brings requests
    import requests
    import urllib3

    pooch.get_logger().setLevel(logging.WARNING)
    waits = iter(RETRY_WAITS)
    while True:
        try:
            get = partial(_get, file)
            path = pooch.retrieve(file.url, f"sha256:{file.sha256}", fname=file.sha256, path=folder, downloader=get)
            return Path(path).read_bytes()
        except requests.HTTPError as error:
            answer: Any = error.response  # never None, whatever its type says: raise_for_status sets it
            reason = f"{answer.status_code} {answer.reason}"
            wait = next(waits, None) if answer.status_code in (408, 429, *range(500, 600)) else None
            if wait is None:
                raise X2StaticError(
                    f"{file.url}: the server answered {reason}; try again later or, if the file is gone, give your own "
                    "copy with --data DIR"
                ) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, TimeoutError) as error:
            cause = list(_causes(error))[-1]  # what the system says; libraries say all that they have tried
            reason = getattr(cause, "strerror", None) or first_line(cause)[:200] or type(error).__name__
            hopeless = (socket.gaierror, ssl.SSLCertVerificationError)  # no network, or none to be trusted
            wait = None if any(isinstance(cause, hopeless) for cause in _causes(error)) else next(waits, None)
            if wait is None:
                host = file.url.split("/")[2]
                raise Unreachable(
                    f"{host} cannot be reached ({reason}); run the same command again with a network, or evaluate "
                    "without --data: WordSim-353, SimLex-999 and the analogies come with gensim"
                ) from error
        except ValueError as error:  # pooch's word for another hash
            raise _not_pinned(file, str(error)) from error
        logger.warning("%s: the network failed (%s); trying again in %g s", file.url, reason, wait)
        time.sleep(wait)


def _get(file: RemoteFile, url: str, out: str, pooch: Any, check_only: bool = False) -> None:
    """Be a downloader of pooch's that takes https alone, no more bytes than the file has, and no web page."""
    import requests

    if not url.startswith("https://"):
        raise X2StaticError(f"{url}: is not https; not fetched")
    paths = ssl.get_default_verify_paths()
    headers = {"User-Agent": f"x2static/{package_version('x2static')}", "Accept-Encoding": "identity"}
    deadline = time.monotonic() + DEADLINE
    size = 0
    hooks = {"response": _refuse_plain_redirect}
    trusted = paths.cafile or paths.capath or True  # the system's certificates, else those of certifi
    answer = requests.get(url, headers=headers, hooks=hooks, stream=True, timeout=TIMEOUT, verify=trusted)
    with answer as response, Path(out).open("wb") as target:
        response.raise_for_status()
        while piece := response.raw.read1(PIECE):  # read() would wait for all of it
            if size == 0 and MARKUP.match(piece):
                raise _not_pinned(file, f"got what looks like a web page ({piece[:60]!r})")
            size += target.write(piece)
            if size > file.n_bytes:
                raise _not_pinned(file, f"got more, {size:,} bytes so far")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{size:,} bytes in {DEADLINE:g} seconds")


def _refuse_plain_redirect(response: Any, **_: Any) -> None:
    target = response.headers.get("Location", "") if response.is_redirect else ""
    if target and "://" in target and not target.startswith("https://"):
        raise X2StaticError(f"{response.url}: the server redirects to {target}, which is not https; not followed")


def _not_pinned(file: RemoteFile, what: str) -> X2StaticError:
    return X2StaticError(
        f"{file.url}: expected {file.n_bytes:,} bytes with sha256 {file.sha256}, {what}; it is not the pinned file, "
        "and nothing of it was kept; try another network, or give your own copy with --data DIR"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
