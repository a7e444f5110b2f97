"""One HTML page of a sweep that needs nothing beside itself: plots and table."""

import base64
from html import escape

from pipeline.sweeps.ranking import Ranking
from pipeline.sweeps.table import columns, errors

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 1200px;
  margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1rem; }
img { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; max-height: 80vh; overflow-y: auto; border: 1px solid #ddd; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; width: 100%; }
th, td { padding: .3rem .7rem; text-align: right; } .left { text-align: left; }
th { position: sticky; top: 0; background: #f4f4f4; }
tbody tr:nth-child(even) { background: #fafafa; }
code { font-size: .9em; }
"""


def page(ranking: Ranking, title: str, facts: dict[str, str], plots: dict[str, bytes]) -> str:
    """Return the page.

    Args:
        ranking: the trials.
        title: what was swept.
        facts: what else to say about the sweep, by what it is.
        plots: PNG files, by name.
    """
    said = "".join(f"<dt>{escape(what)}</dt><dd>{escape(fact)}</dd>" for what, fact in facts.items())
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<dl>{said}</dl>",
        "<h2>Plots</h2>" if plots else "",
        f'<div class="plots">{"".join(_image(name, data) for name, data in plots.items())}</div>',
        "<h2>Trials</h2>",
        f'<div class="scroll"><table>{_rows(ranking)}</table></div>',
        _errors(ranking),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _image(name: str, data: bytes) -> str:
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


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
