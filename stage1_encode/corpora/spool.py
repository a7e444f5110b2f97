"""Standard input as a file: it is written whole into the cache first, so that a run that was broken off can go on."""

import os
import re
from pathlib import Path
from typing import BinaryIO

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically, remove_leftovers
from x2static.schemas.cache import MANIFEST
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.new_cache import SPOOL, SPOOLED
from x2static.stage1_encode.corpora.file_set import FileSet

SPEC = re.compile(r"-(#(?P<column>.+))?")
BLOCK = 1 << 20


def is_standard_input(spec: str) -> bool:
    """Return whether a --corpus names standard input: `-` or `-#column`."""
    return SPEC.fullmatch(spec) is not None


def spooled(spec: str, config: EncodeConfig, stream: BinaryIO | None) -> FileSet:
    """Return standard input as a file in the cache.

    Called again without text, it is the text from before; with text, that must be the same once units are planned of
    it, which they are if there is a manifest.

    Args:
        spec: `-` or `-#column`.
        config: for `cache` (whose lock the caller holds, where there is a stream) and `format`.
        stream: standard input; None if it is not to be read, but was read by an earlier run.

    Raises:
        X2StaticError: there is no text, neither in the stream nor from an earlier run, or the two differ.
    """
    path = config.cache / SPOOL / SPOOLED
    if stream is None:
        if not path.is_file():
            raise X2StaticError(
                f"corpus {spec}: --plan would use standard input up, and leave nothing to encode; write the text to a "
                "file and name that, or run without --plan"
            )
    elif path.is_file() and (config.cache / MANIFEST).is_file():
        _compare(spec, stream, path)
    else:
        _write(spec, stream, path)
    match = SPEC.fullmatch(spec)
    return FileSet({"-": path}, "-", config.format, match and match["column"], alone=True)


def _write(spec: str, stream: BinaryIO, path: Path) -> None:
    block = b"" if stream.isatty() else stream.read(BLOCK)
    if not block and path.is_file():
        return
    if not block:
        what = "is a terminal" if stream.isatty() else "is empty"
        raise X2StaticError(f"corpus {spec}: standard input {what}; pipe text into it")
    path.parent.mkdir(exist_ok=True)
    remove_leftovers(path.parent)
    with open_atomically(path) as file:
        while block:
            file.write(block)
            block = stream.read(BLOCK)
        file.flush()
        os.utime(file.fileno(), (0, 0))  # plans name the time of a file, and are to be the same from run to run


def _compare(spec: str, stream: BinaryIO, path: Path) -> None:
    """Refuse text that is not what was read before; a terminal or no text stands for the text from before."""
    block = b"" if stream.isatty() else stream.read(BLOCK)
    if not block:
        return
    position = 0
    with path.open("rb") as file:
        while block:
            if file.read(len(block)) != block:
                break
            position, block = position + len(block), stream.read(BLOCK)
        else:
            block = file.read(1)
    if block:
        raise X2StaticError(
            f"corpus {spec}: standard input brings other text than the run before, from somewhere after byte "
            f"{position} on; bring the same text or none (< /dev/null) to go on, or use another --cache"
        )
