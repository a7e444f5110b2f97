"""A comparison as a whole: what is missing is made and scored, step after step, and one that fails ends no other.

Figure 1 of the paper shows quality against the size of the corpus: its points are made of nested samples of the cache.
"""

import errno
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from x2static.durable import storage
from x2static.durable.errors import Interrupted, X2StaticError, panics_caught
from x2static.machine.progress import Report
from x2static.machine.screen import quantity
from x2static.pipeline.caches import sample
from x2static.pipeline.compare import scores
from x2static.pipeline.compare.plan import (
    CompareConfig,
    Method,
    Part,
    Step,
    methods,
    our_methods,
    ours,
    steps_of,
)
from x2static.pipeline.compare.tables import read_tables
from x2static.pipeline.terminal import ProgressLine, message
from x2static.schemas.cache import Cache, content_of, totals
from x2static.schemas.manifest import UnitSample
from x2static.schemas.vectors import RUN
from x2static.schemas.views import lacking_views
from x2static.stage2_train.shards import choose_shards

logger = logging.getLogger(__name__)

COMPARISON = "comparison.json"  # what the vectors of a comparison have in common, in its folder
TROUBLES_OF_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
CURVE = "curve"  # the folder, in that of the comparison
READING = "reading.json"  # in a size's folder: the seconds that the teacher took; of the whole, before its turn
HALVINGS = 6
# parts whose progress is shown, under a title
SLOW: dict[Part, tuple[Callable[..., None], str]] = {
    "unknown": (scores.score_unknown, "unknown words"),
    "table4": (scores.score_classification, "classification"),
}
TABLES: tuple[Part, ...] = ("table3", "table4", "sentences", "retrieval", "unknown")
Result = TypeVar("Result")


