"""Neighbours and the map, against a naive computation."""

import numpy as np
import pytest

from x2static.pipeline.compare.report import nearest, neighbour_table, principal_plane, words_to_show
from x2static.schemas.vectors import WordVectors

WORDS = [f"w{i}" for i in range(30)]
VECTORS = WordVectors(
    WORDS, np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32), np.arange(30, 0, -1, dtype=np.int64)
)


def test_neighbours_are_the_highest_cosines_among_the_common_words_alone():
    common = WORDS[3:20]

    def cosine(one: str, other: str) -> float:
        a, b = VECTORS[one].astype(float), VECTORS[other].astype(float)
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    expected = sorted((word for word in common if word != "w5"), key=lambda word: -cosine("w5", word))[:8]
    assert nearest(VECTORS, common, ["w5"]) == {"w5": expected}
    table = neighbour_table("x", {"a": ["p", "q"], "b": ["r"]})
    assert table.texts() == [["", "a", "b"], ["1", "p", "r"], ["2", "q", ""]]


def test_chosen_words_that_all_know_are_shown_else_examples_then_words_of_several_frequencies(
    caplog: pytest.LogCaptureFixture,
):
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
    unit = VECTORS.matrix.astype(float) / np.linalg.norm(VECTORS.matrix.astype(float), axis=1, keepdims=True)
    variances = np.linalg.eigvalsh(np.cov(unit.T))[::-1]
    np.testing.assert_allclose(points.var(axis=0, ddof=1), variances[:2], rtol=1e-5)
    np.testing.assert_allclose(shares, variances[:2] / variances.sum(), rtol=1e-5)
    assert all(points[np.abs(points[:, axis]).argmax(), axis] > 0 for axis in (0, 1))
