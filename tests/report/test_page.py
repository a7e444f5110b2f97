"""A page has what it is given, as text and never as markup, and needs nothing beside itself."""

import re
from html.parser import HTMLParser
from pathlib import Path

from x2static.report.page import Page, Picture, Section
from x2static.report.table import Cell, Column, Table

EVIL = '<script>alert("1")</script>\'" onload=x `|*_[a](b) $y$'
RTL = "\u202eשלום"


def page_with(text: str) -> Page:
    rows = [[text, Cell(0.1, bold=True)], [RTL, Cell(2.0, "2 ± 1")]]
    table = Table([Column("word", "left"), Column(text)], rows, text, [text], ["here", "paper"])
    first = Section(text, [text], [text], [table], [Picture("x", text, b"png", b"narrow")], {text: text}, text)
    return Page(text, {text: text}, [first, Section("nothing in it", [text]), Section("end", listed=["x"])])


def tags_of(html: str) -> list[tuple[str, str]]:
    """Return each tag with each of its attributes, as a browser reads them."""
    seen: list[tuple[str, str]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.extend((tag, name) for name, _ in [*attrs, ("", None)])

    Reader().feed(html)
    return seen


def test_text_from_outside_cannot_become_markup_on_the_page():
    html = page_with(EVIL).html()
    assert set(tags_of(html)) == set(tags_of(page_with("x").html()))
    assert "&lt;script&gt;" in html
    assert re.findall(r' (src|srcset|href)="(?!data:image/png;base64,)', html) == []
    assert "default-src 'none'" in html
    assert ("p", "onload") in tags_of('<p class="a" onload=x>')


def test_the_page_has_facts_sections_tables_and_pictures_in_their_order():
    html = page_with("fact").html()
    order = ["<h1>fact", "<dt>fact</dt><dd>fact", "<h2>fact", "<p>fact", "<li>fact", "<table>", "<b>0.100"]
    order += [
        '<tr class="paper first">',
        '<td class="left" dir="auto">\\u202eשלום</td>',
        "<td>2 ± 1</td>",
        "<img",
        "</picture>",
        "<pre>fact",
        "<h2>end",
    ]
    assert sorted(order, key=html.index) == order
    assert '<source media="(max-width: 600px)" srcset="data:image/png;base64,bmFycm93">' in html
    assert 'src="data:image/png;base64,cG5n"' in html
    assert "nothing in it" not in html


def test_markdown_has_the_same_parts_and_its_pictures_beside_it(tmp_path: Path):
    page_with(EVIL + "\n# head").write_markdown(tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text()
    assert "<script" not in text
    assert "\n# head" not in text
    assert re.findall(r"(?<!\\)[`$]", text) == []
    assert "](results/x.png)" in text
    assert (tmp_path / "results" / "x.png").read_bytes() == b"png"
