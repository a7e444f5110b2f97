from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.stage2_train.caches import (
    DIM,
    config,
    make_cache,
    occurrences,
    opened,
    result,
    rewritten_shard,
    shard_content,
    shrunk_covariance,
)
from x2static.durable.errors import X2StaticError
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import buffer, sampling
from x2static.stage2_train.checkpoint import TRANSFORM
from x2static.stage2_train.sampling import Position
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.trainer import train
from x2static.stage2_train.transform import IDENTITY, Transform

SPACES = [("none", 5), ("center", None), ("center", 5), ("whiten", None), ("whiten", 5)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of 16 dimensions whose contexts have a common mean, not to be changed."""
    return make_cache(tmp_path_factory.mktemp("transform") / "cache", dim=16)


@pytest.mark.parametrize(("kind", "dim"), SPACES)
def test_transforms_are_their_definitions_and_batches_hold_what_they_make(
    small: Path, tmp_path: Path, kind: str, dim: int | None, monkeypatch: pytest.MonkeyPatch
):
    train(config(small, tmp_path / "run", epochs=1, transform=kind, dim=dim))
    transform = Transform.load(tmp_path / "run" / TRANSFORM)
    assert transform.fitted_on == WordVectors.load(tmp_path / "run").run["cache"]["content"]
    contexts, _ = occurrences(small, WordVectors.load(tmp_path / "run").words)
    covariance = shrunk_covariance(contexts)
    ours = transform.map_contexts(torch.from_numpy(contexts)).numpy()
    centred = contexts - contexts.mean(0) if kind != "none" else contexts
    if dim is None:
        values, axes = np.linalg.eigh(covariance)
        matrix = (axes / np.sqrt(values)) @ axes.T if kind == "whiten" else np.eye(16)
        np.testing.assert_allclose(ours, centred @ matrix, rtol=1e-7, atol=1e-9)
    else:
        values, axes = np.linalg.eigh(covariance if kind != "none" else contexts.T @ contexts)
        expected = centred @ axes[:, ::-1][:, :dim]
        if kind == "whiten":
            expected /= np.sqrt(values[::-1][:dim])
        signs = np.sign((ours * expected).sum(0))  # an axis may point either way
        np.testing.assert_allclose(ours * signs, expected, rtol=1e-7, atol=1e-9)

    monkeypatch.setattr(buffer, "ROWS_AT_ONCE", 100)
    stream = opened(small)[1]
    before, after = (next(stream.batches(Position(0), 1, one))[1] for one in (IDENTITY, transform))
    assert after.contexts.dtype == torch.float16
    assert after.contexts.shape == (len(before.contexts), transform.width(16))
    assert torch.equal(after.words, before.words)
    mapped = after.contexts.double().numpy()
    if transform.bias:
        assert (mapped[:, -1] == 1).all()
        mapped = mapped[:, :-1]
    exact = transform.map_contexts(before.contexts.double()).numpy()
    np.testing.assert_allclose(mapped, exact, rtol=2**-10, atol=1e-6)
    words = np.random.default_rng(0).normal(size=(20, mapped.shape[1]))
    scores = exact @ words.T
    assert (mapped @ words.T - scores).std() < 5e-4 * scores.std()


@pytest.mark.parametrize("objective", ["negative-sampling", "closed-form"])
def test_more_dimensions_than_the_teachers_are_refused_and_all_are_allowed(small: Path, tmp_path: Path, objective: str):
    with pytest.raises(X2StaticError, match="--dim 17 asked for, but its contexts have 16 dimensions"):
        train(config(small, tmp_path / "run", dim=17, objective=objective))
    assert not (tmp_path / "run").exists()
    assert train(config(small, tmp_path / "run", dim=16, objective=objective))["dim"] == 16


@pytest.mark.parametrize(
    "one",
    [
        IDENTITY,
        Transform(matrix=torch.randn(4, 2, dtype=torch.float64).T.contiguous().T, fitted_on="abc"),
        Transform(torch.randn(4, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64), bias=True),
    ],
)
def test_a_transform_is_read_back_to_the_bit(tmp_path: Path, one: Transform):
    one.save(tmp_path / "file")
    other = Transform.load(tmp_path / "file")
    assert (other.bias, other.fitted_on) == (one.bias, one.fitted_on)
    for name in ("shift", "matrix"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)


def test_a_transform_that_is_damaged_is_refused_and_one_that_is_missing_fitted_again(small: Path, tmp_path: Path):
    wish = config(small, tmp_path / "run", epochs=1, transform="whiten", dim=5)
    train(wish)
    file = wish.out / TRANSFORM
    before, vectors = file.read_bytes(), result(wish.out)
    (wish.out / "run.json").unlink()
    file.write_bytes(before[:-9])
    with pytest.raises(X2StaticError, match=rf"{TRANSFORM}: the transform .* is damaged .*--out"):
        train(wish)
    file.unlink()
    train(wish)
    assert file.read_bytes() == before
    assert result(wish.out) == vectors


@pytest.mark.parametrize("on_device", [False, True])
def test_a_context_that_float16_cannot_hold_after_the_transform_is_refused_by_shard_and_row(
    cache_copy: Path, tmp_path: Path, on_device: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sampling, "drawn_on_device", lambda device: on_device)
    full = shard_content(1, 130, DIM)
    row = int(np.flatnonzero(np.diff(full.word_offsets) == 0)[0])  # no word, so it counts for nothing in the moments
    contexts = full.contexts.copy()
    contexts[row] = 60_000
    with (
        rewritten_shard(cache_copy, 1, contexts=contexts),
        pytest.raises(X2StaticError, match=rf"000001: context {row} is too far from the mean.*--transform none"),
    ):
        train(config(cache_copy, tmp_path / "run", transform="whiten"))


def test_the_bias_is_trained_and_kept_in_checkpoints_and_not_exported(small: Path, tmp_path: Path):
    wish = config(small, tmp_path / "run", transform="whiten", dim=5)
    figures = train(wish)
    vectors = WordVectors.load(wish.out)
    assert figures["dim"] == vectors.dim == vectors.run["dim"] == 5
    newest = sorted((wish.out / "checkpoints").iterdir())[-1]
    matrix = load_file(newest / "state.safetensors")["vectors"]
    assert matrix.shape == (len(vectors), 6)
    assert np.array_equal(matrix[:, :5], vectors.matrix)
    # With five negatives for a target, most words are far likelier as negatives.
    assert (matrix[:, 5] < 0).mean() > 0.9


@pytest.mark.parametrize(("transform", "init", "passes"), [("whiten", "closed-form", 1), ("none", "zeros", 0)])
def test_one_pass_serves_transform_and_vectors_and_a_run_that_goes_on_needs_none(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transform: str, init: str, passes: int
):
    calls: list[int] = []
    in_order = Stream.in_order
    monkeypatch.setattr(Stream, "in_order", lambda self: calls.append(1) or in_order(self))
    wish = config(small, tmp_path / "run", transform=transform, init=init, epochs=1)
    train(wish)
    assert len(calls) == passes
    assert (wish.out / TRANSFORM).exists() == (transform != "none")
    calls.clear()
    assert train(wish.model_copy(update={"epochs": 2}))["resumed"]
    assert not calls


def test_the_wait_for_data_counts_that_of_the_pass_over_the_contexts(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    in_order = Stream.in_order

    def slow(self: Stream):
        self.seconds_waited += 1000
        return in_order(self)

    monkeypatch.setattr(Stream, "in_order", slow)
    figures = train(config(small, tmp_path / "run", transform="whiten"))
    assert figures["data_wait"] * figures["seconds"] == pytest.approx(1000, rel=0.01)
