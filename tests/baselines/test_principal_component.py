"""The first principal component: exact for few occurrences, within its bound for many, whatever the units."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

import x2static.baselines.sketches
from tests.baselines.caches import common, cosines, made, occurring
from tests.stage1_encode.runs import run, write_lines
from tests.teachers import FAMILIES
from x2static.baselines.sketches import ROWS, Sketches
from x2static.stage1_encode.pools.pool import Shape
from x2static.stage1_encode.teacher.files import resolve_model


def first_component(vectors: np.ndarray) -> np.ndarray:
    """The first right singular vector, not centred, on the side of the mean."""
    component = np.linalg.svd(vectors.astype(np.float64), full_matrices=False)[2][0]
    return component * np.sign(component @ vectors.mean(axis=0))


def empty_sketches(n_words: int, dim: int) -> Sketches:
    sketches = Sketches()
    sketches.tensors = sketches.empty(Shape(1, dim, torch.device("cpu")), n_words)
    return sketches


def sketched(vectors: list[np.ndarray], n_units: int = 1) -> Sketches:
    """Sketches of some words' vectors, in a random order."""
    sketches = empty_sketches(len(vectors), vectors[0].shape[1])
    words = np.repeat(np.arange(len(vectors)), [len(rows) for rows in vectors])
    stacked = np.concatenate(vectors)
    for part in np.array_split(np.random.default_rng(0).permutation(len(words)), n_units):
        sketches.add((torch.from_numpy(words[part]), torch.from_numpy(stacked[part].astype(np.float32))))
        assert sketches.end_unit()
    return sketches


def clouds(sizes: list[int], dim: int, signal: float) -> list[np.ndarray]:
    """Random vectors around a direction of each word's own."""
    drawn = np.random.default_rng(1)
    means = drawn.normal(size=(len(sizes), dim))
    means *= signal / np.linalg.norm(means, axis=1, keepdims=True)
    return [mean + drawn.normal(size=(size, dim)) / np.sqrt(dim) for mean, size in zip(means, sizes, strict=True)]


@pytest.mark.parametrize("n_units", [1, 5])
def test_exact_for_as_many_occurrences_as_there_are_rows(n_units: int) -> None:
    vectors = clouds(list(range(1, ROWS + 1)), dim=20, signal=0.3)
    components = sketched(vectors, n_units).components()
    np.testing.assert_allclose(components, [first_component(rows) for rows in vectors], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(components, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("signal", [0.0, 0.3, 0.5, 1.0])
def test_the_error_is_within_its_bound_and_small_where_the_direction_is_clear(
    signal: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(x2static.baselines.sketches, "BUFFERED", 1000)  # a full buffer is folded in
    vectors = clouds([9, 16, 17, 64, 65, 200, 1000, 3000], dim=48, signal=signal)
    sketches = sketched(vectors, n_units=6)
    assert sketches.tensors["counts"].tolist() == [len(rows) for rows in vectors]
    for rows, few, component in zip(vectors, sketches.tensors["rows"], sketches.components(), strict=True):
        lost = np.linalg.eigvalsh(rows.T @ rows - few.double().numpy().T @ few.double().numpy())
        squares = np.linalg.svd(rows, compute_uv=False) ** 2
        bound = squares[1:].sum() / ROWS
        assert lost.min() > -1e-3
        assert lost.max() <= bound * (1 + 1e-5)
        cosine = component @ first_component(rows)
        assert np.sqrt(1 - min(1.0, cosine**2)) <= np.sqrt(bound / (squares[0] - squares[1])) + 1e-3
        assert signal < 0.5 or cosine >= 0.99


def test_vectors_that_are_all_alike_are_no_trouble() -> None:
    drawn = np.random.default_rng(0).normal(size=(3, 24))
    vectors = [np.repeat(drawn[:1], 300, axis=0), np.tile(drawn[1:], (40, 1)), np.zeros((90, 24))]
    components = sketched(vectors, n_units=9).components()
    np.testing.assert_allclose(components[:2], [first_component(rows) for rows in vectors[:2]], atol=1e-4)
    assert not components[2].any()


def test_words_without_occurrence_have_zeros_and_bad_values_are_seen() -> None:
    sketches = empty_sketches(2, dim=4)
    sketches.add((torch.tensor([1]), torch.tensor([[0.0, 3.0, 0.0, 4.0]])))
    assert sketches.end_unit()
    np.testing.assert_allclose(sketches.components(), [[0, 0, 0, 0], [0, 0.6, 0, 0.8]], atol=1e-6)
    sketches.add((torch.tensor([1]), torch.full((1, 4), float("nan"))))
    assert not sketches.end_unit()


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_an_unbatched_computation(family: str, tmp_path: Path) -> None:
    ours = made("pca", common(family), tmp_path / "out", layer=1)
    near = cosines(ours.matrix, np.array([first_component(vectors[:, 1]) for vectors in occurring(ours, family)]))
    few = ours.counts <= ROWS
    assert few.sum() >= 20
    assert near[few].min() >= 0.9999
    assert near.min() >= 0.99
    assert ours.run["occurrences"] == ours.counts.sum()
    assert (ours.run["pooling"], ours.run["rows_per_word"]) == ("first principal component, not centred", ROWS)


def naive_occurrences(texts: list[str], words: list[str]) -> list[np.ndarray]:
    """The vectors of some words' occurrences by the demo teacher's last layer, one paragraph at a time."""
    folder, _ = resolve_model("demo", None)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    vectors: dict[str, list[np.ndarray]] = {word: [] for word in words}
    for text in texts:
        read = tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
        offsets = read.pop("offset_mapping")[0].numpy()
        with torch.no_grad():
            states = model(**read).last_hidden_state[0].numpy()
        for match in re.finditer(r"\w+", text):
            if match[0].lower() in vectors:
                touched = (offsets[:, 0] < match.end()) & (offsets[:, 1] > match.start())
                vectors[match[0].lower()].append(states[touched].mean(axis=0))
    return list(map(np.array, vectors.values()))


def test_on_real_text_it_is_that_of_a_naive_computation(shared: Path, tmp_path: Path) -> None:
    with gzip.open(shared / "corpora" / "enwiki-4k.txt.gz", "rt", encoding="utf-8") as file:
        texts = [text for text in (next(file).strip() for _ in range(60)) if 100 < len(text) < 1000][:30]
    run(Path("demo"), write_lines(tmp_path / "text.txt", texts), tmp_path / "cache", unit=8)
    (tmp_path / "words.txt").write_text("the of in was is to as first time new".replace(" ", "\n"))
    ours = made("pca", tmp_path / "cache", tmp_path / "out", vocab=tmp_path / "words.txt")
    expected = naive_occurrences(texts, ours.words)
    assert ours.counts.tolist() == [len(vectors) for vectors in expected]
    assert ours.counts.max() > 100
    near = cosines(ours.matrix, np.array([first_component(vectors) for vectors in expected]))
    few = ours.counts <= ROWS
    assert few.any()
    assert near[few].min() >= 0.9999
    assert near.min() >= 0.99
