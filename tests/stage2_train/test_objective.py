import math

import numpy as np
import pytest
import torch

from tests.stage2_train.autograd import assert_like_autograd
from x2static.stage2_train.objectives import objective
from x2static.stage2_train.objectives.objective import Targets, score_pairs


def targets(scale: float = 1.0, n: int = 40) -> tuple[torch.Tensor, Targets]:
    draw = torch.Generator().manual_seed(3)
    vectors = scale * torch.randn(30, 6, generator=draw, dtype=torch.float64)
    return vectors, Targets(
        contexts=torch.randn(9, 6, generator=draw, dtype=torch.float64),
        context_of=torch.randint(0, 9, (n,), generator=draw),
        words=torch.randint(0, 30, (n, 4), generator=draw),
    )


def plain(vectors: torch.Tensor, batch: Targets) -> torch.Tensor:
    """The paper's formula, word for word."""
    total = torch.zeros((), dtype=vectors.dtype)
    for context_of, words in zip(batch.context_of.tolist(), batch.words.tolist(), strict=True):
        for k, word in enumerate(words):
            score = torch.clamp(vectors[word] @ batch.contexts[context_of], -20, 20)
            total = total + torch.log(1 + torch.exp(-score if k == 0 else score))
    return total / len(batch.words)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_loss_and_gradient_are_those_of_the_plain_formula_by_autograd(scale: float):
    vectors, batch = targets(scale)
    assert_like_autograd(plain, vectors, batch)


def test_a_clamped_score_gives_its_loss_but_no_gradient():
    contexts = torch.tensor([[1.0, 0.0]])
    batch = Targets(contexts, torch.tensor([0]), torch.tensor([[0, 1]]))
    loss, gradient = batch.loss_and_gradient(torch.tensor([[-25.0, 0.0], [-3.0, 0.0]]))
    assert loss == pytest.approx(20 + math.log1p(math.exp(-20)) + math.log1p(math.exp(-3)), rel=1e-6)
    assert gradient.rows.tolist() == [0, 1]
    assert gradient.values()[0].tolist() == [0.0, 0.0]
    assert gradient.values()[1, 0] == pytest.approx(1 / (1 + math.exp(3)), rel=1e-6)


def test_a_score_on_the_edge_of_the_clamp_still_has_a_gradient():
    batch = Targets(torch.tensor([[1.0]]), torch.tensor([0]), torch.tensor([[0, 1]]))
    _, gradient = batch.loss_and_gradient(torch.tensor([[-20.0], [-20.1]]))
    assert gradient.values()[0] < -0.9
    assert gradient.values()[1] == 0


def test_rows_are_the_distinct_words_of_the_batch_in_order():
    vectors, batch = targets()
    _, gradient = batch.loss_and_gradient(vectors)
    assert gradient.rows.tolist() == sorted(set(batch.words.flatten().tolist()))


def test_scores_in_pieces_equal_scores_at_once(monkeypatch: pytest.MonkeyPatch):
    vectors, batch = targets()
    pairs = vectors, batch.contexts, batch.words[:, 0], batch.context_of
    whole = score_pairs(*pairs)
    monkeypatch.setattr(objective, "PAIRS_AT_ONCE", 12)
    assert len(whole) > 24
    torch.testing.assert_close(score_pairs(*pairs), whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_score_that_is_not_finite_shows_in_the_loss_despite_the_clamp(bad: float):
    vectors, batch = targets()
    vectors[int(batch.words[5, 2])] = bad
    loss, _ = batch.loss_and_gradient(vectors)
    assert not np.isfinite(loss)
