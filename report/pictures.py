"""All plots, as PNG files: losses, scores against a setting or the size of the corpus, and a map of words."""

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from x2static.report.table import end_of

SIZE, CURVE_SIZE, MAP_SIZE = (4.8, 3.3), (9.0, 4.0), (9.0, 7.0)  # inches
# What a phone shows, at some 80 pixels an inch: letters are nearly as large as those of the page. SIZE does for both.
NARROW_CURVE_SIZE, NARROW_MAP_SIZE = (4.4, 3.4), (4.4, 5.6)
DOTS_PER_INCH = 144
LONGEST_LABEL, LONGEST_TICK = 40, 24  # characters
WIDE_LABEL = 80  # characters, in small print the width of a plot
LOG_FROM = 20  # a setting whose highest value is so many times its lowest is shown on a logarithmic axis


@contextmanager
def _plot(rows: int = 1, columns: int = 1, size: tuple[float, float] = SIZE) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure and its axes, row by row, on which text is drawn as it is: a dollar in it is no formula."""
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a letter that no font has
        warnings.filterwarnings("ignore", "Matplotlib currently does not support")  # scripts that need shaping
        figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
        axes = [figure.add_subplot(rows, columns, place + 1) for place in range(rows * columns)]
        for one in axes:
            one.grid(visible=True, color="0.92")
            one.spines[["top", "right"]].set_visible(False)
        yield figure, axes


def _png(figure: Figure) -> bytes:
    """Return a figure as a PNG file; equal figures give equal bytes."""
    sink = io.BytesIO()
    figure.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()


def _legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str], columns: int) -> None:
    figure.legend(handles, labels, loc="outside lower center", frameon=False, ncols=columns, fontsize="small")


def losses(
    curves: Sequence[tuple[str, Sequence[float]]], named: int | None = None, unit: str = "mean loss of a target (nats)"
) -> bytes:
    """Draw the mean loss of every epoch of each run, given by its label, those that matter most first.

    So many as `named` get a colour and a name, the others are grey; None for all.
    """
    with _plot() as (figure, (axes,)):
        for place, (label, values) in reversed(list(enumerate(curves))):  # what matters most is on top
            stands_out = named is None or place < named
            color, name = (f"C{place}", end_of(label, WIDE_LABEL)) if stands_out else ("0.8", None)
            axes.plot(range(1, len(values) + 1), values, color=color, marker="o", markersize=3, label=name)
        longest = max(len(values) for _, values in curves)
        axes.set_xlim(0.5, longest + 0.5)
        axes.xaxis.set_major_locator(FixedLocator([1]) if longest == 1 else MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit)
        handles, labels = axes.get_legend_handles_labels()
        columns = 2 if max(map(len, labels)) <= LONGEST_LABEL else 1
        _legend_below(figure, handles[::-1], labels[::-1], columns)
        return _png(figure)


def score_against(setting: str, points: Sequence[tuple[Any, float]], shown: Callable[[Any], str]) -> bytes:
    """Draw a point for each trial of a sweep, and a line through the best of each value."""
    with _plot() as (figure, (axes,)):
        where = _positions(axes, list(dict.fromkeys(value for value, _ in points)), shown)
        axes.scatter([where[value] for value, _ in points], [score for _, score in points], alpha=0.7, zorder=3)
        best: dict[float, float] = {}
        for value, score in points:
            best[where[value]] = max(score, best.get(where[value], score))
        axes.plot(sorted(best), [best[position] for position in sorted(best)], color="0.6", linewidth=1, label="best")
        axes.set_xlabel(setting)
        axes.set_ylabel("score")
        if len(best) > 1:
            axes.legend(frameon=False)
        return _png(figure)


def _positions(axes: Axes, values: list[Any], shown: Callable[[Any], str]) -> dict[Any, float]:
    """Return where each value stands, and make the axis: of numbers, or of names where there are others."""
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        values = sorted(values, key=lambda value: (isinstance(value, str), str(value)))
        labels = [end_of(shown(value), LONGEST_TICK) for value in values]
        steep = sum(map(len, labels)) > 50
        axes.set_xticks(range(len(values)), labels, rotation=30 if steep else 0, ha="right" if steep else "center")
        axes.margins(x=0.15)
        return {value: float(place) for place, value in enumerate(values)}
    if min(values) > 0 and max(values) >= LOG_FROM * min(values):
        _logarithmic(axes, shown)
    elif len(values) <= 8:
        axes.set_xticks(values, [shown(value) for value in values])
    return {value: float(value) for value in values}


def _logarithmic(axes: Axes, shown: Callable[[float], str]) -> None:
    """Make the horizontal axis logarithmic; matplotlib's labels are formulas, which `_plot` draws as text."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def size_curves(panels: Mapping[str, Mapping[str, npt.NDArray[np.float64]]], narrow: bool = False) -> bytes:
    """Draw quality against the size of the corpus: a panel a data set, a line a method, both by their names.

    Panels stand side by side, or for a phone one below the other (`narrow`).

    A line is (n_points, 3): the words of the corpus, ascending, and Spearman's rho, NaN where there is none, on all
    pairs that the vectors cover at that size and on those that all methods cover at every size.
    """
    width, height = NARROW_CURVE_SIZE
    rows, size = (len(panels), (width, height * len(panels))) if narrow else (1, CURVE_SIZE)
    with _plot(rows, len(panels) // rows, size) as (figure, axes):
        for one, (name, lines) in zip(axes, panels.items(), strict=True):
            for number, (label, line) in enumerate(lines.items()):
                words, scores, common = line.T
                one.plot(words, scores, color=f"C{number}", marker="o", markersize=4, label=label)
                if not np.isnan(common).all():
                    one.plot(words, common, color=f"C{number}", marker=".", linestyle=":", linewidth=1)
            _logarithmic(one, rounded)
            sizes = sorted({words for line in lines.values() for words in line[:, 0]}, reverse=True)
            labelled = [sizes[0]]  # those that have room for it
            for size in sizes:
                if size < labelled[-1] / 1.5:
                    labelled.append(size)
            one.set_xticks(labelled)
            one.xaxis.minorticks_off()
            one.set_xlim(sizes[-1] / 1.25, sizes[0] * 1.25)
            if all(np.isnan(line[:, 1]).all() for line in lines.values()):
                one.text(0.5, 0.5, "too few pairs covered", transform=one.transAxes, ha="center")
            one.set_title(end_of(name, LONGEST_LABEL))
            one.set_xlabel("corpus (words)")
            one.set_ylabel("Spearman's rho")
        _legend_below(figure, *axes[0].get_legend_handles_labels(), 1 if narrow else 3)
        return _png(figure)


def rounded(number: float) -> str:
    """Return a count in few characters: "950", "1.5k", "10.4M"."""
    return EngFormatter(sep="").format_eng(float(f"{number:.3g}"))


def word_map(
    points: npt.NDArray[np.float64], words: Sequence[str], shares: tuple[float, float], narrow: bool = False
) -> bytes:
    """Draw words where they lie in a plane, (len(words), 2), each named if there is room, the first ones first.

    The shares of the variance are those of each axis. For a phone (`narrow`) there is room for fewer names.
    """
    with _plot(size=NARROW_MAP_SIZE if narrow else MAP_SIZE) as (figure, (axes,)):
        axes.scatter(points[:, 0], points[:, 1], s=6, color="C0", zorder=3)
        axes.margins(0.06)
        axes.set_xlabel(f"first principal component ({shares[0]:.0%} of the variance)")
        axes.set_ylabel(f"second principal component ({shares[1]:.0%} of the variance)")
        figure.draw_without_rendering()  # places the axes, so that the room a name takes is known
        taken: list[Bbox] = []
        dots = axes.transData.transform(points)
        for (x, y), word in zip(points, words, strict=True):
            text, at = end_of(word, LONGEST_TICK), (float(x), float(y))
            name = axes.annotate(text, at, (3, 3), textcoords="offset points", fontsize=7)
            room = name.get_window_extent()
            if any(room.overlaps(other) for other in taken) or room.count_contains(dots):
                name.remove()
            else:
                taken.append(room)
        return _png(figure)
