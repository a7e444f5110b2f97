"""Formats of plain text: one paragraph a line, paragraphs between blank lines, and what WikiExtractor writes."""

import html
import re
from collections.abc import Iterator
from itertools import groupby

from x2static.stage1_encode.corpora.paragraphs import Paragraph, TextSource

DOC, END = "<doc id=", "</doc>"  # around each article
TITLE = re.compile(r'\btitle="(.*)">$')


def read_lines(source: TextSource, start: int, line: int) -> Iterator[Paragraph]:
    """Yield each line with text, from byte `start` on."""
    for raw in source.lines(start):
        text = source.text(raw)
        if text != "":
            yield Paragraph(raw.start, 0, raw.stop, 0, text)


def read_blank_lines(source: TextSource, start: int, line: int) -> Iterator[Paragraph]:
    """Yield the paragraphs from byte `start` on, which is not within one; their lines are joined by spaces.

    If one line is bad text, the paragraph is. What is too long is not kept in memory.
    """
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
                source.bad(
                    f"the paragraph at byte {begin} is longer than {source.longest} bytes; are there blank lines "
                    "between the paragraphs? (--max-paragraph-bytes allows more, --on-bad-text skip leaves it out)"
                )
                bad = True
            if bad:
                texts.clear()
            else:
                texts.append(text or "")
        yield Paragraph(begin, 0, stop, 0, None if bad else " ".join(texts))


def read_wikiextractor(source: TextSource, start: int, line: int) -> Iterator[Paragraph]:
    """Yield the lines with text within the articles, the title above each left out.

    `start` is the beginning of the file, or the byte behind a paragraph, and so within an article.
    """
    inside = start > 0
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
            source.bad(
                f"the line at byte {raw.start} stands outside <doc ...> and </doc>; is this what WikiExtractor wrote? "
                "(--format lines reads one paragraph a line, --on-bad-text skip leaves such lines out)"
            )
            yield Paragraph(raw.start, 0, raw.stop, 0, None)
        else:
            heading, title = title, ""
            if not heading or text not in (heading, html.unescape(heading)):
                yield Paragraph(raw.start, 0, raw.stop, 0, text)
