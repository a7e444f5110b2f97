"""One HTML page of a sweep that needs nothing beside itself: plots and table."""

from html import escape

from x2static.pipeline.sweeps.ranking import Ranking
from x2static.pipeline.sweeps.table import columns, errors
from x2static.report.html import definitions, document, image


def page(ranking: Ranking, title: str, facts: dict[str, str], plots: dict[str, bytes]) -> str:
    """Return the page.

    Args:
        ranking: the trials.
        title: what was swept.
        facts: what else to say about the sweep, by what it is.
        plots: PNG files, by name.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        definitions(facts),
        "<h2>Plots</h2>" if plots else "",
        f'<div class="plots">{"".join(image(name, data) for name, data in plots.items())}</div>',
        "<h2>Trials</h2>",
        f'<div class="scroll"><table>{_rows(ranking)}</table></div>',
        _errors(ranking),
    ]
    return document(title, parts)


def _rows(ranking: Ranking) -> str:
    first, sets, ends = columns(ranking)
    shown = [*first, *sets, *ends]
    heads = "".join(_cell("th", column.head, column.left) for column in shown)
    lines = [
        "<tr>" + "".join(_cell("td", column.cells[row], column.left) for column in shown) + "</tr>"
        for row in range(len(ranking.results))
    ]
    return f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody>"


def _cell(tag: str, text: str, left: bool) -> str:
    attribute = ' class="left"' if left else ""
    return f"<{tag}{attribute}>{escape(text)}</{tag}>"


def _errors(ranking: Ranking) -> str:
    said = "".join(f"<li><code>{escape(who)}</code>: {escape(error)}</li>" for who, error in errors(ranking))
    return f"<h2>Trials that failed</h2><ul>{said}</ul>" if said else ""
