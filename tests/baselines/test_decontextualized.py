"""Decontextualised vectors: each word alone, whatever words it shares a batch with."""

from pathlib import Path

import numpy as np
import pytest

from tests.baselines.caches import common, cosines, encoded, made, reader
from tests.teachers import FAMILIES


def alone(word: str, family: str, layer: int, special: bool) -> np.ndarray:
    """The mean of a layer's states over the pieces of a word, one word at a time."""
    slow = reader(family).at(layer)
    pieces = slow.plain.encode(word, add_special_tokens=False).ids
    begin = len(slow.teacher.begin)
    states = slow.states([*slow.teacher.begin, *pieces, *slow.teacher.end])
    return (states if special else states[begin : begin + len(pieces)]).mean(axis=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_an_unbatched_computation(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("x2static.baselines.teacher_sentences.TEXTS_AT_ONCE", 17)
    for layer, number in (("last", 2), (0, 0), (-2, 1)):
        ours = made("decontextualized", common(family), tmp_path / f"{layer}", layer=layer)
        expected = np.array([alone(word, family, number, special=False) for word in ours.words])
        assert cosines(ours.matrix, expected).min() >= 0.9999
        np.testing.assert_allclose(ours.matrix, expected, rtol=1e-4, atol=1e-4)
    assert len(ours) > 40
    assert ours.run["pooling"] == "mean over the pieces of the word alone"


def test_a_word_without_pieces_is_left_out_and_a_long_one_is_cut(tmp_path: Path) -> None:
    long = "x" * 600  # a piece a letter, and the teacher holds 512
    cache = encoded(tmp_path, [f"The cat \ue000 reads Straßenbahnhaltestelle. {long}."] * 2)
    for name, special in (("decontextualized", False), ("model2vec", True)):
        ours = made(name, cache, tmp_path / name)
        assert set(ours.words) == {"the", "cat", "reads", "straßenbahnhaltestelle", ".", long}
        assert ours.run["words_left_out"] == 1
        for word in ("straßenbahnhaltestelle", long):
            expected = alone(word[:510], "bert", 2, special)
            assert cosines(ours[word][None], expected[None]).item() >= 0.9999
