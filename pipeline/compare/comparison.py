"""A comparison as a whole: what is missing is made and scored, step after step, and one that fails ends no other."""

import errno
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from x2static.durable.errors import Interrupted, X2StaticError
from x2static.pipeline.caches import sample
from x2static.pipeline.cli import message
from x2static.pipeline.compare import curve, scores
from x2static.pipeline.compare.plan import CompareConfig, Step, methods, steps_of
from x2static.pipeline.compare.tables import read_tables
from x2static.pipeline.terminal import ProgressLine
from x2static.schemas.cache import Cache, content_of
from x2static.schemas.manifest import UnitSample
from x2static.schemas.vectors import RUN
from x2static.stage2_train.shards import choose_shards

logger = logging.getLogger(__name__)

COMPARISON = "comparison.json"  # what the vectors of a comparison have in common, in its folder
TROUBLES_OF_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
Result = TypeVar("Result")


class Comparison:
    """A comparison under way; its folder's lock is the caller's."""

    def __init__(self, config: CompareConfig) -> None:
        """Plan, and read all input: what is wrong with it (X2StaticError) is said now, not after hours of training."""
        self.config = config
        self.identity: dict[str, Any] = {"cache_content": None}  # what all vectors of the comparison have in common
        # the cache; None where only finished runs are compared
        self.whole = Cache.open(config.cache) if config.cache is not None else None
        if self.whole is not None:
            content = content_of(list(choose_shards(self.whole).values()))
            self.identity = {"cache_content": content, **config.model_dump(include={"min_count", "max_vocab"})}
        self.data = scores.Data(config)
        self.published = read_tables(config.reference)  # rows of the paper's tables, by the names of their files
        self.steps = [step for method in methods(config) for step in steps_of(method, config)]
        self.sizes = curve.sizes_of(config, self.whole) if self.whole is not None else []
        self.points = curve.points_of(config, self.sizes)
        self.failures: dict[str, str] = {}  # what went wrong in this call, by the names of the steps
        self._missing: set[str] = set()  # steps whose vectors could not be made as asked for; others may be there
        if "figure1" in config.only and len(self.sizes) < 2:
            what = f"the cache has {self.sizes[0].units} units" if self.sizes else "there is no cache"
            more = "give --sizes, or a --cache of more units (`x2static encode --unit`)"
            raise X2StaticError(f"--only figure1: a curve needs two sizes, and {what}; {more}")
        if self.whole is not None and config.words:
            known = set(curve.words_of(self.whole, config))
            if missing := [word for word in config.words if word not in known]:
                what = f"not in the cache's vocabulary of {len(known):,} words; see their spelling, and --min-count"
                raise X2StaticError(f"--words {', '.join(missing)}: {what}")

    def run(self) -> None:
        """Do what is left to do. Raises Interrupted by a signal, with the state saved."""
        config = self.config
        if config.wants("figure1") and self.whole is not None:
            self._make_curve(self.whole)
        wants_table3, wants_table4 = config.wants("table3"), config.wants("table4")
        steps = [step for step in self.steps if (wants_table3 or wants_table4) and self._make(step)]
        if wants_table3:
            for step in steps:
                self.attempt(step.name, partial(scores.score_similarity, step, config, self.data))
        if wants_table4 and self.data.classes is not None:
            for step in steps:
                score = partial(scores.score_classification, step, config, self.data)
                self.attempt(step.name, score, f"{step.label}, classification")
            if config.baselines and self.whole is not None:
                of_teacher = partial(scores.score_teacher, self.whole, config, self.data)
                self.attempt(scores.TEACHER, of_teacher, "teacher, classification")

    def _make(self, step: Step) -> bool:
        """Make the vectors of a step; return whether they are there."""
        folder = self.attempt(step.name, partial(scores.make_vectors, step, self.config), step.label)
        if folder is None:
            self._missing.add(step.name)
        return folder is not None

    def _make_curve(self, whole: Cache) -> None:
        """Make and score the vectors of the curve, from the smallest corpus to the whole."""
        for size in self.sizes[:-1]:
            size.folder.mkdir(parents=True, exist_ok=True)
            name = f"sample of {size.units} units"
            self.attempt(name, partial(sample, whole.path, size.cache, UnitSample(kind="first", n=size.units)), name)
        for point in self.points:
            step, n_units = point.step, point.size.units
            if step.method.is_ase and not (step.folder / RUN).is_file():
                bring = partial(curve.bring_sums, point, self.sizes, self.config, whole)
                self.attempt(f"sums of {n_units} units", bring, f"{step.label}, {n_units} units")
            if self._make(step):
                self.attempt(step.name, partial(scores.score_similarity, step, self.config, self.data))

    def records(self) -> dict[str, scores.Record]:
        """Return what is known of the steps whose vectors are there as asked for, by name; the curve's included."""
        reads: dict[str, Callable[[], scores.Record | None]] = {}
        if self.whole is not None and self.config.baselines:
            key = scores.teacher_key(self.whole, self.config)
            reads[scores.TEACHER] = partial(scores.load, self.config.out, scores.TEACHER, key)
        for step in [*self.steps, *(point.step for point in self.points)]:
            if step.name not in self._missing and (step.folder / RUN).is_file():
                reads[step.name] = partial(scores.record_of, step, self.config.out)
        records = {name: self.attempt(name, read) for name, read in reads.items()}
        return {name: record for name, record in records.items() if record is not None}

    def attempt(self, name: str, work: Callable[..., Result], title: str | None = None) -> Result | None:
        """Do a piece of work; an error is noted, and the others go on, unless the disk is full or broken.

        Work with a title takes a `report`, which is shown under it.
        """
        try:
            if title is None:
                return work()
            with ProgressLine(title) as report:
                return work(report=report)
        except Interrupted:
            raise
        except Exception as error:  # whatever a method comes to, the others are compared
            if isinstance(error, OSError) and error.errno in TROUBLES_OF_ALL:
                raise
            self.failures[name] = message(error)
            logger.warning("%s: %s", name, self.failures[name])
            return None
