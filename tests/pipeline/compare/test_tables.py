"""Tables: means, deviations, the best, the paper's columns and figures; neighbours and map, by a naive computation."""

import csv
import io
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest

from x2static.durable.errors import X2StaticError
from x2static.evaluation.word_similarity import SimilarityScore
from x2static.pipeline.compare import tables
from x2static.pipeline.compare.report import nearest, neighbour_table, principal_plane, words_to_show
from x2static.pipeline.compare.scores import Accuracy
from x2static.pipeline.compare.tables import Entry, Figures, Published
from x2static.report.table import Column, Table
from x2static.schemas.vectors import WordVectors


def pairs(**scores: float | None) -> list[SimilarityScore]:
    return [SimilarityScore(name, score, covered=30, total=40) for name, score in scores.items()]


def classes(**scores: tuple[float, float]) -> list[Accuracy]:
    return [Accuracy(task=name, macro_f1=f1, accuracy=accuracy) for name, (f1, accuracy) in scores.items()]


def similarity(*entries: Entry, published: tuple[Published, ...] = ()) -> Figures:
    return tables.similarity_figures("table3", "", entries, published)


def bold(figures: Figures, column: str) -> list[bool]:
    place = figures.heads.index(column) + 1
    return [row[place].bold for row in figures.table().rows]


def test_table_3_has_the_papers_columns_first_and_its_average_is_over_them_for_each_seed():
    seeds = [pairs(own=0.9, simlex999=0.2, rg65=0.4), pairs(own=0.7, simlex999=0.4, rg65=0.4)]
    paper = Published("p", {"rg65": 0.5, "sl999": 0.6, "average": 0.55})
    figures = similarity(Entry("a (2 seeds)", seeds, 61, 384, 12_345), published=(paper,))
    heads, *rows = figures.table().texts()
    assert heads == ["method", "RG-65", "SL-999", "own", "average", "pairs covered", "dim", "words", "time"]
    assert rows == [
        "a (2 seeds)|0.400 ± 0.000|0.300 ± 0.141|0.800 ± 0.141|0.350 ± 0.071|90 of 120|384|12,345|1 min 01 s".split(
            "|"
        ),
        ["p (paper)", "0.500", "0.600", "", "0.550", "", "", "", ""],
    ]
    expected = dict(zip(heads[1:], [0.4, 0.3, 0.8, 0.35, 0.75, 384, 12_345, 61], strict=True))
    assert figures.values() == {"a (2 seeds)": pytest.approx(expected)}
    assert figures.best("average") == ("a (2 seeds)", pytest.approx(0.35))
    assert figures.rows[0].figures["own"].deviation == pytest.approx(stdev([0.9, 0.7]))


def test_a_set_without_any_score_does_not_count_and_without_one_that_others_have_there_is_no_average():
    (_, row) = similarity(Entry("a", [pairs(rg65=None, simlex999=0.4)], None)).table().texts()
    assert row == ["a", "none", "0.400", "0.400", "60 of 80", "", "", "reused"]
    few = Entry("few", [pairs(rg65=0.9, simlex999=None)], None)
    figures = similarity(few, Entry("many", [pairs(rg65=0.5, simlex999=0.3)], 1))
    assert [row[3] for row in figures.table().texts()] == ["average", "none", "0.400"]
    assert [bold(figures, head) for head in ("average", "pairs covered")] == [[False, True], [False, False]]


def test_the_best_of_a_column_is_marked_for_each_source_and_ties_share():
    entries = [Entry(name, [pairs(rg65=score)], 1) for name, score in (("a", 0.5), ("b", 0.5), ("c", None))]
    figures = similarity(*entries, published=(Published("p", {"rg65": 0.9}), Published("p", {"rg65": 0.8})))
    assert bold(figures, "RG-65") == [True, True, False, True, False]


def test_table_4_is_in_per_cent_in_the_papers_order_and_the_teacher_takes_the_bold_from_nobody():
    ours = Entry("a", [classes(sst5=(0.2, 0.4), cr=(0.8, 0.9), zz=(0.5, 0.5))], 3)
    teacher = Entry("t", [classes(cr=(0.9, 0.95))], 3, source="teacher")
    figures = tables.classification_figures("", [ours, teacher], [Published("p", {"cr_f1": 81.6, "avg_acc": 78.1})])
    heads = [f"{head} {measure}" for head in ("CR", "SST-5", "zz", "average") for measure in ("F1", "acc.")]
    assert figures.table().texts() == [
        ["method", *heads, "time"],
        "a|80.0|90.0|20.0|40.0|50.0|50.0|50.0|60.0|3 s".split("|"),
        "t|90.0|95.0|||||90.0|95.0|3 s".split("|"),
        "p (paper)|81.6|||||||78.1|".split("|"),
    ]
    assert figures.table().groups == ["here", "teacher", "paper"]
    assert bold(figures, "CR F1") == [True, True, True]


