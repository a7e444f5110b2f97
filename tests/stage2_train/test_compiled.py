"""The compiled arithmetic against the plain one: the same steps, whatever the threads."""

import math
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from tests.stage2_train.caches import config, result
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import compiled
from x2static.stage2_train.adam import RowAdam
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.objectives.objective import Gradient, Targets, score_pairs
from x2static.stage2_train.objectives.shared import SharedTargets
from x2static.stage2_train.trainer import train

WORDS, DIM, CONTEXTS = 50, 19, 12


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile for vocabularies that are too small to pay for it."""
    monkeypatch.setattr(compiled, "FEWEST_VALUES", 0)


def learner(seed: int) -> Learner:
    vectors = torch.randn(WORDS, DIM, generator=torch.Generator().manual_seed(seed))
    return Learner(vectors, RowAdam(0.05, torch.zeros_like(vectors), torch.zeros_like(vectors)))


def targets(seed: int, shared: bool) -> Targets | SharedTargets:
    draw = torch.Generator().manual_seed(seed)
    contexts = torch.randn(CONTEXTS, DIM, generator=draw)
    context_of = torch.randint(0, CONTEXTS, (40,), generator=draw)
    if not shared:
        return Targets(contexts, context_of, torch.randint(0, WORDS, (40, 4), generator=draw))
    pool = torch.randperm(WORDS, generator=draw)[:9].sort().values
    words = torch.randint(0, WORDS, (40,), generator=draw)
    return SharedTargets(contexts, context_of, words, pool, torch.rand(9, generator=draw), torch.float32)


@pytest.mark.parametrize("shared", [False, True])
def test_ten_compiled_steps_are_ten_plain_ones(shared: bool, monkeypatch: pytest.MonkeyPatch):
    plain, fast = learner(0), learner(0)
    for step in range(10):
        batch = targets(step, shared)
        monkeypatch.setattr(compiled, "FEWEST_VALUES", 10**9)
        loss = plain.learn(batch)
        monkeypatch.setattr(compiled, "FEWEST_VALUES", 0)
        assert fast.learn(batch) == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(fast.vectors, plain.vectors, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast.adam.first, plain.adam.first, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(fast.adam.second, plain.adam.second, rtol=1e-4, atol=1e-8)
    assert fast.adam.steps == plain.adam.steps == 10
    assert (fast.vectors - learner(0).vectors).abs().max() > 0.1


def test_scores_are_those_of_plain_operations():
    batch, vectors = targets(3, shared=True), learner(1).vectors
    pairs = vectors, batch.contexts, batch.words, batch.context_of
    torch.testing.assert_close(compiled.score_pairs(*pairs), score_pairs(*pairs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_the_bits_do_not_depend_on_the_number_of_threads(shared: bool, always: None):
    found = []
    before = torch.get_num_threads()
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        torch.set_num_threads(threads)
        ours = learner(0)
        _, gradient = targets(0, shared).loss_and_gradient(ours.vectors, compiled.score_pairs)
        compiled.update(ours.adam, ours.vectors, gradient)
        assert numba.get_num_threads() == threads
        found.append(ours)
    torch.set_num_threads(before)
    assert torch.equal(found[0].vectors, found[1].vectors)
    assert torch.equal(found[0].adam.second, found[1].adam.second)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_numbers_that_are_not_finite_come_through(bad: float):
    vectors = learner(0).vectors
    vectors[3, 2] = bad
    ones = torch.ones(1, DIM)
    scores = compiled.score_pairs(vectors, ones, torch.tensor([3, 4]), torch.tensor([0, 0]))
    assert not math.isfinite(scores[0])
    assert math.isfinite(scores[1])


def test_what_is_compiled_is_what_is_written():
    batch, ours, theirs = targets(5, shared=True), learner(2), learner(2)
    _, gradient = batch.loss_and_gradient(ours.vectors)
    compiled.update(ours.adam, ours.vectors, gradient)
    python(theirs, gradient)
    torch.testing.assert_close(ours.vectors, theirs.vectors, rtol=1e-5, atol=1e-6)
    scores = np.empty(len(batch), np.float32)
    compiled._score.py_func(
        ours.vectors.numpy(), batch.contexts.numpy(), batch.words.numpy(), batch.context_of.numpy(), scores
    )
    np.testing.assert_allclose(scores, score_pairs(ours.vectors, batch.contexts, batch.words, batch.context_of), 1e-4)


def python(theirs: Learner, gradient: Gradient) -> None:
    """Take the step of `compiled.update` uncompiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "_update", compiled._update.py_func)
        compiled.update(theirs.adam, theirs.vectors, gradient)


def test_tiny_vocabularies_doubles_and_accelerators_are_left_to_pytorch():
    assert compiled.pays(torch.zeros(1000, 1000))
    assert not compiled.pays(torch.zeros(999, 1000))
    assert not compiled.pays(torch.zeros(1000, 1000, dtype=torch.float64))
    assert not compiled.pays(torch.zeros(1000, 1000, device="meta"))


@pytest.mark.parametrize("mode", ["target", "shared"])
def test_a_run_that_goes_on_ends_with_the_bytes_of_one_that_was_never_stopped(
    mode: str, cache: Path, tmp_path: Path, always: None
):
    once, twice = (config(cache, tmp_path / name, negatives_mode=mode, pool=16) for name in ("once", "twice"))
    train(once)
    train(twice.model_copy(update={"epochs": 1}))
    train(twice)
    assert result(once.out) == result(twice.out)


def test_a_compiled_run_learns_what_a_plain_one_learns(cache: Path, whole_run: Path, tmp_path: Path, always: None):
    train(config(cache, tmp_path / "run"))
    ours, plain = (WordVectors.load(run).matrix for run in (tmp_path / "run", whole_run))
    np.testing.assert_allclose(ours, plain, atol=1e-3)
