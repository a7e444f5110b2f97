"""Formats "csv" and "tsv": a header, and rows with one column of text, which may hold several paragraphs, one a line.

Rows are cut by Python's reader, which takes lines: so each row has its place in bytes, and reading goes on at any.
"""

import csv
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Literal, NamedTuple

from x2static.machine.screen import quantity
from x2static.stage1_encode.corpora.compression import read_head
from x2static.stage1_encode.corpora.paragraphs import ByteLine, Paragraph, TextSource, paragraphs_of_row

DELIMITERS = ",;\t|"
HEAD_BYTES = 1 << 16
MEND_ROW = "mend it, or leave such rows out with --on-bad-text skip"


class Row(NamedTuple):
    """A row of a table and where it stands."""

    start: int  # byte where it begins
    stop: int  # byte behind its line end
    cells: list[str] | None  # none of a blank line; None for a row that is left out as bad


def read_table(source: TextSource, start: int, line: int, delimiters: str) -> Iterator[Paragraph]:
    """Yield the paragraphs from number `line` of the row at byte `start` on; an empty cell is a row without any."""
    head = read_head(source.path, HEAD_BYTES, source.name).decode(errors="replace").removeprefix("\ufeff")
    delimiter = delimiter_of(head, delimiters)
    quoted = delimiter != "\t" or _is_quoted(head)
    rows = partial(_rows, source, delimiter=delimiter, quoted=quoted)
    header = next((row for row in rows(0) if row.cells), None)
    if header is None or header.cells is None:
        return
    names = [name.strip() for name in header.cells]
    if names.count(source.column) != 1:
        n_columns = "no" if source.column not in names else "more than one"
        what = f"{n_columns} column {source.column!r} in its header, only {', '.join(map(repr, names))}"
        raise source.refusal(f"{what} (name one with PATH#column; --format lines reads it as prose)")
    place = names.index(source.column)
    for row in rows(start or header.stop):
        if row.cells is not None and len(row.cells) not in (0, len(names)):
            source.bad_row(row.start, f"has {quantity(len(row.cells), 'column')}, the header {len(names)}; {MEND_ROW}")
            row = row._replace(cells=None)
        if row.cells != []:
            where = f"the row at byte {row.start}"
            texts = [None] if row.cells is None else source.texts_of_row(row.cells[place], where)
            yield from paragraphs_of_row(row.start, row.stop, texts, line if row.start == start else 0)


def delimiter_of(text: str, delimiters: str = DELIMITERS) -> str:
    """Return what parts the columns of a table, by its first line with text."""
    first = next((line for line in text.split("\n") if line.strip()), "").replace("\r", " ")
    return max(delimiters, key=lambda delimiter: len(next(csv.reader([first], delimiter=delimiter), [])))


def rows_of(text: str, delimiter: str, whole: bool) -> list[list[str]]:
    """Return the rows of a table's beginning, as far as they can be read; the last one is left out unless `whole`."""
    rows: list[list[str]] = []
    try:
        for cells in csv.reader([line + "\n" for line in text.split("\n")], delimiter=delimiter, strict=True):
            rows += [cells] if cells else []
    except csv.Error:
        return rows
    return rows if whole else rows[:-1]


def _is_quoted(head: str) -> bool:
    """Return whether quotes of a TSV are those of CSV, as pandas writes them; elsewhere they are a part of the text."""
    lines = [line for line in head.split("\n") if line.strip()]
    n_tabs = lines[0].count("\t") if lines else 0
    if (
        lines
        and not lines[0].startswith('"')
        and '""' not in head
        and all(row.count("\t") == n_tabs for row in lines[:-1])
    ):
        return False
    rows = rows_of(head, "\t", whole=False)
    return len(rows) > 1 and all(len(row) == n_tabs + 1 for row in rows)


def _rows(source: TextSource, start: int, delimiter: str, quoted: bool) -> Iterator[Row]:
    """Yield the rows from byte `start` on; after a bad one, from its second line: a stray quote takes many."""
    csv.field_size_limit(max(source.longest, csv.field_size_limit()))
    again: deque[ByteLine] = deque()
    lines = source.lines(start)
    taken: list[ByteLine] = []  # by the row in hand
    bad = False

    def texts() -> Iterator[str]:
        nonlocal bad
        while raw := again.popleft() if again else next(lines, None):
            taken.append(raw)
            if not raw.whole or raw.stop - taken[0].start > source.longest + 1:
                source.too_long(f"the row at byte {taken[0].start}")
                raise csv.Error("too long")
            text = source.decoded(raw.data, "", raw.start)
            bad = bad or text is None
            yield (text or "").removeprefix("\ufeff") if not raw.start else text or ""

    while True:
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        reader = csv.reader(texts(), delimiter=delimiter, quoting=quoting, strict=True)
        try:
            for cells in reader:
                yield Row(taken[0].start, taken[-1].stop, None if bad else cells)
                taken.clear()
                bad = False
            return
        except csv.Error as error:
            first = taken[0]
            source.bad_row(first.start, f"cannot be cut into columns ({error}); {MEND_ROW}")
            again.extendleft(reversed(list(islice(taken, 1, None))))
            taken.clear()
            bad = False
            yield Row(first.start, first.stop, None)
