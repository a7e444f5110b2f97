"""Object stores: S3 and what speaks its language, Google Cloud Storage, Azure, behind one small class.

    store = open_store("s3://bucket/caches/roberta")
    store.create("shards/00001/marker.json", data)  # True for one creator, False for all others

A store has no folders and no renames. What it has is one object whole or absent, and a write that is refused where an
object is already; all that x2static promises of a cache in a store rests on that write. Requests are obstore's; what it
leaves to others is here: answers that mean "later", and errors of one line. Its own messages are never passed on: they
quote addresses and answers, in which tokens and signed texts may stand.
"""

import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically
from x2static.durable.store_settings import CREDENTIALS, LOOKED, client, endpoint_host

# Around a request's own retries, which are short (store_settings.py); together they outlast a store that is away for a
# minute and a half.
ATTEMPTS = 12
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0  # seconds
PART_BYTES = 8 << 20  # of an object that travels in parts
PARALLEL_PARTS = 8

PASSING = {408, 409, 425, 429, *range(500, 600)}  # what an answer of the store means: later
# Codes that S3 gives with a status of its own choosing. An upload that is not known (any more) was completed, and the
# answer lost on its way: all of it is sent again.
PASSING_CODES = {
    "NoSuchUpload",
    "RequestTimeout",
    "SlowDown",
    "InternalError",
    "ServiceUnavailable",
    "ThrottlingException",
}
# Where credentials are asked for, not objects.
ASKS_FOR_CREDENTIALS = re.compile(
    r"//(169\.254\.|metadata\.google|sts\.|login\.micro|oauth2\.)|/latest/(api|meta-data)/"
)
# By S3's code.
REMEDIES = {
    "RequestTimeTooSkewed": "this machine's clock differs from the store's, set it",
    "ExpiredToken": "the credentials have expired, renew them",
    "RequestExpired": "this machine's clock differs from the store's, set it",
}

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def is_url(text: str | Path) -> bool:
    """Return whether a cache or run is in an object store: s3://, gs:// or az://; False for the path of a folder.

    Raises X2StaticError: it is another URL, names no bucket, or holds what belongs elsewhere, credentials among it.
    """
    scheme, is_address, rest = str(text).partition("://")
    if not is_address:
        return False
    if scheme not in CREDENTIALS:
        raise X2StaticError(f"{scheme}://: neither a folder nor an object store; stores are s3://, gs:// and az://")
    bucket = rest.partition("/")[0]
    if "@" in bucket or "?" in rest or "#" in rest:  # not shown: it may hold a key or a signature
        why = "holds more than a bucket and a path (@, ? or #)"
        raise X2StaticError(f"{scheme}://...: {why}; credentials come from the environment or from files, never a URL")
    if not all(part not in (".", "..") for part in rest.split("/")) or "//" in rest:
        raise X2StaticError(f"{text}: has an empty part, or . or .., in its path; write it without")
    if not re.fullmatch(r"[A-Za-z0-9._$-]+", bucket):  # other characters make obstore panic
        raise X2StaticError(f"{text}: names no bucket; write {scheme}://BUCKET/PATH")
    return True


def open_store(url: str) -> "ObjectStore":
    """Return the store at a URL that `is_url` takes, after one request has shown that it can be reached and listed.

    Raises X2StaticError in some seconds: the extra s3 is missing, no credentials, none that are accepted, no such
    bucket, nothing that answers at the endpoint.
    """
    store = ObjectStore(url)
    for is_last in (False, True):
        try:
            next(iter(client(url, patient=False).list(chunk_size=1)), None)
            return store
        except (store.errors.BaseError, FileNotFoundError) as error:
            has_too_much_to_do = _status(error) in PASSING
            if (is_last and not has_too_much_to_do) or not _may_pass(error) or "kind: Connect" in str(error):
                raise store.failure(error, "") from None
    store.folders()  # it answers, but "later": asked with patience
    return store


