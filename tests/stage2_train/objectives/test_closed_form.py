"""The closed form against the formula on all contexts at once, as a result and as what training begins with."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stage2_train.caches import config, occurrences, opened, result, shrunk_covariance
from x2static.machine.progress import silent
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import moments as sums
from x2static.stage2_train import trainer
from x2static.stage2_train.moments import fit_transform, gather, pieces
from x2static.stage2_train.objectives import negative_sampling
from x2static.stage2_train.objectives.objective import BaseObjective
from x2static.stage2_train.trainer import train
from x2static.stage2_train.transform import Transform

SPACES = [("none", None), ("none", 5), ("center", None), ("center", 5), ("whiten", None), ("whiten", 5)]


def direct(path: Path, words: list[str], transform: str, dim: int | None) -> np.ndarray:
    """The formula on all contexts at once: a row of X for every occurrence of a word of the vocabulary."""
    contexts, names = occurrences(path, words)
    covariance = shrunk_covariance(contexts)
    differences = np.array([contexts[names == word].mean(0) for word in words]) - contexts.mean(0)
    if dim is not None:  # solved on the projected contexts, as if there were no others
        axes = contexts.T @ contexts if transform == "none" else covariance
        axes = np.linalg.eigh(axes)[1][:, ::-1][:, :dim]
        covariance, differences = axes.T @ covariance @ axes, differences @ axes
    if transform != "whiten":
        return np.linalg.solve(covariance, differences.T).T
    left, values, right = np.linalg.svd(covariance)
    return differences @ (left / np.sqrt(values)) @ right


@pytest.mark.parametrize(("transform", "dim"), SPACES)
def test_the_closed_form_is_the_direct_computation(
    small: Path, tmp_path: Path, transform: str, dim: int | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sums, "ROWS_AT_ONCE", 50 if dim else 1)  # several pieces of contexts, and of words
    wish = config(small, tmp_path / "run", objective="closed-form", transform=transform, dim=dim, min_count=60)
    figures = train(wish)
    vectors = WordVectors.load(wish.out)
    expected = direct(small, vectors.words, transform, dim)
    # Axes may point either way: with fewer dimensions, what must agree are the products of words.
    ours, theirs = (one if dim is None else one @ one.T for one in (vectors.matrix, expected))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5 * np.abs(theirs).max())
    assert vectors.dim == figures["dim"] == (dim or 16)
    assert (figures["loss"], figures["epochs"], figures["steps"]) == (None, 1, 0)
    assert figures["targets"] == vectors.counts.sum()


def test_a_finished_closed_form_is_not_done_again_whatever_epochs_says(cache: Path, tmp_path: Path):
    first = train(config(cache, tmp_path / "run", objective="closed-form"))
    again = train(config(cache, tmp_path / "run", objective="closed-form", epochs=7))
    assert again == {**first, "finished_before": True}
    train(config(cache, tmp_path / "other", objective="closed-form"))
    assert result(tmp_path / "run") == result(tmp_path / "other")


def test_an_objective_without_steps_is_a_class_of_a_few_lines(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Mean(BaseObjective):
        takes_steps = draws = False
        needs_words = True

        def begin(self, vectors, counts, transform, moments):
            for rows in pieces(len(vectors)):
                means = transform.map_contexts(moments().words[rows] / moments().counts[rows, None])
                vectors[rows, : means.shape[1]] = means.float()

    monkeypatch.setattr(trainer, "load_objective", lambda name: Mean)
    wish = config(small, tmp_path / "run", transform="center")
    assert train(wish)["steps"] == 0
    vectors = WordVectors.load(wish.out)
    contexts, names = occurrences(small, vectors.words)
    means = np.array([contexts[names == word].mean(0) for word in vectors.words]) - contexts.mean(0)
    np.testing.assert_allclose(vectors.matrix, means, rtol=1e-4, atol=1e-5)


# What training begins with.


def beginning(wish: TrainConfig) -> tuple[Transform, torch.Tensor, list[str], np.ndarray]:
    """The space of a run, the vectors it begins with, the words and their counts."""
    _, stream, vocabulary = opened(wish.cache, **wish.model_dump(exclude={"cache", "out"}))
    moments = gather(stream, silent, of_words=True)
    transform = fit_transform(wish.transform, wish.dim, moments, "")
    vectors = torch.zeros(len(vocabulary), transform.width(stream.dim))
    negative_sampling.Objective(wish).begin(vectors, vocabulary.counts, transform, lambda: moments)
    return transform, vectors, vocabulary.words.to_pylist(), vocabulary.counts


@pytest.mark.parametrize(("init", "largest"), [("zeros", 0), ("uniform", 1 / 6)])
def test_uniform_vectors_and_zeros_have_a_bias_of_zero(small: Path, init: str, largest: float):
    _, vectors, words, _ = beginning(config(small, Path(), transform="center", dim=5, init=init))
    assert vectors.shape == (len(words), 6)
    assert not vectors[:, 5].any()
    assert vectors.abs().max() <= largest
    assert float(vectors[:, :5].std()) == pytest.approx(largest / np.sqrt(3), rel=0.1)  # that of uniform numbers


@pytest.mark.parametrize(("transform", "dim"), SPACES)
def test_the_closed_form_to_begin_with_is_the_formula_on_transformed_contexts(
    small: Path, transform: str, dim: int | None
):
    wish = config(small, Path(), transform=transform, dim=dim, init="closed-form", noise_power=0.5)
    space, vectors, words, counts = beginning(wish)
    contexts, names = occurrences(small, words)
    covariance = shrunk_covariance(contexts)
    if space.matrix is not None:
        covariance = space.matrix.T.numpy() @ covariance @ space.matrix.numpy()
    mapped = space.map_contexts(torch.from_numpy(contexts)).numpy()
    mean = mapped.mean(0)
    differences = np.array([mapped[names == word].mean(0) for word in words]) - mean
    u = np.linalg.solve(covariance, differences.T).T
    f = wish.subsample / (counts / counts.sum())
    targets = counts * np.minimum(1, np.sqrt(f) + f)
    odds = targets / targets.sum() / (wish.negatives * np.sqrt(counts) / np.sqrt(counts).sum())
    bias = np.log(odds) - (u * differences).sum(1) / 2
    if transform == "none":  # the constant, by least squares over the contexts' moments, is a part of the vectors
        g = np.linalg.solve(covariance + np.outer(mean, mean), mean)
        expected = u + np.outer(bias - u @ mean, g)
    else:
        assert np.abs(mean).max() < 1e-12
        expected = np.concatenate([u, bias[:, None]], 1)
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
