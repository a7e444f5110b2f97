"""Local files, of any format and number, read one after the other as one corpus."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import hash_file
from x2static.schemas.encoding import ReadingOptions, TextFormat
from x2static.stage1_encode.corpora.corpus import FILE, Corpus, Paragraphs, file_states
from x2static.stage1_encode.corpora.formats import READERS, WITH_COLUMNS, format_of
from x2static.stage1_encode.corpora.paragraphs import Paragraph, TextSource


@dataclass(frozen=True)
class FileSet:
    """Files that are read one after the other as one corpus."""

    paths: dict[str, Path]  # where they are, by their names within the corpus, in the order of reading
    home: str  # what the names are relative to, to tell one place from another
    format: TextFormat  # how to read them, as the user says
    column: str | None = None  # where the text of a row stands, if the user says so
    alone: bool = False  # whether it is a single file, named as such; another name makes no other corpus of it


class LocalFiles(Corpus):
    """Files whose units are ranges of them, found in one quick pass before anything is encoded; they may span files."""

    def __init__(self, spec: str, options: ReadingOptions, find: Callable[[], FileSet]) -> None:
        """Name a corpus; `find` is called when the files are first needed, since standard input is written to one."""
        super().__init__(spec, options)
        self._find = find

    @cached_property
    def files(self) -> FileSet:
        """The files of this corpus."""
        return self._find()

    @cached_property
    def names(self) -> list[str]:
        """The names of the files, in order."""
        return list(self.files.paths)

    def seen(self) -> dict[str, Any]:
        """Return where the files are, when they changed and how they are to be read."""
        try:
            states = file_states(self.files.paths)
        except FileNotFoundError as error:
            raise X2StaticError(f"corpus {self.spec}: {error.filename} is gone, or a link to nowhere") from error
        return {"path": self.files.home, "format": self.files.format, "column": self.files.column, "files": states}

    def identity(self) -> dict[str, Any]:
        """Return format, column and hashes of the files as they are stored."""
        self.seen()  # a file that is gone is named
        name, column = f"corpus {self.spec}", self.files.column
        text_format = format_of(self.files.paths, name) if self.files.format == "auto" else self.files.format
        if column is not None and text_format not in WITH_COLUMNS:
            raise X2StaticError(
                f"{name}: text in the format {text_format!r} has no column {column!r}; leave out #{column}, or name "
                f"the --format ({', '.join(WITH_COLUMNS)})"
            )
        what = {"format": text_format, "column": column or "text" if text_format in WITH_COLUMNS else None}
        hashes = {name: hash_file(path) for name, path in self.files.paths.items()}
        if not self.files.alone:
            return {"kind": "files", **what, "files": hashes}
        ((only, path),) = self.files.paths.items()
        return {"kind": "file", **what, "size": path.stat().st_size, "xxh3": hashes[only]}

    def _read(self, start: int, line: int) -> Paragraphs:
        """Yield all paragraphs from a place on; no file before it is opened."""
        reader = READERS[self._identity["format"]]  # as it was recognised when the corpus was planned
        first, offset = divmod(start, FILE)
        for number, name in enumerate(self.names[first:], first):
            before = number * FILE
            shown = self.rules.name if self.files.alone else f"{self.rules.name}, {name}"
            path, column = self.files.paths[name], self.files.column or "text"
            source = TextSource(shown, self.rules.on_bad_text, self.rules.longest, path, column)
            for paragraph in reader(source, offset, line):  # the innermost loop of planning: see to its speed
                if paragraph.stop >= FILE:
                    raise X2StaticError(f"corpus {self.spec}: {name} holds more than {FILE} bytes of text; split it")
                if before:
                    start, line, stop, stop_line, text = paragraph
                    paragraph = Paragraph(before + start, line, before + stop, stop_line, text)
                yield paragraph
            offset = line = 0


def find_files(spec: str, text_format: TextFormat, cache: Path) -> FileSet:
    """Return the files that PATH or PATH#column names; a path that is there as it is written is no pattern."""
    path, mark, column = spec.rpartition("#")
    named = bool(mark and path and column) and not Path(spec).exists()
    if not named or not (Path(path).exists() or glob.has_magic(path)):
        path, column = spec, ""
    if not path:  # pathlib takes it for the folder in which one is
        raise X2StaticError("--corpus: its name is empty; name a file, a folder or a pattern")
    home, alone = Path(path), Path(path).is_file()
    if alone:
        paths = {home.name: home}
    elif home.is_dir():
        paths = _named(home, _below(home), cache)
    else:
        home = Path(*takewhile(lambda part: not glob.has_magic(part), home.parts))
        # Not Path.glob: it takes hidden files, and by "**" folders alone before Python 3.13.
        matching = map(Path, glob.iglob(path, recursive=True))  # noqa: PTH207
        paths = _named(home, (item for item in matching if item.is_file()), cache)
    for item in [home, *paths.values()]:
        try:
            str(item).encode()
        except UnicodeEncodeError as error:
            raise X2StaticError(f"corpus {spec!a}: the file name {str(item)!a} is no valid UTF-8; rename it") from error
    if not paths:
        what = "no such file"
        if Path(path).exists():
            what = "the folder holds no file" if home.is_dir() else "neither a file nor a folder; pipe it in"
        raise X2StaticError(
            f"corpus {spec}: {what} (hidden ones are not read); name one, a folder, a pattern such as "
            "'texts/**/*.jsonl.gz', hf://name/config:split#column, demo, or - for a pipe"
        )
    return FileSet(paths, str(home.resolve()), text_format, column or None, alone)


def _named(home: Path, paths: Iterable[Path], cache: Path) -> dict[str, Path]:
    """Return files by their names below `home`, in order, but for those of the cache."""
    named = {path.relative_to(home).as_posix(): path for path in paths}
    if cache.resolve().is_relative_to(home.resolve()):
        inside = cache.resolve().relative_to(home.resolve()).as_posix() + "/"
        named = {name: path for name, path in named.items() if not name.startswith(inside)}
    return dict(sorted(named.items()))


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and the folders in it; those that are hidden are left out."""

    def refuse(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and (path.is_file() or path.is_symlink()):  # a broken link is named later
                yield path
