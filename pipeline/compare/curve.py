"""Quality against the size of the corpus (figure 1 of the paper): nested samples, and what is made of each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import (
    TEMPORARY,
    canonical_json,
    link_or_copy,
    only_writer,
    read_json,
    remove_leftovers,
    write_atomically,
)
from x2static.machine.progress import Report
from x2static.pipeline.compare.plan import CompareConfig, Step, methods, our_methods, steps_of
from x2static.schemas.cache import Cache, totals

CURVE = "curve"  # the folder, in that of the comparison
READING = "reading.json"  # in a size's folder: the seconds that the teacher took; of the whole, before its turn
HALVINGS = 6
CURVES = ("x2static", "closed-form")  # of our methods; and ASE, where it is asked for


@dataclass(frozen=True)
class Size:
    """A size of the corpus."""

    units: int  # the first so many units of the cache
    paragraphs: int  # in them, after the filter
    words: int
    cache: Path  # the sample; or the whole cache
    whole: bool  # whether it is the whole cache


def sizes(config: CompareConfig, cache: Cache) -> list[Size]:
    """Return the sizes of the curve, ascending; the last is the whole cache.

    Raises X2StaticError: the cache has not so many units as are asked for.
    """
    markers = [shard.marker for shard in cache.shards()]
    n_units = len(markers)
    asked = config.sizes or tuple(n_units // 2**halving for halving in range(HALVINGS))
    if config.sizes and max(asked) > n_units:
        raise X2StaticError(f"--sizes {max(asked)}: {cache.path} has {n_units} units; ask for at most so many")
    listed = []
    for units in sorted({n_units, *(units for units in asked if units > 0)}):
        counts = totals(markers[:units])
        whole = units == n_units
        path = cache.path if whole else config.out / CURVE / str(units) / "cache"
        listed.append(Size(units, counts["paragraphs"], counts["words"], path, whole))
    return listed


def check_sizes(some: Sequence[Size]) -> None:
    """See that there is a curve to draw. Raises X2StaticError: there are fewer than two sizes."""
    if len(some) < 2:
        there = f"the cache has {some[0].units} units" if some else "there is no cache"
        raise X2StaticError(
            f"--only figure1: a curve needs two sizes, and {there}; give --sizes, or a --cache of more units "
            "(`x2static encode --unit`)"
        )


@dataclass(frozen=True)
class Point:
    """A point of the curve: a size, and the step that makes the vectors of a method at it."""

    size: Size
    step: Step


def points(config: CompareConfig, some: Sequence[Size]) -> list[Point]:
    """Return the points of the curve, the smallest size first.

    It is drawn for X2Static, its closed form, and ASE's first layer that is asked for. At the size of the whole cache
    a step is the tables' own, of seed 0.
    """
    drawn = [method for method in our_methods(config.seeds) if method.name in CURVES]
    drawn += [method for method in methods(config) if method.is_ase][:1]
    listed = []
    for size in some:
        for method in drawn:
            folder = config.out / CURVE / str(size.units) / method.name
            sampled = Step(f"curve-{size.units}-{method.name}", method, 0, folder, size.cache)
            listed.append(Point(size, steps_of(method, config)[0] if size.whole else sampled))
    return listed


def words_of(cache: Cache, config: CompareConfig) -> list[str]:
    """Return the vocabulary of the whole cache, sorted, as `ase` adds it up; that of a sample is a part of it.

    Raises X2StaticError: a shard is damaged, or no word is frequent enough.
    """
    from x2static.pipeline.baselines import vocabulary_of

    return sorted(vocabulary_of(cache, config.min_count, config.max_vocab).words.to_pylist())


@dataclass(frozen=True)
class Sums:
    """ASE's sums along the curve: the teacher reads each unit once, whatever sizes of the corpus it is a part of."""

    out: Path
    sizes: Sequence[Size]

    def bring_to(self, point: Point, config: CompareConfig, cache: Cache, report: Report) -> None:
        """Bring the sums to a size: those of the size before it, and of a sample those of its further units.

        The whole cache's further units are read when its vectors are made. Raises X2StaticError: teacher or text are
        not found as they were.
        """
        import numpy as np

        from x2static.baselines import ase
        from x2static.baselines.request import Request

        if config.precision not in ("auto", cache.manifest.encoding.precision):
            return  # every size has a pass of its own: what is carried is of the cache's precision
        size, words = point.size, words_of(cache, config)
        here = Cache.open(size.cache)
        asked = point.step.baseline(config)
        request = Request(asked, here, words, np.zeros(len(words), np.int64), asked.out, report)
        file = ase.file_of(request).path
        before = [one for one in self.sizes if one.units < size.units]
        if before and carry(before[-1].cache / file.relative_to(size.cache), file) and size.whole:
            self._keep_seconds(size, sum(map(self.seconds, before)))
        if not size.whole:
            earlier, began = self.seconds(size), time.monotonic()
            try:
                ase.gathered(request)
            finally:  # what was read before a stop is not read again, nor told by the call that goes on
                self._keep_seconds(size, earlier + time.monotonic() - began)

    def seconds(self, size: Size) -> float:
        """Return how long the teacher read for the sums of a size, beyond those of the size before it."""
        file = self._file(size)
        return float(read_json(file)["seconds"]) if file.is_file() else 0.0

    def read_before(self) -> tuple[float, int]:
        """Return what the whole cache took over of the sums of smaller sizes: the teacher's seconds, and units."""
        if not self.sizes or not (seconds := self.seconds(self.sizes[-1])):
            return 0.0, 0
        return seconds, max((size.units for size in self.sizes if not size.whole), default=0)

    def _file(self, size: Size) -> Path:
        return self.out / CURVE / str(size.units) / READING

    def _keep_seconds(self, size: Size, seconds: float) -> None:
        file = self._file(size)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, canonical_json({"seconds": round(seconds, 3)}))


def carry(source: Path, target: Path) -> bool:
    """Give a corpus the sums of a smaller one, whose units it begins with; the teacher then reads only the others.

    Args:
        source: the file of the smaller corpus's sums.
        target: where those of the larger one are to be; sums that are there stay.

    Returns:
        Whether they were carried over now.
    """
    if not source.is_file():
        return False
    with only_writer(target.parent, "baseline's state"):
        if target.is_file():
            return False
        remove_leftovers(target.parent)
        temporary = target.with_name(TEMPORARY + target.name)
        link_or_copy(source, temporary)
        temporary.replace(target)
    return True
