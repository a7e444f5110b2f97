import shutil
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
    rewritten_shard,
    shard_content,
    shrunk_covariance,
)
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import preparation, sampling, transform
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.trainer import train
from x2static.stage2_train.transform import TRANSFORM, Transform
from x2static.stage2_train.vocabulary import build_vocabulary

SPACES = [("none", 5), ("center", None), ("center", 5), ("whiten", None), ("whiten", 5)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of 16 dimensions whose contexts have a common mean, not to be changed."""
    path = tmp_path_factory.mktemp("transform") / "cache"
    make_cache(path, dim=16)
    return path


def trained(path: Path, out: Path, **changes: object) -> tuple[Transform, list[str]]:
    train(config(path, out, epochs=1, **changes))
    return Transform.load(out), WordVectors.load(out).words


@pytest.mark.parametrize(("kind", "dim"), SPACES)
def test_transforms_are_their_definitions(small: Path, tmp_path: Path, kind: str, dim: int | None):
    found, words = trained(small, tmp_path / "run", transform=kind, dim=dim)
    contexts, _ = occurrences(small, words)
    covariance = shrunk_covariance(contexts)
    ours = found.map_contexts(torch.from_numpy(contexts)).numpy()
    centred = contexts - contexts.mean(0) if kind != "none" else contexts
    if dim is None:
        values, axes = np.linalg.eigh(covariance)
        matrix = (axes / np.sqrt(values)) @ axes.T if kind == "whiten" else np.eye(16)
        np.testing.assert_allclose(ours, centred @ matrix, rtol=1e-7, atol=1e-9)
        return
    values, axes = np.linalg.eigh(covariance if kind != "none" else contexts.T @ contexts)
    axes = axes[:, ::-1][:, :dim]
    expected = centred @ axes
    if kind == "whiten":
        expected /= np.sqrt(values[::-1][:dim])
    signs = np.sign((ours * expected).sum(0))  # an axis may point either way
    np.testing.assert_allclose(ours * signs, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("kind", "dim"), SPACES)
def test_batches_hold_transformed_contexts_whose_scores_are_those_of_double_precision(
    small: Path, tmp_path: Path, kind: str, dim: int | None, monkeypatch: pytest.MonkeyPatch
):
    found, _ = trained(small, tmp_path / "run", transform=kind, dim=dim)
    monkeypatch.setattr(transform, "ROWS_AT_ONCE", 100)
    cache, wish = Cache.open(small), config(small, tmp_path / "run")
    shards = cache.shards()
    raw = Stream(cache, shards, build_vocabulary(shards, wish), wish)
    before, after = next(raw.in_order()), next(raw.transformed(found).in_order())
    assert after.contexts.dtype == np.float16
    assert after.contexts.shape == (len(before.contexts), found.width(16))
    assert np.array_equal(after.words, before.words)
    values = after.contexts.astype(np.float64)
    if found.bias:
        assert (values[:, -1] == 1).all()
        values = values[:, :-1]
    exact = found.map_contexts(torch.from_numpy(before.contexts.astype(np.float64))).numpy()
    np.testing.assert_allclose(values, exact, rtol=2**-10, atol=1e-6)
    words = np.random.default_rng(0).normal(size=(20, values.shape[1]))
    scores = exact @ words.T
    assert (values @ words.T - scores).std() < 5e-4 * scores.std()


def test_contexts_as_they_are_need_no_pass_and_leave_no_file(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(preparation, "gather", None)
    found, _ = trained(cache, tmp_path / "run")
    assert not (tmp_path / "run" / TRANSFORM).exists()
    assert (found.shift, found.matrix, found.bias, found.width(DIM)) == (None, None, False, DIM)


@pytest.mark.parametrize("objective", ["negative-sampling", "closed-form"])
def test_more_dimensions_than_the_teachers_are_refused_with_both_numbers(cache: Path, tmp_path: Path, objective: str):
    with pytest.raises(X2StaticError, match=f"--dim {DIM + 1} asked for, but its contexts have {DIM} dimensions"):
        train(config(cache, tmp_path / "run", dim=DIM + 1, objective=objective))
    assert not (tmp_path / "run").exists()


def test_all_dimensions_are_allowed(small: Path, tmp_path: Path):
    found, _ = trained(small, tmp_path / "run", dim=16)
    assert found.dim(16) == 16


@pytest.mark.parametrize(
    "one",
    [
        Transform(),
        Transform(matrix=torch.randn(4, 2, dtype=torch.float64).T.contiguous().T, fitted_on="abc"),
        Transform(torch.randn(4, dtype=torch.float64), None, bias=True, fitted_on="abc"),
        Transform(torch.randn(4, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64), bias=True),
    ],
)
def test_a_transform_is_read_back_to_the_bit(tmp_path: Path, one: Transform):
    one.save(tmp_path)
    other = Transform.load(tmp_path)
    assert (other.bias, other.fitted_on) == (one.bias, one.fitted_on)
    for name in ("shift", "matrix"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)


def test_a_finished_run_keeps_its_transform_and_says_what_it_was_fitted_on(small: Path, tmp_path: Path):
    found, _ = trained(small, tmp_path / "run", transform="whiten")
    assert found.fitted_on == WordVectors.load(tmp_path / "run").run["cache"]["content"]
    assert load_file(tmp_path / "run" / TRANSFORM)["matrix"].shape == (16, 16)


def test_a_transform_that_is_missing_or_damaged_is_refused_in_one_line(small: Path, tmp_path: Path):
    out = tmp_path / "run"
    trained(small, out, transform="whiten")
    (out / "run.json").unlink()
    file = out / TRANSFORM
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(X2StaticError, match=rf"{TRANSFORM}: the transform .* is damaged .*--out"):
        train(config(small, out, epochs=1, transform="whiten"))
    file.unlink()
    with pytest.raises(X2StaticError, match=rf"{TRANSFORM}: the transform .* is missing"):
        Transform.load(out)


@pytest.mark.parametrize("on_device", [False, True])
def test_a_context_that_float16_cannot_hold_after_the_transform_is_refused_by_shard_and_row(
    cache_copy: Path, tmp_path: Path, on_device: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sampling, "draws_itself", lambda device: on_device)
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
    wish = config(small, tmp_path / "run", transform="whiten", dim=5, checkpoint_minutes=0)
    figures = train(wish)
    vectors = WordVectors.load(wish.out)
    assert figures["dim"] == vectors.dim == vectors.run["dim"] == 5
    assert vectors.run["configuration"]["transform"] == "whiten"
    newest = sorted((wish.out / "checkpoints").iterdir())[-1]
    matrix = load_file(newest / "state.safetensors")["vectors"]
    assert matrix.shape == (len(vectors), 6)
    assert np.array_equal(matrix[:, :5], vectors.matrix)
    # With five negatives for a target, most words are far likelier as negatives.
    assert (matrix[:, 5] < 0).mean() > 0.9


def test_a_run_is_not_moved_to_another_space(small: Path, tmp_path: Path):
    wish = config(small, tmp_path / "run", transform="whiten", dim=5, init="zeros")
    train(wish)
    for name, value, there in (("transform", "center", "'whiten'"), ("dim", 6, "5"), ("init", "uniform", "'zeros'")):
        with pytest.raises(X2StaticError, match=f"{name}: {there} there, {value!r} here"):
            train(wish.model_copy(update={name: value}))


def test_a_transform_without_its_file_is_fitted_again_to_the_same_bytes(small: Path, tmp_path: Path):
    trained(small, tmp_path / "run", transform="whiten", dim=5)
    before = (tmp_path / "run" / TRANSFORM).read_bytes()
    out = Path(shutil.copytree(tmp_path / "run", tmp_path / "other"))
    for name in (TRANSFORM, "run.json"):
        (out / name).unlink()
    trained(small, out, transform="whiten", dim=5)
    assert (out / TRANSFORM).read_bytes() == before
