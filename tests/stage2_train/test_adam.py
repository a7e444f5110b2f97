import pytest
import torch

from x2static.stage2_train import adam
from x2static.stage2_train.adam import RowAdam
from x2static.stage2_train.objectives.objective import Gradient


def pooled(rows: torch.Tensor, values: torch.Tensor) -> Gradient:
    """A gradient of these values."""
    none = torch.zeros(0, dtype=torch.int64)
    starts = torch.zeros(len(rows) + 1, dtype=torch.int64)
    return Gradient(rows, starts, none, values[:0, 0], torch.zeros_like(values[:1]), torch.arange(len(rows)), values)


def test_updates_are_those_of_sparse_adam(monkeypatch):
    monkeypatch.setattr(adam, "ROWS_AT_ONCE", 3)
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(20, 4, generator=draw, dtype=torch.float64)
    parameter = torch.nn.Parameter(vectors.clone())
    sparse = torch.optim.SparseAdam([parameter], lr=0.1)
    ours = RowAdam(0.1, torch.zeros_like(vectors), torch.zeros_like(vectors))
    for _ in range(10):
        rows = torch.randperm(20, generator=draw)[:7].sort().values
        values = torch.randn(7, 4, generator=draw, dtype=torch.float64)
        values[0] = 0  # touched all the same
        parameter.grad = torch.sparse_coo_tensor(rows[None], values, (20, 4), check_invariants=True)
        sparse.step()
        ours.update(vectors, pooled(rows, values))
        torch.testing.assert_close(vectors, parameter.detach(), rtol=1e-12, atol=1e-14)
    assert ours.steps == 10


def test_rows_without_a_gradient_and_their_moments_stay_as_they_are():
    vectors = torch.ones(3, 2)
    ours = RowAdam(0.1, torch.full((3, 2), 0.5), torch.full((3, 2), 0.25))
    ours.update(vectors, pooled(torch.tensor([1]), torch.zeros(1, 2)))
    assert vectors[0].tolist() == vectors[2].tolist() == [1, 1]
    assert ours.first[0].tolist() == [0.5, 0.5]
    assert ours.second[2].tolist() == [0.25, 0.25]
    assert (vectors[1] < 1).all()  # a gradient of zero is a gradient: the moments decay and the row moves on
    assert ours.first[1].tolist() == pytest.approx([0.45, 0.45])
