"""What every corpus is: a name, an identity, its units, and the reading of a unit."""

import struct
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from inspect import GEN_RUNNING, getgeneratorstate
from typing import Any

import xxhash

from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import PlanOptions, ReadingOptions
from x2static.schemas.manifest import Plan, Unit
from x2static.stage1_encode.corpora.paragraphs import Paragraph, TextRules

Paragraphs = Generator[Paragraph, None, None]


@dataclass(frozen=True)
class UnitText:
    """The text of one unit."""

    paragraphs: list[str]  # in corpus order, before the filter
    unit: Unit  # the slice as it was read, its paragraphs counted


@dataclass(frozen=True)
class Sample:
    """A share of the paragraphs, drawn by a hash of seed and place: readers of any part draw alike."""

    share: float | None  # of the paragraphs that are taken, between 0 and 1; None takes all
    seed: int  # another seed draws others

    def takes(self, start: int, line: int = 0) -> bool:
        """Return whether a paragraph is taken, by its place (byte or row) and its number within the row."""
        if self.share is None:
            return True
        return xxhash.xxh3_64_intdigest(struct.pack("<qq", start, line), self.seed) < self.share * 2**64


class Corpus(ABC):
    """A source of paragraphs with places that can be returned to.

    Attributes:
        spec: the corpus as the user named it.
        options: how it is read and cut.
    """

    licence: str | None = None  # as far as it is known

    def __init__(self, spec: str, options: ReadingOptions) -> None:
        """Name a corpus; nothing is read yet."""
        self.spec, self.options = spec, options
        self.rules = TextRules(f"corpus {spec}", options.on_bad_text, options.max_paragraph_bytes)
        self._sample = Sample(options.sample, options.seed)
        self._open: Paragraphs | None = None
        self._place = (0, 0)  # where it goes on

    @abstractmethod
    def seen(self) -> dict[str, Any]:
        """Return cheap facts; as long as they are equal, the identity is taken to be the same."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what tells this corpus from any other; may read all of it."""

    @abstractmethod
    def connect(self, identity: dict[str, Any]) -> None:
        """Get ready to read the very text that has this identity."""

    @abstractmethod
    def _read(self, start: int, line: int) -> Paragraphs:
        """Yield all paragraphs from a place on."""

    @property
    def sequential(self) -> bool:
        """Whether text can only be reached by reading all that stands before it."""
        return False

    def close(self) -> None:
        """Let go of files and connections."""
        # A read that hangs in a thread of its own goes with the process.
        if self._open and getgeneratorstate(self._open) != GEN_RUNNING:
            self._open.close()
        self._open = None

    def plan(self, identity: dict[str, Any], first: int = 0, after: Unit | None = None) -> Plan:
        """Return the plan for what comes after `first` paragraphs, which end with the unit `after` (None: none).

        Raises X2StaticError: the corpus cannot be read, or holds no paragraph at all.
        """
        self.connect(identity)
        limit = None if self.options.limit is None else self.options.limit - first
        units, n_skipped = self._cut(limit, (after.stop, after.stop_line) if after else (0, 0))
        if not units and not first:
            sampled = " in the sample" if self.options.sample else ""
            raise X2StaticError(f"corpus {self.spec}: it holds no paragraph{sampled}; nothing to encode")
        return Plan(
            corpus=self.spec,
            identity=identity,
            seen=self.seen(),
            licence=self.licence,
            skipped=n_skipped,
            first=first,
            limit=limit,
            units=tuple(units),
            **self.options.model_dump(include=set(PlanOptions.model_fields)),
        )

    def _cut(self, limit: int | None, start: tuple[int, int]) -> tuple[list[Unit], int]:
        """Read on from a place, up to so many paragraphs; return the units, and the paragraphs that were left out."""
        units: list[Unit] = []
        n_skipped, count, taken, begin, stop = 0, 0, 0, 0, start
        for paragraph in self._from(*start):
            if paragraph.text is None:
                n_skipped += 1
            if not paragraph.text or not self._sample.takes(paragraph.start, paragraph.line):
                continue
            begin = begin if count else paragraph.start
            stop, count, taken = (paragraph.stop, paragraph.stop_line), count + 1, taken + 1
            if count == self.options.unit:
                units.append(self._unit(start, stop, count, begin))
                start, count = stop, 0
            if taken == limit:
                break
        if count:
            units.append(self._unit(start, stop, count, begin))
        return units, n_skipped

    def _unit(self, start: tuple[int, int], stop: tuple[int, int], count: int, begin: int) -> Unit:
        """Return a unit from where the one before ended; its first paragraph begins at the byte or row `begin`."""
        return Unit(
            source=self.spec,
            start=start[0],
            start_line=start[1],
            stop=stop[0],
            stop_line=stop[1],
            paragraphs=count,
        )

    def read(self, unit: Unit) -> UnitText:
        """Return the paragraphs of a unit, and the unit with their number.

        Raises X2StaticError: the text is not what the plan says, or cannot be read.
        """
        stop = (unit.stop, unit.stop_line)
        paragraphs: list[str] = []
        n_skipped = 0
        if (unit.start, unit.start_line) != stop:
            for paragraph in self._from(unit.start, unit.start_line):
                n_skipped += paragraph.text is None
                if paragraph.text and self._sample.takes(paragraph.start, paragraph.line):
                    paragraphs.append(paragraph.text)
                if self._place >= stop:
                    break
            if unit.counted and (self._place != stop or len(paragraphs) != unit.paragraphs):
                raise X2StaticError(
                    f"corpus {self.spec}: expected {unit.paragraphs} paragraphs in {self._range(unit)}, found "
                    f"{len(paragraphs)}; the text has changed since it was planned"
                )
        if not unit.counted:  # nobody has read it before
            known = {"paragraphs": len(paragraphs), "counted": True, "skipped": n_skipped}
            unit = unit.model_copy(update=known)
        return UnitText(paragraphs, unit)

    def _range(self, unit: Unit) -> str:
        """Return where a unit stands, for messages."""
        return f"rows {unit.start} to {unit.stop}"

    def _from(self, start: int, line: int) -> Paragraphs:
        """Yield all paragraphs from a place on; reading on where the last call ended costs nothing."""
        if self._open is None or self._place != (start, line):
            self.close()
            self._open, self._place = self._read(start, line), (start, line)
        try:
            for paragraph in self._open:
                self._place = paragraph.stop, paragraph.stop_line
                yield paragraph
        except (X2StaticError, OSError):
            self.close()
            raise
