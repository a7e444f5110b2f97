"""What the plots of all pages have in common: their size, their look, and how they become PNG files."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

SIZE = (5.6, 3.6)  # inches
DOTS_PER_INCH = 144


@contextmanager
def plain_text() -> Iterator[None]:
    """Draw text from outside as it is: a dollar in it is no formula, and a letter that no font has is no warning."""
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        warnings.filterwarnings("ignore", "Matplotlib currently does not support")  # scripts that need shaping
        yield


def figure_with(columns: int = 1, size: tuple[float, float] = SIZE) -> tuple[Figure, list[Axes]]:
    """Return an empty figure and its axes, side by side.

    Args:
        columns: how many axes.
        size: width and height of the whole, in inches.
    """
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    made = [figure.add_subplot(1, columns, column + 1) for column in range(columns)]
    for axes in made:
        axes.grid(visible=True, color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
    return figure, made


def logarithmic(axes: Axes, shown: Callable[[float], str]) -> None:
    """Make the horizontal axis logarithmic; the labels matplotlib has are formulas, which `plain_text` draws as text.

    Args:
        axes: whose axis.
        shown: writes a number.
    """
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file; equal figures give equal bytes."""
    sink = io.BytesIO()
    figure.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()


def shortened(label: str, longest: int) -> str:
    """Return a label of at most so many characters."""
    return label if len(label) <= longest else label[: longest - 3] + "..."
