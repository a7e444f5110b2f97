"""Decontextualised vectors and Model2Vec: each word alone, whatever words it shares a batch with."""

from pathlib import Path

import numpy as np
import pytest

from tests.baselines.caches import alone, common, cosines, encoded, made, reader
from tests.teachers import FAMILIES
from x2static.baselines.model2vec import principal_components


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_an_unbatched_computation(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("x2static.stage1_encode.texts.TEXTS_AT_ONCE", 17)
    for layer, number in (("last", 2), (0, 0), (-2, 1)):
        ours = made("decontextualized", common(family), tmp_path / f"{layer}", layer=layer)
        expected = np.array([alone(reader(family).at(number), word) for word in ours.words])
        assert cosines(ours.matrix, expected).min() >= 0.9999
        np.testing.assert_allclose(ours.matrix, expected, rtol=1e-4, atol=1e-4)
    assert len(ours) > 40
    assert ours.run["pooling"] == "mean over the pieces of the word alone"


def test_a_word_longer_than_the_window_is_cut(tmp_path: Path) -> None:
    long = "x" * 600  # a piece a letter, and the teacher holds 512
    cache = encoded(tmp_path, [f"The cat reads Straßenbahnhaltestelle. {long}."] * 2)
    ours = made("decontextualized", cache, tmp_path / "out")
    assert long in ours
    expected = np.array([alone(reader(), word) for word in ours.words])
    np.testing.assert_allclose(ours.matrix, expected, rtol=1e-4, atol=1e-4)


def naive(states: np.ndarray, dim: int) -> np.ndarray:
    """The scores of a PCA by a singular value decomposition, in float64; the largest of each is positive."""
    centred = states.astype(np.float64) - states.mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    scores = (left * values)[:, :dim]
    return scores * np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(dim)])


def test_model2vec_is_a_naive_computation(tmp_path: Path) -> None:
    ours = made("model2vec", common(), tmp_path / "out", dim=6, layer=1)
    states = np.array([alone(reader().at(1), word, special=True) for word in ours.words])
    shares = ours.counts / ours.counts.sum()
    expected = naive(states, 6) * (1e-4 / (1e-4 + shares))[:, None]
    assert ours.matrix.shape == (len(ours.words), 6)
    np.testing.assert_allclose(ours.matrix, expected, rtol=1e-2, atol=1e-3 * np.abs(expected).max())
    vectors = (np.random.default_rng(0).normal(size=(500, 40)) * np.geomspace(10, 0.1, 40) + 3).astype(np.float32)
    np.testing.assert_allclose(principal_components(vectors, 10), naive(vectors, 10), rtol=1e-3, atol=1e-3)
    assert principal_components(states, 256).shape == (len(ours.words), 32)  # the teacher has no more
    np.testing.assert_array_equal(principal_components(states[:5], 6), states[:5])  # too few words
    assert (ours.run["sif"], ours.run["frequencies"]) == (1e-4, "counts of the cache")