class Comparison:
    """A comparison under way; its folder's lock is the caller's."""

    def __init__(self, config: CompareConfig) -> None:
        """Plan, and read all input: what is wrong with it (X2StaticError) is said now, not after hours of training."""
        self.config = config
        self.identity: dict[str, Any] = {"cache_content": None}  # what all vectors of the comparison have in common
        if absent := [run for run in config.runs if not (run / RUN).is_file()]:
            raise X2StaticError(f"{absent[0]}: no word vectors here ({RUN} is missing); name the folder of a run")
        # the cache; None where only finished runs are compared
        self.whole = Cache.open(config.cache) if config.cache is not None else None
        if self.whole is not None:
            content = content_of(list(choose_shards(self.whole).values()))
            self.identity = {"cache_content": content, **config.model_dump(include={"min_count", "max_vocab"})}
        self.data = scores.Data(config)
        self.published = read_tables(config.reference)  # rows of the paper's tables, by the names of their files
        # why methods of ours that need views are left out; "" where they are not
        self.lacking = lacking_views(self.whole) if self.whole is not None else ""
        if self.lacking and not config.runs:
            left_out = ", ".join(method.label for method in our_methods(1) if method.of_views)
            logger.warning("left out: %s; %s", left_out, self.lacking)
        listed = methods(config, not self.lacking)
        self.steps = [step for method in listed for step in steps_of(method, config)]
        self.sizes = sizes_of(config, self.whole) if self.whole is not None else []
        drawn = [method for method in ours(config, not self.lacking) if method.on_curve]
        drawn += [method for method in listed if method.is_ase][:1]
        self.points = points_of(config, self.sizes, drawn)
        self.failures: dict[str, str] = {}  # what went wrong in this call, by the names of the steps
        self._missing: set[str] = set()  # steps whose vectors could not be made as asked for; others may be there
        if "figure1" in config.only and len(self.sizes) < 2:
            what = f"the cache has {quantity(self.sizes[0].units, 'unit')}" if self.sizes else "there is no cache"
            more = "give --sizes, or a --cache of more units (`x2static encode --unit`)"
            raise X2StaticError(f"--only figure1: a curve needs two sizes, and {what}; {more}")
        if self.whole is not None and config.words:
            known = set(words_of(self.whole, config))
            if missing := [word for word in config.words if word not in known]:
                what = f"not in the cache's vocabulary of {len(known):,} words; see their spelling, and --min-count"
                raise X2StaticError(f"--words {', '.join(missing)}: {what}")

    def run(self) -> None:
        """Do what is left to do. Raises Interrupted by a signal, with the state saved."""
        config = self.config
        if config.wants("figure1") and self.whole is not None:
            self._make_curve(self.whole)
        wants_tables = any(config.wants(part) for part in TABLES)
        steps = [step for step in self.steps if wants_tables and self._make(step)]
        quick: dict[Part, Callable[[Step, CompareConfig, scores.Data], None]] = {"table3": scores.score_similarity}
        quick |= {part: partial(scores.score_texts, part) for part in scores.TEXT_TASKS}
        for part, score in quick.items():
            for step in steps if config.wants(part) else []:
                self.attempt(step.name, partial(score, step, config, self.data))
        for part, (score_slowly, title) in SLOW.items():
            for step in steps if config.wants(part) else []:
                work = partial(score_slowly, step, config, self.data)
                self.attempt(step.name, work, f"{step.label}, {title}")
        if config.baselines and self.whole is not None:
            self.attempt(scores.TEACHER, partial(scores.score_teacher, self.whole, config, self.data), "teacher")

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
            name = f"sample of {quantity(size.units, 'unit')}"
            self.attempt(name, partial(sample, whole.path, size.cache, UnitSample(kind="first", n=size.units)), name)
        for point in self.points:
            step, n_units = point.step, point.size.units
            if step.method.is_ase and not (step.folder / RUN).is_file():
                bring = partial(bring_sums, point, self.sizes, self.config, whole)
                units = quantity(n_units, "unit")
                self.attempt(f"sums of {units}", bring, f"{step.label}, {units}")
            if self._make(step):
                self.attempt(step.name, partial(scores.score_similarity, step, self.config, self.data))

    def records(self) -> dict[str, scores.Record]:
        """Return what is known of the steps whose vectors are there as asked for, by name; the curve's included."""
        records: dict[str, scores.Record | None] = {}
        if self.whole is not None and self.config.baselines:
            load = partial(scores.load, self.config.out, scores.TEACHER, scores.teacher_key(self.whole, self.config))
            records[scores.TEACHER] = self.attempt(scores.TEACHER, load)
        # The curve's steps at the whole cache are the tables' own, which are read once.
        for name, step in {step.name: step for step in [*self.steps, *(point.step for point in self.points)]}.items():
            if name not in self._missing and (step.folder / RUN).is_file():
                records[name] = self.attempt(name, partial(scores.record_of, step, self.config.out))
        return {name: record for name, record in records.items() if record is not None}

    def attempt(self, name: str, work: Callable[..., Result], title: str | None = None) -> Result | None:
        """Do a piece of work; an error is noted, and the others go on, unless the disk is full or broken.

        Work with a title takes a `report`, which is shown under it.
        """
        try:
            with panics_caught(), ProgressLine(title or name) as report:
                return work(report=report) if title else work()
        except Interrupted:
            raise
        except Exception as error:  # whatever a method comes to, the others are compared
            if isinstance(error, OSError) and error.errno in TROUBLES_OF_ALL:
                raise
            self.failures[name] = message(error)
            logger.warning("%s: %s", name, self.failures[name])
            return None


class Size(NamedTuple):
    """A size of the corpus."""

    units: int  # the first so many units of the cache
    paragraphs: int  # in them, after the filter
    words: int
    folder: Path  # of what is made of it, in the comparison's
    cache: Path  # the sample, in that folder; or the whole cache
    whole: bool  # whether it is the whole cache

    def seconds(self) -> float:
        """Return how long the teacher read for ASE's sums of this size, beyond those of the size before it."""
        file = self.folder / READING
        return float(storage.read_sealed(file)["seconds"]) if file.is_file() else 0.0

    def keep_seconds(self, seconds: float) -> None:
        """Write down how long the teacher has read."""
        self.folder.mkdir(parents=True, exist_ok=True)
        storage.write_atomically(self.folder / READING, storage.sealed_json({"seconds": round(seconds, 3)}))


