"""How a stage tells whoever runs it how far it is, without knowing whether that is a terminal, a file or a test."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A position in a piece of work.

    Attributes:
        done: units of work finished, counted from the beginning of the work, resumed parts included.
        total: units of work altogether; None where the end is not known (a stream).
        unit: what is counted, in the plural ("paragraphs", "batches").
        detail: a short addition for the line ("12,345 tokens/s").
        about: whether `total` is an estimate.
    """

    done: int
    total: int | None
    unit: str
    detail: str = ""
    about: bool = False


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report to nobody."""
