"""The corpora that a user names, opened; standard input, which is read only once, is kept in the cache's `spool/`."""

import glob
import html
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import takewhile
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import hash_file, open_atomically, remove_leftovers
from x2static.durable.store_settings import SCHEMES
from x2static.schemas.cache import MANIFEST, SPOOL, SPOOLED
from x2static.schemas.encoding import ReadingOptions, TextFormat
from x2static.schemas.manifest import FILE
from x2static.schemas.mirror import CorpusView
from x2static.stage1_encode.corpora.compression import BLOCK, OPENERS
from x2static.stage1_encode.corpora.corpus import Corpus, Paragraphs, file_states
from x2static.stage1_encode.corpora.formats import READERS, WITH_COLUMNS
from x2static.stage1_encode.corpora.paragraphs import Paragraph, TextSource
from x2static.stage1_encode.corpora.recognition import format_of, of_wikiextractor
from x2static.stage1_encode.demo import demo_corpus

ENTITY = re.compile("&(?:amp|lt|gt|quot|apos|#39|#x27);")  # what escaping writes, once
STANDARD_INPUT = re.compile(r"-(#(?P<column>.+))?")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A corpus and what a cache holds of it."""

    corpus: Corpus
    identity: dict[str, Any]  # what tells it from any other, now
    plans: tuple[int, ...]  # numbers of its plans, ascending; none for one that is to be added


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
        self._states: dict[str, list[int]] | None = None  # of the files, when they were found to be what is read

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
            raise self.rules.refusal(f"{error.filename} is gone, or a link to nowhere") from error
        self._states = self._states or states
        return {"path": self.files.home, "format": self.files.format, "column": self.files.column, "files": states}

    def identity(self) -> dict[str, Any]:
        """Return format, column and hashes of the files as they are stored."""
        self.seen()  # a file that is gone is named
        column = self.files.column
        text_format = format_of(self.files.paths, self.rules.name) if self.files.format == "auto" else self.files.format
        if column is not None and text_format not in WITH_COLUMNS:
            why = f"text in the format {text_format!r} has no column {column!r}"
            remedy = f"leave out #{column}, or name the --format ({', '.join(WITH_COLUMNS)})"
            raise self.rules.refusal(f"{why}; {remedy}")
        what = {"format": text_format, "column": column or "text" if text_format in WITH_COLUMNS else None}
        # WikiExtractor writes & < > as entities. Caches that began before they were undone go on as they began.
        if text_format == "wikiextractor" or (text_format == "jsonl" and of_wikiextractor(self.files.paths)):
            what |= {"entities": "undone"}
        hashes = {name: hash_file(path) for name, path in self.files.paths.items()}
        self._name_doubles(hashes)
        if not self.files.alone:
            return {"kind": "files", **what, "files": hashes}
        ((only, path),) = self.files.paths.items()
        return {"kind": "file", **what, "size": path.stat().st_size, "xxh3": hashes[only]}

    def _name_doubles(self, hashes: dict[str, str]) -> None:
        """Say which files hold the same text, by their hashes, or by names that differ in the compression alone."""
        first: dict[str, str] = {}
        for name, content in hashes.items():
            if self.files.paths[name].stat().st_size:
                bare = name.removesuffix(PurePath(name).suffix) if PurePath(name).suffix in OPENERS else name
                other = first.setdefault(content, first.setdefault(bare, name))
                if other != name:
                    what = f"{other} and {name} seem to hold the same text, which is read twice"
                    logger.warning("%s: %s; leave one out, unless it is meant so", self.rules.name, what)

    def connect(self, identity: dict[str, Any]) -> None:
        """Get ready to read the text of this identity. Raises X2StaticError: what came by pipe has changed."""
        super().connect(identity)
        path = self.files.paths.get("-")  # kept by us: its size and time, which is set, say little
        if path and self.files.home == "-" and hash_file(path) != identity["xxh3"]:
            remedy = "remove it and pipe the same text in again"
            raise self.rules.refusal(f"{path} is damaged: not the text that standard input brought; {remedy}")

    def check(self) -> None:
        """Raise X2StaticError if a file has other text than when it was first looked at."""
        try:
            states = file_states(self.files.paths)
        except FileNotFoundError:  # named where it is read
            return
        before = self._states or states
        changed = [str(path) for name, path in self.files.paths.items() if states[name] != before.get(name)]
        if changed:
            self.close()  # what is open may be of neither text
        if changed and self.identity() != self._identity:
            remedy = "put the old text back to go on, or use another --cache"
            raise self.rules.refusal(f"{', '.join(changed[:3])} changed while it was read; {remedy}")
        self._states = states

    def _read(self, start: int, line: int) -> Paragraphs:
        """Yield all paragraphs from a place on; no file before it is opened."""
        reader = READERS[self._identity["format"]]  # as it was recognised when the corpus was planned
        first, offset = divmod(start, FILE)
        undo_entities = "entities" in self._identity
        for number, name in enumerate(self.names[first:], first):
            before = number * FILE
            shown = self.rules.name if self.files.alone else f"{self.rules.name}, {name}"
            path, column = self.files.paths[name], self.files.column or "text"
            source = TextSource(shown, self.rules.on_bad_text, self.rules.longest, path, column)
            for paragraph in reader(source, offset, line):  # the innermost loop of planning: see to its speed
                if paragraph.stop >= FILE:
                    raise self.rules.refusal(f"{name} holds more than {FILE} bytes of text; split it")
                if undo_entities and paragraph.text and "&" in paragraph.text:
                    paragraph = paragraph._replace(
                        text=ENTITY.sub(lambda match: html.unescape(match[0]), paragraph.text)
                    )
                if before:
                    start, line, stop, stop_line, text = paragraph
                    paragraph = Paragraph(before + start, line, before + stop, stop_line, text)
                yield paragraph
            offset = line = 0


@contextmanager
def open_corpora(
    specs: Sequence[str], options: ReadingOptions, cache: Path, spool: bool = True
) -> Iterator[list[Corpus]]:
    """Give the corpora that --corpus names, and close them afterwards; files in the folder `cache` are no corpus's.

    Without `spool`, nothing is written there, and `-` stands for what an earlier run read.
    """
    inputs = ["-" if STANDARD_INPUT.fullmatch(spec) else spec for spec in specs]
    if len(set(inputs)) < len(inputs):
        raise X2StaticError(f"--corpus: the same corpus is named twice: {', '.join(specs)}")
    with ExitStack() as stack:
        yield [stack.enter_context(closing(_open_corpus(spec, options, cache, spool))) for spec in specs]


def require_files(specs: Sequence[str], cache: Path) -> None:
    """Raise X2StaticError if a file is named that is not there; folders are walked, and others asked, when they open.

    So a slip is told before the libraries that encode are imported.
    """
    for spec in specs:
        if in_bucket(spec):
            CorpusView(spec.partition("#")[0]).pull()
        elif not Path(spec).is_dir():
            files_named(spec, cache)


def files_named(spec: str, cache: Path) -> list[Path]:
    """Return the files that a corpus is read from, none of one that is elsewhere. Raises X2StaticError: it has none."""
    if spec == "demo" or spec.startswith("hf://") or in_bucket(spec) or STANDARD_INPUT.fullmatch(spec):
        return []
    return list(find_files(spec, "auto", cache).paths.values())


def _open_corpus(spec: str, options: ReadingOptions, cache: Path, spool: bool) -> Corpus:
    if spec.startswith("hf://"):
        from x2static.stage1_encode.corpora.hub import HubDataset  # which imports datasets and transformers

        return HubDataset(spec, options, cache, spool)
    if match := STANDARD_INPUT.fullmatch(spec):
        path = cache / SPOOL / SPOOLED
        files = FileSet({"-": path}, "-", options.format, match["column"], alone=True)
        stream = (sys.stdin.buffer if sys.stdin else io.BytesIO()) if spool else None  # a closed one brings no text
        return LocalFiles(spec, options, partial(_spooled, spec, files, stream))
    if in_bucket(spec):
        return LocalFiles(spec, options, partial(_fetched, spec, options.format, cache))
    if spec == "demo":
        path = demo_corpus()
        files = FileSet({path.name: path}, str(path), "lines", alone=True)
    else:
        files = find_files(spec, options.format, cache)
    return LocalFiles(spec, options, lambda: files)


def in_bucket(spec: str) -> bool:
    """Return whether a corpus is in an object store."""
    return spec.startswith(SCHEMES)


def _fetched(spec: str, text_format: TextFormat, cache: Path) -> FileSet:
    """Return the files of a corpus in a bucket, fetched into the user's cache folder, where they have changed since."""
    url, mark, column = spec.partition("#")
    place = CorpusView(url).pull()
    return replace(find_files(f"{place}{mark}{column}", text_format, cache), home=url)


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
        read = _folders_to_read(home, cache)
        paths = _named(home, _below(home, read), read)
    else:
        home = Path(*takewhile(lambda part: not glob.has_magic(part), home.parent.parts))
        # Not Path.glob: it takes hidden files, and by "**" folders alone before Python 3.13.
        matching = map(Path, glob.iglob(path, recursive=True))  # noqa: PTH207
        matching_files = (item for item in matching if item.is_file() or not item.exists())
        paths = _named(home, matching_files, _folders_to_read(home, cache))
    for item in [home, *paths.values()]:
        try:
            str(item).encode()
        except UnicodeEncodeError as error:
            raise X2StaticError(f"corpus {spec!a}: the file name {str(item)!a} is no valid UTF-8; rename it") from error
    if not paths:
        what = "no such file"
        if Path(path).exists():
            what = "the folder holds no file" if Path(path).is_dir() else "neither a file nor a folder; pipe it in"
        others = "a pattern such as 'texts/**/*.jsonl.gz', hf://name/config:split#column, demo, or - for a pipe"
        raise X2StaticError(f"corpus {spec}: {what} (hidden ones are not read); name one, a folder, {others}")
    return FileSet(paths, str(home.resolve()), text_format, column or None, alone)


