"""A table, whatever it is of: one type, shown on a terminal and on a page, and written as Markdown and as CSV."""

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple

from x2static.machine.screen import visible

Value = str | int | float | None

WIDEST = 40  # characters of a name in a table
MARKUP = re.compile(r"([\\`*_\[\]|~#$!])")
# A spreadsheet takes a text that begins so for a formula, unless it is nothing but figures.
FORMULA = re.compile(r"[=+\-@\t\r\n]")
FIGURES = re.compile(r"[-+]?\.?\d[\d\s.,eE+\-±%/()\[\]]*")


class Cell(NamedTuple):
    """A cell that is more than a value."""

    value: Value
    text: str | None = None  # what people read in its place; None for the value as its column shows it
    bold: bool = False


class Column(NamedTuple):
    """A column: its head, where its cells begin or end, and how its figures are written."""

    head: str
    align: Literal["left", "right"] = "right"  # words begin at the left, figures end at the right
    digits: int = 3
    signed: bool = False

    def text(self, cell: Cell | Value) -> str:
        """Return what people read in a cell of this column."""
        if isinstance(cell, Cell):
            return self.text(cell.value) if cell.text is None else cell.text
        return cell if isinstance(cell, str) else figure(cell, self.digits, self.signed)


class Table(NamedTuple):
    """A table."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell | Value]]
    caption: str = ""  # what is to be known before one reads it
    notes: Sequence[str] = ()  # what is to be known afterwards, a line each
    # what each row belongs to, one a row; a line parts the groups in HTML, and they are its classes there
    groups: Sequence[str] = ()

    def texts(self) -> list[list[str]]:
        """Return what people read: the heads, and the cells of each row."""
        cells = [[column.text(cell) for column, cell in zip(self.columns, row, strict=True)] for row in self.rows]
        return [[column.head for column in self.columns], *cells]

    def lines(self) -> list[str]:
        """Return head and rows for a terminal, without caption and notes; whatever is in a cell stays in it."""
        lines = [[visible(text) for text in texts] for texts in self.texts()]
        widths = [max(map(display_width, column)) for column in zip(*lines, strict=True)]
        shown = []
        for texts in lines:
            cells = []
            for column, text, width in zip(self.columns, texts, widths, strict=True):
                room = " " * (width - display_width(text))
                cells.append(text + room if column.align == "left" else room + text)
            shown.append("  ".join(cells).rstrip())
        return shown

    def terminal(self) -> str:
        """Return the table for a terminal, without an end of line at the last line."""
        caption = [visible(self.caption)] if self.caption else []
        return "\n".join([*caption, *self.lines(), *map(visible, self.notes)])

    def markdown(self) -> str:
        """Return the table as Markdown; text in it is never markup."""
        sides = [":--" if column.align == "left" else "--:" for column in self.columns]
        heads, *rows = [[plain_markdown(text) for text in texts] for texts in self.texts()]
        for cells, texts in zip(self.rows, rows, strict=True):
            for place, cell in enumerate(cells):
                if isinstance(cell, Cell) and cell.bold:
                    texts[place] = f"**{texts[place]}**"
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, sides, *rows])
        parts = [plain_markdown(self.caption), table, *map(plain_markdown, self.notes)]
        return "\n\n".join(part for part in parts if part)

    def csv(self) -> str:
        """Return head and rows as CSV: figures as exact as they are, and no text that a spreadsheet would run."""
        sink = io.StringIO()
        writer = csv.writer(sink, lineterminator="\n")
        for row in [[column.head for column in self.columns], *self.rows]:
            values = [cell.value if isinstance(cell, Cell) else cell for cell in row]
            writer.writerow([harmless(value) if isinstance(value, str) else value for value in values])
        return sink.getvalue()


def figure(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """Return a figure for people: whole numbers whole, in groups of three digits; None as `none`."""
    if value is None:
        return "none"
    sign = "+" if signed else ""
    return f"{value:{sign},}" if isinstance(value, int) else f"{value:{sign}.{digits}f}"


def end_of(text: str, longest: int = WIDEST) -> str:
    """Return at most so many characters of a text, its end: names of paths differ there."""
    return text if len(text) <= longest else "..." + text[3 - longest :]


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a character of East Asian width, none for a mark."""
    chars = [char for char in text if unicodedata.category(char) not in ("Mn", "Me", "Cf")]
    return len(chars) + sum(unicodedata.east_asian_width(char) in "WF" for char in chars)


def plain_markdown(text: str) -> str:
    """Return a text in one line that Markdown shows as it is."""
    one_line = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
    return MARKUP.sub(r"\\\1", visible(one_line))


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula; figures, negative ones too, stay as they are."""
    return "'" + text if FORMULA.match(text) and not FIGURES.fullmatch(text) else text
