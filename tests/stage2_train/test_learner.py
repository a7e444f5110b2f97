"""The compiled arithmetic against the plain one, which is compared with PyTorch's own in test_negative_sampling."""

import math
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from tests.stage2_train.caches import config, result
from tests.stage2_train.objectives.batches import DIM, WORDS, batch_of
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import learner
from x2static.stage2_train.learner import Learner, score_pairs
from x2static.stage2_train.trainer import train


def begin(seed: int) -> Learner:
    vectors = torch.randn(WORDS, DIM, generator=torch.Generator().manual_seed(seed))
    return Learner(vectors, torch.zeros_like(vectors), torch.zeros_like(vectors))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile for vocabularies that are too small to pay for it."""
    monkeypatch.setattr(learner, "FEWEST_VALUES", 0)


@pytest.mark.parametrize("shared", [False, True])
def test_ten_compiled_steps_are_plain_ones(shared: bool, compiled: None, monkeypatch: pytest.MonkeyPatch):
    plain, fast, faster = begin(0), begin(0), begin(0)
    for step in range(10):
        batch = batch_of(step, shared)
        loss = fast.learn(batch, 0.05)
        torch.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        assert faster.learn(batch, 0.05) == pytest.approx(loss, rel=1e-6)
        torch.set_num_threads(1)
        with monkeypatch.context() as patch:
            patch.setattr(learner, "FEWEST_VALUES", 10**9)
            assert plain.learn(batch, 0.05) == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(fast.vectors, plain.vectors, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast.first, plain.first, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(fast.second, plain.second, rtol=1e-4, atol=1e-8)
    assert all(torch.equal(tensor, faster.tensors()[name]) for name, tensor in fast.tensors().items())
    assert fast.steps == plain.steps == 10
    assert (fast.vectors - begin(0).vectors).abs().max() > 0.1


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_numbers_that_are_not_finite_come_through_compiled_scores(bad: float, compiled: None):
    vectors = begin(0).vectors
    vectors[3, 2] = bad
    scores = score_pairs(vectors, torch.ones(1, DIM), torch.tensor([3, 4]), torch.tensor([0, 0]))
    assert not math.isfinite(scores[0])
    assert scores[1] == pytest.approx(float(vectors[4].sum()), rel=1e-5)


@pytest.mark.parametrize("mode", ["target", "shared"])
def test_compiled_runs_go_on(mode: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plain, once, twice = (
        config(cache, tmp_path / name, negatives_mode=mode, pool=16) for name in ("plain", "once", "twice")
    )
    train(plain)
    monkeypatch.setattr(learner, "FEWEST_VALUES", 0)
    train(once)
    train(twice.model_copy(update={"epochs": 1}))
    train(twice)
    assert result(once.out) == result(twice.out)
    ours, theirs = (WordVectors.load(run).matrix for run in (once.out, plain.out))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
