"""Word similarity agrees with gensim's, and says plainly where there is no score."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors

from x2static.durable.errors import X2StaticError
from x2static.evaluation.intervals import Bootstrap
from x2static.evaluation.word_pairs import Pair, find_word_pairs, read_word_pairs
from x2static.evaluation.word_similarity import Score, average, evaluate_word_similarity, score_pairs, score_together
from x2static.schemas.vectors import WordVectors


def random_vectors(words: list[str], seed: int = 0) -> WordVectors:
    matrix = np.random.default_rng(seed).normal(size=(len(words), 16)).astype(np.float32)
    return WordVectors(words, matrix, np.ones(len(words), np.int64))


def words_of(path: Path) -> list[str]:
    return sorted({word.lower() for pair in read_word_pairs(path) for word in (pair.first, pair.second)})


def gensim_score(vectors: WordVectors, path: Path) -> float:
    keyed = KeyedVectors(vectors.dim)
    keyed.add_vectors(vectors.words, vectors.matrix)
    return keyed.evaluate_word_pairs(str(path), case_insensitive=True)[1][0]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("every", [1, 3])
def test_the_score_is_that_of_gensim(which, every):
    file = find_word_pairs(None)[which]
    vectors = random_vectors(words_of(file)[::every], seed=which)
    (score,) = evaluate_word_similarity(vectors, file)
    assert score.score == pytest.approx(gensim_score(vectors, file), abs=1e-6)
    assert (score.covered < score.total) == (every == 3)


def test_the_score_is_that_of_gensim_on_all_shared_data(shared):
    files = find_word_pairs(shared)
    vectors = random_vectors(sorted({word for file in files for word in words_of(file)}))
    for file, score in zip(files, evaluate_word_similarity(vectors, shared), strict=True):
        assert score.score == pytest.approx(gensim_score(vectors, file), abs=1e-6)
        assert (score.task, score.covered) == (file.stem, score.total)


def plane(**angles: float) -> WordVectors:
    """Vectors of length 3 in the plane, at these angles in degrees."""
    radians = np.radians(list(angles.values()))
    matrix = 3 * np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
    return WordVectors(list(angles), matrix, np.ones(len(angles), np.int64))


def test_spearman_of_known_ranks():
    vectors = plane(a=0, b=10, c=30, d=80)
    agreeing = [Pair("a", "b", 9), Pair("a", "c", 5), Pair("a", "d", 1)]
    assert score_pairs(vectors, "t", agreeing).score == pytest.approx(1)
    assert score_pairs(vectors, "t", [pair._replace(score=-pair.score) for pair in agreeing]).score == pytest.approx(-1)
    swapped = [Pair("a", "b", 5), Pair("a", "c", 9), Pair("a", "d", 1)]
    assert score_pairs(vectors, "t", swapped).score == pytest.approx(0.5)


def test_pairs_with_an_unknown_word_are_left_out_and_counted():
    vectors = plane(a=0, b=10, c=30)
    pairs = [Pair("a", "b", 2), Pair("a", "c", 1), Pair("a", "x", 99), Pair("x", "a", 99), Pair("x", "y", 99)]
    assert score_pairs(vectors, "t", pairs) == Score("t", pytest.approx(1), covered=2, total=5)


def test_words_are_looked_up_as_they_are_before_they_are_lower_cased():
    vectors = plane(a=0, jerusalem=10, Paris=30, paris=80)
    pairs = [Pair("a", "Jerusalem", 2), Pair("a", "Paris", 1)]
    assert score_pairs(vectors, "t", pairs).covered == 2
    # "Paris" at 30 degrees is nearer than "c" at 50; the lower-cased one at 80 would not be.
    vectors = plane(a=0, c=50, Paris=30, paris=80)
    assert score_pairs(vectors, "t", [Pair("a", "Paris", 2), Pair("a", "c", 1)]).score == pytest.approx(1)


@pytest.mark.parametrize("known", [0, 1])
def test_fewer_than_two_covered_pairs_give_no_score_and_a_warning(caplog, known):
    vectors = plane(a=0, b=10)
    pairs = [Pair("a", "b" if known else "x", 1), Pair("a", "y", 2), Pair("y", "z", 3)]
    with caplog.at_level(logging.WARNING):
        assert score_pairs(vectors, "rare", pairs) == Score("rare", None, known, 3)
    assert f"rare: no score, {known} of 3 word pairs are covered" in caplog.text


def test_equal_cosines_give_no_score_even_when_rounding_tells_them_apart(caplog):
    draw = np.random.default_rng(0)
    matrix = (draw.normal(size=5).astype(np.float32) * draw.uniform(1, 9, (20, 1)).astype(np.float32)).astype(
        np.float32
    )
    words = [f"w{i}" for i in range(20)]
    vectors = WordVectors(words, matrix, np.ones(20, np.int64))
    pairs = [Pair(words[i], words[i + 1], i) for i in range(19)]
    assert score_pairs(vectors, "t", pairs) == Score("t", None, 19, 19)
    assert "equal" in caplog.text


def test_vectors_of_zeros_give_no_score():
    vectors = WordVectors(["a", "b"], np.zeros((2, 3), np.float32), np.ones(2, np.int64))
    assert score_pairs(vectors, "t", [Pair("a", "b", 1), Pair("b", "a", 2)]).score is None


def test_equal_human_scores_give_no_score():
    assert score_pairs(plane(a=0, b=10, c=30), "t", [Pair("a", "b", 1), Pair("a", "c", 1)]).score is None


def test_a_task_without_coverage_is_reported_beside_one_with(tmp_path):
    (tmp_path / "known.tsv").write_text("a\tb\t2\na\tc\t1\n")
    (tmp_path / "unknown.tsv").write_text("x\ty\t2\n")
    scores = evaluate_word_similarity(plane(a=0, b=10, c=30), tmp_path)
    assert scores == [Score("known", pytest.approx(1), 2, 2), Score("unknown", None, 0, 1)]
    assert average(scores) == pytest.approx(1)


def test_no_coverage_at_all_is_an_error(tmp_path):
    (tmp_path / "one.tsv").write_text("x\ty\t2\n")
    (tmp_path / "two.tsv").write_text("x\ty\t2\nx\tz\t3\n")
    with pytest.raises(X2StaticError, match="none of the 3 word pairs of one, two is covered by the 2 words"):
        evaluate_word_similarity(plane(a=0, b=10), tmp_path)


def test_the_average_counts_each_task_the_same():
    assert average([Score("a", 0.5, 2, 2), Score("b", None, 0, 9), Score("c", 0.1, 900, 900)]) == pytest.approx(0.3)
    assert average([Score("b", None, 0, 9)]) is None
    halves = [Score("ws353-similarity", 0.9, 2, 2), Score("ws353-relatedness", 0.7, 2, 2)]
    assert average([Score("ws353", 0.5, 4, 4), *halves]) == pytest.approx(0.5), "parts do not count beside the whole"
    assert average(halves) == pytest.approx(0.8)
    assert average([]) is None


def test_without_scipy_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(X2StaticError, match=r"scipy: `pip install x2static\[evaluate\]`"):
        score_pairs(plane(a=0, b=10, c=30), "t", [Pair("a", "b", 1), Pair("a", "c", 2)])


def test_together_all_are_scored_on_the_pairs_that_all_cover(tmp_path):
    pairs = [("a", "b", 5), ("a", "C", 4), ("a", "d", 3), ("b", "c", 2), ("b", "d", 1)]
    (tmp_path / "t.tsv").write_text("".join(f"{one}\t{other}\t{score}\n" for one, other, score in pairs))
    full, part, other = plane(a=0, b=50, c=10, d=20), plane(a=0, b=10, c=40), plane(b=0, c=5, a=50, d=7)
    scores = score_together({"full": full, "part": part, "other": other}, tmp_path)
    known = [Pair("a", "b", 5), Pair("a", "C", 4), Pair("b", "c", 2)]
    for name, vectors in (("full", full), ("part", part), ("other", other)):
        alone = score_pairs(vectors, "t", known)
        assert scores[name] == [Score("t", alone.score, covered=3, total=5)]
    assert score_pairs(full, "t", [Pair(*pair) for pair in pairs]).score != scores["full"][0].score


def test_one_set_of_vectors_together_is_that_set_alone():
    file = find_word_pairs(None)[0]
    vectors = random_vectors(words_of(file)[::2])
    assert score_together({"one": vectors}, file)["one"] == evaluate_word_similarity(vectors, file)


def test_vectors_that_share_no_pair_are_an_error_together(tmp_path):
    (tmp_path / "t.tsv").write_text("a\tb\t1\na\tc\t2\n")
    vectors = {"one": plane(a=0, b=10), "other": plane(a=0, c=10)}
    with pytest.raises(X2StaticError, match="none of the 2 word pairs of t is covered by all 2 sets of vectors"):
        score_together(vectors, tmp_path)


def test_the_interval_is_about_the_score_and_repeats():
    file = find_word_pairs(None)[0]
    vectors = random_vectors(words_of(file))
    (score,) = evaluate_word_similarity(vectors, file, Bootstrap(200, seed=1))
    assert score.interval is not None
    assert score.interval.low < score.score < score.interval.high
    assert evaluate_word_similarity(vectors, file, Bootstrap(200, seed=1)) == [score]
    assert evaluate_word_similarity(vectors, file, Bootstrap(200, seed=2))[0].interval != score.interval
    assert score_together({"one": vectors}, file, Bootstrap(200, seed=1))["one"] == [score]


def test_without_a_score_there_is_no_interval():
    pairs = [Pair("a", "b", 1), Pair("a", "x", 2)]
    assert score_pairs(plane(a=0, b=10), "t", pairs, Bootstrap(100)) == Score("t", None, 1, 2, interval=None)
