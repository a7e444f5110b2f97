"""fastText's n-grams: which are shared, and how they enter a word's vector."""

from collections import Counter

import numpy as np
import pytest
from gensim.models import FastText
from gensim.models.fasttext import ft_ngram_hashes

from tests.baselines.texts import cache_of, request_of
from x2static.baselines import fasttext

WORDS = ["walking", "walked", "talking", "a", "naïve", "새", "</s>", "x" * 300]


def model_of(dim: int = 4, buckets: int = 1) -> FastText:
    model = FastText(vector_size=dim, min_n=3, max_n=6, bucket=buckets, min_count=1, sorted_vocab=0, sg=1)
    model.build_vocab_from_freq({word: 100 - rank for rank, word in enumerate(WORDS)})
    return model


@pytest.mark.parametrize("buckets", [7, 2_000_000])
def test_the_same_ngrams_share_a_vector_as_if_all_buckets_had_one(buckets):
    model = model_of()
    used = fasttext.draw_ngrams(model, buckets)
    hashes = [ft_ngram_hashes(word, 3, 6, buckets) for word in WORDS]
    distinct = sorted({one for row in hashes for one in row})
    assert used == len(distinct) == len(model.wv.vectors_ngrams)
    for expected, found in zip(hashes, model.wv.buckets_word, strict=True):
        assert [distinct[row] for row in found] == list(expected)
        assert found.dtype == np.uint32


def test_ngrams_are_drawn_from_the_range_of_gensims():
    model = model_of(dim=50)
    fasttext.draw_ngrams(model, 2_000_000)
    drawn = model.wv.vectors_ngrams
    assert np.abs(drawn).max() <= 1 / 50
    np.testing.assert_allclose(drawn.std(), 1 / 50 / np.sqrt(3), rtol=0.02)


def test_words_that_share_ngrams_are_alike_though_they_never_meet(tmp_path):
    sentences = [["walking", "a"], ["walked", "b"], ["other", "c"]] * 100
    cache = cache_of(tmp_path / "cache", sentences)
    vocabulary = Counter({"walking": 100, "walked": 100, "other": 100, "a": 100, "b": 100, "c": 100})
    request = request_of(tmp_path, cache, vocabulary, name="fasttext", dim=50, threads=1, epochs=1)
    made = fasttext.make(request)
    walking, walked, other = (made.matrix[made.words.index(word)] for word in ("walking", "walked", "other"))

    def cosine(first: np.ndarray, second: np.ndarray) -> float:
        return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))

    assert cosine(walking, walked) > cosine(walking, other) + 0.2
    assert made.origin["buckets"] == 2_000_000
    assert made.origin["buckets_used"] < 100


def test_fewer_buckets_are_made_where_their_vectors_would_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(fasttext, "MOST_BYTES", 4 * 50 * 11)
    cache = cache_of(tmp_path / "cache", [WORDS] * 10)
    request = request_of(tmp_path, cache, Counter(dict.fromkeys(WORDS, 10)), name="fasttext", dim=50, threads=1)
    assert fasttext.make(request).told["buckets"] == 11
