"""Negative sampling that begins at views and is drawn to them; the views are drawn at random here."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stage2_train.caches import config, opened, result
from tests.stage2_train.objectives.test_negative_sampling import DIM, WORDS, batch_of, begin, plain_loss, vectors_of
from tests.stage2_train.stops import stop_at
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import read_sealed
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import learner
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.objectives import views
from x2static.stage2_train.objectives.negative_sampling import Objective
from x2static.stage2_train.sampling import keep_probabilities
from x2static.stage2_train.trainer import train
from x2static.stage2_train.transform import fit_transform

BIASED = DIM - 1  # of the coordinates, those that are drawn to the prior: the last one is a bias


def some_views(n_words: int, dim: int) -> torch.Tensor:
    return 0.05 * torch.randn(n_words, dim, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def drawn_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views of a cache that holds none."""
    monkeypatch.setattr(views.Objective, "put_together", lambda _, s, __: some_views(len(s.vocabulary), s.dim))


def wish(cache: Path, out: Path, **changes: object):
    return config(cache, out, **{"init": "views", "transform": "whiten", "lr": 1e-3, **changes})


@pytest.mark.parametrize("shared", [False, True])
def test_the_gradient_is_that_of_the_plain_formula_by_autograd(shared: bool):
    vectors, batch = vectors_of(1.0).requires_grad_(), batch_of(3, shared, torch.float64)
    prior, pulls = vectors_of(2.0)[:, :BIASED].flip(0), np.linspace(0.1, 5, WORDS)
    words = batch.words if shared else batch.words[:, 0]
    distances = (vectors[words, :BIASED] - prior[words]).square().sum(1)
    loss = plain_loss(vectors, batch) + (torch.from_numpy(pulls)[words] * distances / 2).mean()
    loss.backward()
    ours = Learner(vectors.detach().clone(), torch.zeros_like(vectors), torch.zeros_like(vectors))
    ours.draw_to(prior, pulls)
    ours.learn(batch, 0.1)
    torch.testing.assert_close(ours.first / (1 - learner.BETA1), vectors.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shared", [False, True])
def test_ten_compiled_steps_are_plain_ones(shared: bool, monkeypatch: pytest.MonkeyPatch):
    plain, fast = begin(0), begin(0)
    for one in (plain, fast):
        one.draw_to(begin(1).vectors[:, :BIASED].clone(), np.linspace(0, 5, WORDS))
    for step in range(10):
        for one, fewest in ((plain, 10**9), (fast, 0)):
            monkeypatch.setattr(learner, "FEWEST_VALUES", fewest)
            one.learn(batch_of(step, shared), 0.05)
    for name, tensor in fast.tensors().items():
        torch.testing.assert_close(tensor, plain.tensors()[name], rtol=1e-4, atol=1e-4)
    assert (fast.vectors - begin(0).vectors).abs().max() > 0.1


def test_the_pull_of_an_epoch_is_the_strength_whatever_the_count_and_the_batch():
    counts = np.array([5000, 300, 20, 1])
    settings = config(Path(), Path(), init="views", prior=7, subsample=1e-3)
    of_target = Objective(settings).pulls(counts)
    np.testing.assert_allclose(of_target * counts * keep_probabilities(counts, 1e-3), 7)
    assert Objective(settings.model_copy(update={"prior": 0.0})).pulls(counts) is None


@pytest.mark.parametrize("dim", [None, 40])
@pytest.mark.parametrize("kind", ["none", "center", "whiten"])
def test_vectors_begin_at_the_views_turned_and_stretched_by_one_factor_to_the_closed_form(
    cache: Path, drawn_views: None, kind: str, dim: int | None
):
    settings, stream, vocabulary = opened(cache, init="views", transform=kind, dim=dim)
    sums = stream.moments(lambda _: None, True)
    transform = fit_transform(kind, dim, sums, "")
    vectors = torch.zeros(len(vocabulary), transform.width(stream.dim))
    Objective(settings).begin(vectors, stream, transform, lambda: sums)

    second = (sums.second_moment if kind == "none" else sums.covariance()).numpy()
    axes = np.eye(stream.dim) if dim is None else np.linalg.eigh(second)[1][:, ::-1][:, :dim]
    turned = some_views(len(vocabulary), stream.dim).double().numpy() @ axes
    a = np.eye(stream.dim) if transform.matrix is None else transform.matrix.numpy()
    inner = a.T @ sums.covariance().numpy() @ a
    slopes = (sums.words / sums.counts[:, None] - sums.mean).numpy() @ a @ np.linalg.inv(inner)
    signs = np.sign((turned.T @ (vectors[:, : turned.shape[1]].numpy())).diagonal())  # of axes, which are arbitrary
    turned *= 1 if dim is None else signs
    factor = (turned * slopes).sum() / (turned**2).sum()
    np.testing.assert_allclose(vectors[:, : turned.shape[1]], turned * (factor if factor > 0 else 1), atol=2e-3)
    if transform.bias:
        u = vectors[:, :-1].double().numpy()
        odds = vectors[:, -1].double().numpy() + np.einsum("wi,ij,wj->w", u, inner, u) / 2
        np.testing.assert_allclose(odds, Objective(settings)._log_odds(vocabulary.counts), atol=1e-2)


def test_a_strong_prior_keeps_the_views_and_a_weak_one_the_paper(
    cache: Path, tmp_path: Path, drawn_views: None, monkeypatch: pytest.MonkeyPatch
):
    start: list[torch.Tensor] = []

    def begin_and_look(self: Objective, vectors: torch.Tensor, *others: object) -> None:
        begin_there(self, vectors, *others)
        start.append(vectors[:, :-1].clone())

    begin_there = Objective.begin
    monkeypatch.setattr(Objective, "begin", begin_and_look)
    runs = []
    for strength in (0.0, 1e-6, 1e6):
        train(wish(cache, tmp_path / str(strength), prior=strength, epochs=4))
        runs.append(WordVectors.load(tmp_path / str(strength)).matrix)
    without, _, strong = (np.linalg.norm(run - start[0].numpy(), axis=1).mean() for run in runs)
    assert strong < without / 3
    np.testing.assert_allclose(runs[1], runs[0], atol=1e-4)


def test_a_stopped_run_goes_on_with_the_prior_that_it_began_with(
    cache: Path, tmp_path: Path, drawn_views: None, monkeypatch: pytest.MonkeyPatch
):
    once, twice = (wish(cache, tmp_path / name, prior=20.0) for name in ("once", "twice"))
    train(once)
    stop_at(7, twice)

    def gone(*_: object) -> None:
        raise AssertionError("the views are read again")

    monkeypatch.setattr(views.Objective, "put_together", gone)
    train(twice)
    assert result(once.out) == result(twice.out)


def test_words_that_are_carried_over_are_drawn_to_the_views_of_their_new_run(
    cache: Path, tmp_path: Path, drawn_views: None
):
    train(wish(cache, tmp_path / "first"))  # without a prior
    train(wish(cache, tmp_path / "second", prior=5.0, continue_run=tmp_path / "first"))
    assert WordVectors.load(tmp_path / "second").run["continued"]["words_carried_over"] > 0


@pytest.mark.parametrize("changes", [{"init": "closed-form"}, {"init": "uniform"}, {"objective": "closed-form"}])
def test_a_prior_that_nothing_is_drawn_to_is_refused(cache: Path, tmp_path: Path, changes: dict[str, str]):
    with pytest.raises(X2StaticError, match=r"--prior 3: .* leave it out"):
        train(wish(cache, tmp_path / "run", prior=3.0, **changes))
    assert not (tmp_path / "run").exists()


def test_the_prior_identifies_a_run_only_where_it_counts(cache: Path, tmp_path: Path, drawn_views: None):
    recorded = {}
    for init in ("zeros", "views"):
        train(wish(cache, tmp_path / init, init=init, epochs=1))
        recorded[init] = {"prior", "sif"} & set(read_sealed(tmp_path / init / "settings.json"))
    assert recorded == {"zeros": set(), "views": {"prior", "sif"}}


def test_text_from_outside_that_is_begun_at_is_named_as_that_of_views_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(views.Objective, "sources", lambda *_: {"outside_text": "a dictionary"})
    settings = config(Path(), Path(), init="views")
    assert Objective(settings).sources(Path()) == {"outside_text": "a dictionary"}
    assert Objective(config(Path(), Path(), init="zeros")).sources(Path()) == {}
