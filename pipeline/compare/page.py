"""A comparison as one HTML page that needs nothing beside itself."""

from html import escape

from x2static.pipeline.compare.sections import Picture, Report, Section
from x2static.pipeline.compare.tables import Cell, Row, Table
from x2static.report.html import definitions, document, image

STYLE = """
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: inherit; }
thead th:first-child { background: #f4f4f4; z-index: 1; } tbody tr { background: #fff; }
tr.paper { color: #666; font-style: italic; } tr.first td { border-top: 2px solid #999; }
figure { margin: 1rem 0; } figcaption, .caption { color: #444; font-size: .9em; }
.caption { margin: 1.2rem 0 .4rem; }
dt { font-weight: bold; } dd { margin: 0 0 .4rem 0; }
@media (max-width: 600px) { body { padding: .6rem; } th, td { padding: .25rem .45rem; }
  td:first-child, th:first-child { max-width: 9rem; white-space: normal; overflow-wrap: break-word; }
  figure { overflow-x: auto; } figure img { max-width: none; width: 50rem; } }
"""


def page(report: Report) -> str:
    """Return the page; whatever text is in the report, it is text on the page."""
    head = [f"<h1>{escape(report.title)}</h1>", definitions(report.facts)]
    return document(report.title, head + [_section(section) for section in report.sections], STYLE)


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>", *(f"<p>{escape(text)}</p>" for text in section.text)]
    if section.listed:
        parts.append("<ul>" + "".join(f"<li>{escape(point)}</li>" for point in section.listed) + "</ul>")
    parts += [_table(table) for table in section.tables]
    parts += [_picture(picture) for picture in section.pictures]
    return "\n".join(parts)


def _table(table: Table) -> str:
    # Words of any script: each goes in its own direction, and does not turn its neighbours around.
    side = ' class="left" dir="auto"' if table.words else ""
    heads = "".join(f"<th{side}>{escape(head)}</th>" for head in table.heads)
    lines = []
    before = "here"
    for row in table.rows:
        kind = " ".join(name for name in (row.source, "first" if row.source != before else "") if name)
        lines.append(f'<tr class="{escape(kind)}">{_cells(row, side)}</tr>')
        before = row.source
    return (
        f'<p class="caption" dir="auto">{escape(table.caption)}</p><div class="scroll"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cells(row: Row, side: str) -> str:
    return f"<td>{escape(row.label)}</td>" + "".join(f"<td{side}>{_cell(cell)}</td>" for cell in row.cells)


def _cell(cell: Cell) -> str:
    return f"<b>{escape(cell.text)}</b>" if cell.best else escape(cell.text)


def _picture(picture: Picture) -> str:
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>"
    return f"<figure>{image(picture.caption, picture.data)}{caption}</figure>"
