"""The closed form against the formula on all contexts at once, as a result and as what training begins with."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.schemas.caches import ShardContent
from tests.stage2_train.caches import (
    DIM,
    config,
    make_cache,
    occurrences,
    opened,
    result,
    rewritten_shard,
    shard_content,
    shrunk_covariance,
    write_cache,
)
from x2static.durable.errors import Interrupted, X2StaticError
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

SPREAD, GAUSSIAN_DIM, GAUSSIAN_WORDS = 0.4, 8, 25
SPACES = [("none", None), ("none", 5), ("center", None), ("center", 5), ("whiten", None), ("whiten", 5)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of 16 dimensions, not to be changed."""
    return make_cache(tmp_path_factory.mktemp("closed-form") / "cache", dim=16)


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


def test_contexts_that_are_all_equal_are_refused(cache_copy: Path, tmp_path: Path):
    equal = [np.full_like(shard_content(index, 130, DIM).contexts, 0.3) for index in range(3)]
    with (
        rewritten_shard(cache_copy, 0, contexts=equal[0]),
        rewritten_shard(cache_copy, 1, contexts=equal[1]),
        rewritten_shard(cache_copy, 2, contexts=equal[2]),
        pytest.raises(X2StaticError, match="all contexts of the cache are equal"),
    ):
        train(config(cache_copy, tmp_path / "run", objective="closed-form"))


def test_a_signal_stops_the_closed_form_which_then_starts_over(cache: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run", objective="closed-form")
    with pytest.raises(Interrupted, match=r"SIGTERM.*start over"):
        train(wish, report=lambda progress: signal.raise_signal(signal.SIGTERM))
    assert not train(wish)["resumed"]


def test_an_objective_without_steps_is_a_class_of_a_few_lines(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Mean(BaseObjective):
        takes_steps = False
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
    moments = gather(stream, vocabulary, silent, of_words=True)
    transform = fit_transform(wish.transform, wish.dim, moments, "")
    vectors = torch.zeros(len(vocabulary), transform.width(stream.dim))
    negative_sampling.Objective(wish).begin(vectors, vocabulary.counts, transform, lambda: moments)
    return transform, vectors, vocabulary.words.to_pylist(), vocabulary.counts


@pytest.mark.parametrize(("init", "largest"), [("zeros", 0), ("uniform", 1 / 5)])
def test_uniform_vectors_and_zeros_have_a_bias_of_zero(small: Path, init: str, largest: float):
    _, vectors, words, _ = beginning(config(small, Path(), transform="center", dim=5, init=init))
    assert vectors.shape == (len(words), 6)
    assert not vectors[:, 5].any()
    assert vectors.abs().max() <= largest
    assert bool((vectors[:, :5] != 0).all()) == (init == "uniform")


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


@pytest.fixture(scope="module")
def gaussian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contexts of one word each, Gaussian around its mean with one covariance, far from the origin."""
    draw = np.random.default_rng(4)
    mixing = np.eye(GAUSSIAN_DIM) + 0.3 * draw.normal(size=(GAUSSIAN_DIM, GAUSSIAN_DIM))
    centre = 3 * draw.normal(size=GAUSSIAN_DIM)
    means = centre + SPREAD * draw.normal(size=(GAUSSIAN_WORDS, GAUSSIAN_DIM)) @ mixing
    draw, n = np.random.default_rng(3), 12_000
    shares = 1 / np.arange(1, GAUSSIAN_WORDS + 1)
    words = draw.choice(GAUSSIAN_WORDS, n, p=shares / shares.sum())
    contexts = means[words] + draw.normal(size=(n, GAUSSIAN_DIM)) @ mixing
    content = ShardContent(
        contexts=contexts.astype(np.float16),
        paragraphs=(np.arange(n) // 4).astype(np.int32),
        word_offsets=np.arange(n + 1, dtype=np.int32),
        word_ids=words.astype(np.int32),
        lexicon=[f"w{word:02d}" for word in range(GAUSSIAN_WORDS)],
        counts=np.bincount(words, minlength=GAUSSIAN_WORDS),
        n_paragraphs=n // 4,
        n_tokens=n,
    )
    return write_cache(tmp_path_factory.mktemp("gaussian") / "cache", [content], dim=GAUSSIAN_DIM)


def expected_loss(scores: torch.Tensor, words: torch.Tensor, noise: torch.Tensor, negatives: int) -> torch.Tensor:
    """The loss of scores (contexts, words), in the mean over all draws of negatives."""
    positive = torch.nn.functional.softplus(-scores[torch.arange(len(words)), words])
    return (positive + negatives * torch.nn.functional.softplus(scores) @ noise).mean()


@pytest.mark.parametrize("transform", ["none", "center", "whiten"])
def test_of_gaussian_contexts_the_closed_form_is_near_the_optimum_of_training_at_once(gaussian: Path, transform: str):
    wish = config(gaussian, Path(), transform=transform, init="closed-form", subsample=0)
    space, vectors, names, counts = beginning(wish)
    contexts, occurring = occurrences(gaussian, names)
    words = torch.tensor([names.index(name) for name in occurring])
    mapped = space.map_contexts(torch.from_numpy(contexts))
    mapped = torch.cat([mapped, mapped.new_ones(len(mapped), int(space.bias))], 1)
    noise, shares = torch.from_numpy(np.sqrt(counts) / np.sqrt(counts).sum()), torch.from_numpy(counts / counts.sum())
    best = torch.zeros(vectors.shape, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([best], max_iter=300, line_search_fn="strong_wolfe")

    def loss_of(rows: torch.Tensor) -> torch.Tensor:
        return expected_loss(mapped @ rows.T, words, noise, wish.negatives)

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        loss = loss_of(best)
        loss.backward()
        return loss

    optimiser.step(step)
    optimum, ours = loss_of(best.detach()), loss_of(vectors.double())
    # What knows how frequent words are and nothing of their contexts.
    blind = expected_loss(torch.log(shares / (wish.negatives * noise)).expand(len(words), -1), words, noise, 5)
    assert optimum < ours < optimum + 0.04 * (blind - optimum)


@pytest.mark.parametrize("transform", ["none", "whiten"])
def test_an_epoch_from_the_closed_form_loses_less_than_one_from_uniform_vectors(
    gaussian: Path, tmp_path: Path, transform: str
):
    losses = {
        init: train(config(gaussian, tmp_path / init, transform=transform, init=init, epochs=1, subsample=0, lr=1e-3))[
            "loss"
        ]
        for init in ("closed-form", "uniform", "zeros")
    }
    assert losses["closed-form"] < min(losses["uniform"], losses["zeros"])
