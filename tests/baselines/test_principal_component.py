"""The first principal component: exact for few occurrences, within its bound for many, whatever the units."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.baselines.caches import common, cosines, made, occurring
from tests.teachers import FAMILIES
from x2static.baselines import principal_component
from x2static.baselines.principal_component import ROWS, Sketches
from x2static.stage1_encode.pools.pool import Shape


def first_component(vectors: np.ndarray) -> np.ndarray:
    """The first right singular vector, not centred, on the side of the mean."""
    component = np.linalg.svd(vectors.astype(np.float64), full_matrices=False)[2][0]
    return component * np.sign(component @ vectors.mean(axis=0))


def sketched(vectors: list[np.ndarray], n_units: int) -> Sketches:
    """Sketches of some words' vectors, in a random order."""
    sketches = Sketches()
    sketches.tensors = sketches.empty(Shape(1, vectors[0].shape[1], torch.device("cpu")), len(vectors))
    words = np.repeat(np.arange(len(vectors)), [len(rows) for rows in vectors])
    stacked = np.concatenate(vectors)
    for part in np.array_split(np.random.default_rng(0).permutation(len(words)), n_units):
        sketches.add((torch.from_numpy(words[part]), torch.from_numpy(stacked[part].astype(np.float32))))
        assert sketches.end_unit()
    return sketches


def clouds(sizes: list[int], dim: int, signal: float) -> list[np.ndarray]:
    """Random vectors around a direction of each word's own."""
    drawn = np.random.default_rng(1)
    means = drawn.normal(size=(len(sizes), dim))
    means *= signal / np.linalg.norm(means, axis=1, keepdims=True)
    return [mean + drawn.normal(size=(size, dim)) / np.sqrt(dim) for mean, size in zip(means, sizes, strict=True)]


def test_exact_for_as_many_occurrences_as_there_are_rows() -> None:
    vectors = clouds(list(range(1, ROWS + 1)), dim=20, signal=0.3)
    components = sketched(vectors, n_units=5).components()
    np.testing.assert_allclose(components, [first_component(rows) for rows in vectors], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(components, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("signal", [0.0, 0.3, 0.5, 1.0])
def test_the_error_is_within_its_bound_and_small_where_the_direction_is_clear(
    signal: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(principal_component, "BUFFERED", 500)  # a full buffer is folded in
    vectors = clouds([9, 16, 17, 64, 65, 200, 1000, 3000], dim=48, signal=signal)
    sketches = sketched(vectors, n_units=6)
    assert sketches.tensors["counts"].tolist() == [len(rows) for rows in vectors]
    for rows, few, component in zip(vectors, sketches.tensors["rows"], sketches.components(), strict=True):
        lost = np.linalg.eigvalsh(rows.T @ rows - few.double().numpy().T @ few.double().numpy())
        squares = np.linalg.svd(rows, compute_uv=False) ** 2
        bound = squares[1:].sum() / ROWS
        assert lost.min() > -1e-3
        assert lost.max() <= bound * (1 + 1e-5)
        cosine = component @ first_component(rows)
        assert np.sqrt(1 - min(1.0, cosine**2)) <= np.sqrt(bound / (squares[0] - squares[1])) + 1e-3
        assert signal < 0.5 or cosine >= 0.99


def test_vectors_that_are_all_alike_and_words_without_occurrence_are_no_trouble_and_bad_values_are_seen() -> None:
    drawn = np.random.default_rng(0).normal(size=(3, 24))
    vectors = [np.repeat(drawn[:1], 300, axis=0), np.tile(drawn[1:], (40, 1)), np.zeros((90, 24)), np.zeros((0, 24))]
    sketches = sketched(vectors, n_units=9)
    components = sketches.components()
    np.testing.assert_allclose(components[:2], [first_component(rows) for rows in vectors[:2]], atol=1e-4)
    assert not components[2:].any()
    sketches.add((torch.tensor([1]), torch.full((1, 24), float("nan"))))
    assert not sketches.end_unit()


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_an_unbatched_computation(family: str, tmp_path: Path) -> None:
    ours = made("pca", common(family), tmp_path / "out", layer=1)
    near = cosines(ours.matrix, np.array([first_component(vectors[:, 1]) for vectors in occurring(ours, family)]))
    few = ours.counts <= ROWS
    assert few.sum() >= 20
    assert near[few].min() >= 0.9999
    assert near.min() >= 0.99
    assert ours.run["occurrences"] == ours.counts.sum()
    assert (ours.run["pooling"], ours.run["rows_per_word"]) == ("first principal component, not centred", ROWS)
