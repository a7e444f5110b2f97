from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stage2_train.caches import make_cache, occurrences, opened, shrunk_covariance
from x2static.machine.progress import Progress, silent
from x2static.stage2_train import moments
from x2static.stage2_train.moments import Moments, gather, principal_axes, symmetric_power


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cache(tmp_path_factory.mktemp("moments") / "cache", dim=16)


def test_moments_are_those_of_an_entry_for_every_occurrence_however_they_are_cut(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(moments, "ROWS_AT_ONCE", 37)
    _, stream, vocabulary = opened(path, min_count=60)
    words = vocabulary.words.to_pylist()
    contexts, names = occurrences(path, words)
    seen: list[Progress] = []
    sums = gather(stream, vocabulary, seen.append, of_words=True)
    assert sums.n_targets == len(contexts) == seen[-1].done == seen[-1].total
    np.testing.assert_allclose(sums.mean, contexts.mean(0), rtol=1e-12)
    np.testing.assert_allclose(sums.second_moment, contexts.T @ contexts / len(contexts), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(sums.covariance(), shrunk_covariance(contexts), rtol=1e-9, atol=1e-12)
    assert sums.counts.tolist() == [int((names == word).sum()) for word in words]
    means = np.array([contexts[names == word].mean(0) for word in words[3:7]])
    np.testing.assert_allclose(sums.differences(slice(3, 7)), means - contexts.mean(0), rtol=1e-9, atol=1e-12)

    without = gather(stream, vocabulary, silent, of_words=False)
    assert without.words is None
    for name in ("contexts", "squares", "counts"):
        assert torch.equal(getattr(sums, name), getattr(without, name))
    with pytest.raises(ValueError, match="contexts of each word"):
        without.differences(slice(0, 1))


def test_moments_of_words_take_eight_bytes_a_coordinate():
    sums = Moments.zeros(1000, 20, of_words=True)
    assert sums.words is not None
    assert (sums.words.nbytes, sums.squares.nbytes) == (8 * 1000 * 20, 8 * 20 * 20)


def test_powers_and_axes_are_those_of_the_definition():
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(50, 6)) * np.arange(1, 7)
    matrix = torch.from_numpy(rows.T @ rows)
    root = symmetric_power(matrix, -0.5)
    torch.testing.assert_close(root, root.T)
    torch.testing.assert_close(root @ matrix @ root, torch.eye(6, dtype=torch.float64))
    values, axes = principal_axes(matrix, 3)
    assert values.tolist() == pytest.approx((np.linalg.svd(rows, compute_uv=False) ** 2)[:3].tolist())
    torch.testing.assert_close(axes.T @ axes, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(matrix @ axes, axes * values)
