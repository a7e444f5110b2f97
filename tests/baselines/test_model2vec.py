"""Model2Vec: words alone, their principal components, smooth inverse frequency."""

from pathlib import Path

import numpy as np
import pytest

from tests.baselines.caches import common, made
from tests.baselines.test_decontextualized import alone
from x2static.baselines.model2vec import principal_components


def naive(states: np.ndarray, dim: int) -> np.ndarray:
    """The scores of a PCA by a singular value decomposition, in float64; the largest of each is positive."""
    centred = states.astype(np.float64) - states.mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    scores = (left * values)[:, :dim]
    return scores * np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(dim)])


def test_vectors_are_those_of_a_naive_computation(tmp_path: Path) -> None:
    ours = made("model2vec", common(), tmp_path / "out", dim=6, layer=1)
    states = np.array([alone(word, "bert", 1, special=True) for word in ours.words])
    shares = ours.counts / ours.counts.sum()
    expected = naive(states, 6) * (1e-4 / (1e-4 + shares))[:, None]
    assert ours.matrix.shape == (len(ours.words), 6)
    np.testing.assert_allclose(ours.matrix, expected, rtol=1e-2, atol=1e-3 * np.abs(expected).max())
    assert (ours.run["sif"], ours.run["frequencies"]) == (1e-4, "counts of the cache")


def test_principal_components_are_those_of_a_singular_value_decomposition() -> None:
    drawn = np.random.default_rng(0)
    vectors = (drawn.normal(size=(500, 40)) * np.geomspace(10, 0.1, 40) + 3).astype(np.float32)
    np.testing.assert_allclose(principal_components(vectors, 10), naive(vectors, 10), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("n", "dim", "width"), [(50, 256, 8), (5, 6, 8)])
def test_no_more_dimensions_than_the_teacher_has_and_no_reduction_of_few_words(n: int, dim: int, width: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(n, width)).astype(np.float32)
    reduced = principal_components(vectors, dim)
    assert reduced.shape == vectors.shape
    assert np.array_equal(reduced, vectors) == (n <= width)
