from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.stage2_train.caches import config, occurrences, opened, result, shrunk_covariance
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import stream
from x2static.stage2_train.checkpoint import TRANSFORM
from x2static.stage2_train.sampling import Position
from x2static.stage2_train.stream import Buffer, Stream
from x2static.stage2_train.trainer import train
from x2static.stage2_train.transform import IDENTITY, Transform

SPACES = [("none", 5), ("center", None), ("center", 5), ("whiten", None), ("whiten", 5)]


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

    monkeypatch.setattr(stream, "ROWS_AT_ONCE", 100)
    batches = opened(small)[1].batches
    before, after = (next(batches(Position(0), 1, one))[1] for one in (IDENTITY, transform))
    assert after.contexts.dtype == torch.float16
    assert after.contexts.shape == (len(before.contexts), transform.width(16))
    assert torch.equal(after.words, before.words)
    mapped = after.contexts.double().numpy()
    if transform.bias:
        assert (mapped[:, -1] == 1).all()
        mapped = mapped[:, :-1]
    exact = transform.map_contexts(before.contexts.double()).numpy()
    np.testing.assert_allclose(mapped, exact, rtol=2**-10, atol=1e-6)


def test_a_transform_that_is_damaged_or_missing_is_fitted_again(small: Path, tmp_path: Path):
    wish = config(small, tmp_path / "run", epochs=1, transform="whiten", dim=5)
    train(wish)
    file = wish.out / TRANSFORM
    before, vectors = file.read_bytes(), result(wish.out)
    for damage in (lambda: file.write_bytes(before[:-9]), file.unlink):
        (wish.out / "run.json").unlink()
        damage()
        train(wish)
        assert file.read_bytes() == before
        assert result(wish.out) == vectors


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

    def slow(self: Stream) -> Iterator[Buffer]:
        calls.append(1)
        self.seconds_waited += 1000
        return in_order(self)

    monkeypatch.setattr(Stream, "in_order", slow)
    wish = config(small, tmp_path / "run", transform=transform, init=init, epochs=1)
    figures = train(wish)
    assert len(calls) == passes
    assert round(figures["data_wait"] * figures["seconds"] / 1000) == passes
    assert (wish.out / TRANSFORM).exists() == (transform != "none")
    calls.clear()
    assert train(wish.model_copy(update={"epochs": 2}))["resumed"]
    assert not calls
