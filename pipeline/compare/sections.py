"""What the pages of a comparison consist of, whether they are written as HTML or as Markdown."""

from dataclasses import dataclass, field

from x2static.pipeline.compare.tables import Table


@dataclass(frozen=True)
class Picture:
    """A picture: its file's name without the ending, what it shows, and the PNG file."""

    name: str
    caption: str
    data: bytes


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: above it.
        text: paragraphs.
        listed: points, after the paragraphs.
        tables: after the text.
        pictures: after the tables.
    """

    title: str
    text: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Report:
    """A comparison, ready to be written.

    Attributes:
        title: what was compared.
        facts: what else is to be known, by what it is.
        sections: in order.
    """

    title: str
    facts: dict[str, str]
    sections: list[Section] = field(default_factory=list)

    @property
    def tables(self) -> list[Table]:
        """All tables, in order."""
        return [table for section in self.sections for table in section.tables]

    @property
    def pictures(self) -> list[Picture]:
        """All pictures, in order."""
        return [picture for section in self.sections for picture in section.pictures]
