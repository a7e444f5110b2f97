"""Tables line up, and folders have the shortest names that tell them apart."""

from pathlib import Path

import pytest

from x2static.evaluation.word_similarity import Interval
from x2static.evaluation.word_similarity import SimilarityScore as Score
from x2static.pipeline.evaluations.word_similarity import difference_table, similarity_table
from x2static.pipeline.tables import short_names


def test_the_table_of_scores_has_a_column_a_set_of_vectors():
    scores = {
        "a": [Score("rg65", 0.5, 60, 65), Score("men", None, 1, 3000)],
        "longer/vectors": [Score("rg65", -0.25, 65, 65, Interval(-0.5, 0)), Score("men", 0.1, 2000, 3000)],
    }
    assert similarity_table(scores).terminal().splitlines() == [
        "         a                  longer/vectors",
        "rg65     0.500  (60/65)     -0.250 [-0.500, 0.000] (65/65)",
        "men      none   (1/3000)    0.100  (2000/3000)",
        "average  0.500 over 1 of 2  -0.075",
        "Spearman's rho [95 % interval] (pairs covered/total)",
    ]


def test_the_tables_say_which_tasks_are_parts_that_do_not_count_in_the_average():
    table = similarity_table({"a": [Score("ws353", 0.5, 90, 90), Score("ws353-similarity", None, 10, 90)]})
    assert table.terminal().splitlines()[3] == "average           0.500"
    assert table.terminal().endswith("; the average is without parts of other sets: ws353-similarity")
    tasks = [
        Score("t", 0.125, 90, 90),
        Score("t-part", 0.1, 50, 90),
        Score("u", None, 00, 90),
        Score("average", 0.125, 90, 90),
    ]
    lines = difference_table("a", {"b": tasks}).terminal().splitlines()
    assert lines[4] == "average  +0.125  (90/90) over 1 of 2"
    assert lines[-1].endswith("; the average is without parts of other sets: t-part")


def test_differences_that_are_clear_have_a_star():
    differences = [
        Score("t", 0.125, 90, 90, Interval(0.1, 0.2)),
        Score("u", -0.1, 50, 90, Interval(-0.2, 0.1)),
        Score("average", None, 140, 180),
    ]
    lines = difference_table("base", {"other": differences}).terminal().splitlines()
    assert lines[:4] == [
        "         other",
        "t        +0.125* [0.100, 0.200] (90/90)",
        "u        -0.100  [-0.200, 0.100] (50/90)",
        "average  none  (140/180)",
    ]
    assert lines[4].startswith("Spearman's rho minus that of base, on the same pairs")


SHORT = {"runs/mine": "mine", "runs/a runs/b": "a b", "x/a/v y/a/v": "x/a/v y/a/v", "a /x/a": "a x/a", ".": "."}
SHORT |= {"x/a /x/a": "x/a /x/a", "runs/a/vectors runs/b/vectors c": "a/vectors b/vectors c"}


@pytest.mark.parametrize(("folders", "names"), SHORT.items())
def test_folders_have_the_shortest_names_that_tell_them_apart(folders, names):
    paths = [Path(folder) for folder in folders.split()]
    assert short_names(paths) == dict(zip(names.split(), paths, strict=True))
