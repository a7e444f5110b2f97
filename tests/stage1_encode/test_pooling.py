"""The means of contexts, added up batch by batch."""

from array import array

import numpy as np
import pytest
import torch

from x2static.machine.device import ResultStream
from x2static.stage1_encode.pools.contexts import BatchSums, ContextMeans
from x2static.stage1_encode.text.windows import PreparedText, Window

DIM = 3
CPU = torch.device("cpu")


def sums_of(states: torch.Tensor, spans: np.ndarray) -> BatchSums:
    return BatchSums(
        spans[:, 0],
        spans[:, 2] - spans[:, 1],
        torch.stack([states[start:stop].sum(0) for _, start, stop in spans]),
    )


def portion(spans: np.ndarray, n_contexts: int) -> PreparedText:
    """Return a portion of so many contexts, in one window."""
    return PreparedText([Window(np.zeros(0, np.int64), spans)], ends=array("i", [0]) * n_contexts)


@pytest.mark.parametrize("sizes", [[7], [1, 1, 1, 1, 1, 1, 1], [1, 6], [6, 1], [3, 0, 4]])
def test_portions_of_any_size_give_the_means_of_all_contexts(sizes: list[int]) -> None:
    # Context 1 is spread over two windows, context 4 has no pieces.
    spans = np.array([[0, 0, 2], [1, 2, 5], [1, 5, 6], [2, 6, 9], [3, 9, 10], [5, 10, 13], [6, 13, 14]])
    states = torch.randn((14, DIM), generator=torch.Generator().manual_seed(0))
    expected = [states[:2], states[2:6], states[6:9], states[9:10], torch.zeros(1, DIM), states[10:13], states[13:]]
    means, begin = ContextMeans(DIM, CPU), 0
    for size in sizes:
        here = spans[(spans[:, 0] >= begin) & (spans[:, 0] < begin + size)]
        means.extend(portion(here, size))
        begin += size
        for one in here:  # some are stored before there is room for the next portion
            means.add(sums_of(states, one[None]))
        assert means.means.shape == (begin, DIM)
    taken = means.end(ResultStream(CPU))
    torch.testing.assert_close(means.means, torch.stack([one.mean(0) for one in expected]))
    assert means.means.is_contiguous()
    assert float(taken.largest.numpy()) == pytest.approx(max(float(one.mean(0).abs().max()) for one in expected))


def test_a_context_without_pieces_is_zero_whatever_lay_in_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def filled(self: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        return torch.full(size, torch.nan, dtype=self.dtype)

    monkeypatch.setattr(torch.Tensor, "new_empty", filled)
    means, nothing = ContextMeans(DIM, CPU, torch.float16), np.zeros((0, 3), np.int64)
    for size in (2, 1, 5):
        means.extend(portion(nothing, size))
    means.end(ResultStream(CPU))
    assert torch.equal(means.means, torch.zeros((8, DIM), dtype=torch.float16))
