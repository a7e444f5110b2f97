"""`--sample`: which paragraphs of a corpus are taken, decided for each by its place alone."""

import struct
from dataclasses import dataclass

import xxhash


@dataclass(frozen=True)
class Sample:
    """A share of the paragraphs, drawn by a hash of seed and place: whoever reads any part of the corpus draws alike.

    Attributes:
        share: of the paragraphs that are taken, between 0 and 1; None takes all.
        seed: another seed draws others.
    """

    share: float | None
    seed: int

    def takes(self, start: int, line: int = 0) -> bool:
        """Return whether a paragraph is taken.

        Args:
            start: its place in the corpus: byte or row.
            line: its number within the row.
        """
        if self.share is None:
            return True
        return xxhash.xxh3_64_intdigest(struct.pack("<qq", start, line), self.seed) < self.share * 2**64
