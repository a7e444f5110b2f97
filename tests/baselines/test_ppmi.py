"""PPMI against dense numpy, a pair of words at a time."""

from collections import Counter

import numpy as np
import pytest

from tests.baselines.caches import DIM, cache_of, counted, request_of, two_topics
from x2static.baselines import ppmi
from x2static.durable.errors import X2StaticError
from x2static.schemas.vectors import WordVectors


def slowly(sentences: list[list[str]], vocabulary: Counter[str], window: int) -> np.ndarray:
    """The matrix that is factorised, (n_words, n_words)."""
    words = list(vocabulary)
    counts = np.zeros((len(words), len(words)))
    for sentence in sentences:
        known = [words.index(word) for word in sentence if word in vocabulary]
        for place, word in enumerate(known):
            for other, context in enumerate(known):
                if other != place and abs(place - other) <= window:
                    counts[word, context] += 1 / abs(place - other)
    joint, single = counts / counts.sum(), counts.sum(axis=1) / counts.sum()
    smoothed = single**0.75 / (single**0.75).sum()
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(joint / single[:, None] / smoothed), 0)


def test_vectors_are_the_singular_ones_of_the_counts_in_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(ppmi, "WORDS_AT_ONCE", 100)  # several portions
    sentences = [*two_topics(150), ["rare", "sea0", "rarer", "sea1"]]
    vocabulary = counted(sentences, least=20)
    cache = cache_of(tmp_path / "cache", sentences[:90], sentences[90:])
    seen = []
    request = request_of(tmp_path, cache, vocabulary, name="ppmi", window=3)
    made = ppmi.make(request.__class__(**{**request.__dict__, "report": seen.append}))
    left, values, _ = np.linalg.svd(slowly(sentences, vocabulary, 3))
    expected = left[:, :DIM] * np.sqrt(values[:DIM])
    expected *= np.sign(expected[np.abs(expected).argmax(axis=0), np.arange(DIM)])
    np.testing.assert_allclose(made.matrix, expected, atol=1e-5)
    assert made.words == list(vocabulary)
    assert len(seen) > 2
    assert seen[-1].done == seen[-1].total
    vectors = WordVectors(made.words, made.matrix, made.counts)
    assert {word for word, _ in vectors.most_similar("sea0", topn=7)} == {f"sea{number}" for number in range(1, 8)}


def test_a_small_vocabulary_has_zeros_behind_and_one_of_two_words_is_refused(tmp_path):
    sentences = [["a", "b", "c", "a"], ["c", "a", "b"], ["b", "b", "a"]]
    cache = cache_of(tmp_path / "cache", sentences)
    made = ppmi.make(request_of(tmp_path, cache, counted(sentences), name="ppmi"))
    assert made.matrix.shape == (3, DIM)
    assert made.matrix[:, :2].any()
    assert not made.matrix[:, 2:].any()
    with pytest.raises(X2StaticError, match="ppmi: 2 words in the vocabulary"):
        ppmi.make(request_of(tmp_path / "two", cache, Counter(a=4, b=4), name="ppmi"))
    lonely = cache_of(tmp_path / "lonely", [["a"], ["b"], ["c"]])
    with pytest.raises(X2StaticError, match="no two words of the vocabulary stand in one sentence"):
        ppmi.make(request_of(tmp_path / "lone", lonely, Counter(a=1, b=1, c=1), name="ppmi"))
