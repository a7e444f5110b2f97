"""Adam on the rows of a gradient against PyTorch's own, and the compiled arithmetic against the plain one."""

import math
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from tests.stage2_train.caches import config, result
from tests.stage2_train.objectives.batches import CONTEXTS, DIM, WORDS, batch_of
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import learner
from x2static.stage2_train.learner import Gradient, Learner, compiled_scores, score_pairs
from x2static.stage2_train.trainer import train


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile for vocabularies that are too small to pay for it."""
    monkeypatch.setattr(learner, "FEWEST_VALUES", 0)


def begin(seed: int) -> Learner:
    vectors = torch.randn(WORDS, DIM, generator=torch.Generator().manual_seed(seed))
    return Learner(vectors, torch.zeros_like(vectors), torch.zeros_like(vectors))


def values_of(rows: torch.Tensor, values: torch.Tensor) -> Gradient:
    """A gradient of these values."""
    none = torch.zeros(0, dtype=torch.int64)
    starts = torch.zeros(len(rows) + 1, dtype=torch.int64)
    return Gradient(rows, starts, none, values[:0, 0], torch.zeros_like(values[:1]), torch.arange(len(rows)), values)


def test_updates_are_those_of_sparse_adam(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(learner, "ROWS_AT_ONCE", 3)
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(20, 4, generator=draw, dtype=torch.float64)
    parameter = torch.nn.Parameter(vectors.clone())
    sparse = torch.optim.SparseAdam([parameter], lr=0.1)
    ours = Learner(vectors, torch.zeros_like(vectors), torch.zeros_like(vectors))
    for _ in range(10):
        rows = torch.randperm(20, generator=draw)[:7].sort().values
        values = torch.randn(7, 4, generator=draw, dtype=torch.float64)
        values[0] = 0  # touched all the same
        parameter.grad = torch.sparse_coo_tensor(rows[None], values, (20, 4), check_invariants=True)
        sparse.step()
        ours.update(values_of(rows, values), 0.1)
        torch.testing.assert_close(vectors, parameter.detach(), rtol=1e-12, atol=1e-14)
    assert ours.steps == 10


def test_rows_without_a_gradient_and_their_moments_stay_as_they_are():
    ours = Learner(torch.ones(3, 2), torch.full((3, 2), 0.5), torch.full((3, 2), 0.25))
    ours.update(values_of(torch.tensor([1]), torch.zeros(1, 2)), 0.1)
    assert ours.vectors[0].tolist() == ours.vectors[2].tolist() == [1, 1]
    assert ours.first[0].tolist() == [0.5, 0.5]
    assert ours.second[2].tolist() == [0.25, 0.25]
    assert (ours.vectors[1] < 1).all()  # a gradient of zero is a gradient: the moments decay and the row moves on
    assert ours.first[1].tolist() == pytest.approx([0.45, 0.45])


@pytest.mark.parametrize("shared", [False, True])
def test_ten_compiled_steps_are_ten_plain_ones(shared: bool, monkeypatch: pytest.MonkeyPatch):
    plain, fast = begin(0), begin(0)
    for step in range(10):
        batch = batch_of(step, shared)
        monkeypatch.setattr(learner, "FEWEST_VALUES", 10**9)
        loss = plain.learn(batch, 0.05)
        monkeypatch.setattr(learner, "FEWEST_VALUES", 0)
        assert fast.learn(batch, 0.05) == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(fast.vectors, plain.vectors, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast.first, plain.first, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(fast.second, plain.second, rtol=1e-4, atol=1e-8)
    assert fast.steps == plain.steps == 10
    assert (fast.vectors - begin(0).vectors).abs().max() > 0.1


@pytest.fixture
def threads() -> Iterator[list[int]]:
    before = torch.get_num_threads()
    yield [1, min(2, numba.config.NUMBA_NUM_THREADS)]
    torch.set_num_threads(before)


@pytest.mark.parametrize("shared", [False, True])
def test_the_bits_do_not_depend_on_the_number_of_threads(shared: bool, always: None, threads: list[int]):
    ends = []
    for n in threads:
        torch.set_num_threads(n)
        ends.append(begin(0))
        _, gradient = batch_of(0, shared).loss_and_gradient(ends[-1].vectors, compiled_scores)
        ends[-1].update_compiled(gradient, 0.05)
        assert numba.get_num_threads() == n
    assert torch.equal(ends[0].vectors, ends[1].vectors)
    assert torch.equal(ends[0].second, ends[1].second)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_numbers_that_are_not_finite_come_through_compiled_scores(bad: float):
    vectors, rows = begin(0).vectors, torch.tensor([3, 4])
    vectors[3, 2] = bad
    contexts, context_of = torch.ones(CONTEXTS, DIM), torch.tensor([0, 0])
    scores = compiled_scores(vectors, contexts, rows, context_of)
    assert not math.isfinite(scores[0])
    torch.testing.assert_close(scores[1:], score_pairs(vectors, contexts, rows, context_of)[1:])


def test_what_is_compiled_is_what_is_written(monkeypatch: pytest.MonkeyPatch):
    batch, ours, theirs = batch_of(5, shared=True), begin(2), begin(2)
    _, gradient = batch.loss_and_gradient(ours.vectors)
    ours.update_compiled(gradient, 0.05)
    pairs = ours.vectors, batch.contexts, batch.words, batch.context_of
    scores = compiled_scores(*pairs)
    for name in ("_update", "_score"):
        monkeypatch.setattr(learner, name, getattr(learner, name).py_func)
    theirs.update_compiled(gradient, 0.05)
    torch.testing.assert_close(ours.vectors, theirs.vectors, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(scores, compiled_scores(*pairs), rtol=1e-4, atol=1e-4)


def test_scores_in_pieces_equal_scores_at_once(monkeypatch: pytest.MonkeyPatch):
    batch, vectors = batch_of(3, shared=True), begin(1).vectors.double()
    pairs = vectors, batch.contexts.double(), batch.words, batch.context_of
    whole = score_pairs(*pairs)
    monkeypatch.setattr(learner, "PAIRS_AT_ONCE", 12)
    torch.testing.assert_close(score_pairs(*pairs), whole, rtol=0, atol=1e-14)


def test_tiny_vocabularies_and_accelerators_are_left_to_pytorch():
    cpu = torch.device("cpu")
    assert learner.pays(cpu, 1_000_000)
    assert not learner.pays(cpu, 999_000)
    assert not learner.pays(torch.device("meta"), 1_000_000)


@pytest.mark.parametrize("mode", ["target", "shared"])
def test_a_compiled_run_learns_what_a_plain_one_learns_and_goes_on_to_the_same_bytes(
    mode: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
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
