"""Files that are either whole or absent: temporary name, fsync, rename; and the lock that keeps writers apart."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import xxhash
from filelock import FileLock, Timeout

from x2static.durable.errors import X2StaticError

LOCK = ".lock"  # in a folder that has one writer at a time
TEMPORARY = ".tmp-"  # what a name begins with while its file or folder is not yet whole


def user_cache() -> Path:
    """Return the folder of what x2static keeps for a user and can make again; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "x2static"


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, two spaces, UTF-8, a newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        X2StaticError: the file is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise X2StaticError(f"{path}: not valid JSON ({error}); the file is damaged") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a run after a crash, finds either the old or the whole new one."""
    with open_atomically(path) as file:
        file.write(data)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing piece by piece; it gets its name when the block ends, and vanishes if the block fails."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def commit_folder(temporary: Path, final: Path, replace: bool = False) -> None:
    """Make a finished folder durable and give it its name in one step.

    zarr's local store lost its own atomic rename in version 3 (zarr-python#3411), so this is ours to do.

    Args:
        temporary: the folder.
        final: its name.
        replace: whether a folder that has the name so far goes then; a process that is killed between the two leaves
            no folder of that name, and two leftovers.

    Raises:
        OSError: there is a folder of that name, and it is not to go.
    """
    _sync_all(temporary)
    aside = final.with_name(f"{TEMPORARY}replaced-{final.name}")
    if replace and final.exists():
        final.rename(aside)
    temporary.rename(final)
    sync(final.parent)
    if replace and aside.exists():
        shutil.rmtree(aside)


def _sync_all(folder: Path) -> None:
    for inner, _, names in os.walk(folder):
        for name in names:
            sync(Path(inner, name))
        sync(Path(inner))


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed writer left half-written in a folder (the caller holds the folder's lock)."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def hash_file(path: Path) -> str:
    """Return the xxh3 (128 bit, hexadecimal) of a file's bytes."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def only_writer(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder's lock; the system lets go of it when the process ends, however it ends.

    Args:
        folder: made if missing.
        what: what the folder is, for the message ("cache", "run").

    Raises:
        X2StaticError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            yield
    except Timeout as error:
        raise X2StaticError(
            f"{folder}: another x2static process is writing to this {what}; wait for it to end, or use another folder"
        ) from error


def being_written(folder: Path) -> bool:
    """Return whether another process holds a folder's lock; nothing is written, so a reader may ask.

    A shared lock is asked for, so that readers never take each other for a writer, and is let go of at once.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):  # nobody has written here, or nobody whose lock we may see
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
