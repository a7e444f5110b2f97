"""Subwords are the least squares of the definition, and say of a word that was left out what its spelling says."""

import numpy as np
import pytest
import torch

from tests.pipeline.ran import run_here
from tests.stage2_train.caches import make_cache
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import hash_file
from x2static.schemas.subwords import SUBWORDS, ngrams_of
from x2static.schemas.vectors import MATRIX, VOCABULARY, WordVectors
from x2static.stage2_train import subwords as module
from x2static.stage2_train.subwords import Spellings, fit_subwords, make_subwords

STEMS, ENDS = ("walk", "talk", "jump", "climb", "paint", "count"), ("", "s", "ed", "ing", "er", "able")
WORDS = [stem + end for stem in STEMS for end in ENDS]


def spelt_vectors(dim: int = 70, left_out: str = "") -> WordVectors:
    """Vectors that are the sum of a stem's and an ending's, and a little noise; frequent and rare."""
    draw = np.random.default_rng(0)
    stems, ends = (draw.normal(size=(6, dim)) for _ in range(2))
    matrix = (stems[:, None] + ends[None]).reshape(-1, dim) + 0.1 * draw.normal(size=(36, dim))
    counts = draw.integers(1, 500, 36)
    rows = [row for row, word in enumerate(WORDS) if word != left_out]
    return WordVectors([WORDS[row] for row in rows], matrix[rows].astype(np.float32), counts[rows])


def naive_matrix(words: list[str]) -> tuple[list[str], np.ndarray]:
    """The n-grams of two words or more, and A, an entry at a time."""
    pieces = {word: [f"<{word}>"[a : a + n] for n in range(3, 7) for a in range(len(word) + 3 - n)] for word in words}
    pieces = {word: [piece for piece in of_word if piece != f"<{word}>"] for word, of_word in pieces.items()}
    ngrams = sorted({p for of_word in pieces.values() for p in of_word if sum(p in o for o in pieces.values()) >= 2})
    matrix = np.zeros((len(words), len(ngrams)))
    for row, word in enumerate(words):
        counting = [piece for piece in pieces[word] if piece in ngrams]
        for piece in counting:
            matrix[row, ngrams.index(piece)] += 1 / np.sqrt(len(counting))
    return ngrams, matrix


def test_products_with_the_sparse_matrix_are_those_with_the_dense_one():
    words = [*WORDS, "aaaa", "aaab", "xyz", "a"]  # an n-gram twice in a word, a word without one
    spellings = Spellings(words)
    ngrams, matrix = naive_matrix(words)
    assert spellings.ngrams == ngrams
    draw = np.random.default_rng(1)
    of_ngrams, of_words = draw.normal(size=(len(ngrams), 3)), draw.normal(size=(len(words), 3))
    sums = spellings.sums(torch.from_numpy(of_ngrams).float())
    np.testing.assert_allclose(sums, matrix @ of_ngrams, atol=1e-5)
    gathered = spellings.gathered(torch.from_numpy(of_words).float())
    np.testing.assert_allclose(gathered, matrix.T @ of_words, atol=1e-5)


def test_the_fit_is_the_least_squares_of_the_definition(monkeypatch):
    vectors = spelt_vectors()
    monkeypatch.setattr(module, "TOLERANCE", 1e-6)
    fitted = fit_subwords(vectors)
    ngrams, matrix = naive_matrix(vectors.words)
    normal = matrix.T @ matrix + module.RIDGE * np.eye(len(ngrams))
    expected = np.linalg.solve(normal, matrix.T @ vectors.matrix)
    assert fitted.ngrams == ngrams
    np.testing.assert_allclose(fitted.matrix, expected, atol=2e-3)


@pytest.mark.parametrize("word", ["walking", "painter", "climbing", "countable"])
def test_a_word_that_was_left_out_is_nearest_to_where_it_would_be(word):
    whole, rest = spelt_vectors(), spelt_vectors(left_out=word)
    vectors = WordVectors(rest.words, rest.matrix, rest.counts, subwords=fit_subwords(rest))
    made = vectors[word]
    cosines = whole.unit_matrix @ (made / np.linalg.norm(made))
    assert whole.words[int(cosines.argmax())] == word
    assert cosines.max() > 0.8


def test_they_are_made_once_and_again_where_they_are_damaged_and_nothing_else_changes(tmp_path, caplog):
    spelt_vectors().save(tmp_path)
    before = [hash_file(tmp_path / name) for name in (MATRIX, VOCABULARY)]
    first = make_subwords(tmp_path)
    assert (first["finished_before"], first["ngrams"]) == (False, len(naive_matrix(WORDS)[0]))
    made = (tmp_path / SUBWORDS).read_bytes()
    assert make_subwords(tmp_path) == {**first, "finished_before": True}
    (tmp_path / SUBWORDS).write_bytes(made[:-9])
    assert make_subwords(tmp_path)["finished_before"] is False
    assert "made again, for they are damaged" in caplog.text
    assert (tmp_path / SUBWORDS).read_bytes() == made
    assert [hash_file(tmp_path / name) for name in (MATRIX, VOCABULARY)] == before


def test_words_that_share_nothing_and_folders_without_vectors_are_refused(tmp_path):
    WordVectors(["abc", "xyz"], np.ones((2, 2), np.float32), np.ones(2, np.int64)).save(tmp_path / "apart")
    with pytest.raises(X2StaticError, match="no two of the 2 words share an n-gram"):
        make_subwords(tmp_path / "apart")
    with pytest.raises(X2StaticError, match="no word vectors here"):
        make_subwords(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_train_makes_them_afterwards_and_a_longer_training_has_none_until_they_are_asked_for(tmp_path, capsys):
    cache, run = make_cache(tmp_path / "cache"), tmp_path / "run"
    words = ["train", "--cache", cache, "--out", run, "--min-count", "1", "--init", "zeros"]
    assert "subwords" not in run_here(capsys, words).out
    ran = run_here(capsys, [*words, "--subwords", "--json"])
    assert "character n-grams, in" in ran.err
    first = WordVectors.load(run, "subwords").subwords
    assert (ran.json["finished_before"], ran.json["subwords"]["ngrams"]) == (True, len(first.ngrams))
    assert run_here(capsys, [*words, "--epochs", "2"]).status == 0
    with pytest.raises(X2StaticError, match="no subwords here"):  # they were of other vectors
        WordVectors.load(run, "subwords")
    assert "character n-grams, in" in run_here(capsys, ["subwords", run]).out
    assert not np.array_equal(WordVectors.load(run, "subwords").subwords.matrix, first.matrix)
    assert "character n-grams, made before" in run_here(capsys, ["subwords", run]).out


def test_every_ngram_of_a_known_word_is_known_that_two_words_have():
    spellings = Spellings(WORDS)
    assert {"<wal", "alk", "ing>"} <= set(spellings.ngrams)
    lone = [ngram for ngram in ngrams_of("climbable") if ngram not in spellings.ngrams]
    assert lone
    assert all(sum(ngram in ngrams_of(word) for word in WORDS) == 1 for ngram in lone)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_vectors_beyond_float16_are_refused_and_not_kept_as_infinite():
    vectors = spelt_vectors()
    with pytest.raises(X2StaticError, match="up to 65,504, and these vectors need more; scale them down"):
        fit_subwords(WordVectors(vectors.words, vectors.matrix * np.float32(1e6), vectors.counts))
