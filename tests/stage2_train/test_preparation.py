from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stage2_train.caches import config, make_cache, occurrences, shrunk_covariance, write_cache
from x2static.machine.progress import silent
from x2static.schemas.cache import Cache
from x2static.schemas.shard import ShardContent
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.preparation import Preparation
from x2static.stage2_train.run_folder import RunFolder, settings_of
from x2static.stage2_train.shard_choice import ShardChoice
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.trainer import train
from x2static.stage2_train.vocabulary import build_vocabulary

SPREAD, GAUSSIAN_DIM, GAUSSIAN_WORDS = 0.4, 8, 25


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of 16 dimensions, not to be changed."""
    return make_cache(tmp_path_factory.mktemp("preparation") / "cache", dim=16)


@pytest.fixture(scope="module")
def gaussian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contexts of one word each, Gaussian around its mean with one covariance, far from the origin."""
    draw = np.random.default_rng(3)
    means, mixing = gaussian_parameters()
    n = 12_000
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


def gaussian_parameters() -> tuple[np.ndarray, np.ndarray]:
    """The means of the words, and a square root of the covariance that they share."""
    draw = np.random.default_rng(4)
    mixing = np.eye(GAUSSIAN_DIM) + 0.3 * draw.normal(size=(GAUSSIAN_DIM, GAUSSIAN_DIM))
    centre = 3 * draw.normal(size=GAUSSIAN_DIM)
    return centre + SPREAD * draw.normal(size=(GAUSSIAN_WORDS, GAUSSIAN_DIM)) @ mixing, mixing


def prepare(wish: TrainConfig) -> tuple[Preparation, torch.Tensor, list[str], np.ndarray]:
    """A preparation, the vectors it begins with, the words and their counts."""
    cache = Cache.open(wish.cache)
    shards = cache.shards()
    vocabulary = build_vocabulary(shards, wish)
    wish.out.mkdir(exist_ok=True)
    run = RunFolder(wish.out, settings_of(wish, cache, ShardChoice(shards, None), None))
    preparation = Preparation(wish, run, Stream(cache, shards, vocabulary, wish), vocabulary, silent)
    learner = preparation.learner(torch.device("cpu"))
    preparation.begin(learner.vectors)
    assert not learner.adam.first.any()
    assert not learner.adam.second.any()
    return preparation, learner.vectors, vocabulary.words.to_pylist(), vocabulary.counts


@pytest.mark.parametrize(("init", "largest"), [("zeros", 0), ("uniform", 1 / 5)])
def test_uniform_vectors_and_zeros_have_a_bias_of_zero(small: Path, tmp_path: Path, init: str, largest: float):
    _, vectors, words, _ = prepare(config(small, tmp_path / "run", transform="center", dim=5, init=init))
    assert vectors.shape == (len(words), 6)
    assert not vectors[:, 5].any()
    assert vectors.abs().max() <= largest
    assert bool((vectors[:, :5] != 0).all()) == (init == "uniform")


@pytest.mark.parametrize(
    ("transform", "dim"),
    [("none", None), ("none", 5), ("center", None), ("center", 5), ("whiten", None), ("whiten", 5)],
)
def test_the_closed_form_to_begin_with_is_the_formula_on_transformed_contexts(
    small: Path, tmp_path: Path, transform: str, dim: int | None
):
    wish = config(small, tmp_path / "run", transform=transform, dim=dim, init="closed-form", noise_power=0.5)
    preparation, vectors, words, counts = prepare(wish)
    contexts, names = occurrences(small, words)
    space = preparation.transform
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


def expected_loss(scores: torch.Tensor, words: torch.Tensor, noise: torch.Tensor, negatives: int) -> torch.Tensor:
    """The loss of scores (contexts, words), in the mean over all draws of negatives."""
    positive = torch.nn.functional.softplus(-scores[torch.arange(len(words)), words])
    return (positive + negatives * torch.nn.functional.softplus(scores) @ noise).mean()


@pytest.mark.parametrize("transform", ["none", "center", "whiten"])
def test_of_gaussian_contexts_the_closed_form_is_near_the_optimum_of_training_at_once(
    gaussian: Path, tmp_path: Path, transform: str
):
    wish = config(gaussian, tmp_path / "run", transform=transform, init="closed-form", subsample=0)
    preparation, vectors, names, counts = prepare(wish)
    contexts, occurring = occurrences(gaussian, names)
    words = torch.tensor([names.index(name) for name in occurring])
    mapped = preparation.transform.map_contexts(torch.from_numpy(contexts))
    mapped = torch.cat([mapped, mapped.new_ones(len(mapped), int(preparation.transform.bias))], 1)
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


@pytest.mark.parametrize("transform", ["none", "center", "whiten"])
def test_an_epoch_from_the_closed_form_loses_less_than_one_from_uniform_vectors(
    gaussian: Path, tmp_path: Path, transform: str
):
    losses = {
        init: train(config(gaussian, tmp_path / init, transform=transform, init=init, epochs=1, subsample=0, lr=1e-3))[
            "loss"
        ]
        for init in ("closed-form", "uniform", "zeros")
    }
    assert losses["closed-form"] < losses["uniform"]
    assert losses["closed-form"] < losses["zeros"]


@pytest.mark.parametrize(("transform", "init", "passes"), [("whiten", "closed-form", 1), ("none", "zeros", 0)])
def test_one_pass_serves_transform_and_vectors_and_a_run_that_goes_on_needs_none(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transform: str, init: str, passes: int
):
    calls: list[int] = []
    in_order = Stream.in_order
    monkeypatch.setattr(Stream, "in_order", lambda self: calls.append(1) or in_order(self))
    wish = config(small, tmp_path / "run", transform=transform, init=init, epochs=1)
    train(wish)
    assert len(calls) == passes
    calls.clear()
    assert train(wish.model_copy(update={"epochs": 2}))["resumed"]
    assert not calls
    assert WordVectors.load(wish.out).run["configuration"]["init"] == init
