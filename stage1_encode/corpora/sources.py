"""The corpora that a user names, opened; standard input, which is read only once, is kept in the cache's `spool/`."""

import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically, remove_leftovers
from x2static.schemas.cache import MANIFEST, SPOOL, SPOOLED
from x2static.schemas.encoding import ReadingOptions
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.corpora.local_files import FileSet, LocalFiles, find_files
from x2static.stage1_encode.corpora.paragraphs import BLOCK
from x2static.stage1_encode.demo import demo_corpus

STANDARD_INPUT = re.compile(r"-(#(?P<column>.+))?")


@dataclass(frozen=True)
class Source:
    """A corpus and what a cache holds of it."""

    corpus: Corpus
    identity: dict[str, Any]  # what tells it from any other, now
    plans: tuple[int, ...]  # numbers of its plans, ascending; none for one that is to be added


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


def _open_corpus(spec: str, options: ReadingOptions, cache: Path, spool: bool) -> Corpus:
    if spec.startswith("hf://"):
        from x2static.stage1_encode.corpora.hub import HubDataset  # which imports datasets and transformers

        return HubDataset(spec, options, cache, spool)
    if match := STANDARD_INPUT.fullmatch(spec):
        path = cache / SPOOL / SPOOLED
        files = FileSet({"-": path}, "-", options.format, match["column"], alone=True)
        stream = (sys.stdin.buffer if sys.stdin else io.BytesIO()) if spool else None  # a closed one brings no text
        return LocalFiles(spec, options, partial(_spooled, spec, files, stream))
    if spec == "demo":
        path = demo_corpus()
        files = FileSet({path.name: path}, str(path), "lines", alone=True)
    else:
        files = find_files(spec, options.format, cache)
    return LocalFiles(spec, options, lambda: files)


def _spooled(spec: str, files: FileSet, stream: BinaryIO | None) -> FileSet:
    """Return the file of standard input, written from the stream, which must bring the same text again, or none."""
    path = files.paths["-"]
    if stream is None:
        if not path.is_file():
            raise X2StaticError(
                f"corpus {spec}: --plan would use standard input up, and leave nothing to encode; write the text to a "
                "file and name that, or run without --plan"
            )
        return files
    block = b"" if stream.isatty() else stream.read(BLOCK)
    if not block and path.is_file():
        return files
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
            raise X2StaticError(
                f"corpus {spec}: standard input brings other text than the run before, from somewhere after byte "
                f"{position} on; bring the same text or none (< /dev/null) to go on, or use another --cache"
            )
