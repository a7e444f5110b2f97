"""A comparison as Markdown, its pictures beside it."""

import re
from pathlib import Path

from x2static.durable.storage import write_atomically
from x2static.pipeline.compare.sections import Report, Section
from x2static.pipeline.compare.tables import Cell, Table

MARKUP = re.compile(r"([\\`*_\[\]|~#$!])")


def write_markdown(report: Report, file: Path) -> None:
    """Write a report, and its pictures into a folder of the file's name beside it.

    Raises:
        OSError: they cannot be written.
    """
    folder = file.parent / file.stem.lower()
    folder.mkdir(parents=True, exist_ok=True)
    for picture in report.pictures:
        write_atomically(folder / f"{picture.name}.png", picture.data)
    write_atomically(file, markdown(report, folder.name).encode())


def markdown(report: Report, folder: str) -> str:
    """Return a report as Markdown.

    Args:
        report: what to write; text in it is never markup.
        folder: where the pictures are, as seen from the file.
    """
    parts = [
        f"# {plain(report.title)}",
        "\n".join(f"- {plain(what)}: {plain(fact)}" for what, fact in report.facts.items()),
    ]
    for section in report.sections:
        parts += _section(section, folder)
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    one_line = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
    return MARKUP.sub(r"\\\1", one_line)


def _section(section: Section, folder: str) -> list[str]:
    parts = [f"## {plain(section.title)}", *map(plain, section.text)]
    parts.append("\n".join(f"- {plain(point)}" for point in section.listed))
    for table in section.tables:
        parts += [plain(table.caption), _table(table)]
    for picture in section.pictures:
        parts += [f"![{plain(picture.caption)}]({folder}/{picture.name}.png)", plain(picture.caption)]
    return parts


def _table(table: Table) -> str:
    side = ":--" if table.words else "--:"
    lines = [[plain(head) for head in table.heads], [":--", *[side] * (len(table.heads) - 1)]]
    for row in table.rows:
        source = " (paper)" if row.source == "paper" else ""
        lines.append([plain(row.label) + source, *map(_cell, row.cells)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(cell: Cell) -> str:
    return f"**{plain(cell.text)}**" if cell.best else plain(cell.text)