def test_a_score_over_few_pairs_is_in_no_average():
    few = SimilarityScore("own", 1.0, covered=29, total=400)
    (_, row) = similarity(Entry("a", [[*pairs(simlex999=0.4), few]], None)).table().texts()
    assert row[:5] == ["a", "0.400", "1.000", "0.400", "59 of 440"]
    (_, row) = similarity(Entry("a", [[few]], None)).table().texts()
    assert row[:3] == ["a", "1.000", "none"]


def test_all_figures_and_the_neighbours_are_in_the_csv_file():
    figures = similarity(Entry('a,"b"', [pairs(own=0.25), pairs(own=0.5)], 1), published=(Published("p", {}),))
    neighbours = Table([Column("method", "left"), Column("1", "left")], [["m", "=w"]], "word")
    rows = list(csv.reader(io.StringIO(tables.csv_of([figures], [neighbours]))))
    assert rows[0] == ["table", "source", "row", "column", "value", "deviation", "covered", "total", "text"]
    deviation = str(stdev([0.25, 0.5]))
    assert rows[1] == ["table3", "here", 'a,"b"', "own", "0.375", deviation, "30", "40", "0.375 ± 0.177"]
    assert ["table3", "paper", "p", "own", "", "", "", "", ""] in rows
    assert rows[-1] == ["neighbours", "here", "word, m", "1", "", "", "", "", "'=w"]


def test_rows_are_named_by_method_parent_and_dimension_and_one_file_of_the_two_is_enough(tmp_path: Path):
    text = "method,parent,dim,rg65,average\nskip-gram,,768,0.8,\nX2Static,BERT,768,0.7,0.6\n"
    assert tables.read_tables(None) == {}
    with pytest.raises(X2StaticError, match="--reference takes their folder"):
        tables.read_tables(tmp_path)
    (tmp_path / "word_similarity.csv").write_text(text)
    rows = [Published("skip-gram, 768", {"rg65": 0.8}), Published("X2Static, BERT, 768", {"rg65": 0.7, "average": 0.6})]
    assert tables.read_tables(tmp_path) == {"word_similarity.csv": rows}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected the columns"),
        (b"method,parent,dim,rg65\nx,,1,high\n", "line 2: a figure is no number"),
        (b"method,parent,dim,rg65\nx,,1,nan\n", "line 2: a figure is not finite"),
        (b"method,parent,dim,rg65\nx,,1,2,3\n", "line 2: not as many columns"),
        (b"method,parent,dim\n\xff", "not valid UTF-8"),
    ],
)
def test_another_form_is_refused(content: bytes, said: str, tmp_path: Path):
    file = tmp_path / "word_similarity.csv"
    file.write_bytes(content)
    with pytest.raises(X2StaticError, match=said):
        tables.read_published(file)


WORDS = [f"w{i}" for i in range(30)]
MATRIX = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
VECTORS = WordVectors(WORDS, MATRIX, np.arange(30, 0, -1, dtype=np.int64))
UNIT = MATRIX.astype(float) / np.linalg.norm(MATRIX.astype(float), axis=1, keepdims=True)


def test_neighbours_are_the_highest_cosines_among_the_common_words_alone():
    others = [place for place in range(3, 20) if place != 5]
    expected = sorted(others, key=lambda place: -UNIT[place] @ UNIT[5])[:8]
    assert nearest(VECTORS, WORDS[3:20], ["w5"]) == {"w5": [WORDS[place] for place in expected]}
    table = neighbour_table("x", {"a": ["p", "q"], "b": ["r"]})
    assert table.texts() == [["method", "1", "2"], ["a", "p", "q"], ["b", "r", ""]]


def test_chosen_words_that_all_know_are_shown_else_examples_then_words_of_several_frequencies(caplog):
    assert words_to_show(["w5"], WORDS) == ["w5"]
    assert not caplog.records
    assert words_to_show(["w5", "absent"], WORDS) == ["w5"]
    assert "--words absent: left out, not among the 30 most frequent" in caplog.text
    common = [*(f"c{'abcdefghij'[i // 10]}{'abcdefghij'[i % 10]}" for i in range(100)), "king"]
    words = words_to_show([], common)
    assert words[0] == "king"
    assert len(words) == len(set(words)) == 6
    assert words_to_show([], []) == []


def test_the_map_is_the_plane_of_most_variance():
    points, shares = principal_plane(VECTORS, WORDS)
    variances = np.linalg.eigvalsh(np.cov(UNIT.T))[::-1]
    np.testing.assert_allclose(points.var(axis=0, ddof=1), variances[:2], rtol=1e-5)
    np.testing.assert_allclose(shares, variances[:2] / variances.sum(), rtol=1e-5)
    assert all(points[np.abs(points[:, axis]).argmax(), axis] > 0 for axis in (0, 1))
