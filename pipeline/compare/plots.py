"""Plots of a comparison: quality against the size of the corpus, losses, and a map of words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator
from matplotlib.transforms import Bbox

from x2static.report.pictures import figure_with, logarithmic, plain_text, png, shortened

LONGEST_LABEL = 40
MAP_SIZE = (9.0, 7.0)  # inches
CURVE_SIZE = (9.0, 4.0)


@dataclass(frozen=True)
class Line:
    """A line of the curve.

    Attributes:
        label: of the method.
        words: (n_points,) sizes of the corpus, ascending.
        scores: (n_points,) Spearman's rho on all pairs that the vectors cover; None where there is none.
        common: the same on the pairs that all methods cover at every size; empty where that is not known.
    """

    label: str
    words: Sequence[int]
    scores: Sequence[float | None]
    common: Sequence[float | None] = ()


def size_curves(panels: Mapping[str, Sequence[Line]]) -> bytes:
    """Draw quality against the size of the corpus: a panel a data set, a line a method; a PNG file."""
    with plain_text():
        figure, many = figure_with(len(panels), CURVE_SIZE)
        for axes, (name, lines) in zip(many, panels.items(), strict=True):
            for number, line in enumerate(lines):
                _line(axes, line, f"C{number}")
            logarithmic(axes, rounded)
            sizes = {words for line in lines for words in line.words}
            axes.set_xticks(_apart(sizes))
            axes.xaxis.minorticks_off()
            axes.set_xlim(min(sizes) / 1.25, max(sizes) * 1.25)
            if not any(score is not None for line in lines for score in line.scores):
                axes.text(0.5, 0.5, "too few pairs covered", transform=axes.transAxes, ha="center")
            axes.set_title(shortened(name, LONGEST_LABEL))
            axes.set_xlabel("corpus (words)")
            axes.set_ylabel("Spearman's rho")
        handles, labels = many[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", frameon=False, ncols=3, fontsize="small")
        return png(figure)


def rounded(number: float) -> str:
    """Return a count in few characters: "950", "1.5k", "10M"."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g}{unit}" if number < 10 * limit else f"{number / limit:.0f}{unit}"
    return f"{number:.0f}"


def _apart(sizes: Iterable[int]) -> list[int]:
    """Return the sizes that have room for a label: the largest, and those well below the one kept before."""
    kept: list[int] = []
    for size in sorted(sizes, reverse=True):
        if not kept or size < kept[-1] / 1.5:
            kept.append(size)
    return kept


def _line(axes: Axes, line: Line, colour: str) -> None:
    axes.plot(line.words, _gaps(line.scores), color=colour, marker="o", markersize=4, label=line.label)
    if line.common:
        axes.plot(line.words, _gaps(line.common), color=colour, marker=".", linestyle=":", linewidth=1)


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def loss_curves(losses: Mapping[str, Sequence[float]]) -> bytes:
    """Draw the mean loss of every epoch of each run; a PNG file."""
    with plain_text():
        figure, (axes,) = figure_with()
        for number, (label, values) in enumerate(losses.items()):
            epochs = range(1, len(values) + 1)
            axes.plot(
                epochs, values, color=f"C{number}", marker="o", markersize=4, label=shortened(label, LONGEST_LABEL)
            )
        longest = max(map(len, losses.values()))
        axes.set_xlim(0.5, longest + 0.5)
        axes.xaxis.set_major_locator(FixedLocator([1]) if longest == 1 else MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("mean loss of a target (nats)")
        figure.legend(loc="outside lower center", frameon=False, ncols=2, fontsize="small")
        return png(figure)


def word_map(points: npt.NDArray[np.float64], words: Sequence[str], shares: tuple[float, float]) -> bytes:
    """Draw words where they lie in a plane, each named if there is room; a PNG file.

    Args:
        points: (len(words), 2).
        words: the more frequent ones first: they are named first.
        shares: of the variance, of each axis.
    """
    with plain_text():
        figure, (axes,) = figure_with(size=MAP_SIZE)
        axes.scatter(points[:, 0], points[:, 1], s=6, color="C0", zorder=3)
        axes.margins(0.06)
        axes.set_xlabel(f"first principal component ({shares[0]:.0%} of the variance)")
        axes.set_ylabel(f"second principal component ({shares[1]:.0%} of the variance)")
        figure.draw_without_rendering()  # places the axes, so that the room a name takes is known
        taken: list[Bbox] = []
        dots = axes.transData.transform(points)
        for (x, y), word in zip(points, words, strict=True):
            name = axes.annotate(
                shortened(word, 24), (float(x), float(y)), (3, 3), textcoords="offset points", fontsize=7
            )
            room = name.get_window_extent()
            if any(room.overlaps(other) for other in taken) or room.count_contains(dots):
                name.remove()
            else:
                taken.append(room)
        return png(figure)
