"""Sentences: means of words are brought to their contexts, against autograd and a plain computation."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stage2_train.caches import config, opened, result
from x2static.durable.errors import X2StaticError
from x2static.schemas.vectors import WordVectors, sif_weights
from x2static.stage2_train import learner
from x2static.stage2_train.learner import BETA1, Learner
from x2static.stage2_train.objectives import views
from x2static.stage2_train.objectives.sentence import Means, Objective
from x2static.stage2_train.sampling import Position
from x2static.stage2_train.trainer import train
from x2static.stage2_train.transform import fit_transform

WORDS, DIM = 30, 13


def wish(cache: Path, out: Path, **changes: object):
    return config(cache, out, **{"objective": "sentence", "transform": "center", "init": "closed-form", **changes})


def targets_of(seed: int, biased: bool) -> Means:
    """Five contexts of one to nine words, one without."""
    draw = torch.Generator().manual_seed(seed)
    context_of = torch.repeat_interleave(torch.tensor([0, 1, 2, 4, 5]), torch.tensor([1, 4, 9, 2, 5]))
    contexts = torch.randn(6, DIM, generator=draw, dtype=torch.float64)
    return Means(contexts, context_of, torch.randint(0, WORDS, (len(context_of),), generator=draw), biased)


def plainly(vectors: torch.Tensor, targets: Means) -> torch.Tensor:
    """The sum over contexts of |S| (1 - cosine), a context at a time."""
    used, losses = DIM - targets.biased, []
    for number, context in enumerate(targets.contexts):
        words = targets.words[targets.context_of == number]
        if len(words):
            cosine = torch.nn.functional.cosine_similarity(vectors[words, :used].mean(0), context[:used], dim=0)
            losses.append(len(words) * (1 - cosine))
    return torch.stack(losses).sum()


@pytest.mark.parametrize("biased", [False, True])
def test_the_gradient_is_that_of_the_plain_formula_by_autograd(biased: bool):
    vectors = torch.randn(WORDS, DIM, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets = targets_of(2, biased)
    parameter = vectors.clone().requires_grad_()
    loss = plainly(parameter, targets)
    (loss / len(targets)).backward()
    ours = Learner(vectors.clone(), torch.zeros_like(vectors), torch.zeros_like(vectors))
    assert ours.learn(targets, 0.1) == pytest.approx(float(loss.detach()), rel=1e-12)
    torch.testing.assert_close(ours.first / (1 - BETA1), parameter.grad, rtol=1e-9, atol=1e-12)
    if biased:
        assert torch.equal(ours.vectors[:, -1], vectors[:, -1])


def test_a_mean_without_a_direction_moves_nothing_and_has_a_loss_of_one():
    vectors = torch.zeros(WORDS, DIM, dtype=torch.float64)
    targets = targets_of(3, biased=False)
    ours = Learner(vectors.clone(), torch.zeros_like(vectors), torch.zeros_like(vectors))
    assert ours.learn(targets, 0.1) == len(targets)
    assert torch.equal(ours.vectors, vectors)


def test_compiled_steps_are_plain_ones(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    matrices = []
    for fewest in (10**9, 0):
        monkeypatch.setattr(learner, "FEWEST_VALUES", fewest)
        train(wish(cache, tmp_path / str(fewest), epochs=1, lr=1e-3))
        matrices.append(WordVectors.load(tmp_path / str(fewest)).matrix)
    np.testing.assert_allclose(matrices[0], matrices[1], rtol=1e-3, atol=1e-5)


def test_the_words_of_a_paragraph_are_brought_to_the_mean_of_their_contexts(cache: Path):
    settings, stream, _ = opened(cache, **{"objective": "sentence", "init": "closed-form", "min_count": 60})
    _, batch, _ = next(stream.batches(Position(0), 1))
    like = torch.zeros(0, dtype=torch.float64)
    drawn = Objective(settings).draw(batch, Position(0), None, like)
    assert isinstance(drawn, Means)
    assert torch.equal(drawn.words, batch.words.long())
    assert len(drawn.contexts) == settings.batch_size < len(batch.contexts)
    of_words = batch.contexts.double()[batch.context_of]  # the context of each word
    for paragraph, context in enumerate(drawn.contexts):
        here = drawn.context_of == paragraph
        assert torch.equal(here, batch.group_of[batch.context_of] == paragraph)
        expected = of_words[here].mean(0) if here.any() else torch.zeros(stream.dim, dtype=torch.float64)
        torch.testing.assert_close(context, expected)
    by_sentence = Objective(settings.model_copy(update={"means_of": "sentences"})).draw(batch, Position(0), None, like)
    assert torch.equal(by_sentence.context_of, batch.context_of)
    assert torch.equal(by_sentence.contexts, batch.contexts.double())


def test_it_begins_at_the_means_of_contexts_or_at_the_views_turned(cache: Path, monkeypatch: pytest.MonkeyPatch):
    settings, stream, vocabulary = opened(cache, **{"objective": "sentence", "init": "closed-form"})
    sums = stream.moments(lambda _: None, True)
    for kind, dim in (("none", None), ("center", None), ("center", 7), ("whiten", 9)):
        transform = fit_transform(kind, dim, sums, "")
        vectors = torch.zeros(len(vocabulary), transform.width(stream.dim))
        Objective(settings.model_copy(update={"transform": kind})).begin(vectors, stream, transform, lambda: sums)
        width = transform.dim(stream.dim)
        expected = transform.map_differences(sums.differences(slice(None))).numpy()
        expected *= (sif_weights(vocabulary.counts, settings.sif) / np.linalg.norm(expected, axis=1))[:, None]
        np.testing.assert_allclose(vectors[:, :width].numpy(), expected, atol=1e-5)
        some = torch.randn(len(vocabulary), stream.dim, generator=torch.Generator().manual_seed(0))
        monkeypatch.setattr(views.Objective, "put_together", lambda *_, some=some: some)
        changes = {"init": "views", "transform": kind}
        Objective(settings.model_copy(update=changes)).begin(vectors, stream, transform, lambda: sums)
        if dim is None:
            np.testing.assert_allclose(vectors[:, :width].numpy(), some.numpy(), atol=1e-5)
        else:
            axes = torch.linalg.qr(transform.matrix).Q
            rows = torch.linalg.norm(some.double() @ axes, dim=1)
            torch.testing.assert_close(vectors[:, :width].norm(dim=1).double(), rows, rtol=1e-4, atol=1e-4)


def test_it_learns_what_the_contexts_say(cache: Path, tmp_path: Path):
    """Losses fall, and means of vectors that were never added up in training are nearer to their contexts."""
    train(wish(cache, tmp_path / "one", epochs=1, lr=1e-4))
    train(wish(cache, tmp_path / "more", epochs=4, lr=3e-3))
    first, *_, last = WordVectors.load(tmp_path / "more").run["losses"]
    assert last < first < 1
    _, stream, _ = opened(cache)
    _, batch, _ = next(iter(islice(stream.batches(Position(0), 1), 1)))
    centred = batch.contexts.float() - stream.moments(lambda _: None, False).mean.float()
    losses = []
    for name in ("one", "more"):
        matrix = torch.from_numpy(WordVectors.load(tmp_path / name).matrix)
        targets = Means(centred, batch.context_of, batch.words.long(), biased=False)
        losses.append(targets.loss_and_gradient(matrix)[0] / len(targets))
    assert losses[1] < losses[0]


@pytest.mark.parametrize("init", ["uniform", "zeros"])
def test_a_beginning_without_directions_is_refused(cache: Path, tmp_path: Path, init: str):
    with pytest.raises(X2StaticError, match=rf"--init {init}: .* give views or closed-form"):
        train(wish(cache, tmp_path / "run", init=init))
    assert not (tmp_path / "run").exists()


def test_two_runs_are_equal_to_the_byte(cache: Path, tmp_path: Path):
    for name in ("a", "b"):
        train(wish(cache, tmp_path / name, epochs=1))
    assert result(tmp_path / "a") == result(tmp_path / "b")
