"""Files and folders that are either whole or absent, and the one writer that a folder has at a time.

A file is written under a temporary name, brought to the disk and renamed. Whoever holds a folder's lock alone removes
leftovers and gives things their names. Readers take no lock; they find the old state or the new one.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import xxhash
from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from x2static.durable.errors import X2StaticError

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"  # in a folder that has one writer at a time
TEMPORARY = ".tmp-"  # what a name begins with while its file or folder is not yet whole
SECONDS_TO_LET_GO = 60.0  # that a process has to save its state; it stops after one batch
# Where a file cannot be linked: another file system, one that has no links, a file with too many, one of another user.
NO_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

# What is neither a file nor a folder: it is never read to its end, and not to be replaced.
SPECIAL = {
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}

Model = TypeVar("Model", bound=BaseModel)


def user_cache() -> Path:
    """Return the folder of what x2static keeps for a user and can make again; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "x2static"


def lines_of(file: Path, expected: str) -> list[str]:
    """Return the lines of a text file of a user. Raises X2StaticError: it cannot be read, or is not UTF-8."""
    try:
        return file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise X2StaticError(f"{file}: not valid UTF-8 ({error.reason}); save the file as UTF-8") from error
    except OSError as error:
        raise X2StaticError(f"{file}: {(error.strerror or str(error)).lower()}; name {expected}") from error


def special_kind(path: Path) -> str | None:
    """Return what a path leads to, "a named pipe", if it is neither a file nor a folder; None also where nothing is.

    A pipe below /dev is none: the shell's `<(command)` is there, and has a writer.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:  # others, such as a name that is too long, are told of by whoever reads it
        return "a link that leads to itself" if error.errno == errno.ELOOP else None
    if stat.S_ISFIFO(mode) and path.is_relative_to("/dev"):
        return None
    return next((kind for is_kind, kind in SPECIAL.items() if is_kind(mode)), None)


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, two spaces, UTF-8, a newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Raises X2StaticError: it is no JSON."""
    return _parsed(path, path.read_bytes())


