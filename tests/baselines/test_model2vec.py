"""Model2Vec: words alone, their principal components, smooth inverse frequency."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.baselines.caches import encoded, made
from tests.baselines.test_decontextualized import alone
from x2static.baselines.model2vec import principal_components


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged, also where the command line has set up logging before."""
    logger = logging.getLogger("x2static.baselines.model2vec")
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    yield caplog
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(caplog.handler)


def naive(states: np.ndarray, dim: int) -> np.ndarray:
    """Return the scores of a PCA by a singular value decomposition, in float64; the largest of each is positive."""
    centred = states.astype(np.float64) - states.mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    scores = (left * values)[:, :dim]
    return scores * np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(dim)])


def test_vectors_are_those_of_a_naive_computation(tmp_path: Path) -> None:
    found = made("model2vec", encoded(tmp_path), tmp_path / "out", dim=6, layer=1)
    states = np.array([alone(word, "bert", 1, special=True) for word in found.words])
    shares = found.counts / found.counts.sum()
    expected = naive(states, 6) * (1e-4 / (1e-4 + shares))[:, None]
    assert found.matrix.shape == (len(found.words), 6)
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-2, atol=1e-3 * np.abs(expected).max())
    assert (found.run["sif"], found.run["frequencies"]) == (1e-4, "counts of the cache")


def test_principal_components_are_those_of_a_singular_value_decomposition() -> None:
    drawn = np.random.default_rng(0)
    vectors = (drawn.normal(size=(500, 40)) * np.geomspace(10, 0.1, 40) + 3).astype(np.float32)
    np.testing.assert_allclose(principal_components(vectors, 10), naive(vectors, 10), rtol=1e-3, atol=1e-3)


def test_no_more_dimensions_than_the_teacher_has(log: pytest.LogCaptureFixture) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    assert principal_components(vectors, 256).shape == (50, 8)
    assert "--dim 256, and the teacher's vectors have 8" in log.text


def test_fewer_words_than_dimensions_are_not_reduced(log: pytest.LogCaptureFixture) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    np.testing.assert_array_equal(principal_components(vectors, 6), vectors)
    assert "no PCA to 6 dimensions, there are 5 words" in log.text
