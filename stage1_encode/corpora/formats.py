"""The formats of local files: those of plain text, which others there are, and which one files are in.

A further format is a file beside this one with a reader, and its line in `READERS`:

    >>> def read_quoted_lines(source, start, line):
    ...     for raw in source.lines(start):
    ...         yield Paragraph(raw.start, 0, raw.stop, 0, (source.text(raw) or "").strip('"'))
"""

import html
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path, PurePath

from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import TextFormat
from x2static.stage1_encode.corpora.json_lines import read_json_lines
from x2static.stage1_encode.corpora.paragraphs import OPENERS, Paragraph, TextSource, byte_lines
from x2static.stage1_encode.corpora.parquet import read_parquet

DOC, END = "<doc id=", "</doc>"  # around each article of WikiExtractor
TITLE = re.compile(r'\btitle="(.*)">$')


def read_lines(source: TextSource, start: int, line: int) -> Iterator[Paragraph]:
    """Yield each line with text, from byte `start` on."""
    for raw in source.lines(start):
        text = source.text(raw)
        if text != "":
            yield Paragraph(raw.start, 0, raw.stop, 0, text)


def read_blank_lines(source: TextSource, start: int, line: int) -> Iterator[Paragraph]:
    """Yield the paragraphs from byte `start` on, their lines joined by spaces; if one line is bad text, all are."""
    lines = ((raw, source.text(raw)) for raw in source.lines(start))
    for blank, group in groupby(lines, key=lambda item: item[1] == ""):
        if blank:
            continue
        begin, stop, bad = -1, -1, False
        texts: list[str] = []
        for raw, text in group:
            begin, stop = raw.start if begin < 0 else begin, raw.stop
            bad = bad or text is None
            if not bad and stop - begin > source.longest + 1:  # the last line's end is not counted
                source.too_long(f"the paragraph at byte {begin}")
                bad = True
            if bad:
                texts.clear()
            else:
                texts.append(text or "")
        yield Paragraph(begin, 0, stop, 0, None if bad else " ".join(texts))


def read_wikiextractor(source: TextSource, start: int, line: int) -> Iterator[Paragraph]:
    """Yield the lines with text within the articles, the title above each left out."""
    inside = start > 0  # behind a paragraph
    title = ""
    for raw in source.lines(start):
        text = source.text(raw)
        if text == "":
            continue
        if text and text.startswith(DOC):
            match = TITLE.search(text)
            inside, title = True, match[1] if match else ""
        elif text == END:
            inside = False
        elif text is not None and not inside:
            where = f"the line at byte {raw.start} stands outside <doc ...> and </doc>"
            ways = "--format lines reads one paragraph a line, --on-bad-text skip leaves such lines out"
            source.bad(f"{where}; is this what WikiExtractor wrote? ({ways})")
            yield Paragraph(raw.start, 0, raw.stop, 0, None)
        else:
            heading, title = title, ""
            if not heading or text not in (heading, html.unescape(heading)):
                yield Paragraph(raw.start, 0, raw.stop, 0, text)


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
    """Return the one format of all files, by their endings and first lines; `name` is theirs together, in errors."""
    examples: dict[TextFormat, str] = {}
    for file, path in paths.items():
        if guess := _guess(path, name):
            examples.setdefault(guess, file)
    if len(examples) > 1:
        listed = ", ".join(f"{guess} ({file})" for guess, file in examples.items())
        remedy = "name those of one format by a pattern such as 'FOLDER/**/*.jsonl', or read all alike with --format"
        raise X2StaticError(f"{name}: the files are of several formats: {listed}; {remedy}")
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