def _named(home: Path, paths: Iterable[Path], read: Callable[[Path], object]) -> dict[str, Path]:
    """Return files by their names below `home`, in order, but for those in folders that are not to be read."""
    return dict(sorted((path.relative_to(home).as_posix(), path) for path in paths if read(path.parent)))


def _folders_to_read(home: Path, cache: Path) -> Callable[[Path], tuple[Path, ...]]:
    """Return what tells the folders to read below `home`: none in the cache, none that a link leads to in a circle."""
    without = cache.resolve()

    @lru_cache(None)
    def real_folders(folder: Path) -> tuple[Path, ...]:
        """Return the real places of a folder and of those above it, up to `home`; nothing if it is not to be read."""
        above = () if folder == home else real_folders(folder.parent)
        real = folder.resolve()
        return () if real in (*above, without) or (folder != home and not above) else (*above, real)

    return real_folders


def _below(folder: Path, read: Callable[[Path], object]) -> Iterator[Path]:
    """Yield the files in a folder and the folders in it, linked ones too; those that are hidden are left out."""

    def refuse(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and read(Path(parent, name))]
        for name in names:
            path = Path(parent, name)
            if name.startswith("."):
                continue
            if path.is_file() or not path.exists():  # a broken link is named later
                yield path
            else:
                logger.warning("%s is neither a file nor a folder; left out", path)


