"""Association tests agree with a plain computation, with WEFE, and with what chance would do."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats

from tests.evaluation.made import cosine, of_gensim, random_vectors
from x2static.evaluation.bias import PUBLISHED, WordLists, associate, read_tests
from x2static.evaluation.draws import Draws
from x2static.schemas.vectors import WordVectors

DRAWS = Draws(2000, seed=1)


def lists_of(x: int, y: int, a: int = 3, b: int = 4) -> WordLists:
    sizes = {"X": x, "Y": y, "A": a, "B": b}
    return WordLists(**{name: [f"{name.lower()}{i}" for i in range(n)] for name, n in sizes.items()})


def vectors_of(lists: WordLists, seed: int = 0) -> WordVectors:
    return random_vectors([word for _, of_list in lists for word in of_list], 5, seed)


def naive(vectors: WordVectors, lists: WordLists) -> tuple[float, float]:
    """Effect size and exact p-value as the paper writes them, partitions by itertools."""
    s = {}
    for word in lists.X + lists.Y:
        near_a, near_b = ([cosine(vectors, word, other) for other in others] for others in (lists.A, lists.B))
        s[word] = np.mean(near_a) - np.mean(near_b)
    effect = (np.mean([s[x] for x in lists.X]) - np.mean([s[y] for y in lists.Y])) / np.std(list(s.values()))
    total = sum(s.values())
    observed = 2 * sum(s[x] for x in lists.X) - total
    sums = [2 * sum(part) - total for part in itertools.combinations(s.values(), len(lists.X))]
    return float(effect), float(np.mean([other >= observed - 1e-12 for other in sums]))


@pytest.mark.parametrize(("x", "y"), [(2, 2), (5, 5), (3, 6), (7, 4)])
def test_effect_size_and_exact_p_are_those_of_the_paper(x, y):
    lists = lists_of(x, y)
    vectors = vectors_of(lists, x)
    result = associate(vectors, "t", lists, DRAWS)
    assert (result.score, result.p) == pytest.approx(naive(vectors, lists), abs=1e-6)
    assert result.exact


def test_too_many_partitions_are_drawn_and_agree_with_all_of_them():
    lists = lists_of(10, 10)  # 184,756 partitions
    vectors = vectors_of(lists, seed=3)
    first, again, other = (associate(vectors, "t", lists, Draws(5000, seed)) for seed in (5, 5, 6))
    effect, p = naive(vectors, lists)
    assert not first.exact
    assert first.score == pytest.approx(effect, abs=1e-6)
    assert first.p == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 5000))
    assert first == again != other


@pytest.mark.parametrize(("n", "exact"), [(184_755, False), (184_756, True)])
def test_p_is_exact_where_as_many_are_asked_for_as_there_are_partitions(n, exact, monkeypatch):
    lists = lists_of(10, 10)  # 184,756 partitions
    asked = []

    def permutation_test(*_, n_resamples, **__):
        asked.append(n_resamples)
        return SimpleNamespace(pvalue=0.5)

    monkeypatch.setattr(scipy.stats, "permutation_test", permutation_test)
    assert associate(vectors_of(lists, seed=3), "t", lists, Draws(n)).exact == exact
    assert asked == [np.inf if exact else n]


def test_what_is_drawn_is_never_impossible():
    lists = lists_of(10, 10)
    vectors = vectors_of(lists)
    towards = vectors.matrix[20:23].mean(axis=0) - vectors.matrix[23:].mean(axis=0)
    matrix = vectors.matrix.copy()
    matrix[:10], matrix[10:20] = towards, -towards  # the most unequal partition
    extreme = WordVectors(vectors.words, matrix + 1e-3 * vectors.matrix, vectors.counts)
    assert associate(extreme, "t", lists, Draws(500)).p == pytest.approx(1 / 501)


def test_unknown_words_are_left_out_and_words_that_are_one_in_the_vocabulary_count_once():
    lists = lists_of(4, 4)
    vectors = vectors_of(lists)
    upper = [word.upper() for word in lists.Y]
    more = WordLists(X=["X0", *lists.X, "unknown"], Y=upper, A=["none", *lists.A], B=lists.B)
    whole, part = associate(vectors, "t", lists, DRAWS), associate(vectors, "t", more, DRAWS)
    assert (part.score, part.p) == (whole.score, whole.p)
    assert (part.covered, part.total, part.known) == (15, 18, {"X": 4, "Y": 4, "A": 3, "B": 4})


@pytest.mark.parametrize("few", "XB")
def test_lists_that_are_too_short_and_targets_that_are_all_alike_give_no_score_and_a_warning(few, caplog):
    lists = lists_of(3, 3, 3, 3)
    vectors = vectors_of(lists)
    words = {name: ["k", "l", *of_list[:1]] if name == few else of_list for name, of_list in lists}
    result = associate(vectors, "rare", WordLists(**words), DRAWS)
    vectors.matrix[:6] = vectors.matrix[0] * np.arange(1, 7, dtype=np.float32)[:, None]
    alike = associate(vectors, "t", lists, DRAWS)
    assert (result.score, result.p, result.covered, result.total) == (None, None, 10, 12)
    assert f"rare: no score, of list {few} only 1 word known" in caplog.text
    assert alike.score is None
    assert "all 6 targets are associated alike" in caplog.text


SIZES = [(25, 25), (25, 25), (32, 25), (18, 25), (18, 8), (8, 8), (8, 8), (8, 8), (6, 7), (8, 8)]


def test_a_file_of_the_published_lists_gives_the_tests_of_the_paper(write):
    names = {name for test in PUBLISHED.values() for name in test}
    tests = read_tests(write("WEAT.json", json.dumps({name: [name, f"{name}_"] for name in names})))
    assert list(tests) == list(PUBLISHED)
    assert tests["7 math/arts, male/female terms"].A == ["male_terms", "male_terms_"]


def test_the_published_lists_and_the_effect_size_are_those_of_wefe():
    metrics = pytest.importorskip("wefe.metrics", reason="compares with WEFE", exc_type=ImportError)
    from wefe.query import Query
    from wefe.word_embedding_model import WordEmbeddingModel

    for number, (name, lists) in enumerate(read_tests(None).items()):
        words = list(dict.fromkeys(word for _, of_list in lists for word in of_list))
        vectors = random_vectors(words, seed=number)
        query = Query([lists.X, lists.Y], [lists.A, lists.B], ["X", "Y"], ["A", "B"])
        # Targets times two, attributes times two: Caliskan et al. 2017, table 1.
        assert (len(lists.X), len(lists.A)) == SIZES[number] == (len(lists.Y), len(lists.B))
        expected = metrics.WEAT().run_query(query, WordEmbeddingModel(of_gensim(vectors)))["effect_size"]
        assert associate(vectors, name, lists, Draws(10)).score == pytest.approx(expected, abs=1e-6)
