"""A comparison as a whole: what is missing is made and scored, step after step, and one that fails ends no other."""

import errno
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from x2static.durable.errors import Interrupted, X2StaticError
from x2static.durable.storage import canonical_json, read_json, write_atomically
from x2static.machine.progress import Report
from x2static.pipeline.caches.sample import sample
from x2static.pipeline.compare import curve, neighbours, scores, vectors
from x2static.pipeline.compare.curve import Point, Size
from x2static.pipeline.compare.plan import Step, steps
from x2static.pipeline.compare.records import Record
from x2static.pipeline.compare.reference import Published, read_tables
from x2static.pipeline.compare.settings import CompareConfig
from x2static.schemas.cache import Cache
from x2static.schemas.manifest import UnitSample
from x2static.schemas.vectors import RUN

logger = logging.getLogger(__name__)

READING = "reading.json"  # in a size's folder: the seconds that the teacher took; of the whole, before its turn
TROUBLES_OF_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
Shown = Callable[[str], AbstractContextManager[Report]]
Result = TypeVar("Result")


@dataclass
class Comparison:
    """A comparison under way; its folder's lock is the caller's.

    Attributes:
        config: what is asked for.
        shown: shows the progress of a step, given what it is called.
        describe: says in one line what an error means.
        whole: the cache; None where only finished runs are compared.
        steps: the vectors of the tables.
        sizes: of the curve; none where none is drawn.
        points: of the curve.
        published: rows of the paper's tables, by the names of their files.
        failures: what went wrong in this call, by the names of the steps.
        unmade: names of the steps whose vectors could not be made as they are asked for now; others may be there.
    """

    config: CompareConfig
    shown: Shown
    describe: Callable[[Exception], str]
    whole: Cache | None = field(init=False)
    steps: list[Step] = field(init=False)
    sizes: list[Size] = field(init=False)
    points: list[Point] = field(init=False)
    published: dict[str, list[Published]] = field(init=False)
    failures: dict[str, str] = field(default_factory=dict)
    unmade: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        """Plan.

        Raises:
            X2StaticError: there is nothing to compare, or not what is asked for.
        """
        scores.check_data(self.config)  # now, not after hours of training
        self.published = read_tables(self.config.reference)
        self.steps = steps(self.config)
        self.whole = Cache.open(self.config.cache) if self.config.cache is not None else None
        self.sizes = curve.sizes(self.config, self.whole) if self.whole is not None else []
        self.points = curve.points(self.config, self.sizes)
        if "figure1" in self.config.only:
            curve.check_sizes(self.sizes)
        if self.whole is not None and self.config.words:
            from x2static.pipeline.compare.sums import words_of

            neighbours.check_words(self.config.words, words_of(self.whole, self.config))

    def run(self) -> None:
        """Do what is left to do.

        Raises:
            Interrupted: by a signal, with the state saved.
            OSError: a result cannot be kept.
        """
        if self.config.wants("figure1") and self.sizes:
            self._draw_curve()
        wanted = self.config.wants("table3"), self.config.wants("table4")
        made = [step for step in self.steps if any(wanted) and self._make(step)]
        if wanted[0]:
            for step in made:
                self.attempt(step.name, partial(scores.score_similarity, step, self.config))
        if wanted[1] and scores.classification_data(self.config) is not None:
            for step in made:
                self._classify(step)
            if self.config.baselines and self.whole is not None:
                self.attempt("teacher", partial(self._classify_teacher, self.whole))

    def _make(self, step: Step) -> bool:
        """Make the vectors of a step; return whether they are there."""

        def work() -> bool:
            with self.shown(step.label) as report:
                vectors.make(step, self.config, report)
            return True

        made = self.attempt(step.name, work) is not None
        if not made:
            self.unmade.add(step.name)
        return made

    def _classify(self, step: Step) -> None:
        def work() -> Record:
            with self.shown(f"{step.label}, classification") as report:
                return scores.score_classification(step, self.config, report)

        self.attempt(step.name, work)

    def _classify_teacher(self, cache: Cache) -> Record | None:
        with self.shown("teacher, classification") as report:
            return scores.score_teacher(cache, self.config, report)

    def _draw_curve(self) -> None:
        """Make and score the vectors of the curve, from the smallest corpus to the whole."""
        for size in self.sizes[:-1]:
            self.attempt(f"sample of {size.units} units", partial(self._sample, size))
        for point in self.points:
            step, size = point.step, point.size
            if curve.is_ase(point.method) and not (step.folder / RUN).is_file():
                self.attempt(f"sums of {size.units} units", partial(self._sum, step, size))
            if self._make(step):
                self.attempt(step.name, partial(scores.score_similarity, step, self.config))

    def _sample(self, size: Size) -> dict[str, Any]:
        """Make the sample of a size, or go on with it."""
        if self.whole is None:
            raise X2StaticError("a curve needs --cache")
        size.cache.parent.mkdir(parents=True, exist_ok=True)
        with self.shown(f"sample of {size.units} units") as report:
            return sample(self.whole.path, size.cache, UnitSample(kind="first", n=size.units), report=report)

    def _sum(self, step: Step, size: Size) -> None:
        """Bring ASE's sums to a size: those of the size before it, and of a sample those of its further units.

        The whole cache's further units are read when its vectors are made.
        """
        from x2static.pipeline.compare import sums

        if self.whole is None or self.config.precision not in ("auto", self.whole.manifest.encoding.precision):
            return  # every size has a pass of its own: what is carried is of the cache's precision
        words = sums.words_of(self.whole, self.config)
        before = next((one for one in reversed(self.sizes) if one.units < size.units), None)
        asked = step.baseline(self.config)
        with self.shown(f"{step.label}, {size.units} units") as report:
            place = sums.place_of_whole(asked, words, report) if size.whole else size.cache
            if before is not None and sums.carry(before.cache, place) and size.whole:
                read = [self._reading(one) for one in self.sizes if not one.whole]
                self._keep_reading(size, sum(read))
            if not size.whole:
                before_now, began = self._reading(size), time.monotonic()
                try:
                    sums.add_up(asked, words, report)
                finally:  # what was read before a stop is not read again, nor told by the call that goes on
                    self._keep_reading(size, before_now + time.monotonic() - began)

    def _reading_file(self, size: Size) -> Path:
        return self.config.out / curve.CURVE / str(size.units) / READING

    def _reading(self, size: Size) -> float:
        """Return the seconds that the teacher read for the sums of a size, beyond those of the size before it."""
        file = self._reading_file(size)
        return float(read_json(file)["seconds"]) if file.is_file() else 0.0

    def _keep_reading(self, size: Size, seconds: float) -> None:
        file = self._reading_file(size)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, canonical_json({"seconds": round(seconds, 3)}))

    def read_before(self) -> tuple[float, int]:
        """Return what the whole cache took over of ASE's sums of smaller sizes: the teacher's seconds, and units."""
        if not self.sizes or not (seconds := self._reading(self.sizes[-1])):
            return 0.0, 0
        return seconds, max((size.units for size in self.sizes if not size.whole), default=0)

    def records(self) -> dict[str, Record]:
        """Return what is known of the steps whose vectors are there as asked for, by name; the curve's included."""
        found: dict[str, Record] = {}
        if self.whole is not None and self.config.baselines:
            teacher = self.attempt("teacher", partial(scores.record_of_teacher, self.whole, self.config))
            found |= {scores.TEACHER: teacher} if teacher is not None else {}
        for step in [*self.steps, *(point.step for point in self.points)]:
            if step.name not in found and step.name not in self.unmade and (step.folder / RUN).is_file():
                record = self.attempt(step.name, partial(scores.record_of, step, self.config.out))
                if record is not None:
                    found[step.name] = record
        return found

    def attempt(self, name: str, work: Callable[[], Result]) -> Result | None:
        """Do a piece of work; what goes wrong is noted, and the others go on.

        A full or broken disk ends all: every further piece would meet it too.
        """
        try:
            return work()
        except Interrupted:
            raise
        except Exception as error:  # whatever a method comes to, the others are compared
            if isinstance(error, OSError) and error.errno in TROUBLES_OF_ALL:
                raise
            self.failures[name] = self.describe(error)
            logger.warning("%s: %s", name, self.failures[name])
            return None
