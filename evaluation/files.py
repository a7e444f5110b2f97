"""Files of evaluation data: found where the user names them or a library ships them, and read line by line."""

import math
from importlib.util import find_spec
from pathlib import Path

from x2static.durable.errors import X2StaticError


def find_files(data: Path, folder: str, patterns: tuple[str, ...], expected: str) -> list[Path]:
    """Return the data files of a task, by name.

    Args:
        data: a file; or a folder whose subfolder, or where it has none, itself holds the files.
        folder: name of the subfolder.
        patterns: what the files in a folder are called, as for `Path.glob`.
        expected: what such a file holds, for the message.

    Raises:
        X2StaticError: there are none, or two have one name.
    """
    if data.is_file():
        return [data]
    if not data.is_dir():
        raise X2StaticError(f"{data}: no such file or folder; --data takes {expected}, or a folder of them")
    inner = data / folder if (data / folder).is_dir() else data
    paths = sorted((path for pattern in patterns for path in inner.glob(pattern)), key=lambda path: path.stem)
    if not paths:
        raise X2StaticError(f"{inner}: no {' or '.join(patterns)} here; --data takes {expected}, or a folder of them")
    named: dict[str, Path] = {}
    for path in paths:
        if named.setdefault(path.stem, path) != path:
            raise X2StaticError(f"{named[path.stem]} and {path}: two data sets of one name; rename one")
    return paths


def package_file(package: str, *parts: str) -> Path | None:
    """Return a file that an installed package ships, without importing the package; None where there is none."""
    spec = find_spec(package)  # only finds: importing gensim takes seconds
    folders = spec.submodule_search_locations if spec else None
    paths = (Path(folder, *parts) for folder in folders or ())
    return next((path for path in paths if path.is_file()), None)


def gensim_file(name: str) -> Path | None:
    """Return a file of the test data that gensim ships; None where gensim is not installed, or not whole."""
    return package_file("gensim", "test", "test_data", name)


def finite_score(number: str, where: str, header: str) -> float:
    """Return a score that people gave; `header` says what to do about a header line, which has none.

    Raises X2StaticError: it is no finite number.
    """
    try:
        score = float(number)
    except ValueError:
        raise X2StaticError(f"{where}: the score {number!r} is no number; {header}") from None
    if not math.isfinite(score):
        raise X2StaticError(f"{where}: the score {number!r} is not finite; mend or remove the line")
    return score


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a text file that are not blank, each with its number from 1.

    Raises X2StaticError: the file is no UTF-8.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise X2StaticError(f"{path}, line {line}: not valid UTF-8; save the file as UTF-8") from error
    # splitlines() would also split at separators that belong to a text, such as U+2028.
    lines = enumerate(text.split("\n"), start=1)
    return [(number, line.rstrip("\r")) for number, line in lines if line.strip()]
