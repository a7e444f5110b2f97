"""A cache, or a run, in a bucket, and the folder of this machine that shows it: its view, in the user's cache folder.

All of x2static works on the view, which is a folder like others; this file keeps the two alike. A view can be removed
at any time. No object of a cache is ever written over, but for the commit of a shard that gets further pools:

    files/cache.json         what a cache begins with, created only if absent: {"files": {name: text}}
    files/NAME               what is added to it later: plans, markers of phrases; likewise
    data/000000/ATTEMPT/...  the files of a shard, or of pools added to it, as one attempt at it wrote them
    data/phrases/HASH.arrow  a block of phrases
    shards/000000.json       the commit of a shard, created only if absent, when all its data is there: {"marker",
                             "attempts": {pool: attempt that wrote it}}

So two attempts at a unit, on whatever machines, do each other no harm: the later one's commit is refused. The files of
a run have their own names, and may be replaced: draws are keyed, so whoever goes on with a run writes the same bytes.
"""

import logging
import os
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, cached_property
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import quote, unquote
from zlib import crc32

from filelock import FileLock

from x2static.durable.errors import X2StaticError
from x2static.durable.object_store import ObjectStore, is_url, open_store
from x2static.durable.storage import (
    LOCK,
    TEMPORARY,
    read_json,
    remove,
    sealed_json,
    unsealed,
    user_cache,
    write_atomically,
)
from x2static.machine.packages import require
from x2static.schemas.manifest import CONTEXTS, MANIFEST, MARKER, Marker, PoolMarker

CLAIM, FILES, COMMITS, DATA = "files/cache.json", "files/", "shards/", "data/"
PHRASES = "phrases/"  # below `files/` their markers, below `data/` their tables
AT_ONCE = 16  # requests, and files that are read at a time
SPOOL = "spool"
CHECKPOINTS = "checkpoints/"
NAMES_HASHES = ("state.json", "run.json")
VIEW = r"x2static/buckets/(?P<scheme>\w+)/(?P<bucket>[^/]+)/(?P<path>%2F[^/\s]*)/view(?=\W|$)"
BUCKET = re.compile(r"[A-Za-z0-9][\w.-]*")

logger = logging.getLogger(__name__)


def view_of(url: str) -> Path:
    """Return the folder that shows what is below a URL. Raises X2StaticError: it names no bucket."""
    scheme, _, rest = url.partition("://")
    bucket, _, path = rest.partition("/")
    if not is_url(url) or not BUCKET.fullmatch(bucket):
        raise X2StaticError(f"{url}: names no bucket; {scheme}://BUCKET/FOLDER is expected")
    return user_cache() / "buckets" / scheme / bucket / quote(f"/{path.strip('/')}", safe="") / "view"


def seen_here(folder: Path) -> Path:
    """Return where this machine shows what a folder showed where it was named, as it is now.

    An ordinary folder is the same everywhere.
    """
    if url := url_of(folder):
        folder = view_of(url)
        _cache_view(url, user_cache()).pull()
    return folder


def url_of(path: Path) -> str | None:
    """Return the URL that a view shows, given it or what is in it; None of a folder that is no view."""
    match = re.search(rf"(^|/){VIEW}", path.as_posix())
    return f"{match['scheme']}://{match['bucket']}{unquote(match['path'])}".rstrip("/") if match else None


def with_urls(text: str) -> str:
    """Return a text for people with views named by what they show."""
    return re.sub(rf"{re.escape(str(user_cache().parent))}/{VIEW}", lambda match: str(url_of(Path(match[0]))), text)


class _View:
    """What is below a URL, and the folder that shows it."""

    def __init__(self, url: str) -> None:
        self.url, self.path = url, view_of(url)
        self._record = self.path.parent / "seen.json"  # what the view shows of the bucket, beside it

    @cached_property
    def store(self) -> ObjectStore:
        """The bucket. Raises X2StaticError: it cannot be opened, or the package for it is not installed."""
        require("s3")
        return open_store(self.url)

    def lock(self) -> FileLock:
        """Return what is held while view and bucket are compared, or changed together."""
        self.path.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.parent / LOCK)

    def _seen(self) -> dict[str, Any]:
        try:
            seen: dict[str, Any] = read_json(self._record)
        except (FileNotFoundError, X2StaticError):
            return {}
        return seen

    def _remember(self, seen: dict[str, Any]) -> None:
        write_atomically(self._record, sealed_json(seen))

    def _download(self, key: str, file: Path, store: ObjectStore | None = None) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        (store or self.store).download(key, file)

    def _upload(self, files: dict[str, Path]) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self.store.upload, files.values(), files.keys()))


