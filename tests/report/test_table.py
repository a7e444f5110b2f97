"""A table says the same on a terminal, in Markdown and in CSV, and what is in a cell stays in it."""

import csv
import io
import re

import pytest

from x2static.report.table import Cell, Column, Table, display_width, end_of, figure, harmless

EVIL = '<script>alert("1")</script>\'" onload=x `|*_[a](b) $y$\n# head'

TABLE = Table(
    [Column("name", "left"), Column("rho"), Column("change", digits=1, signed=True), Column("pairs")],
    [["a", 0.25, 1.25, 1234], ["longer", Cell(-0.5, bold=True), Cell(2.0, "2 ± 1"), None]],
    caption="All of it.",
    notes=["The end."],
)


def test_a_terminal_shows_words_at_the_left_and_figures_at_the_right():
    assert TABLE.terminal().splitlines() == [
        "All of it.",
        "name       rho  change  pairs",
        "a        0.250    +1.2  1,234",
        "longer  -0.500   2 ± 1   none",
        "The end.",
    ]
    table = Table([Column("", "left"), Column("", "left")], [["語", "x"], ["e\u0301é", "x"], ["abc", "x"]])
    assert [display_width(line) for line in table.lines()] == [0, 6, 6, 6]


def test_no_character_of_a_cell_commands_the_terminal_or_breaks_the_line():
    table = Table([Column("", "left")], [["\x1b[2Ja\nb\tc\u202ed\u2028\x9b"]], notes=["\x07"])
    assert table.terminal().splitlines()[1:] == [r"\x1b[2Ja\nb\tc\u202ed\u2028\x9b", r"\x07"]


def test_markdown_has_the_same_cells_and_no_markup_of_theirs():
    assert TABLE.markdown().splitlines() == [
        "All of it.",
        "",
        "| name | rho | change | pairs |",
        "| :-- | --: | --: | --: |",
        "| a | 0.250 | +1.2 | 1,234 |",
        "| longer | **-0.500** | 2 ± 1 | none |",
        "",
        "The end.",
    ]
    evil = Table([Column(EVIL), Column("x")], [[Cell(EVIL, bold=True), EVIL]], EVIL).markdown()
    assert "<script" not in evil
    assert "\n# head" not in evil
    assert re.findall(r"(?<!\\)[`$]", evil) == []
    rows = [line for line in evil.splitlines() if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [3, 3, 3]


def test_csv_has_exact_figures_and_nothing_that_a_spreadsheet_runs():
    assert list(csv.reader(io.StringIO(TABLE.csv()))) == [
        ["name", "rho", "change", "pairs"],
        ["a", "0.25", "1.25", "1234"],
        ["longer", "-0.5", "2.0", ""],
    ]
    texts = ["=1+1", "+cmd", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", 'a,"b"']
    cells = [row[0] for row in csv.reader(io.StringIO(Table([Column("=x")], [[text] for text in texts]).csv()))]
    assert cells == ["'=x", *("'" + text for text in texts[:-1]), texts[-1]]


@pytest.mark.parametrize("text", ["-0.5", "-1e-3", "+0.123 [-0.1, +0.2]", "-.5 ± 0.1", "a-b", ""])
def test_figures_and_common_texts_stay_as_they_are_in_csv(text: str):
    assert harmless(text) == text


def test_a_long_name_keeps_its_end_and_a_missing_figure_is_said():
    assert end_of("x" * 50 + "END") == "..." + "x" * 34 + "END"
    figures = [figure(None), figure(1.0, 1), figure(12345), figure(0.5, signed=True)]
    assert figures == ["none", "1.0", "12,345", "+0.500"]
