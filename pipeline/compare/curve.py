"""Quality against the size of the corpus (figure 1 of the paper): nested samples, and what is made of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from x2static.durable.errors import X2StaticError
from x2static.pipeline.compare.methods import Method, methods, ours
from x2static.pipeline.compare.plan import Step, steps_of
from x2static.pipeline.compare.settings import CompareConfig
from x2static.schemas.cache import Cache, totals

CURVE = "curve"  # the folder, in that of the comparison
HALVINGS = 6
CURVES = ("x2static", "closed-form")  # of our methods; and ASE, where it is asked for


@dataclass(frozen=True)
class Size:
    """A size of the corpus.

    Attributes:
        units: the first so many units of the cache.
        paragraphs: in them, after the filter.
        words: in them.
        cache: the sample; or the whole cache.
        whole: whether it is the whole cache.
    """

    units: int
    paragraphs: int
    words: int
    cache: Path
    whole: bool


def sizes(config: CompareConfig, cache: Cache) -> list[Size]:
    """Return the sizes of the curve, ascending; the last is the whole cache.

    Raises:
        X2StaticError: the cache has not so many units as are asked for.
    """
    markers = [shard.marker for shard in cache.shards()]
    n_units = len(markers)
    asked = config.sizes or tuple(n_units // 2**halving for halving in range(HALVINGS))
    if config.sizes and max(asked) > n_units:
        raise X2StaticError(f"--sizes {max(asked)}: {cache.path} has {n_units} units; ask for at most so many")
    found = []
    for units in sorted({n_units, *(units for units in asked if units > 0)}):
        counts = totals(markers[:units])
        whole = units == n_units
        path = cache.path if whole else config.out / CURVE / str(units) / "cache"
        found.append(Size(units, counts["paragraphs"], counts["words"], path, whole))
    return found


def check_sizes(found: Sequence[Size]) -> None:
    """See that there is a curve to draw.

    Raises:
        X2StaticError: there are fewer than two sizes.
    """
    if len(found) < 2:
        there = f"the cache has {found[0].units} units" if found else "there is no cache"
        raise X2StaticError(
            f"--only figure1: a curve needs two sizes, and {there}; give --sizes, or a --cache of more units "
            "(`x2static encode --unit`)"
        )


@dataclass(frozen=True)
class Point:
    """A point of the curve: a method at a size, and the step that makes its vectors."""

    method: Method
    size: Size
    step: Step


def points(config: CompareConfig, found: Sequence[Size]) -> list[Point]:
    """Return the points of the curve, the smallest size first."""
    return [Point(one, size, curve_step(one, size, config)) for size in found for one in curve_methods(config)]


def curve_methods(config: CompareConfig) -> list[Method]:
    """Return what the curve is drawn for: X2Static, its closed form, and ASE's first layer that is asked for."""
    own = [method for method in ours(config.seeds) if method.name in CURVES]
    return own + [method for method in methods(config) if is_ase(method)][:1]


def is_ase(method: Method) -> bool:
    """Return whether a method is the mean of contextual vectors."""
    return method.settings.get("name") == "ase"


def curve_step(method: Method, size: Size, config: CompareConfig) -> Step:
    """Return the step of a method at a size; at that of the whole cache it is the tables' own, of seed 0."""
    if size.whole:
        return steps_of(method, config)[0]
    folder = config.out / CURVE / str(size.units) / method.name
    return Step(f"curve-{size.units}-{method.name}", method, 0, folder, size.cache)
