"""train --context-map: a linear map of the contexts that is learned with the vectors, and is kept with them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.pipeline.ran import run_here
from tests.stage2_train.caches import config, result
from tests.stage2_train.objectives.test_negative_sampling import DIM, WORDS, batch_of, plain_loss, vectors_of
from tests.stage2_train.stops import stop_at
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import read_sealed
from x2static.stage2_train import learner
from x2static.stage2_train.checkpoint import TENSORS, checkpoints
from x2static.stage2_train.learner import ContextMap, Learner
from x2static.stage2_train.objectives.negative_sampling import FreshNegatives, SharedNegatives
from x2static.stage2_train.parts import train_in_parts
from x2static.stage2_train.trainer import train

RATE, LR, MAPPED = 0.3, 0.05, DIM - 1  # the last coordinate is the bias's


def learning(cache: Path, out: Path, **changes: object):
    return config(
        cache, out, **{"compat": None, "init": "uniform", "transform": "whiten", "context_map": 1.0, **changes}
    )


def mapped(batch: FreshNegatives | SharedNegatives, matrix: torch.Tensor) -> FreshNegatives | SharedNegatives:
    """The batch whose contexts are W c, a row at a time."""
    rows = [torch.cat([matrix @ context[:MAPPED], context[MAPPED:]]) for context in batch.contexts]
    return replace(batch, contexts=torch.stack(rows))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("scale", [0.1, 10.0])  # with the second, scores are clamped
def test_ten_steps_are_those_of_autograd_and_sparse_adam(shared: bool, scale: float):
    vectors, zeros = vectors_of(scale), torch.zeros(WORDS, DIM, dtype=torch.float64)
    ours = Learner(vectors.clone(), zeros.clone(), zeros.clone())
    ours.map = ContextMap.identity(MAPPED, RATE, vectors)
    words, matrix = torch.nn.Parameter(vectors.clone()), torch.nn.Parameter(torch.eye(MAPPED, dtype=torch.float64))
    optimisers = torch.optim.SparseAdam([words], lr=LR), torch.optim.SparseAdam([matrix], lr=RATE * LR)
    for step in range(10):
        batch = batch_of(step, shared, torch.float64)
        loss = plain_loss(words, mapped(batch, matrix))
        of_words, of_matrix = torch.autograd.grad(loss, [words, matrix])
        touched = batch.words.flatten().unique()
        if isinstance(batch, SharedNegatives):
            touched = torch.cat([touched, batch.pool]).unique()
        for parameter, values, rows in ((words, of_words, touched), (matrix, of_matrix, torch.arange(MAPPED))):
            parameter.grad = torch.sparse_coo_tensor(rows[None], values[rows], values.shape, check_invariants=True)
        for optimiser in optimisers:
            optimiser.step()
        assert ours.learn(batch, LR) == pytest.approx(float(loss.detach()) * len(batch), rel=1e-9)
        torch.testing.assert_close(ours.vectors, words.detach(), rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(ours.map.matrix, matrix.detach(), rtol=1e-7, atol=1e-9)
    assert (ours.map.matrix - torch.eye(MAPPED)).abs().max() > 0.05


@pytest.mark.parametrize("shared", [False, True])
def test_ten_compiled_steps_are_plain_ones(shared: bool, monkeypatch: pytest.MonkeyPatch):
    both = []
    for fewest in (0, 10**9):
        monkeypatch.setattr(learner, "FEWEST_VALUES", fewest)
        vectors = vectors_of(1.0).float()
        one = Learner(vectors, torch.zeros_like(vectors), torch.zeros_like(vectors))
        one.map = ContextMap.identity(DIM, RATE, vectors)
        for step in range(10):
            one.learn(batch_of(step, shared), LR)
        both.append((one.vectors, one.map.matrix))
    torch.testing.assert_close(*both, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["target", "shared"])
def test_a_stopped_run_goes_on_and_another_one_begins_with_its_map(cache: Path, tmp_path: Path, mode: str):
    changes = {"context_map": 2.0, "negatives_mode": mode, "pool": 16}
    once, twice = (learning(cache, tmp_path / name, **changes) for name in ("once", "twice"))
    train(once)
    stop_at(7, twice)
    train(twice)
    assert result(once.out) == result(twice.out)
    names = ("map", "map_first_moment", "map_second_moment")
    ends = [load_file(checkpoints(out)[-1] / TENSORS) for out in (once.out, twice.out)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in names)
    assert not torch.equal(ends[0]["map"], torch.eye(len(ends[0]["map"])))
    longer = learning(cache, tmp_path / "longer", **changes, continue_run=once.out)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        there = ContextMap.apply
        patch.setattr(ContextMap, "apply", lambda one, c: seen.append(one.matrix.clone()) or there(one, c))
        train(longer)
    assert torch.equal(seen[0], ends[0]["map"])


def test_a_map_counts_where_it_is_learned_and_is_refused_where_it_cannot_be(cache: Path, tmp_path: Path, capsys):
    for name, rate in (("without", 0.0), ("with", 1.0)):
        out = tmp_path / name
        train(learning(cache, out, context_map=rate, epochs=1))
        assert read_sealed(out / "settings.json").get("context_map") == (rate or None), "as runs of before have none"
        other = learning(cache, tmp_path / "other", context_map=1.0 - rate, continue_run=out)
        with pytest.raises(X2StaticError, match=r"another space \(context_map: "):
            train(other)
    assert result(tmp_path / "without") != result(tmp_path / "with")
    for changes in (
        {"objective": "closed-form"},
        {"objective": "sentence", "init": "closed-form"},
        {"compat": "paper"},
    ):
        with pytest.raises(X2StaticError, match=r"--context-map 1: .* learns no map of the contexts; leave it out"):
            train(learning(cache, tmp_path / "none", **changes))
    with pytest.raises(X2StaticError, match=r"--parts 2: --context-map cannot be learned in parts"):
        train_in_parts(learning(cache, tmp_path / "none"), 2, lambda *_: None)
    assert not (tmp_path / "none").exists()
    command = ["train", "--cache", str(cache), "--out", str(tmp_path / "run"), "--min-count", "1"]
    ran = run_here(capsys, [*command, "--context-map", "3", "--init", "uniform"])
    assert ran.status == 0, ran.err
    assert "map" in load_file(checkpoints(tmp_path / "run")[-1] / TENSORS)