def sizes_of(config: CompareConfig, cache: Cache) -> list[Size]:
    """Return the sizes of the curve, ascending; the last is the whole cache. Raises X2StaticError: it is smaller."""
    markers = [shard.marker for shard in cache.shards()]
    n_units = len(markers)
    if config.sizes and max(config.sizes) > n_units:
        raise X2StaticError(
            f"--sizes {max(config.sizes)}: {cache.path} has {quantity(n_units, 'unit')}; ask for at most so many"
        )
    some = config.sizes or [n_units // 2**halving for halving in range(HALVINGS)]
    sizes = []
    for units in sorted({n_units, *some} - {0}):
        counts, whole, folder = totals(markers[:units]), units == n_units, config.out / CURVE / str(units)
        path = cache.path if whole else folder / "cache"
        sizes.append(Size(units, counts["paragraphs"], counts["words"], folder, path, whole))
    return sizes


class Point(NamedTuple):
    """A point of the curve: a size, and the step that makes the vectors of a method at it."""

    size: Size
    step: Step


def points_of(config: CompareConfig, sizes: Sequence[Size], drawn: Sequence[Method]) -> list[Point]:
    """Return the points of the curve of some methods, the smallest size first.

    At the size of the whole cache a step is the tables' own, of seed 0.
    """
    points = []
    for size in sizes:
        for method in drawn:
            sampled = Step(f"curve-{size.units}-{method.name}", method, 0, size.folder / method.name, size.cache)
            points.append(Point(size, steps_of(method, config)[0] if size.whole else sampled))
    return points


def words_of(cache: Cache, config: CompareConfig) -> list[str]:
    """Return the vocabulary of the whole cache, sorted, as `ase` adds it up; that of a sample is a part of it."""
    from x2static.pipeline.baselines import vocabulary_of

    return sorted(vocabulary_of(cache, config.min_count, config.max_vocab).words.to_pylist())


def bring_sums(point: Point, sizes: Sequence[Size], config: CompareConfig, cache: Cache, report: Report) -> None:
    """Bring ASE's sums to a size: those of the size before it, and of a sample those of its further units.

    So the teacher reads each unit once, whatever sizes of the corpus it is a part of. The whole cache's further units
    are read when its vectors are made. Raises X2StaticError: teacher or text are not found as they were.
    """
    import numpy as np

    from x2static.baselines import ase
    from x2static.baselines.request import Request

    if config.precision not in ("auto", cache.manifest.encoding.precision):
        return  # every size has a pass of its own: what is carried is of the cache's precision
    size, words = point.size, words_of(cache, config)
    baseline = point.step.baseline(config)
    request = Request(baseline, Cache.open(size.cache), words, np.zeros(len(words), np.int64), baseline.out, report)
    file = ase.file_of(request).path
    smaller = [other for other in sizes if other.units < size.units]
    if smaller and carry(smaller[-1].cache / file.relative_to(size.cache), file) and size.whole:
        size.keep_seconds(sum(other.seconds() for other in smaller))
    if not size.whole:
        earlier, began = size.seconds(), time.monotonic()
        try:
            ase.pool_layers(request)
        finally:  # what was read before a stop is not read again, nor told by the call that goes on
            size.keep_seconds(earlier + time.monotonic() - began)


def carry(source: Path, target: Path) -> bool:
    """Give a corpus the file of sums of a smaller one that it begins with; return whether it had none."""
    if not source.is_file():
        return False
    with storage.only_writer(target.parent, "baseline's state"):
        if target.is_file():
            return False
        storage.remove_leftovers(target.parent)
        temporary = target.with_name(storage.TEMPORARY + target.name)
        storage.link_or_copy(source, temporary)
        temporary.replace(target)
    return True