def _spooled(spec: str, files: FileSet, stream: BinaryIO | None) -> FileSet:
    """Return the file of standard input, written from the stream, which must bring the same text again, or none."""
    path = files.paths["-"]
    block = b"" if stream is None or stream.isatty() else stream.read(BLOCK)
    if not block and path.is_file():
        return files
    if stream is None:
        why = "--plan would use standard input up, and leave nothing to encode"
        remedy = "write the text to a file and name that, or run without --plan"
        raise X2StaticError(f"corpus {spec}: {why}; {remedy}")
    if not block:
        what = "is a terminal" if stream.isatty() else "is empty"
        raise X2StaticError(f"corpus {spec}: standard input {what}; pipe text into it")
    if path.is_file() and (path.parents[1] / MANIFEST).is_file():  # units are planned of it
        _compare(spec, block, stream, path)
    else:
        _write(block, stream, path)
    return files


def _write(block: bytes, stream: BinaryIO, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    remove_leftovers(path.parent)
    with open_atomically(path) as file:
        while block:
            file.write(block)
            block = stream.read(BLOCK)
        file.flush()
        os.utime(file.fileno(), (0, 0))  # plans name the time of a file, and are to be the same from run to run


def _compare(spec: str, block: bytes, stream: BinaryIO, path: Path) -> None:
    position = 0
    with path.open("rb") as file:
        while block and file.read(len(block)) == block:
            position, block = position + len(block), stream.read(BLOCK)
        if block or file.read(1):
            why = f"standard input brings other text than the run before, from somewhere after byte {position} on"
            why += f" (kept in {path})"
            remedy = "bring the same text or none (< /dev/null) to go on, or use another --cache"
            raise X2StaticError(f"corpus {spec}: {why}; {remedy}")
