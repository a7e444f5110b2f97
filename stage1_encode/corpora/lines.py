"""Format "lines": one paragraph a line."""

from collections.abc import Iterator

from x2static.stage1_encode.corpora.text_source import Paragraph, TextSource


def read_lines(source: TextSource, start: int, line: int) -> Iterator[Paragraph]:
    """Yield each line with text, from byte `start` on."""
    for raw in source.lines(start):
        text = source.text(raw)
        if text != "":
            yield Paragraph(raw.start, 0, raw.stop, 0, text)
