"""The first principal component: exact for few occurrences, within its bound for many, whatever the units."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import x2static.baselines.sketches
from tests.baselines.caches import cosines, encoded, made, occurring
from tests.stage1_encode.runs import run, write_lines
from tests.teachers import FAMILIES
from x2static.baselines.sketches import ROWS, Sketches
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.pools.pool import Shape


def first_component(vectors: np.ndarray) -> np.ndarray:
    """Return the first right singular vector, not centred, on the side of the mean."""
    component = np.linalg.svd(vectors.astype(np.float64), full_matrices=False)[2][0]
    return component * np.sign(component @ vectors.mean(axis=0))


def sketched(vectors: list[np.ndarray], n_units: int = 1, seed: int = 0) -> Sketches:
    """Return sketches of some words' vectors, in a random order."""
    sketches, dim = Sketches("last"), vectors[0].shape[1]
    sketches.begin(Shape(1, dim, torch.device("cpu")), len(vectors))
    words = np.repeat(np.arange(len(vectors)), [len(rows) for rows in vectors])
    order = np.random.default_rng(seed).permutation(len(words))
    stacked = np.concatenate(vectors)
    for part in np.array_split(order, n_units):
        sketches.add_vectors(torch.from_numpy(words[part]), torch.from_numpy(stacked[part].astype(np.float32)))
        assert sketches.end_unit()
    return sketches


def clouds(sizes: list[int], dim: int, signal: float) -> list[np.ndarray]:
    """Return random vectors around a direction of each word's own."""
    drawn = np.random.default_rng(1)
    means = drawn.normal(size=(len(sizes), dim))
    means *= signal / np.linalg.norm(means, axis=1, keepdims=True)
    return [mean + drawn.normal(size=(size, dim)) / np.sqrt(dim) for mean, size in zip(means, sizes, strict=True)]


