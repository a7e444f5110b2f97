"""Reading a pinned file by https: bounded in bytes and time, tried again while the network fails, then checked."""

import hashlib
import http.client
import logging
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.machine.packages import package_version
from x2static.pipeline.data.sources import RemoteFile

TIMEOUT = 20.0  # seconds, for connecting and between two pieces
DEADLINE = 300.0  # seconds for a file: the largest has 1.3 MB
RETRY_WAITS = (1.0, 3.0, 8.0)  # seconds before each try after the first
PIECE = 1 << 16  # bytes
MARKUP = re.compile(rb"\s*<(!doctype html|html|head|\?xml)", re.IGNORECASE)

logger = logging.getLogger(__name__)


class Unreachable(X2StaticError):  # noqa: N818
    """There was no way to the server, so that there is none to the other files either."""


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            fp.close()
            raise X2StaticError(f"{req.full_url}: the server redirects to {newurl}, which is not https; not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(file: RemoteFile, trust: ssl.SSLContext | None = None) -> bytes:
    """Return the bytes of a remote file, which are those that were pinned.

    They stay in memory until they are checked: what a server sends instead is never on the disk.

    Args:
        file: what is wanted.
        trust: whose certificates are trusted; the system's where it is None.

    Raises:
        Unreachable: the network failed, in the last try too.
        X2StaticError: the server refuses, redirects to something else than https, or sends something else.
    """
    opener = _https_only(trust or ssl.create_default_context())
    waits = iter(RETRY_WAITS)
    while True:
        try:
            return _checked(file, _read(opener, file))
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            wait = next(waits, None) if _may_pass(error) else None
            if wait is None:
                raise _told(file.url, error) from error
            logger.warning("%s: the network failed (%s); trying again in %g seconds", file.url, _reason(error), wait)
            time.sleep(wait)


def _https_only(trust: ssl.SSLContext) -> urllib.request.OpenerDirector:
    """Return an opener that has no handler for anything but https (urllib's own reads http, ftp and local files)."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(context=trust),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _SecureRedirects(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", f"x2static/{package_version('x2static')}")]
    return opener


def _read(opener: urllib.request.OpenerDirector, file: RemoteFile) -> bytes:
    """Return what the server sends, and no more of it than a piece above what is expected."""
    deadline = time.monotonic() + DEADLINE
    body = bytearray()
    with opener.open(file.url, timeout=TIMEOUT) as response:
        announced = response.length  # None where the server does not say
        while len(body) <= file.n_bytes and (piece := response.read1(PIECE)):  # read() would wait for all of it
            body += piece
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(body):,} bytes in {DEADLINE:g} seconds")
    if announced is not None and len(body) < min(announced, file.n_bytes):
        raise ConnectionError(f"the connection ended after {len(body):,} of {announced:,} bytes")
    return bytes(body)


def _checked(file: RemoteFile, body: bytes) -> bytes:
    found = hashlib.sha256(body).hexdigest()
    if found == file.sha256:
        return body
    got = f"{len(body):,} bytes" if len(body) <= file.n_bytes else f"more, the first {len(body):,} of them"
    page = f" and looks like a web page ({body[:60]!r})" if MARKUP.match(body) else ""
    raise X2StaticError(
        f"{file.url}: expected {file.n_bytes:,} bytes with sha256 {file.sha256}, got {got} with sha256 "
        f"{found}; it is not the pinned file{page}, and nothing of it was kept; try another network, or give your own "
        "copy with --data DIR"
    )


def _may_pass(error: Exception) -> bool:
    """Return whether an error may be gone the next time: neither the server's word, nor a missing network."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in (408, 429) or error.code >= 500
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return not isinstance(cause, (socket.gaierror, ssl.SSLCertVerificationError, str))


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return " ".join(str(cause).split()) or type(cause).__name__


def _told(url: str, error: Exception) -> X2StaticError:
    if isinstance(error, urllib.error.HTTPError):
        return X2StaticError(
            f"{url}: the server answered {_reason(error)}; try again later or, if the file is gone, give "
            "your own copy with --data DIR"
        )
    return Unreachable(
        f"{url}: no connection ({_reason(error)}); without a network, give a folder of your own with --data DIR, or "
        "leave --data out: WordSim-353, SimLex-999 and the analogies come with gensim"
    )
