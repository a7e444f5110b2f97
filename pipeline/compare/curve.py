"""Quality against the size of the corpus (figure 1 of the paper): nested samples, and what is made of each."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from x2static.durable import storage
from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Report
from x2static.pipeline.compare.plan import CompareConfig, Step, methods, our_methods, steps_of
from x2static.schemas.cache import Cache, totals

CURVE = "curve"  # the folder, in that of the comparison
READING = "reading.json"  # in a size's folder: the seconds that the teacher took; of the whole, before its turn
HALVINGS = 6
CURVES = ("x2static", "closed-form")  # of our methods; and ASE, if it is among the baselines


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
        return float(storage.read_json(file)["seconds"]) if file.is_file() else 0.0

    def keep_seconds(self, seconds: float) -> None:
        """Write down how long the teacher has read."""
        self.folder.mkdir(parents=True, exist_ok=True)
        storage.write_atomically(self.folder / READING, storage.canonical_json({"seconds": round(seconds, 3)}))


def sizes_of(config: CompareConfig, cache: Cache) -> list[Size]:
    """Return the sizes of the curve, ascending; the last is the whole cache. Raises X2StaticError: it is smaller."""
    markers = [shard.marker for shard in cache.shards()]
    n_units = len(markers)
    if config.sizes and max(config.sizes) > n_units:
        raise X2StaticError(f"--sizes {max(config.sizes)}: {cache.path} has {n_units} units; ask for at most so many")
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


def points_of(config: CompareConfig, sizes: Sequence[Size]) -> list[Point]:
    """Return the points of the curve, the smallest size first.

    It is drawn for X2Static, its closed form, and the first layer of ASE. At the size of the whole cache a step is the
    tables' own, of seed 0.
    """
    drawn = [method for method in our_methods(config.seeds) if method.name in CURVES]
    drawn += [method for method in methods(config) if method.is_ase][:1]
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
