"""Figures in tables: means, deviations, the best, and the columns of the paper."""

import csv
import io

import numpy as np
import pytest

from x2static.pipeline.compare.records import TaskAccuracy, TaskScore
from x2static.pipeline.compare.reference import Published
from x2static.pipeline.compare.tables import Figures, Row, classification_figures, csv_of, similarity_figures
from x2static.report.table import Column, Table


def pairs(**scores: float | None) -> list[TaskScore]:
    return [TaskScore(task=name, score=score, covered=3, total=4) for name, score in scores.items()]


def classes(**scores: tuple[float, float]) -> list[TaskAccuracy]:
    return [TaskAccuracy(task=name, macro_f1=f1, accuracy=accuracy) for name, (f1, accuracy) in scores.items()]


def similarity(*rows: Row, published: tuple[Published, ...] = ()) -> Figures:
    return similarity_figures("table3", "", rows, published)


def texts(figures: Figures) -> list[list[str]]:
    return figures.table().texts()


def bold(figures: Figures, column: str) -> list[bool]:
    return figures.frame.loc[figures.frame["column"] == column, "bold"].tolist()


def test_table_3_has_the_papers_columns_first_and_its_average_is_over_them_for_each_seed():
    seeds = [pairs(own=0.9, simlex999=0.2, rg65=0.4), pairs(own=0.7, simlex999=0.4, rg65=0.4)]
    paper = Published("p", {"rg65": 0.5, "sl999": 0.6, "average": 0.55})
    figures = similarity(Row("a", "a (2 seeds)", seeds, 61, 384, 12_345), published=(paper,))
    assert texts(figures) == [
        ["method", "RG-65", "SL-999", "own", "average", "pairs covered", "dim", "words", "time"],
        "a (2 seeds)|0.400 ± 0.000|0.300 ± 0.141|0.800 ± 0.141|0.350 ± 0.071|9 of 12|384|12,345|1 min 01 s".split("|"),
        ["p (paper)", "0.500", "0.600", "", "0.550", "", "", "", ""],
    ]
    assert figures.values() == {
        "a (2 seeds)": pytest.approx(
            {
                "RG-65": 0.4,
                "SL-999": 0.3,
                "own": 0.8,
                "average": 0.35,
                "pairs covered": 0.75,
                "dim": 384,
                "words": 12_345,
                "time": 61,
            }
        )
    }
    assert figures.best("average") == ("a (2 seeds)", pytest.approx(0.35))
    deviations = [
        line.deviation for line in figures.frame.itertuples() if line.column == "own" and line.source == "here"
    ]
    assert deviations == [pytest.approx(np.std([0.9, 0.7], ddof=1))]


def test_a_data_set_without_a_score_is_left_out_of_the_average_and_unknown_time_is_reused():
    (_, row) = texts(similarity(Row("a", "a", [pairs(rg65=None, simlex999=0.4)], None)))
    assert row == ["a", "none", "0.400", "0.400", "6 of 8", "", "", "reused"]


def test_a_row_without_a_score_that_others_have_has_no_average_and_takes_no_bold():
    few, many = (
        Row("few", "few", [pairs(rg65=0.9, simlex999=None)], None),
        Row("many", "many", [pairs(rg65=0.5, simlex999=0.3)], 1),
    )
    figures = similarity(few, many)
    assert [row[3] for row in texts(figures)] == ["average", "none", "0.400"]
    assert bold(figures, "average") == [False, True]
    assert bold(figures, "pairs covered") == [False, False]


def test_the_best_of_a_column_is_marked_for_each_source_and_ties_share():
    rows = [Row(name, name, [pairs(rg65=score)], 1) for name, score in (("a", 0.5), ("b", 0.5), ("c", None))]
    figures = similarity(*rows, published=(Published("p", {"rg65": 0.9}), Published("p", {"rg65": 0.8})))
    assert bold(figures, "RG-65") == [True, True, False, True, False]


def test_table_4_is_in_per_cent_in_the_papers_order_and_the_teacher_takes_the_bold_from_nobody():
    ours = Row("a", "a", [classes(sst5=(0.2, 0.4), cr=(0.8, 0.9), zz=(0.5, 0.5))], 3)
    teacher = Row("t", "t", [classes(cr=(0.9, 0.95))], 3, source="teacher")
    figures = classification_figures("", [ours, teacher], [Published("p", {"cr_f1": 81.6, "avg_acc": 78.1})])
    heads = [f"{head} {measure}" for head in ("CR", "SST-5", "zz", "average") for measure in ("F1", "acc.")]
    assert texts(figures) == [
        ["method", *heads, "time"],
        "a|80.0|90.0|20.0|40.0|50.0|50.0|50.0|60.0|3 s".split("|"),
        "t|90.0|95.0|||||90.0|95.0|3 s".split("|"),
        "p (paper)|81.6|||||||78.1|".split("|"),
    ]
    assert figures.table().groups == ["here", "teacher", "paper"]
    assert bold(figures, "CR F1") == [True, True, True]


def test_all_figures_and_the_neighbours_are_in_the_csv_file():
    figures = similarity(Row("a", 'a,"b"', [pairs(own=0.25), pairs(own=0.5)], 1), published=(Published("p", {}),))
    neighbours = Table([Column("", "left"), Column("m", "left")], [["1", "=w"]], "word")
    rows = list(csv.DictReader(io.StringIO(csv_of([figures], [neighbours]))))
    assert rows[0] == {
        "table": "table3",
        "source": "here",
        "row": 'a,"b"',
        "column": "own",
        "value": "0.375",
        "deviation": "0.1767766952966369",
        "covered": "3",
        "total": "4",
        "text": "0.375 ± 0.177",
    }
    (empty,) = (row for row in rows if row["source"] == "paper" and row["column"] == "own")
    assert (empty["value"], empty["text"]) == ("", "")
    assert [rows[-1][name] for name in ("table", "row", "column", "value", "text")] == [
        "neighbours",
        "1",
        "m",
        "",
        "'=w",
    ]
