"""The formats of local files, and which one files are in where the user does not say."""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import TextFormat
from x2static.stage1_encode.corpora.byte_lines import OPENERS, byte_lines
from x2static.stage1_encode.corpora.json_lines import read_json_lines
from x2static.stage1_encode.corpora.paragraphs import Paragraph, TextSource
from x2static.stage1_encode.corpora.parquet import read_parquet
from x2static.stage1_encode.corpora.plain_text import DOC, read_blank_lines, read_lines, read_wikiextractor

# Each yields paragraphs from a place on: a byte (in Parquet, a row), and a number within the row that begins there.
# The place is the beginning of the file, or where a paragraph that was read before said that reading goes on.
READERS: dict[TextFormat, Callable[[TextSource, int, int], Iterator[Paragraph]]] = {
    "lines": read_lines,
    "blank-lines": read_blank_lines,
    "wikiextractor": read_wikiextractor,
    "jsonl": read_json_lines,
    "parquet": read_parquet,
}
WITH_COLUMNS = ("jsonl", "parquet")
ENDINGS: dict[str, TextFormat] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
ARCHIVES = (".tar", ".tgz", ".tbz", ".txz", ".zip", ".7z", ".rar")
SNIFFED_BYTES = 4096


def format_of(paths: dict[str, Path], name: str) -> TextFormat:
    """Return the one format of all files, by their endings and first lines.

    Args:
        paths: the files by their names.
        name: what they are called together in messages.

    Raises:
        X2StaticError: they are of several formats, or one is an archive of files.
    """
    examples: dict[TextFormat, str] = {}
    for file, path in paths.items():
        if guess := _guess(path, name):
            examples.setdefault(guess, file)
    if len(examples) > 1:
        listed = ", ".join(f"{guess} ({file})" for guess, file in examples.items())
        raise X2StaticError(
            f"{name}: the files are of several formats: {listed}; name those of one format by a pattern such as "
            "'FOLDER/**/*.jsonl', or read all alike with --format"
        )
    return next(iter(examples), "lines")


def _guess(path: Path, name: str) -> TextFormat | None:
    """Return a file's format; None where nothing tells it, because there is no line with text."""
    bare = path.name.lower()
    for compressed in OPENERS:
        bare = bare.removesuffix(compressed)
    ending = PurePath(bare).suffix
    if ending in ARCHIVES:
        raise X2StaticError(f"{name}: {path.name} is an archive of files; unpack it and name the folder")
    if ending in ENDINGS:
        return ENDINGS[ending]
    for line in byte_lines(path, 0, SNIFFED_BYTES, name):
        if text := line.data.removeprefix(b"\xef\xbb\xbf").strip():
            return "wikiextractor" if text.startswith(DOC.encode()) else "lines"
    return None
