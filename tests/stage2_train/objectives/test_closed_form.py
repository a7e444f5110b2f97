"""The closed form against the formula on all contexts at once, as a result and as what training begins with."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from tests.schemas.caches import ShardContent
from tests.stage2_train.caches import config, occurrences, opened, shrunk_covariance, write_cache
from x2static.machine.progress import silent
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import trainer
from x2static.stage2_train import transform as spaces
from x2static.stage2_train.objectives import negative_sampling
from x2static.stage2_train.objectives.objective import BaseObjective
from x2static.stage2_train.trainer import train
from x2static.stage2_train.transform import Transform, fit_transform, pieces

SPACES = [("none", None), ("none", 5), ("center", None), ("center", 5), ("whiten", None), ("whiten", 5)]


def test_an_objective_is_a_class(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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
    moments = stream.moments(silent, of_words=True)
    transform = fit_transform(wish.transform, wish.dim, moments, "")
    vectors = torch.zeros(len(vocabulary), transform.width(stream.dim))
    negative_sampling.Objective(wish).begin(vectors, stream, transform, lambda: moments)
    return transform, vectors, vocabulary.words.to_pylist(), vocabulary.counts


@pytest.mark.parametrize(("init", "largest"), [("zeros", 0), ("uniform", 1 / 6)])
def test_uniform_vectors_and_zeros_have_a_bias_of_zero(small: Path, init: str, largest: float):
    _, vectors, words, _ = beginning(config(small, Path(), transform="center", dim=5, init=init))
    assert vectors.shape == (len(words), 6)
    assert not vectors[:, 5].any()
    assert vectors.abs().max() <= largest
    assert float(vectors[:, :5].std()) == pytest.approx(largest / np.sqrt(3), rel=0.1)  # that of uniform numbers


@pytest.mark.parametrize(("transform", "dim"), SPACES)
def test_the_closed_form_is_the_formula_on_all_contexts_at_once_alone_and_as_a_beginning(
    small: Path, tmp_path: Path, transform: str, dim: int | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spaces, "ROWS_AT_ONCE", 50 if dim else 1)  # several pieces of contexts, and of words
    changes = {"transform": transform, "dim": dim, "noise_power": 0.5, "min_count": 60}
    wish = config(small, tmp_path / "run", init="closed-form", **changes)
    space, vectors, words, counts = beginning(wish)
    contexts, names = occurrences(small, words)
    covariance = shrunk_covariance(contexts)
    if space.matrix is not None:  # solved on the mapped contexts, as if there were no others
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

    figures = train(config(small, tmp_path / "run", objective="closed-form", **changes))
    alone = WordVectors.load(tmp_path / "run")
    assert alone.words == words
    np.testing.assert_allclose(alone.matrix, u, rtol=1e-3, atol=1e-5 * np.abs(u).max())
    assert alone.dim == figures["dim"] == (dim or 16)
    assert (figures["loss"], figures["epochs"], figures["steps"]) == (None, 1, 0)
    assert figures["targets"] == counts.sum()
    again = train(config(small, tmp_path / "run", objective="closed-form", epochs=7, **changes))  # it has no epochs
    assert again == {**figures, "finished_before": True}


def test_of_gaussian_contexts_the_closed_form_is_near_the_optimum_that_training_reaches(tmp_path: Path):
    draw, dim, n, n_words = np.random.default_rng(3), 4, 2000, 8
    mixing = np.eye(dim) + 0.3 * draw.normal(size=(dim, dim))  # one covariance; a context has one word
    means = 3 * draw.normal(size=dim) + 0.4 * draw.normal(size=(n_words, dim)) @ mixing
    shares = 1 / np.arange(1, n_words + 1)
    ids = np.append(np.arange(n_words), draw.choice(n_words, n - n_words, p=shares / shares.sum()))
    contexts = means[ids] + draw.normal(size=(n, dim)) @ mixing
    contexts, lexicon = contexts.astype(np.float16), [f"w{word:02d}" for word in range(n_words)]
    words = {"word_ids": ids.astype(np.int32), "lexicon": lexicon, "counts": np.bincount(ids)}
    rows = {"paragraphs": np.arange(n, dtype=np.int32), "word_offsets": np.arange(n + 1, dtype=np.int32)}
    content = ShardContent(contexts=contexts, **rows, **words, n_paragraphs=n, n_tokens=n)
    path = write_cache(tmp_path / "cache", [content], dim=dim)
    wish = config(path, Path(), transform="center", init="closed-form", subsample=0)
    space, vectors, names, counts = beginning(wish)
    mapped = space.map_contexts(torch.from_numpy(contexts.astype(np.float64)))
    mapped, words = torch.cat([mapped, mapped.new_ones(n, 1)], 1), torch.tensor([names.index(lexicon[i]) for i in ids])
    noise = torch.from_numpy(wish.negatives * np.sqrt(counts) / np.sqrt(counts).sum())

    def loss_of(scores: torch.Tensor) -> torch.Tensor:
        """The loss in the mean over all draws of negatives."""
        positive = torch.nn.functional.softplus(-scores[torch.arange(n), words])
        return (positive + torch.nn.functional.softplus(scores) @ noise).mean()

    def loss_and_gradient(values: np.ndarray) -> tuple[float, np.ndarray]:
        rows = torch.from_numpy(values).reshape(vectors.shape).requires_grad_()
        loss = loss_of(mapped @ rows.T)
        loss.backward()
        return float(loss.detach()), rows.grad.numpy().ravel()

    optimum = minimize(loss_and_gradient, np.zeros(vectors.numel()), jac=True, method="L-BFGS-B").fun
    ours = loss_of(mapped @ vectors.double().T)
    # What knows how frequent words are and nothing of their contexts.
    blind = loss_of(torch.log(torch.from_numpy(counts / counts.sum()) / noise).expand(n, -1))
    assert optimum < ours < optimum + 0.04 * (blind - optimum)
