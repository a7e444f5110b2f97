"""A table, whatever it is of: one type, shown on a terminal and written as Markdown, as HTML and as CSV."""

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

Value = str | int | float | None

WIDEST = 40  # characters of a name in a table
MARKUP = re.compile(r"([\\`*_\[\]|~#$!])")
# A spreadsheet takes a text that begins so for a formula, unless it is nothing but figures.
FORMULA = re.compile(r"[=+\-@\t\r\n]")
FIGURES = re.compile(r"[-+]?\.?\d[\d\s.,eE+\-±%/()\[\]]*")
# They turn the direction of what stands after them, beyond the cell.
DIRECTIONS = re.compile(r"[\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Cell:
    """A cell that is more than a value."""

    value: Value
    text: str | None = None  # what people read in its place; None for the value as its column shows it
    bold: bool = False


@dataclass(frozen=True)
class Column:
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


@dataclass(frozen=True)
class Table:
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
        notes = [visible(note) for note in self.notes]
        return "\n".join([*([visible(self.caption)] if self.caption else []), *self.lines(), *notes])

    def markdown(self) -> str:
        """Return the table as Markdown; text in it is never markup."""
        sides = [":--" if column.align == "left" else "--:" for column in self.columns]
        heads, *rows = [[plain_markdown(text) for text in texts] for texts in self.texts()]
        for cells, texts in zip(self.rows, rows, strict=True):
            for place, cell in enumerate(cells):
                if isinstance(cell, Cell) and cell.bold:
                    texts[place] = f"**{texts[place]}**"
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, sides, *rows])
        around = [plain_markdown(self.caption), table, *map(plain_markdown, self.notes)]
        return "\n\n".join(part for part in around if part)

    def __html__(self) -> str:
        """Return the table as HTML, which Jinja2 takes as it is; text in it is never markup."""
        # Words of any script: each goes in its own direction, and does not turn its neighbours around.
        sides = [' class="left" dir="auto"' if column.align == "left" else "" for column in self.columns]
        heads, *rows = [[escape(visible(text, directions=False)) for text in texts] for texts in self.texts()]
        lines = ["".join(f"<th{side}>{text}</th>" for side, text in zip(sides, heads, strict=True))]
        for cells, texts in zip(self.rows, rows, strict=True):
            bold = [isinstance(cell, Cell) and cell.bold for cell in cells]
            shown = [f"<b>{text}</b>" if stands_out else text for text, stands_out in zip(texts, bold, strict=True)]
            lines.append("".join(f"<td{side}>{text}</td>" for side, text in zip(sides, shown, strict=True)))
        body = [f"<tr{self._class_of(place)}>{line}</tr>" for place, line in enumerate(lines[1:])]
        caption = f'<p class="caption" dir="auto">{escape(self.caption)}</p>' if self.caption else ""
        notes = "".join(f'<p class="note">{escape(note)}</p>' for note in self.notes)
        return (
            f'{caption}<div class="scroll"><table><thead><tr>{lines[0]}</tr></thead>'
            f"<tbody>{''.join(body)}</tbody></table></div>{notes}"
        )

    def csv(self) -> str:
        """Return head and rows as CSV: figures as exact as they are, and no text that a spreadsheet would run."""
        sink = io.StringIO()
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow([harmless(column.head) for column in self.columns])
        for row in self.rows:
            values = [cell.value if isinstance(cell, Cell) else cell for cell in row]
            writer.writerow([harmless(value) if isinstance(value, str) else value for value in values])
        return sink.getvalue()

    def _class_of(self, row: int) -> str:
        if not self.groups:
            return ""
        first = " first" if row and self.groups[row] != self.groups[row - 1] else ""
        return f' class="{escape(self.groups[row])}{first}"'


def figure(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """Return a figure for people: whole numbers whole, in groups of three digits; None as `none`."""
    if value is None:
        return "none"
    sign = "+" if signed else ""
    return f"{value:{sign},}" if isinstance(value, int) else f"{value:{sign}.{digits}f}"


def end_of(text: str, longest: int = WIDEST) -> str:
    """Return at most so many characters of a text, its end: names of paths differ there."""
    return text if len(text) <= longest else "..." + text[3 - longest :]


def visible(text: str, directions: bool = True) -> str:
    r"""Return a text whose control characters do nothing: ESC is written `\x1b`.

    Args:
        text: from wherever.
        directions: whether the characters that turn the direction of writing are of them; a page keeps them in a cell.
    """
    shown = "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") else char
        for char in text
    )
    return DIRECTIONS.sub(lambda match: f"\\u{ord(match[0]):04x}", shown) if directions else shown


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a character of East Asian width, none for a mark."""
    width = 0
    for char in text:
        if unicodedata.category(char) not in ("Mn", "Me", "Cf"):
            width += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return width


def plain_markdown(text: str) -> str:
    """Return a text in one line that Markdown shows as it is."""
    one_line = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
    return MARKUP.sub(r"\\\1", visible(one_line, directions=False)) if one_line else ""


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula; figures, negative ones too, stay as they are."""
    return "'" + text if FORMULA.match(text) and not FIGURES.fullmatch(text) else text
