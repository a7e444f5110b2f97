"""The check that a batch's gradient passes, whatever its negatives: autograd on a formula written out word for word."""

from collections.abc import Callable
from typing import Any

import pytest
import torch


def assert_like_autograd(plain: Callable[[torch.Tensor, Any], torch.Tensor], vectors: torch.Tensor, batch: Any) -> None:
    """Fail unless loss and gradient of a batch are those of the plain formula."""
    vectors.requires_grad_()
    expected = plain(vectors, batch)
    expected.backward()
    loss, gradient = batch.loss_and_gradient(vectors.detach())
    dense = torch.zeros_like(vectors.detach())
    dense[gradient.rows] = gradient.values()
    assert loss / len(batch) == pytest.approx(float(expected.detach()), rel=1e-9)
    torch.testing.assert_close(dense, vectors.grad, rtol=1e-9, atol=1e-12)
    assert float(batch.mean_loss(vectors.detach())) == pytest.approx(float(expected.detach()), rel=1e-9)
