"""Format "jsonl": one JSON object a line; the text of a row may hold several paragraphs, one a line."""

import json
import re
from collections.abc import Iterator

from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.corpora.byte_lines import ByteLine, line_number
from x2static.stage1_encode.corpora.text_source import MEND, Paragraph, TextSource, paragraphs_of_row

SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can write half a character, which no text can hold
KEYS_SHOWN = 8


def read_json_lines(source: TextSource, start: int, line: int) -> Iterator[Paragraph]:
    """Yield the paragraphs from number `line` of the row at byte `start` on; null is a row without any.

    Raises:
        X2StaticError: the file is one JSON array, or a row is bad text and not to be left out: no JSON, no object,
            without the column, or with something in it that is no text.
    """
    for raw in source.lines(start):
        if not raw.start and raw.data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
            raise X2StaticError(
                f"{source.name}: the file is one JSON array, not one object a line; rewrite it, for example with: "
                "jq -c '.[]' FILE.json > FILE.jsonl"
            )
        content = source.text(raw)
        if content != "":
            texts = [None] if content is None else _texts(source, raw, content)
            yield from paragraphs_of_row(raw.start, raw.stop, texts, line if raw.start == start else 0)


def _texts(source: TextSource, raw: ByteLine, content: str) -> list[str | None]:
    try:
        row = json.loads(content)
        problem = _problem(source, row)
    except (ValueError, RecursionError) as error:
        problem = f"is not valid JSON ({error})"
    if problem:
        source.bad(f"{_where(source, raw)} {problem}; mend it, or leave such rows out with --on-bad-text skip")
        return [None]
    value = row[source.column] or ""
    if not value.isascii() and SURROGATE.search(value):
        if source.on_bad_text != "replace":
            source.bad(f"{_where(source, raw)} holds half of a surrogate pair, which is no text; {MEND}")
            return [None]
        value = SURROGATE.sub("\ufffd", value)
    return source.texts_of_row(value, f"the row at byte {raw.start}")


def _problem(source: TextSource, row: object) -> str:
    """Return what is wrong with a row; nothing if it holds text, or null."""
    if not isinstance(row, dict):
        return f"holds {type(row).__name__}, not an object"
    if source.column not in row:
        keys = ", ".join(list(row)[:KEYS_SHOWN]) + (", ..." if len(row) > KEYS_SHOWN else "")
        return f"has no column {source.column!r}, only {keys or 'none'} (name one with PATH#column)"
    if not isinstance(row[source.column], str | None):
        return f"holds {type(row[source.column]).__name__} in column {source.column!r}, not text"
    return ""


def _where(source: TextSource, raw: ByteLine) -> str:
    # Counted only if it is going to be shown: that takes a pass over the file.
    return "" if source.on_bad_text == "skip" else f"line {line_number(source.path, raw.start)}"
