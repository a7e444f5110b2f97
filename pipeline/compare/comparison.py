"""A comparison as a whole: what is missing is made and scored, step after step, and one that fails ends no other."""

import errno
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

from x2static.durable.errors import Interrupted
from x2static.machine.progress import Report
from x2static.pipeline.caches import sample
from x2static.pipeline.compare import curve, records, scores
from x2static.pipeline.compare.curve import Point, Size, Sums
from x2static.pipeline.compare.plan import CompareConfig, Step, steps
from x2static.pipeline.compare.records import Record
from x2static.pipeline.compare.reference import read_tables
from x2static.pipeline.compare.words import check_words
from x2static.schemas.cache import Cache
from x2static.schemas.manifest import UnitSample
from x2static.schemas.vectors import RUN

logger = logging.getLogger(__name__)

TROUBLES_OF_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
Progress = Callable[[str], AbstractContextManager[Report]]
Result = TypeVar("Result")


class Comparison:
    """A comparison under way; its folder's lock is the caller's."""

    def __init__(self, config: CompareConfig, progress: Progress, describe: Callable[[Exception], str]) -> None:
        """Plan, and read all that is given: what is wrong with it is said now, not after hours of training.

        Raises X2StaticError: there is nothing to compare, or not what is asked for.
        """
        self.config, self._progress, self._describe = config, progress, describe
        self.data = scores.Data.of(config)
        self.published = read_tables(config.reference)  # rows of the paper's tables, by the names of their files
        self.steps = steps(config)
        # the cache; None where only finished runs are compared
        self.whole = Cache.open(config.cache) if config.cache is not None else None
        self.sizes: list[Size] = curve.sizes(config, self.whole) if self.whole is not None else []
        self.points: list[Point] = curve.points(config, self.sizes)
        self.sums = Sums(config.out, self.sizes)
        self.failures: dict[str, str] = {}  # what went wrong in this call, by the names of the steps
        self._unmade: set[str] = set()  # steps whose vectors could not be made as asked for; others may be there
        if "figure1" in config.only:
            curve.check_sizes(self.sizes)
        if self.whole is not None and config.words:
            check_words(config.words, curve.words_of(self.whole, config))

    def run(self) -> None:
        """Do what is left to do.

        Raises:
            Interrupted: by a signal, with the state saved.
            OSError: a result cannot be kept.
        """
        config = self.config
        if config.wants("figure1") and self.whole is not None:
            self._make_curve(self.whole)
        tables = config.wants("table3"), config.wants("table4")
        made = [step for step in self.steps if any(tables) and self._make(step)]
        if tables[0]:
            for step in made:
                self.attempt(step.name, partial(scores.score_similarity, step, config, self.data))
        if tables[1] and self.data.classes is not None:
            for step in made:
                with self._progress(f"{step.label}, classification") as report:
                    self.attempt(step.name, partial(scores.score_classification, step, config, self.data, report))
            if config.baselines and self.whole is not None:
                with self._progress("teacher, classification") as report:
                    score = partial(scores.score_teacher, self.whole, config, self.data, report)
                    self.attempt(scores.TEACHER, score)

    def _make(self, step: Step) -> bool:
        """Make the vectors of a step; return whether they are there."""

        def make() -> bool:
            with self._progress(step.label) as report:
                scores.make_vectors(step, self.config, report)
            return True

        made = self.attempt(step.name, make) is not None
        if not made:
            self._unmade.add(step.name)
        return made

    def _make_curve(self, whole: Cache) -> None:
        """Make and score the vectors of the curve, from the smallest corpus to the whole."""
        for size in self.sizes[:-1]:
            size.cache.parent.mkdir(parents=True, exist_ok=True)
            name = f"sample of {size.units} units"
            with self._progress(name) as report:
                units = UnitSample(kind="first", n=size.units)
                self.attempt(name, partial(sample, whole.path, size.cache, units, report=report))
        for point in self.points:
            step, n_units = point.step, point.size.units
            if step.method.is_ase and not (step.folder / RUN).is_file():
                with self._progress(f"{step.label}, {n_units} units") as report:
                    bring = partial(self.sums.bring_to, point, self.config, whole, report)
                    self.attempt(f"sums of {n_units} units", bring)
            if self._make(step):
                self.attempt(step.name, partial(scores.score_similarity, step, self.config, self.data))

    def records(self) -> dict[str, Record]:
        """Return what is known of the steps whose vectors are there as asked for, by name; the curve's included."""
        known: dict[str, Record] = {}
        if self.whole is not None and self.config.baselines:
            key = scores.teacher_key(self.whole, self.config)
            teacher = self.attempt(scores.TEACHER, partial(records.load, self.config.out, scores.TEACHER, key))
            known |= {scores.TEACHER: teacher} if teacher is not None else {}
        for step in [*self.steps, *(point.step for point in self.points)]:
            if step.name not in known and step.name not in self._unmade and (step.folder / RUN).is_file():
                record = self.attempt(step.name, partial(scores.record_of, step, self.config.out))
                known |= {step.name: record} if record is not None else {}
        return known

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
            self.failures[name] = self._describe(error)
            logger.warning("%s: %s", name, self.failures[name])
            return None