class CacheView(_View):
    """A cache in a bucket."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._attempts: dict[str, dict[str, str]] = {}  # of each pool of a shard, by the shard's name
        self._fetching: dict[Path, Future[None]] = {}
        self._guard = threading.Lock()

    @staticmethod
    def of(path: Path) -> "CacheView | None":
        """Return the cache that a folder, or the folder it is in, shows; None of an ordinary folder."""
        url = url_of(path)
        return _cache_view(url, user_cache()) if url else None

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(AT_ONCE, "fetch")

    def pull(self) -> None:
        """Make the view show what the bucket holds now, but for the data of shards, which is fetched when it is read.

        Raises X2StaticError: the bucket cannot be read.
        """
        with self.lock(), ThreadPoolExecutor(AT_ONCE) as pool:
            listed = pool.map(self.store.objects, (FILES, COMMITS))
            tags = {key: tag for objects in listed for key, (_, tag) in objects.items()}
            if CLAIM not in tags:  # what is here is not, or no longer, what it shows
                tags = {}
                for path in self.path.iterdir():
                    if path.name not in (LOCK, SPOOL):
                        remove(path)
            seen = self._seen()
            self._attempts = dict(seen.get("attempts", {}))
            known, begun = seen.get("tags", {}), set(seen.get("begun", ()))
            new = [key for key, tag in tags.items() if known.get(key) != tag or not self._place(key).is_file()]
            for names in pool.map(self._take, new):
                begun |= names
            if tags:
                self._remove_strangers(tags, begun)
            names = {Path(key).stem for key in tags if key.startswith(COMMITS)}
            self._attempts = {name: pools for name, pools in self._attempts.items() if name in names}
            self._remember({"tags": tags, "attempts": self._attempts, "begun": sorted(begun) if tags else []})

    def _place(self, key: str) -> Path:
        if key == CLAIM:
            return self.path / MANIFEST
        if key.startswith(COMMITS):
            return self.path / "shards" / Path(key).stem / MARKER
        return self.path / key.removeprefix(FILES)

    def _take(self, key: str) -> set[str]:
        """Bring an object into the view; return the files that the cache began with, if it is those."""
        data = self.store.read(key)
        if key == CLAIM:
            begun: dict[str, str] = unsealed(data, f"{self.url}/{key}")["files"]
            for name, text in sorted(begun.items(), key=lambda item: item[0] == MANIFEST):  # it comes last
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self.path / name, text.encode())
            return set(begun)
        if key.startswith(COMMITS):
            self._take_commit(Path(key).stem, data)
            return set()
        file = self._place(key)
        file.parent.mkdir(exist_ok=True)
        if key.startswith(FILES + PHRASES):
            self._download(self._phrases(data), file.with_suffix(".arrow"))
        write_atomically(file, data)
        return set()

    @staticmethod
    def _phrases(marker: bytes) -> str:
        """Return where the table of a block of phrases is, whose marker names its hash."""
        return f"{DATA}{PHRASES}{unsealed(marker, 'a block of phrases')['file']}.arrow"

    def _take_commit(self, name: str, data: bytes) -> Marker | None:
        """Let the view show a shard as it is committed, without its data; None where the commit is damaged."""
        folder = self.path / "shards" / name
        try:
            commit = unsealed(data, f"{self.url}/{COMMITS}{name}.json")
            attempts, values = commit["attempts"], commit["marker"]
            marker = sealed_json(values)
        except (X2StaticError, KeyError):
            attempts, values, marker = {}, None, data
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MARKER).is_file() or (folder / MARKER).read_bytes() != marker:
            write_atomically(folder / MARKER, marker)  # files of another attempt are found out by their hashes
        self._attempts[name] = attempts
        return None if values is None else Marker.model_validate(values)

    def _remove_strangers(self, tags: dict[str, str], begun: set[str]) -> None:
        """Remove shards and plans that the bucket does not hold: they were not committed, or are so no longer."""
        for folder in (self.path / "shards").glob("[0-9]*"):
            if f"{COMMITS}{folder.name}.json" not in tags:
                remove(folder)
        for plan in (self.path / "plans").glob("[0-9]*.json"):
            name = f"plans/{plan.name}"
            if name not in begun and FILES + name not in tags:
                remove(plan)

    def begin(self) -> bool:
        """Begin the cache in the bucket with what the view holds; False where another one began it, which is taken.

        Raises X2StaticError: the store lets one create write over another, so that it holds no cache safely.
        """
        paths = [path for path in self.path.rglob("*") if path.is_file()]
        texts = {path.relative_to(self.path).as_posix(): path for path in paths}
        texts = {name: path for name, path in texts.items() if Path(name).parts[0] not in (LOCK, SPOOL)}
        files = {name: path.read_text(encoding="utf-8") for name, path in texts.items()}
        self.store.check_creates(f"{DATA}{token_hex(8)}")
        if self.store.create(CLAIM, sealed_json({"files": files})):
            return True
        self.pull()
        return False

    def add(self, names: Iterable[str]) -> None:
        """Add small files of the view to the bucket. Raises X2StaticError: it has another of that name by now."""
        for name in names:
            data = (self.path / name).read_bytes()
            if not self.store.create(FILES + name, data) and self.store.read(FILES + name) != data:
                self.pull()
                what = "another x2static process has added to this cache at the same time"
                raise X2StaticError(f"{self.url}: {what}; run the same command again")

    def add_phrases(self) -> None:
        """Add blocks of phrases that the bucket lacks; where it has another of that number, that one counts."""
        folder = self.path / PHRASES
        names = {path.name: path.read_bytes() for path in sorted(folder.glob("[0-9]*.json"))}
        there = self.store.objects(FILES + PHRASES)
        new = {name: data for name, data in names.items() if f"{FILES}{PHRASES}{name}" not in there}
        for name, data in new.items():
            self.store.upload((folder / name).with_suffix(".arrow"), self._phrases(data))
            self.store.create(f"{FILES}{PHRASES}{name}", data)
        self.pull()

    def publish(self, staged: Path, name: str, attempt: str, files: Iterable[str]) -> None:
        """Upload what an attempt has staged of a shard, and remove it here; it counts when it is committed.

        So no machine needs room for more than it is working on; what is read later is fetched.
        """
        self._upload({f"{DATA}{name}/{attempt}/{file}": staged / file for file in files})
        remove(staged)

    def commit(
        self, name: str, attempt: str, marker: Marker, pools: Sequence[str], kept: Mapping[str, PoolMarker] | None
    ) -> Marker:
        """Commit what an attempt has uploaded of a shard, these pools; return the marker that counts now.

        `kept` are the further pools that stay of a shard that is damaged, whose place this one takes; None where there
        is none. Where another attempt has come first, that counts, and what this one has uploaded goes.
        """
        key, adds = f"{COMMITS}{name}.json", CONTEXTS not in pools
        values = marker.model_dump(mode="json")
        data = sealed_json({"attempts": dict.fromkeys(pools, attempt), "marker": values})
        with self.lock():
            ours = not adds and self.store.create(key, data)
            while not ours:
                try:
                    current, tag = self.store.read_tagged(key)
                except FileNotFoundError as error:
                    what = "the shard is gone from the bucket"
                    raise X2StaticError(f"{self.url}/{key}: {what}; run the same command again") from error
                try:
                    theirs = unsealed(current, f"{self.url}/{key}")
                except X2StaticError:
                    if adds:
                        raise
                    ours = self.store.replace(key, data, tag)  # it is damaged
                    continue
                if not adds and kept is None:
                    data = current
                    break
                of_ours = {pool: values["pools"][pool] for pool in pools if pool != CONTEXTS}
                stay = theirs["marker"].get("pools", {})
                base = theirs["marker"] if adds else values
                stay = stay if adds or kept is None else {pool: stay[pool] for pool in stay.keys() & kept.keys()}
                attempts = {pool: theirs["attempts"][pool] for pool in (*stay, *([CONTEXTS] if adds else []))}
                attempts |= dict.fromkeys(pools, attempt)
                data = sealed_json({"attempts": attempts, "marker": {**base, "pools": stay | of_ours}})
                ours = self.store.replace(key, data, tag)
            marker = self._take_commit(name, data) or marker
        if not ours:
            logger.info("%s: another process has committed unit %s meanwhile; that counts", self.url, name)
            self.store.remove(self.store.objects(f"{DATA}{name}/{attempt}"))
        return marker

    def n_bytes(self) -> int:
        """Return the size of all that the bucket holds of the cache, what was never committed among it."""
        return sum(size for size, _ in self.store.objects("").values())

    def fetch(self, file: Path, again: bool = False) -> None:
        """Bring a file of a shard into the view, if it is not there yet, or `again`."""
        if again:
            file.unlink(missing_ok=True)
        if file.is_file():
            return
        self._begin_fetch(file).result()

    def fetch_ahead(self, files: Iterable[Path]) -> None:
        """Begin to bring files of shards into the view, those that are missing; `fetch` waits for them."""
        for file in files:
            if not file.is_file():
                self._begin_fetch(file)

    def _begin_fetch(self, file: Path) -> Future[None]:
        with self._guard:
            if not (future := self._fetching.get(file)):
                future = self._fetching[file] = self._pool.submit(self._fetch, file)
            return future

    def _fetch(self, file: Path) -> None:
        try:
            shard, _, name = file.relative_to(self.path / "shards").as_posix().partition("/")
            attempts = self._attempts.get(shard) or self._seen().get("attempts", {}).get(shard)
            if attempts is None:  # another process has committed it
                attempts = unsealed(self.store.read(f"{COMMITS}{shard}.json"), shard)["attempts"]
            self._attempts[shard] = attempts
            pool = name.partition("/")[0]
            self._download(f"{DATA}{shard}/{attempts.get(pool) or attempts[CONTEXTS]}/{name}", file)
        finally:
            with self._guard:
                self._fetching.pop(file, None)


class RunView(_View):
    """A run in a bucket; its files have their own names there, what names the hash of others is uploaded after them."""

    @staticmethod
    def of(path: Path) -> "RunView | None":
        """Return the run that a folder shows; None of an ordinary folder."""
        url = url_of(path)
        return RunView(url) if url else None

    def pull(self, with_checkpoints: bool = True) -> None:
        """Make the view show what the bucket holds; what was written here and is not there yet stays.

        Raises X2StaticError: the bucket cannot be read, or holds other things there.
        """
        with self.lock():
            tags = {key: tag for key, (_, tag) in self.store.objects("").items()}
            if tags and not {"settings.json", "run.json"} & tags.keys():
                why = f"not empty and no run ({min(tags)} is there)"
                raise X2StaticError(f"{self.url}: {why}; name a new or empty place")
            seen = self._seen()
            for name in seen.keys() - tags.keys():
                (self.path / name).unlink(missing_ok=True)
            wanted = {key for key in tags if with_checkpoints or not key.startswith(CHECKPOINTS)}
            new = [key for key in wanted if seen.get(key, [""])[0] != tags[key] or not (self.path / key).is_file()]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(self._download, new, [self.path / key for key in new]))
            self._remember({key: [tags[key], *_state(self.path / key)] for key in wanted})

    def push(self) -> None:
        """Let the bucket hold what the view does. Raises X2StaticError: it cannot be written; the view stays."""
        with self.lock():
            seen, files = self._seen(), {}
            for path in self.path.rglob("*"):
                if path.is_file() and path.name != LOCK and TEMPORARY not in path.as_posix():
                    files[path.relative_to(self.path).as_posix()] = path
            new = {key: path for key, path in files.items() if seen.get(key, ["", 0, 0])[1:] != _state(path)}
            for last in (False, True):
                self._upload({key: path for key, path in new.items() if (path.name in NAMES_HASHES) == last})
            tags = {key: tag for key, (_, tag) in self.store.objects("").items()}
            self.store.remove(old for old in tags.keys() - files.keys() if old.startswith(CHECKPOINTS))
            self._remember({key: [tags.get(key, ""), *_state(path)] for key, path in files.items()})


class CorpusView(_View):
    """Text in a bucket: an object, or all objects below a URL."""

    def pull(self) -> Path:
        """Fetch what has changed; return the file, or the folder. Raises X2StaticError: there is nothing."""
        with self.lock():
            store, objects, home = self.store, self.store.objects(""), self.path
            if not objects:
                parent, _, name = self.url.rpartition("/")
                store = open_store(parent) if is_url(f"{parent}/") else store
                objects = {key: value for key, value in store.objects("").items() if key == name}
                home = self.path / name
            if not objects:
                raise X2StaticError(f"corpus {self.url}: nothing is there; name an object, or what several are below")
            seen, tags = self._seen(), {key: tag for key, (_, tag) in objects.items()}
            for gone in seen.keys() - tags.keys():
                (self.path / gone).unlink(missing_ok=True)
            new = [key for key, tag in tags.items() if seen.get(key) != tag or not (self.path / key).is_file()]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(self._download, new, [self.path / key for key in new], [store] * len(new)))
            for key in new:  # plans name size and time of a file: these are the same on every machine
                os.utime(self.path / key, (0, crc32(tags[key].encode())))
            self._remember(tags)
            return home


def _state(file: Path) -> list[int]:
    """Return what tells cheaply whether a file has changed."""
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


@cache
def _cache_view(url: str, _: Path) -> CacheView:
    return CacheView(url)
