"""Which files a local --corpus names: one file, a folder with all in it, or a pattern."""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import EncodeConfig, TextFormat


@dataclass(frozen=True)
class FileSet:
    """Files that are read one after the other as one corpus.

    Attributes:
        paths: where they are, by their names within the corpus, in the order of reading.
        home: what the names are relative to, to tell one place from another.
        format: how to read them, as asked for.
        column: where the text of a row stands, if the user says so.
        alone: whether this is a single file that was named as such; another name makes no other corpus of it.
    """

    paths: dict[str, Path]
    home: str
    format: TextFormat
    column: str | None = None
    alone: bool = False


def find_files(spec: str, config: EncodeConfig) -> FileSet:
    """Return the files that PATH or PATH#column names. A path that is there as it is written is no pattern.

    Args:
        spec: as the user wrote it.
        config: for `format`, and for `cache`, which is left out if it lies among the files.

    Raises:
        X2StaticError: there are none, or the name of one is not valid UTF-8.
    """
    path, column = _path_and_column(spec)
    if not path:  # pathlib takes it for the folder in which one is
        raise X2StaticError("--corpus: its name is empty; name a file, a folder or a pattern")
    if Path(path).is_file():
        home, paths = Path(path), {Path(path).name: Path(path)}
    else:
        home = Path(path) if Path(path).is_dir() else _fixed_part(path)
        found = _below(home) if Path(path).is_dir() else _matching(path)
        paths = {item.relative_to(home).as_posix(): item for item in found}
        paths = dict(sorted(_without(config.cache, home, paths).items()))
    for item in [home, *paths.values()]:
        _check_name(spec, item)
    if not paths:
        raise X2StaticError(f"corpus {_shown(spec)}: {_reason(path)}")
    return FileSet(paths, str(home.resolve()), config.format, column, alone=Path(path).is_file())


def _path_and_column(spec: str) -> tuple[str, str | None]:
    path, mark, column = spec.rpartition("#")
    if mark and path and column and not Path(spec).exists() and (Path(path).exists() or glob.has_magic(path)):
        return path, column
    return spec, None


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and the folders in it; those that are hidden are left out."""
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and (path.is_file() or path.is_symlink()):  # a broken link is told of later
                yield path


def _refuse(error: OSError) -> None:
    raise error


def _matching(pattern: str) -> Iterator[Path]:
    # Not Path.glob: it takes hidden files, and by "**" folders alone before Python 3.13.
    paths = map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207
    return (path for path in paths if path.is_file())


def _fixed_part(pattern: str) -> Path:
    """Return the folders of a pattern before its first sign."""
    return Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))


def _without(cache: Path, home: Path, paths: dict[str, Path]) -> dict[str, Path]:
    if not cache.resolve().is_relative_to(home.resolve()):
        return paths
    inside = cache.resolve().relative_to(home.resolve()).as_posix() + "/"
    return {name: path for name, path in paths.items() if not name.startswith(inside)}


def _check_name(spec: str, path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise X2StaticError(
            f"corpus {_shown(spec)}: the file name {_shown(str(path))} is not valid UTF-8; rename it"
        ) from error


def _shown(name: str) -> str:
    return os.fsencode(name).decode(errors="backslashreplace")


def _reason(path: str) -> str:
    if Path(path).is_dir():
        return "the folder holds no file (hidden ones are not read)"
    if Path(path).exists():
        return "neither a file nor a folder; pipe it in, and name - instead"
    if glob.has_magic(path):
        return "no file matches this pattern"
    return (
        "no such file (or hf://name/config:split#column, a folder, a pattern such as 'texts/**/*.jsonl.gz', demo, or - "
        "for standard input)"
    )
