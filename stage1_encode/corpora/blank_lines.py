"""Format "blank-lines": paragraphs of several lines, between blank lines."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from x2static.stage1_encode.corpora.byte_lines import ByteLine
from x2static.stage1_encode.corpora.text_source import Paragraph, TextSource


def read_blank_lines(source: TextSource, start: int, line: int) -> Iterator[Paragraph]:
    """Yield the paragraphs from byte `start` on, which is not within one; their lines are joined by spaces."""
    lines = ((raw, source.text(raw)) for raw in source.lines(start))
    for blank, group in groupby(lines, key=lambda item: item[1] == ""):
        if not blank:
            yield _joined(source, group)


def _joined(source: TextSource, lines: Iterable[tuple[ByteLine, str | None]]) -> Paragraph:
    """Join the lines of one paragraph; if one of them is bad text, all are. What is too long is not kept in memory."""
    start, stop, bad = -1, -1, False
    texts: list[str] = []
    for raw, text in lines:
        start, stop = raw.start if start < 0 else start, raw.stop
        bad = bad or text is None
        if not bad and stop - start > source.longest + 1:  # the last line's end is not counted
            source.bad(
                f"the paragraph at byte {start} is longer than {source.longest} bytes; are there blank lines between "
                "the paragraphs? (--max-paragraph-bytes allows more, --on-bad-text skip leaves it out)"
            )
            bad = True
        if bad:
            texts.clear()
        else:
            texts.append(text or "")
    return Paragraph(start, 0, stop, 0, None if bad else " ".join(texts))
