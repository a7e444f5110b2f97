"""How a stage tells whoever runs it how far it is, without knowing whether that is a terminal, a file or a test."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A position in a piece of work."""

    done: int  # units of work finished, counted from the beginning of the work, resumed parts included
    total: int | None  # units of work altogether; None where the end is not known (a stream)
    unit: str  # what is counted, in the plural ("paragraphs", "batches")
    detail: str = ""  # a short addition for the line ("12,345 tokens/s")
    about: bool = False  # whether `total` is an estimate


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report to nobody."""
