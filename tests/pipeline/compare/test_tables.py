"""Figures in tables: means, deviations, the best, the paper's columns, and the same in HTML, Markdown and CSV."""

import csv
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from x2static.pipeline.compare.classes import Accuracy, classification_table
from x2static.pipeline.compare.classes import Ours as Classified
from x2static.pipeline.compare.markdown import markdown, plain
from x2static.pipeline.compare.page import page
from x2static.pipeline.compare.reference import Published
from x2static.pipeline.compare.sections import Picture, Report, Section
from x2static.pipeline.compare.similarity import Ours, TaskResult, similarity_table
from x2static.pipeline.compare.tables import Cell, Row, Table, csv_of, mean_cell, with_best

EVIL = '<script>alert("1")</script>\'" onload=x `|*_[a](b) $y$'
RTL = "\u202eשלום"


def test_a_cell_over_seeds_is_mean_and_sample_deviation():
    values = [0.31, 0.35, 0.42]
    cell = mean_cell([*values, None])
    assert cell.value == pytest.approx(np.mean(values))
    assert cell.deviation == pytest.approx(np.std(values, ddof=1))
    assert cell.text == "0.360 ± 0.056"
    assert mean_cell([0.5]).deviation is None
    assert mean_cell([None]) == Cell("none")


def test_the_best_of_a_column_is_marked_for_each_source_and_ties_share():
    def row(value: float | None, source: str) -> Row:
        return Row("", (Cell("", value), Cell("", value)), source)

    rows = with_best([row(1, "here"), row(1, "here"), row(None, "here"), row(3, "paper"), row(2, "paper")], 1)
    assert [row.cells[0].best for row in rows] == [True, True, False, True, False]
    assert not any(row.cells[1].best for row in rows)


def results(**scores: float | None) -> dict[str, TaskResult]:
    return {name: TaskResult(score, 3, 4) for name, score in scores.items()}


def test_table_3_has_the_papers_columns_first_and_the_average_is_over_them():
    seeds = [results(own=0.9, simlex999=0.2, rg65=0.4), results(own=0.7, simlex999=0.4, rg65=0.4)]
    ours = [Ours("a", seeds, 61, 384, 12_345)]
    paper = [Published("p", {"rg65": 0.5, "sl999": 0.6, "average": 0.55})]
    table = similarity_table("table3", "", ours, paper)
    assert table.heads == ("method", "RG-65", "SL-999", "own", "average", "pairs covered", "dim", "words", "time")
    assert [cell.text for cell in table.rows[0].cells] == [
        "0.400 ± 0.000",
        "0.300 ± 0.141",
        "0.800 ± 0.141",
        "0.350 ± 0.071",
        "9 of 12",
        "384",
        "12,345",
        "1 min 01 s",
    ]
    assert [cell.text for cell in table.rows[1].cells] == ["0.500", "0.600", "", "0.550", "", "", "", ""]
    assert table.rows[1].source == "paper"


def test_a_data_set_without_a_score_is_left_out_of_the_average():
    table = similarity_table("table3", "", [Ours("a", [results(rg65=None, simlex999=0.4)], None)], [])
    assert [cell.text for cell in table.rows[0].cells][:3] == ["none", "0.400", "0.400"]


def test_a_row_without_a_score_that_others_have_has_no_average_and_takes_no_bold():
    few = Ours("few", [results(rg65=0.9, simlex999=None)], None)
    many = Ours("many", [results(rg65=0.5, simlex999=0.3)], 1)
    table = similarity_table("table3", "", [few, many], [])
    averages = [row.cells[table.heads.index("average") - 1] for row in table.rows]
    assert [(cell.text, cell.best) for cell in averages] == [("none", False), ("0.400", True)]


def test_time_that_nobody_knows_is_said_to_be_reused():
    table = similarity_table("table3", "", [Ours("a", [results(rg65=0.4)], None)], [])
    assert table.rows[0].cells[-1] == Cell("reused")


def test_the_teachers_row_takes_the_bold_from_nobody():
    ours = [
        Classified("a", [{"cr": Accuracy(0.8, 0.8)}], 3),
        Classified("teacher", [{"cr": Accuracy(0.9, 0.9)}], 3, "teacher"),
    ]
    table = classification_table("table4", "", ours, [])
    assert [(row.source, row.cells[0].best) for row in table.rows] == [("here", True), ("teacher", True)]