def _parsed(path: Path, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, a number too long, nested too deeply
        raise X2StaticError(f"{path}: not valid JSON ({error}); the file is damaged") from error


MOST_SHOWN = 3  # entries of a table
HASH = re.compile("[0-9a-f]{32,64}")  # of xxh3 and sha256
SEAL = "xxh3"  # the field of a sealed record in which its own hash stands
# Its line in the JSON text. Only a record's own fields stand two spaces from the left.
SEAL_LINE = re.compile(rf'\n  "{SEAL}": "([0-9a-f]{{32}})"'.encode())


def sealed_json(record: Mapping[str, Any]) -> bytes:
    """Return the JSON text of a record with its seal: the xxh3 of the canonical JSON of all its other fields."""
    return canonical_json({**record, SEAL: _seal(record)})


def _seal(record: Mapping[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(canonical_json(dict(record)))


def read_sealed(path: Path) -> Any:
    """Return what `sealed_json` was given, or what a file without a seal, as x2static 0.1.0 wrote them, holds.

    Raises X2StaticError: it is no JSON, or not what was written, to the byte.
    """
    data = path.read_bytes()
    record = _parsed(path, data)
    if isinstance(record, dict) and record.pop(SEAL, None) is not None and not _is_sealed(data):
        try:
            written = sealed_json(record)
        except UnicodeEncodeError:  # half a surrogate pair, which no record of ours holds
            written = b""
        if written != data:
            raise X2StaticError(f"{path}: has changed since it was written (its {SEAL} does not fit); it is damaged")
    return record


def _is_sealed(data: bytes) -> bool:
    """Return whether a text is a sealed record's for certain: without the line of its seal it has that hash.

    It takes a twentieth of the time of making the text again from the record, which tells in every case.
    """
    line = SEAL_LINE.search(data, max(0, data.rfind(b'\n  "')))  # the last field, of most
    if line is None or data[line.start() - 1 : line.start()] != b"," or data[line.end() :] != b"\n}\n":
        return False
    text = xxhash.xxh3_128(memoryview(data)[: line.start() - 1])
    text.update(b"\n}\n")
    return text.hexdigest().encode() == line[1]


def unsealed(line: bytes, where: str) -> Any:
    """Return the record of a line of sealed JSON. Raises X2StaticError: it is not what was written."""
    try:
        record = json.loads(line)
        if record.pop(SEAL) == _seal(record):
            return record
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        pass
    raise X2StaticError(f"{where}: not what was written")


def checked_model(path: Path, values: Any, model: type[Model]) -> Model:
    """Return what was read from a JSON file, checked. Raises X2StaticError: this version writes other fields."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
        raise X2StaticError(f"{path}: not what this version of x2static writes ({fields})") from error


def end_of_links(path: Path) -> Path:
    """Return where the links of a path lead, for a file that is to be written there and not in the place of a link.

    The file need not exist. Raises OSError: the links lead in a circle.
    """
    with suppress(FileNotFoundError):
        path.stat()  # resolve() raises RuntimeError for a circle, and since Python 3.13 nothing
    return path.resolve()


def refuse_to_replace(out: Path, force: bool, is_folder: bool = False) -> None:
    """Raise X2StaticError if something is where a file, or a folder, is to be written, and nobody said that it may go.

    What is of the other kind stays, `force` or not.
    """
    if out.exists() and out.is_dir() != is_folder:
        what, wanted = ("file", "folder") if is_folder else ("folder", "file")
        raise X2StaticError(f"{out}: is a {what}; --out takes the name of a {wanted}")
    if out.exists() and not force:
        raise X2StaticError(f"{out}: is there already; remove it, or replace it with --force")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a run after a crash, finds either the old or the whole new one."""
    with open_atomically(path) as file:
        file.write(data)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing piece by piece; it gets its name when the block ends, and vanishes if the block fails.

    Several processes may write one file; the last one's stays. What killed ones left of it goes.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")
    _remove_abandoned(path)
    try:
        with named(path), _locked(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":  # it renames no open file
                file.close()
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _locked(temporary: Path) -> BinaryIO:
    """Open a temporary file anew, with a lock that tells it from those of killed processes."""
    while True:
        file = temporary.open("wb")
        if sys.platform == "win32":
            return file
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if temporary.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()  # taken for abandoned before it was locked


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files of a file whose writers do not live: nobody holds their lock."""
    with os.scandir(path.parent) as entries:
        others = [entry.path for entry in entries if entry.name.startswith(f"{TEMPORARY}{path.name}-")]
    for other in others:
        with suppress(OSError), open(other, "rb") as file:  # noqa: PTH123 - as scandir gives it
            if sys.platform != "win32":  # there, a file that is open cannot be removed
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(other)  # noqa: PTH108


def link_or_copy(source: Path, target: Path, copy: bool = False) -> bool:
    """Give a file, which nobody changes in place, a second name; return whether it was linked.

    It is copied where a link cannot be, and where `copy` asks for it. The target's folder is made if missing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not copy:
        try:
            os.link(source, target)
            return True
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
    shutil.copyfile(source, target)
    return False


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Give an OSError the path of what is written, where the system names none: a write or an fsync knows a number."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = str(path)
        elif path.is_dir() and isinstance(error.filename, str) and Path(error.filename).parent == Path():
            error.filename = str(path / error.filename)
        raise


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Make an empty folder, in place of what a killed writer left of that name, and remove it if the block fails."""
    if folder.exists():
        remove(folder)
    folder.mkdir()
    try:
        with named(folder):
            yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def commit_folder(temporary: Path, final: Path, replace: bool = False) -> None:
    """Make a finished folder durable and give it its name in one step.

    With `replace`, a folder that has the name so far goes; a process that is killed in between leaves no folder of that
    name, and two leftovers. zarr's local store lost its own atomic rename in version 3 (zarr-python#3411), so this is
    ours to do. Raises OSError: there is a folder of that name, and it is not to go.
    """
    sync_all(temporary)
    aside = final.with_name(f"{TEMPORARY}replaced-{final.name}")
    if replace and final.exists():
        if aside.exists():  # of a process that was killed when the new one had its name
            remove(aside)
        final.rename(aside)
    temporary.rename(final)
    sync(final.parent)
    if replace and aside.exists():
        remove(aside)


def sync_all(folder: Path) -> None:
    """Wait until a folder and everything in it is on the disk."""
    for inner, _, names in os.walk(folder):
        for name in [*names, ""]:
            sync(Path(inner, name))


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with named(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a folder. Raises OSError, its path in it: rmtree names what is in a folder without it."""
    if path.is_dir():
        with named(path):
            shutil.rmtree(path)
    else:
        path.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed writer left half-written in a folder (the caller holds the folder's lock)."""
    for path in folder.glob(f"{TEMPORARY}*"):
        try:
            remove(path)
        except OSError as error:  # a machine that is believed dead still writes there; the next call removes it
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder; of one that is absent, 0."""
    n_bytes, folders = 0, [str(folder)]
    while folders:  # rglob takes four times as long
        with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file():
                    n_bytes += entry.stat().st_size
    return n_bytes


def hash_file(path: Path) -> str:
    """Return the xxh3 (128 bit, hexadecimal) of a file's bytes. Raises OSError, its path in it."""
    with named(path), path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


@contextmanager
def only_writer(folder: Path, what: str) -> Iterator[None]:
    """Hold the lock of a folder, made if missing; the system lets go of it when the process ends, however it ends.

    Raises X2StaticError: another process holds it. `what` names the folder there ("cache", "run").
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            yield
    except Timeout as error:
        writing = f"another x2static process is writing to this {what}"
        raise X2StaticError(f"{folder}: {writing}; wait for it to end, or use another folder") from error


def wait_until_free(folder: Path, seconds: float = SECONDS_TO_LET_GO) -> None:
    """Wait until nobody writes to a folder, or for so long: a process whose parent was killed may save its state."""
    if folder.is_dir():
        with suppress(Timeout), FileLock(folder / LOCK, timeout=seconds):
            pass


def recorded_settings(folder: Path, record: str, what: str) -> dict[str, Any] | None:
    """Return the settings that a folder was claimed with; None where it is free: absent, or without anything of worth.

    `record` is the JSON file that claims it; `what` names the folder in messages ("run", "sweep").
    Raises X2StaticError: it is a file, it holds other things, or its record is damaged.
    """
    if folder.exists() and not folder.is_dir():
        raise X2StaticError(f"{folder}: is a file, not a folder; give --out a folder of its own")
    if not (folder / record).is_file():
        names = {path.name for path in folder.glob("*")} - {LOCK}  # and a killed writer's leftovers do no harm
        if foreign := sorted(name for name in names if not name.startswith(TEMPORARY)):
            why = f"not empty and no {what} ({record} is missing, {foreign[0]} is there)"
            raise X2StaticError(f"{folder}: {why}; give --out a new or empty folder")
        return None
    try:
        settings = read_sealed(folder / record)
    except X2StaticError as error:
        raise X2StaticError(f"{error}; put the file back, or give --out another folder") from error
    if not isinstance(settings, dict):
        raise X2StaticError(f"{folder / record}: not the settings of a {what}; give --out another folder")
    return settings


def claim(folder: Path, record: str, what: str, settings: Mapping[str, Any]) -> None:
    """Make a folder this work's own, or see that it is; the caller holds its lock.

    `settings` are all that must be equal to go on, by name; the rest is as in `recorded_settings`. Raises
    X2StaticError: it holds other things, or was claimed with other settings; both values are named.
    """
    recorded = recorded_settings(folder, record, what)
    if recorded is not None and (differing := differing_settings(recorded, settings)):
        remedy = "give the same settings to go on with it, or another --out for a new one"
        raise X2StaticError(f"{folder}: holds another {what} ({'; '.join(differing.values())}); {remedy}")
    remove_leftovers(folder)
    if recorded is None:
        write_atomically(folder / record, sealed_json(settings))


def shown(value: Any) -> str:
    """Return a setting as people read it: of a hash, as many digits as tell it from another; of a table, its size."""
    if isinstance(value, dict) and len(value) > MOST_SHOWN:
        return f"{len(value):,} entries"
    return repr(f"{value[:12]}..." if isinstance(value, str) and HASH.fullmatch(value) else value)


def differing_settings(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, str]:
    """Return "name: value there, value here" for each setting in which two records differ, by name, ours first."""
    differing = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    return {name: f"{name}: {shown(theirs.get(name))} there, {shown(ours.get(name))} here" for name in differing}