@pytest.mark.parametrize("n_units", [1, 5])
def test_exact_for_as_many_occurrences_as_there_are_rows(n_units: int) -> None:
    vectors = clouds(list(range(1, ROWS + 1)), dim=20, signal=0.3)
    found = sketched(vectors, n_units).components()
    np.testing.assert_allclose(found, [first_component(rows) for rows in vectors], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("n_units", [1, 7])
@pytest.mark.parametrize("signal", [0.5, 1.0])
def test_near_the_exact_one_for_many_occurrences_with_a_clear_direction(signal: float, n_units: int) -> None:
    vectors = clouds([9, 16, 17, 64, 65, 200, 1000, 3000], dim=48, signal=signal)
    found = sketched(vectors, n_units).components()
    assert cosines(found, np.array([first_component(rows) for rows in vectors])).min() >= 0.99


@pytest.mark.parametrize("signal", [0.0, 0.3, 1.0])
def test_the_error_is_within_its_bound(signal: float) -> None:
    vectors = clouds([12, 40, 300, 1500], dim=32, signal=signal)
    sketches = sketched(vectors, n_units=6)
    for rows, kept, component in zip(vectors, sketches.tensors["rows"], sketches.components(), strict=True):
        lost = np.linalg.eigvalsh(rows.T @ rows - kept.double().numpy().T @ kept.double().numpy())
        squares = np.linalg.svd(rows, compute_uv=False) ** 2
        bound = squares[1:].sum() / ROWS
        assert lost.min() > -1e-3
        assert lost.max() <= bound * (1 + 1e-5)
        sine = np.sqrt(1 - min(1.0, (component @ first_component(rows)) ** 2))
        assert sine <= np.sqrt(bound / (squares[0] - squares[1])) + 1e-3


def test_a_full_buffer_is_folded_in(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clouds([5, 30, 300], dim=16, signal=1.0)
    monkeypatch.setattr(x2static.baselines.sketches, "BUFFERED", 50)
    found = sketched(vectors, n_units=10)
    assert found.tensors["counts"].tolist() == [5, 30, 300]
    assert cosines(found.components(), np.array([first_component(rows) for rows in vectors])).min() >= 0.99


def test_vectors_that_are_all_alike_are_no_trouble() -> None:
    drawn = np.random.default_rng(0).normal(size=(3, 24))
    vectors = [np.repeat(drawn[:1], 300, axis=0), np.tile(drawn[1:], (40, 1)), np.zeros((90, 24))]
    found = sketched(vectors, n_units=9).components()
    np.testing.assert_allclose(found[:2], [first_component(rows) for rows in vectors[:2]], atol=1e-4)
    assert not found[2].any()


def test_words_without_occurrence_have_zeros_and_bad_values_are_seen() -> None:
    sketches = sketched(clouds([3], dim=4, signal=1.0))
    sketches.begin(Shape(1, 4, torch.device("cpu")), 2)
    sketches.add_vectors(torch.tensor([1]), torch.tensor([[0.0, 3.0, 0.0, 4.0]]))
    assert sketches.end_unit()
    np.testing.assert_allclose(sketches.components(), [[0, 0, 0, 0], [0, 0.6, 0, 0.8]], atol=1e-6)
    sketches.add_vectors(torch.tensor([1]), torch.full((1, 4), float("nan")))
    assert not sketches.end_unit()


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_an_unbatched_computation(family: str, tmp_path: Path) -> None:
    cache = encoded(tmp_path, family=family)
    found = made("pca", cache, tmp_path / "out", layer=1)
    expected = occurring(found, family)
    exact = np.array([first_component(expected[word][:, 1]) for word in found.words])
    near = cosines(found.matrix, exact)
    few = found.counts <= ROWS
    assert few.sum() >= 20
    assert near[few].min() >= 0.9999
    assert near.min() >= 0.99
    assert found.run["occurrences"] == found.counts.sum()
    assert (found.run["pooling"], found.run["rows_per_word"]) == ("first principal component, not centred", ROWS)


def test_what_it_cannot_do_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = encoded(tmp_path)
    with pytest.raises(X2StaticError, match=r"--layer 9: this teacher has layers 0"):
        made("pca", cache, tmp_path / "out", layer=9)
    monkeypatch.setattr("x2static.baselines.teacher.memory_of", lambda _: 10_000)
    with pytest.raises(X2StaticError, match=r"and of the 0\.0 GB of memory here 80% .* --max-vocab"):
        made("pca", cache, tmp_path / "out")


def naive_occurrences(texts: list[str], words: list[str]) -> dict[str, np.ndarray]:
    """Return the vectors of some words' occurrences by the demo teacher's last layer, one paragraph at a time."""
    from transformers import AutoModel, AutoTokenizer

    from x2static.stage1_encode.teacher.files import resolve_model

    folder, _ = resolve_model("demo", None)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    found: dict[str, list[np.ndarray]] = {word: [] for word in words}
    for text in texts:
        read = tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
        offsets = read.pop("offset_mapping")[0].numpy()
        with torch.no_grad():
            states = model(**read).last_hidden_state[0].numpy()
        for match in re.finditer(r"\w+", text):
            if match[0].lower() in found:
                touched = (offsets[:, 0] < match.end()) & (offsets[:, 1] > match.start())
                found[match[0].lower()].append(states[touched].mean(axis=0))
    return {word: np.array(rows) for word, rows in found.items()}


def test_on_real_text_it_is_that_of_a_naive_computation(shared: Path, tmp_path: Path) -> None:
    import gzip

    with gzip.open(shared / "corpora" / "enwiki-4k.txt.gz", "rt", encoding="utf-8") as file:
        texts = [text for text in (next(file).strip() for _ in range(60)) if 100 < len(text) < 1000][:30]
    words = ["the", "of", "in", "was", "is", "to", "as", "first", "time", "new"]
    run(Path("demo"), write_lines(tmp_path / "text.txt", texts), tmp_path / "cache", unit=8)
    (tmp_path / "words.txt").write_text("\n".join(words))
    found = made("pca", tmp_path / "cache", tmp_path / "out", vocab=tmp_path / "words.txt")
    expected = naive_occurrences(texts, found.words)
    assert found.counts.tolist() == [len(expected[word]) for word in found.words]
    assert found.counts.max() > 100
    near = cosines(found.matrix, np.array([first_component(expected[word]) for word in found.words]))
    few = found.counts <= ROWS
    assert few.any()
    assert near[few].min() >= 0.9999
    assert near.min() >= 0.99
