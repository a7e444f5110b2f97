"""Plots are drawn of whatever text and figures come."""

import numpy as np

from x2static.report.pictures import losses, rounded, score_against, size_curves, word_map

PNG = b"\x89PNG"
NAN = float("nan")


def test_words_of_any_script_and_lines_with_gaps_are_drawn():
    words = ["$x^_$", "語", "שלום", "\\frac", "<b>"]
    points = np.random.default_rng(0).normal(size=(5, 2))
    lines = {"$a": np.array([[100, NAN, NAN], [2000, 0.3, 0.2]]), "b": np.array([[100, 0.1, NAN], [2000, 0.2, NAN]])}
    panels = {"one": lines, "none": {"c": np.array([[10, NAN, NAN], [20, NAN, NAN]])}}
    for narrow in (False, True):
        assert word_map(points, words, (0.5, 0.1), narrow).startswith(PNG)
        assert size_curves(panels, narrow).startswith(PNG)


def test_losses_and_scores_against_settings_of_any_kind_are_drawn_alike_from_call_to_call():
    curves = [("$a" * 40, [1.0]), ("b", [3.0, 2.0])]
    assert losses(curves).startswith(PNG)
    assert losses(curves, named=1) != losses(curves)
    for values in ([None, 100], [1e-4, 1.0], [None, "$x^_${語}.txt"], [True, None], [1, 2]):
        points = list(zip(values, [0.5, 0.6], strict=True))
        assert score_against("setting", points, str).startswith(PNG)
    assert score_against("setting", points, str) == score_against("setting", points, str)


def test_sizes_are_written_short():
    assert [rounded(n) for n in (950, 1_500, 31_000, 10_400_000, 2e9)] == ["950", "1.5k", "31k", "10.4M", "2G"]