class ObjectStore:
    """Objects below a URL, by their keys, which are relative to it. It is pickled as its URL, without credentials.

    All methods may be called by several threads. What fails and may pass is tried again, with growing pauses; then
    X2StaticError says that the same command goes on. FileNotFoundError is: the object is not there.
    """

    def __init__(self, url: str) -> None:
        if not is_url(url):
            raise X2StaticError(f"{url}: not the address of an object store; write s3://BUCKET/PATH")
        if find_spec("obstore") is None:
            raise X2StaticError(f"{url}: object stores need the extra s3 of x2static (obstore), which is not installed")
        from obstore import exceptions

        self.url = url.rstrip("/")
        self.errors: Any = exceptions
        self._credentials = CREDENTIALS[url.partition("://")[0]]
        try:
            self._store = client(url)
        except (exceptions.BaseError, ValueError):
            raise X2StaticError(f"{url}: cannot be used as the environment is set; set {self._credentials}") from None

    def __repr__(self) -> str:
        return f"ObjectStore({self.url!r})"

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return ObjectStore, (self.url,)

    def read(self, key: str) -> bytes:
        """Return an object's bytes."""
        return self.read_tagged(key)[0]

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        """Return an object's bytes, and the tag of this version of it, for `replace`."""

        def get() -> tuple[bytes, str]:
            answer = self._store.get(key)
            return self._body(answer, answer.meta["size"]), self._tag(answer.meta)

        return self._persist("read", key, get)

    def write(self, key: str, data: bytes) -> None:
        """Write an object, in place of one that is there."""
        self._persist("written", key, lambda: self._store.put(key, data, chunk_size=PART_BYTES))

    def create(self, key: str, data: bytes) -> bool:
        """Write an object where none is; return False if another is there.

        The data must differ from any other creator's, as an attempt's name does: an answer may be lost on its way, and
        the request is then made again; the object that it finds is our own exactly if it holds our data.
        """
        return self._write_if(key, data, None)

    def replace(self, key: str, data: bytes, tag: str) -> bool:
        """Write an object in place of the version with this tag; return False if another, or none, is there.

        The same holds of the data as in `create`.
        """
        return self._write_if(key, data, tag)

    def _write_if(self, key: str, data: bytes, tag: str | None) -> bool:
        kind = "version" if self.url.startswith("gs:") else "e_tag"
        mode = "create" if tag is None else {kind: tag}
        for _ in _pauses():
            try:
                self._persist("written", key, lambda: self._store.put(key, data, mode=mode, use_multipart=False))
                return True
            except (self.errors.AlreadyExistsError, self.errors.PreconditionError):
                pass  # refused; or 409: somebody writes it at the same time, and nothing is decided
            try:
                there, tag_there = self.read_tagged(key)
            except FileNotFoundError:
                if tag is not None:
                    return False
                continue
            if there == data:
                return True
            if tag is None or tag_there != tag:
                return False
        raise self._exhausted("written", key, "others write it at the same time")

    def upload(self, file: Path, key: str) -> None:
        """Write a file as an object, a large one in parallel parts."""

        def put() -> None:
            self._store.put(key, file, chunk_size=PART_BYTES, max_concurrency=PARALLEL_PARTS)

        self._persist("written", key, put)

    def download(self, key: str, file: Path) -> None:
        """Write an object to a file, a large one from parallel parts, all of one version; it is whole or absent."""

        def first_part() -> tuple[Any, bytes]:
            try:
                answer = self._store.get(key, options={"range": (0, PART_BYTES)})
            except self.errors.BaseError as error:
                if _status(error) != 416:
                    raise
                answer = self._store.get(key)  # an empty object has no first bytes
            return answer.meta, self._body(answer, min(PART_BYTES, answer.meta["size"]))

        meta, data = self._persist("read", key, first_part)
        place = threading.Lock()  # of the file's one position
        with open_atomically(file) as target, ThreadPoolExecutor(PARALLEL_PARTS) as pool:
            target.write(data)

            def part(start: int) -> None:
                end = min(start + PART_BYTES, meta["size"])
                get = partial(self._store.get, key, options={"range": (start, end), "if_match": meta["e_tag"]})
                data = self._persist("read", key, lambda: self._body(get(), end - start))
                with place:
                    target.seek(start)
                    target.write(data)

            try:
                for done in [pool.submit(part, start) for start in range(PART_BYTES, meta["size"], PART_BYTES)]:
                    done.result()
            except self.errors.PreconditionError:
                raise X2StaticError(f"{self.url}/{key}: changed while it was read; run the same again") from None
            finally:
                pool.shutdown(cancel_futures=True)

    def objects(self, prefix: str = "") -> dict[str, tuple[int, str]]:
        """Return (bytes, e_tag) of all objects in a folder and the folders in it, by key."""

        def pages() -> dict[str, tuple[int, str]]:
            listing = self._store.list(prefix or None, chunk_size=1000)
            return {meta["path"]: (meta["size"], meta["e_tag"] or "") for page in listing for meta in page}

        return self._persist("listed", prefix, pages)

    def folders(self, prefix: str = "") -> list[str]:
        """Return the keys of the folders that stand in a folder, sorted, the folder's own key before them."""
        listing = self._persist("listed", prefix, lambda: self._store.list_with_delimiter(prefix or None))
        return sorted(listing["common_prefixes"])

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects, of which some may be gone already."""
        doomed = list(keys)
        for start in range(0, len(doomed), 1000):  # as many as S3 takes in a request
            some = doomed[start : start + 1000]
            try:
                self._persist("removed", some[0], lambda some=some: self._store.delete(some))  # type: ignore[misc]
            except FileNotFoundError:  # Google and Azure say so of one, and nothing of the others
                for key in some if len(some) > 1 else []:
                    self.remove([key])

    def check_creates(self, prefix: str) -> None:
        """Raise X2StaticError if the store does not refuse a second create: workers would overwrite each other.

        `prefix` is the key of a folder that nobody else uses, such as an attempt's.
        """
        key = f"{prefix.rstrip('/')}/create-check"
        first, second = self.create(key, b"first"), self.create(key, b"second")
        self.remove([key])
        if not first or second:
            why = "this store takes a second object where one is already (it ignores If-None-Match)"
            raise X2StaticError(f"{self.url}: {why}; workers would undo each other's work: use a store that refuses it")

    def _tag(self, meta: Any) -> str:
        return (meta["version"] if self.url.startswith("gs:") else meta["e_tag"]) or ""

    def _body(self, answer: Any, size: int) -> bytes:
        data = bytes(answer.bytes())
        if len(data) != size:  # a proxy that closes early and says nothing
            raise self.errors.GenericError(f"{len(data)} bytes of {size} arrived")
        return data

    def _persist(self, done: str, key: str, request: Callable[[], Result]) -> Result:
        """Make a request until it gives an answer; FileNotFoundError and refused conditions are answers."""
        last: Exception | None = None
        for attempt in _pauses():
            try:
                return request()
            except (self.errors.AlreadyExistsError, self.errors.PreconditionError):
                raise
            except (self.errors.BaseError, FileNotFoundError) as error:
                if isinstance(error, FileNotFoundError) and not re.search("NoSuchBucket|NoSuchUpload", str(error)):
                    raise FileNotFoundError(f"{self.url}/{key}") from None
                last = error
                if not _may_pass(error):
                    raise self.failure(error, key) from None
                logger.debug("%s/%s: not %s (%s), attempt %d", self.url, key, done, _reason(error), attempt + 1)
        raise self._exhausted(done, key, _reason(last))

    def _exhausted(self, done: str, key: str, reason: str) -> X2StaticError:
        remedy = "look whether the store is well; then the same command goes on"
        where = f"{self.url}/{key}".rstrip("/")
        return X2StaticError(f"{where}: could not be {done} in {ATTEMPTS} attempts ({reason}); {remedy}")

    def failure(self, error: Exception, key: str) -> X2StaticError:
        """Return the line for an error that no further attempt would mend."""
        text, reason, where = str(error), _reason(error), f"{self.url}/{key}".rstrip("/")
        bucket = "/".join(self.url.split("/")[:3])
        endpoint = endpoint_host() if self.url.startswith("s3:") else ""
        asked = re.search(r"Error performing [A-Z]+ (\S+)", text)
        if asked and ASKS_FOR_CREDENTIALS.search(asked[1]):
            return X2StaticError(f"{where}: no credentials ({LOOKED}); set {self._credentials}")
        if "NoSuchBucket" in text or "ContainerNotFound" in text or _status(error) == 404:
            return X2StaticError(f"{bucket}: there is no such bucket{endpoint}; make it, or correct the name")
        if _status(error) in (301, 307) or "incorrectly configured region" in text:
            return X2StaticError(f"{bucket}: is in another region ({reason}); set AWS_REGION to the bucket's")
        if remedy := next((remedy for code, remedy in REMEDIES.items() if code in reason), None):
            return X2StaticError(f"{where}: the store refuses ({reason}): {remedy}; then the same command goes on")
        if _status(error) in (400, 401, 403):
            needs = "credentials that may list, read, write and remove its objects"
            return X2StaticError(f"{where}: the store refuses ({reason}); it takes {needs}")
        if _status(error) is None:
            return X2StaticError(f"{where}: no answer{endpoint} ({reason}); look at endpoint and network")
        return X2StaticError(f"{where}: the store refuses ({reason})")


def _pauses() -> Iterable[int]:
    """Yield the number of each attempt, after a pause that doubles, drawn so that many workers do not come at once."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(random.uniform(0.5, 1) * min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1)))
        yield attempt


