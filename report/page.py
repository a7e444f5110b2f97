"""A page about a run: written as one HTML file that needs nothing beside itself, and as Markdown with its pictures."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from x2static.durable.storage import write_atomically
from x2static.machine.screen import visible
from x2static.report.table import Table, plain_markdown

TEMPLATE = Path(__file__).with_name("page.html")


class Picture(NamedTuple):
    """A picture."""

    name: str
    caption: str
    png: bytes
    narrow: bytes | None = None  # the same drawn for a phone, where the other would have letters too small to read


class Section(NamedTuple):
    """A part of a page: paragraphs, then facts, points, tables, pictures and code; with paragraphs alone, not shown."""

    title: str
    text: Sequence[str] = ()
    listed: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    facts: Mapping[str, str] = MappingProxyType({})  # by what they are of
    code: str = ""  # lines that a reader copies


class Page(NamedTuple):
    """A page: its title, what is to be known first (by what it is), and its sections. All text is plain."""

    title: str
    facts: Mapping[str, str]
    sections: Sequence[Section]

    def shown(self) -> list[Section]:
        """Return the sections that are not empty."""
        return [section for section in self.sections if any(section[2:])]

    def html(self) -> str:
        """Return the page as HTML: whatever text is in it, it is text on the page."""
        import jinja2  # an extra

        environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        environment.filters |= {"visible": visible, "base64": lambda data: base64.b64encode(data).decode()}
        return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(page=self) + "\n"

    def markdown(self, folder: str) -> str:
        """Return the page as Markdown, its pictures in a folder beside it."""
        parts = [f"# {plain_markdown(self.title)}", _points(_lines(self.facts))]
        for section in self.shown():
            parts += [f"## {plain_markdown(section.title)}", *map(plain_markdown, section.text)]
            parts.append(_points([*_lines(section.facts), *section.listed]))
            parts += [table.markdown() for table in section.tables]
            for picture in section.pictures:
                caption = plain_markdown(picture.caption)
                parts += [f"![{caption}]({folder}/{picture.name}.png)", caption]
            parts += map(plain_markdown, section.code.splitlines())
        return "\n\n".join(part for part in parts if part) + "\n"

    def write_markdown(self, file: Path) -> None:
        """Write the page as Markdown, and its pictures into a folder of the file's name beside it."""
        folder = file.parent / file.stem.lower()
        folder.mkdir(parents=True, exist_ok=True)
        for picture in [picture for section in self.shown() for picture in section.pictures]:
            write_atomically(folder / f"{picture.name}.png", picture.png)
        write_atomically(file, self.markdown(folder.name).encode())


def _lines(facts: Mapping[str, str]) -> list[str]:
    return [f"{what}: {fact}" for what, fact in facts.items()]


def _points(texts: Sequence[str]) -> str:
    return "\n".join(f"- {plain_markdown(text)}" for text in texts)
