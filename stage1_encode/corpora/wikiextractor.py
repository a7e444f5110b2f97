"""Format "wikiextractor": what WikiExtractor makes of a Wikipedia dump, <doc ...> and </doc> around each article."""

import html
import re
from collections.abc import Iterator

from x2static.stage1_encode.corpora.text_source import Paragraph, TextSource

DOC = "<doc id="
END = "</doc>"
TITLE = re.compile(r'\btitle="(.*)">$')


def read_wikiextractor(source: TextSource, start: int, line: int) -> Iterator[Paragraph]:
    """Yield the lines with text within the articles, the title above each left out.

    Args:
        source: the file.
        start: the beginning of the file, or the byte behind a paragraph, and so within an article.
        line: not used: a line is one paragraph.
    """
    inside = start > 0
    title = ""
    for raw in source.lines(start):
        text = source.text(raw)
        if text == "":
            continue
        if text and text.startswith(DOC):
            found = TITLE.search(text)
            inside, title = True, found[1] if found else ""
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
