"""The formats of local files: those of plain text, and which others there are; `recognition.py` tells them apart.

A further format is a file beside this one with a reader, and its line in `READERS`:

    >>> def read_quoted_lines(source, start, line):
    ...     for raw in source.lines(start):
    ...         yield Paragraph(raw.start, 0, raw.stop, 0, (source.text(raw) or "").strip('"'))
"""

import html
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby

from x2static.schemas.encoding import TextFormat
from x2static.stage1_encode.corpora.json_lines import read_json_lines
from x2static.stage1_encode.corpora.paragraphs import Paragraph, TextSource
from x2static.stage1_encode.corpora.parquet import read_parquet
from x2static.stage1_encode.corpora.tables import DELIMITERS, read_table

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
    "csv": partial(read_table, delimiters=DELIMITERS),
    "tsv": partial(read_table, delimiters="\t"),
}
WITH_COLUMNS = ("jsonl", "parquet", "csv", "tsv")
