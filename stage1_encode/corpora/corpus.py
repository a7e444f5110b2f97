"""What every corpus is: a name, an identity, its units, and the reading of a unit."""

import struct
from abc import ABC, abstractmethod
from array import array
from collections.abc import Generator
from dataclasses import dataclass
from inspect import GEN_RUNNING, getgeneratorstate
from math import ceil
from pathlib import Path
from typing import Any

import xxhash

from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import PlanOptions, ReadingOptions
from x2static.schemas.manifest import FILE, Plan, Unit
from x2static.stage1_encode.corpora.paragraphs import Paragraph, TextRules

Paragraphs = Generator[Paragraph, None, None]

# Paragraphs in a unit where nobody says how many. 8,192 take a minute or so on two cores. What is lost and shown by
# units should not be all of a small corpus: that becomes up to six, of multiples of 1,024. No more, because six units
# keep the states of every word, later ones fewer; no smaller ones, which take more padding and a tenth more disk
# (docs/LOG.md, 2026-11-29, on units).
LARGEST_UNIT, SMALLEST_UNIT, UNITS_THAT_KEEP_ALL = 8192, 1024, 6


@dataclass(frozen=True)
class UnitText:
    """The text of one unit."""

    paragraphs: list[str]  # in corpus order, before the filter
    unit: Unit  # the slice as it was read, its paragraphs counted
    starts: "array[int]"  # of each paragraph, its place in the corpus


def fitting_unit(n_paragraphs: int) -> int:
    """Return how many paragraphs a unit has in a corpus of so many."""
    wanted = SMALLEST_UNIT * ceil(n_paragraphs / UNITS_THAT_KEEP_ALL / SMALLEST_UNIT)
    return min(LARGEST_UNIT, max(SMALLEST_UNIT, wanted))


def joined(units: list[Unit], size: int) -> list[Unit]:
    """Return units of up to so many paragraphs, made of smaller ones that follow each other."""
    larger: list[Unit] = []
    for unit in units:
        if larger and (count := larger[-1].paragraphs + unit.paragraphs) <= size:
            ends = {"stop": unit.stop, "stop_line": unit.stop_line}
            larger[-1] = larger[-1].model_copy(update={**ends, "paragraphs": count})
        else:
            larger.append(unit)
    return larger


def in_sample(share: float | None, seed: int, start: int, line: int = 0) -> bool:
    """Return whether a paragraph is in a sample of about this share (None: all), by its place: readers draw alike."""
    return share is None or xxhash.xxh3_64_intdigest(struct.pack("<qq", start, line), seed) < share * 2**64


def file_states(paths: dict[str, Path]) -> dict[str, list[int]]:
    """Return sizes and times of files, by their names."""
    states = {name: path.stat() for name, path in paths.items()}
    return {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}


