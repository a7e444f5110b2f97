"""Format "jsonl": one JSON object a line; the text of a row may hold several paragraphs, one a line."""

import json
import re
from collections.abc import Iterator

from x2static.stage1_encode.corpora.paragraphs import MEND, ByteLine, Paragraph, TextSource, paragraphs_of_row

SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can write half a character, which no text can hold
KEYS_SHOWN = 8
LINES_READ = "--format lines takes each line for a paragraph all the same"


def read_json_lines(source: TextSource, start: int, line: int) -> Iterator[Paragraph]:
    """Yield the paragraphs from number `line` of the row at byte `start` on; null is a row without any."""
    for raw in source.lines(start):
        if not raw.start and raw.data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
            remedy = "rewrite it, for example with: jq -c '.[]' FILE.json > FILE.jsonl"
            raise source.refusal(f"the file is one JSON array, not one object a line; {remedy} ({LINES_READ})")
        content = source.text(raw)
        if content != "":
            texts = [None] if content is None else _texts(source, raw, content)
            yield from paragraphs_of_row(raw.start, raw.stop, texts, line if raw.start == start else 0)


def _texts(source: TextSource, raw: ByteLine, content: str) -> list[str | None]:
    try:
        row = json.loads(content)
        problem = _problem(row, source.column)
    except (ValueError, RecursionError) as error:
        problem = f"is not valid JSON ({error})"
    value = "" if problem else row[source.column]
    if problem:
        problem += "; mend it, or leave such rows out with --on-bad-text skip"
        problem += "" if raw.start else f" ({LINES_READ})"
    elif value and not value.isascii() and SURROGATE.search(value):
        value = SURROGATE.sub("\ufffd", value)
        problem = "" if source.on_bad_text == "replace" else f"holds half of a surrogate pair, which is no text; {MEND}"
    if not problem:
        return source.texts_of_row(value, f"the row at byte {raw.start}")
    source.bad_row(raw.start, problem)
    return [None]


def _problem(row: object, column: str) -> str:
    """Return what is wrong with a row; nothing if it holds text, or null."""
    if not isinstance(row, dict):
        return f"holds {type(row).__name__}, not an object"
    if column not in row:
        keys = ", ".join(list(row)[:KEYS_SHOWN]) + (", ..." if len(row) > KEYS_SHOWN else "")
        return f"has no column {column!r}, only {keys or 'none'} (name one with PATH#column)"
    if not isinstance(row[column], str | None):
        return f"holds {type(row[column]).__name__} in column {column!r}, not text"
    return ""
