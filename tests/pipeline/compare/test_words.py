"""Neighbours and the map, against a naive computation."""

import numpy as np
import pytest

from x2static.durable.errors import X2StaticError
from x2static.pipeline.compare.words import (
    check_words,
    chosen_words,
    content_words,
    nearest,
    neighbour_table,
    principal_plane,
)
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


def test_a_table_of_neighbours_has_a_column_a_method_also_where_there_are_few():
    table = neighbour_table("x", {"a": ["p", "q"], "b": ["r"]})
    assert table.texts() == [["", "a", "b"], ["1", "p", "r"], ["2", "q", ""]]


def test_of_words_that_are_asked_for_those_are_shown_that_all_know(caplog: pytest.LogCaptureFixture):
    assert chosen_words(["w5"], WORDS) == ["w5"]
    assert not caplog.records
    assert chosen_words(["w5", "absent"], WORDS) == ["w5"]
    assert "--words absent: left out, not among the 30 most frequent" in caplog.text


def test_words_outside_the_vocabulary_are_refused():
    check_words(["w5"], WORDS)
    with pytest.raises(X2StaticError, match="--words absent: not in the cache's vocabulary of 30 words"):
        check_words(["w5", "absent"], WORDS)


def test_without_a_choice_examples_come_first_then_words_of_several_frequencies():
    common = [*(f"c{'abcdefghij'[i // 10]}{'abcdefghij'[i % 10]}" for i in range(100)), "king"]
    words = chosen_words([], common)
    assert words[0] == "king"
    assert len(words) == len(set(words)) == 6
    assert chosen_words([], []) == []


def test_content_words_are_letters_past_the_most_frequent():
    common = [f"the{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(201)] + ["9th", "a", "cat"]
    assert content_words(common, 1000) == [*common[100:201], "cat"]
    assert content_words(["1", "2"], 1) == ["1"]  # better than none


def test_the_map_is_the_plane_of_most_variance():
    points, shares = principal_plane(VECTORS, WORDS)
    unit = VECTORS.matrix.astype(float) / np.linalg.norm(VECTORS.matrix.astype(float), axis=1, keepdims=True)
    variances = np.linalg.eigvalsh(np.cov(unit.T))[::-1]
    np.testing.assert_allclose(points.var(axis=0, ddof=1), variances[:2], rtol=1e-5)
    np.testing.assert_allclose(shares, variances[:2] / variances.sum(), rtol=1e-5)
    assert all(points[np.abs(points[:, axis]).argmax(), axis] > 0 for axis in (0, 1))