class Corpus(ABC):
    """A source of paragraphs with places that can be returned to."""

    licence: str | None = None  # as far as it is known
    sequential = False  # whether text can only be reached by reading all that stands before it
    _identity: dict[str, Any]  # of the text to read; absent before `connect`

    def __init__(self, spec: str, options: ReadingOptions) -> None:
        self.spec, self.options = spec, options
        self.rules = TextRules(f"corpus {spec}", options.on_bad_text, options.max_paragraph_bytes)
        self._open: Paragraphs | None = None
        self._place = (0, 0)  # where it goes on

    @abstractmethod
    def seen(self) -> dict[str, Any]:
        """Return cheap facts; as long as they are equal, the identity is taken to be the same."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what tells this corpus from any other; may read all of it."""

    @abstractmethod
    def _read(self, start: int, line: int) -> Paragraphs:
        """Yield all paragraphs from a place on."""

    @property
    def names(self) -> list[str]:
        """What the corpus consists of, in order, for messages and plans."""
        return [self.spec]

    def connect(self, identity: dict[str, Any]) -> None:
        """Get ready to read the very text that has this identity."""
        self._identity = identity

    def check(self) -> None:  # noqa: B027  # most cannot
        """Raise X2StaticError if the text is seen to be another than when it was first looked at."""

    def close(self) -> None:
        """Let go of files and connections."""
        # A read that hangs in a thread of its own goes with the process.
        if self._open and getgeneratorstate(self._open) != GEN_RUNNING:
            self._open.close()
        self._open = None

    def plan(self, identity: dict[str, Any], first: int = 0, after: Unit | None = None) -> Plan:
        """Return the plan for what comes after `first` paragraphs, which end with the unit `after` (None: none)."""
        self.connect(identity)
        limit = None if self.options.limit is None else self.options.limit - first
        # How many paragraphs there are is known behind the last one, so they are cut small, and joined.
        size = self.options.unit or SMALLEST_UNIT
        units, n_skipped = self._cut(size, limit, (after.stop, after.stop_line) if after else (0, 0))
        if self.options.unit is None:
            size = fitting_unit(sum(unit.paragraphs for unit in units))
            units = joined(units, size)
        if not units and not first:
            sampled = " in the sample" if self.options.sample else ""
            raise self.rules.refusal(f"it holds no paragraph{sampled}; nothing to encode")
        self.check()
        options = self.options.model_dump(include=set(PlanOptions.model_fields))
        options |= {"unit": size, "skipped": n_skipped, "first": first, "limit": limit, "units": tuple(units)}
        return Plan(corpus=self.spec, identity=identity, seen=self.seen(), licence=self.licence, **options)

    def _cut(self, size: int, limit: int | None, start: tuple[int, int]) -> tuple[list[Unit], int]:
        """Read on from a place; return units of `size`, up to `limit` paragraphs, and how many are bad and left out."""
        units: list[Unit] = []
        n_skipped, count, taken, stop = 0, 0, 0, start
        share, seed = self.options.sample, self.options.seed
        for paragraph in self._from(*start):
            n_skipped += paragraph.text is None
            if not paragraph.text or not in_sample(share, seed, paragraph.start, paragraph.line):
                continue
            if not count:  # a unit begins in the file of its first paragraph: that before may be long, and compressed
                start = max(start, (paragraph.start // FILE * FILE, 0))
            stop, count, taken = (paragraph.stop, paragraph.stop_line), count + 1, taken + 1
            if count == size:
                units.append(self._unit(start, stop, count))
                start, count = stop, 0
            if taken == limit:
                break
        if count:
            units.append(self._unit(start, stop, count))
        return units, n_skipped

    def _unit(self, start: tuple[int, int], stop: tuple[int, int], count: int, counted: bool = True) -> Unit:
        places = {"start": start[0], "start_line": start[1], "stop": stop[0], "stop_line": stop[1]}
        return Unit(source=self.names[start[0] // FILE], paragraphs=count, counted=counted, **places)

    def read(self, unit: Unit) -> UnitText:
        """Return the paragraphs of a unit, and the unit with their number; text must be what the plan says."""
        stop, n_skipped = (unit.stop, unit.stop_line), 0
        paragraphs, starts = list[str](), array("q")
        if (unit.start, unit.start_line) != stop:
            share, seed = self.options.sample, self.options.seed
            for paragraph in self._from(unit.start, unit.start_line):
                n_skipped += paragraph.text is None
                if paragraph.text and in_sample(share, seed, paragraph.start, paragraph.line):
                    paragraphs.append(paragraph.text)
                    starts.append(paragraph.start)
                if self._place >= stop:
                    break
            if unit.counted and (self._place != stop or len(paragraphs) != unit.paragraphs):
                planned = f"{unit.paragraphs} paragraphs from place {unit.start % FILE} of {unit.source} on"
                found = f"found {len(paragraphs)}; the text has changed since it was planned"
                raise self.rules.refusal(f"expected {planned}, {found}")
        self.check()
        if not unit.counted:  # nobody has read it before
            unit = unit.model_copy(update={"paragraphs": len(paragraphs), "counted": True, "skipped": n_skipped})
        return UnitText(paragraphs, unit, starts)

    def unreadable(self, start: int, problem: str) -> X2StaticError:
        """Return the error for the paragraph at a place, which a library cannot take."""
        place = f"the paragraph at place {start % FILE} of {self.names[start // FILE]}"
        return self.rules.refusal(f"{place}: {problem}; --on-bad-text skip leaves it out")

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
