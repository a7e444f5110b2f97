"""Plots of a sweep: the score against each setting, and the loss of every trial."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from x2static.pipeline.sweeps.ranking import Ranking
from x2static.pipeline.sweeps.settings import shown
from x2static.report.pictures import figure_with, logarithmic, plain_text, png, shortened

LOG_FROM = 20  # a setting whose highest value is so many times its lowest is shown on a logarithmic axis
NAMED_CURVES = 5  # the best trials, which get a colour and a name; the others are grey
LONGEST_LABEL = 80  # characters of a trial's name, in small print the width of a plot
LONGEST_TICK = 24


def plots(ranking: Ranking) -> dict[str, bytes]:
    """Return the plots as PNG files, by name; those that would show nothing are left out."""
    drawn = {}
    with plain_text():
        if ranking.best is not None:
            drawn = {f"score-{name}": _score_against(name, ranking) for name in ranking.names}
        if any(result.losses for result in ranking.results):
            drawn["losses"] = _losses(ranking)
    return drawn


def _score_against(name: str, ranking: Ranking) -> bytes:
    """Draw a point for each trial, and a line through the best of each value."""
    scored = [(row.settings.get(name), ranking.score(row)) for row in ranking.results]
    points = [(value, score) for value, score in scored if score is not None]
    figure, (axes,) = figure_with()
    where = _positions(axes, [value for value, _ in points])
    axes.scatter([where[value] for value, _ in points], [score for _, score in points], alpha=0.7, zorder=3)
    best: dict[float, float] = {}
    for value, score in points:
        best[where[value]] = max(score, best.get(where[value], score))
    axes.plot(sorted(best), [best[position] for position in sorted(best)], color="0.6", linewidth=1, label="best")
    axes.set_xlabel(name)
    axes.set_ylabel("score")
    if len(best) > 1:
        axes.legend(frameon=False)
    return png(figure)


def _positions(axes: Axes, values: list[Any]) -> dict[Any, float]:
    """Return where each value stands, and make the axis: of numbers, or of names where there are others."""
    distinct = list(dict.fromkeys(values))
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in distinct):
        distinct.sort(key=lambda value: (isinstance(value, str), str(value)))
        labels = [shortened(shown(value), LONGEST_TICK) for value in distinct]
        steep = sum(map(len, labels)) > 50
        axes.set_xticks(range(len(distinct)), labels, rotation=30 if steep else 0, ha="right" if steep else "center")
        axes.margins(x=0.15)
        return {value: float(place) for place, value in enumerate(distinct)}
    if min(distinct) > 0 and max(distinct) >= LOG_FROM * min(distinct):
        logarithmic(axes, shown)
    elif len(distinct) <= 8:
        axes.set_xticks(distinct, [shown(value) for value in distinct])
    return {value: float(value) for value in distinct}


def _losses(ranking: Ranking) -> bytes:
    figure, (axes,) = figure_with()
    trained = [row for row in ranking.results if row.losses]
    for place, row in reversed(list(enumerate(trained))):  # the best on top
        named = place < NAMED_CURVES
        label = shortened(", ".join(f"{name} {shown(row.settings.get(name))}" for name in ranking.names), LONGEST_LABEL)
        axes.plot(
            range(1, len(row.losses) + 1),
            row.losses,
            color=f"C{place}" if named else "0.8",
            marker="o",
            markersize=3,
            label=label if named else None,
        )
    longest = max(len(row.losses) for row in trained)
    axes.set_xlim(0.5, longest + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean loss")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", frameon=False, fontsize="small")
    return png(figure)