def test_table_4_is_in_per_cent_in_the_papers_order():
    ours = [Classified("a", [{"sst5": Accuracy(0.2, 0.4), "cr": Accuracy(0.8, 0.9), "zz": Accuracy(0.5, 0.5)}], 3)]
    table = classification_table("table4", "", ours, [Published("p", {"cr_f1": 81.6, "avg_acc": 78.1})])
    heads = ["CR", "SST-5", "zz", "average"]
    assert table.heads == ("method", *(f"{head} {m}" for head in heads for m in ("F1", "acc.")), "time")
    assert [cell.text for cell in table.rows[0].cells] == "80.0|90.0|20.0|40.0|50.0|50.0|50.0|60.0|3 s".split("|")
    assert [cell.text for cell in table.rows[1].cells] == ["81.6", "", "", "", "", "", "", "78.1", ""]


def report_with(text: str) -> Report:
    table = Table(text, text, ("word", text), (Row(text, (Cell(text, 0.1, best=True),), "paper"),), words=True)
    section = Section(text, (text,), (text,), (table,), (Picture("x", text, b"png"),))
    return Report(text, {text: text}, [section])


ATTRIBUTES = {
    *(("html", name) for name in ("lang",)),
    *(("meta", name) for name in ("charset", "name", "content", "http-equiv")),
    *((tag, name) for tag in ("p", "th", "td") for name in ("class", "dir")),
    *((tag, "class") for tag in ("div", "tr")),
    *(("img", name) for name in ("alt", "src")),
}


def attributes_of(html: str) -> list[tuple[str, str]]:
    """Return each tag with each of its attributes, as a browser reads them."""
    found: list[tuple[str, str]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend((tag, name) for name, _ in attrs)

    Reader().feed(html)
    return found


def test_a_phone_breaks_long_words_of_the_first_column_and_scrolls_wide_pictures():
    phone = page(report_with("x")).partition("@media (max-width: 600px)")[2]
    assert "overflow-wrap: break-word" in phone
    assert "figure { overflow-x: auto; }" in phone


def test_text_from_outside_cannot_become_markup_on_the_page():
    html = page(report_with(EVIL))
    assert "<script" not in html
    assert set(re.findall(r"<([a-z0-9]+)", html)) <= set(
        "html head meta title style body h1 h2 dl dt dd p ul li div table thead tbody tr th td b figure figcaption img "
        "figcaption".split()
    )
    assert set(attributes_of(html)) <= ATTRIBUTES
    assert "onload" in html  # as text
    assert set(attributes_of('<p class="a" onload=x>')) - ATTRIBUTES == {("p", "onload")}
    assert "&lt;script&gt;" in html
    assert re.findall(r' (src|href)="(?!data:image/png;base64,)', html) == []
    assert "default-src &#x27;none&#x27;" in html or "default-src 'none'" in html


def test_words_of_right_to_left_scripts_stand_in_cells_of_their_own_direction():
    html = page(report_with(RTL))
    assert f'dir="auto"><b>{RTL}</b></td>' in html


def test_text_from_outside_cannot_become_markup_in_markdown():
    text = markdown(report_with(EVIL + "\n# head"), "pictures")
    assert "<script" not in text
    assert "\n# head" not in text
    assert re.findall(r"(?<!\\)[`$]", text) == []
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1  # as many cells in every row
    assert plain("a|b<c>") == r"a\|b&lt;c&gt;"


def test_all_figures_are_in_the_csv_file():
    table = Table(
        "t", "", ("m", "x"), (Row('a,"b"', (Cell("0.1 ± 0.2", 0.1, 0.2, 3, 4),)), Row("c", (Cell(""),), "paper"))
    )
    rows = list(csv.DictReader(io.StringIO(csv_of([table]).decode())))
    assert rows[0] == {
        "table": "t",
        "source": "here",
        "row": 'a,"b"',
        "column": "x",
        "value": "0.1",
        "deviation": "0.2",
        "covered": "3",
        "total": "4",
        "text": "0.1 ± 0.2",
    }
    assert (rows[1]["source"], rows[1]["value"]) == ("paper", "")