def _status(error: Exception) -> int | None:
    """Return the status of the store's answer; None where none came."""
    status = re.search(r"status code: (\d{3})", str(error))
    return int(status[1]) if status else None


def _may_pass(error: Exception) -> bool:
    text = str(error)
    code = re.search(r"<Code>(\w+)</Code>", text)
    if code and code[1] in PASSING_CODES:
        return True
    status = _status(error)
    if status is not None:
        return status in PASSING
    return type(error).__name__ == "GenericError" and "builder error" not in text  # others: a key that cannot be one


def _reason(error: Exception | None) -> str:
    """Return why a request failed, in words that cannot hold an address or a credential."""
    text = str(error)
    if status := re.search(r"status code: (\d{3}[A-Za-z ]*)", text):
        code = re.search(r"<Code>(\w+)</Code>", text)
        return status[1].strip() + (f", {code[1]}" if code else "")
    signs = {
        "BadScheme": "http without encryption is for loopback addresses; AWS_ALLOW_HTTP=true allows others",
        "dns error": "no such host",
        "ConnectionRefused": "connection refused",
        "TimedOut": "timed out",
        "imeout": "timed out",
        "tcp connect": "cannot connect",
        "certificate": "its certificate is not trusted",
        "bytes of": "cut off",
        "ncomplete": "cut off",
        "onnection": "connection lost",
    }
    debug = re.sub(r"retry_timeout\S*", "", text)
    return next((meaning for sign, meaning in signs.items() if sign in debug), type(error).__name__)
