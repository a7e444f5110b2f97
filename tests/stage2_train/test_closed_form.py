import signal
from pathlib import Path

import numpy as np
import pytest

from tests.stage2_train.caches import (
    DIM,
    config,
    make_cache,
    occurrences,
    result,
    rewritten_shard,
    shard_content,
    shrunk_covariance,
)
from x2static.durable.errors import Interrupted, X2StaticError
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.objectives import closed_form, moments
from x2static.stage2_train.trainer import train


def direct(path: Path, words: list[str], transform: str, dim: int | None) -> np.ndarray:
    """The formula on all contexts at once: a row of X for every occurrence of a word of the vocabulary."""
    contexts, names = occurrences(path, words)
    covariance = shrunk_covariance(contexts)
    differences = np.array([contexts[names == word].mean(0) for word in words]) - contexts.mean(0)
    if dim is not None:  # solved on the projected contexts, as if there were no others
        axes = contexts.T @ contexts if transform == "none" else covariance
        axes = np.linalg.eigh(axes)[1][:, ::-1][:, :dim]
        covariance, differences = axes.T @ covariance @ axes, differences @ axes
    if transform != "whiten":
        return np.linalg.solve(covariance, differences.T).T
    left, values, right = np.linalg.svd(covariance)
    return differences @ (left / np.sqrt(values)) @ right


def cosines(matrix: np.ndarray) -> np.ndarray:
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.mark.parametrize(("transform", "dim"), [("none", DIM), ("none", 16), ("center", 16), ("whiten", 16)])
def test_the_closed_form_is_the_direct_computation(
    tmp_path: Path, transform: str, dim: int, monkeypatch: pytest.MonkeyPatch
):
    cache = make_cache(tmp_path / "cache", dim=dim)
    for module in (moments, closed_form):  # several pieces of contexts, and of words
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 50 if dim > 16 else 1)
    figures = train(config(cache, tmp_path / "run", objective="closed-form", transform=transform, min_count=60))
    vectors = WordVectors.load(tmp_path / "run")
    expected = direct(cache, vectors.words, transform, None)
    np.testing.assert_allclose(vectors.matrix, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert figures["loss"] is None
    assert figures["epochs"] == 1
    assert figures["targets"] == vectors.counts.sum()


@pytest.mark.parametrize("transform", ["none", "center", "whiten"])
def test_the_closed_form_on_fewer_dimensions_is_that_of_the_projected_contexts(tmp_path: Path, transform: str):
    cache = make_cache(tmp_path / "cache", dim=16)
    wish = config(cache, tmp_path / "run", objective="closed-form", transform=transform, dim=5, min_count=60)
    figures = train(wish)
    vectors = WordVectors.load(tmp_path / "run")
    expected = direct(cache, vectors.words, transform, 5)
    assert vectors.dim == figures["dim"] == 5
    # Axes may point either way: what must agree are the products of words.
    np.testing.assert_allclose(vectors.matrix @ vectors.matrix.T, expected @ expected.T, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(cosines(vectors.matrix), cosines(expected), atol=1e-4)


def test_the_closed_form_is_the_same_bytes_each_time(cache: Path, tmp_path: Path):
    for name in ("a", "b"):
        train(config(cache, tmp_path / name, objective="closed-form", transform="whiten"))
    assert result(tmp_path / "a") == result(tmp_path / "b")


def test_a_finished_closed_form_is_not_done_again_whatever_epochs_says(cache: Path, tmp_path: Path):
    first = train(config(cache, tmp_path / "run", objective="closed-form"))
    again = train(config(cache, tmp_path / "run", objective="closed-form", epochs=7))
    assert again == {**first, "finished_before": True}


def test_contexts_that_are_all_equal_are_refused(cache_copy: Path, tmp_path: Path):
    equal = {index: np.full_like(shard_content(index, 130, DIM).contexts, 0.3) for index in range(3)}
    with (
        rewritten_shard(cache_copy, 0, contexts=equal[0]),
        rewritten_shard(cache_copy, 1, contexts=equal[1]),
        rewritten_shard(cache_copy, 2, contexts=equal[2]),
        pytest.raises(X2StaticError, match="all contexts of the cache are equal"),
    ):
        train(config(cache_copy, tmp_path / "run", objective="closed-form"))


def test_lexicons_that_miscount_are_refused(cache_copy: Path, tmp_path: Path):
    counts = shard_content(1, 130, DIM).counts + 1
    with rewritten_shard(cache_copy, 1, counts=counts), pytest.raises(X2StaticError, match="their lexicons count"):
        train(config(cache_copy, tmp_path / "run", objective="closed-form"))


def test_a_signal_stops_the_closed_form_which_then_starts_over(cache: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run", objective="closed-form")
    with pytest.raises(Interrupted, match=r"SIGTERM.*start over"):
        train(wish, report=lambda progress: signal.raise_signal(signal.SIGTERM))
    assert not train(wish)["resumed"]
