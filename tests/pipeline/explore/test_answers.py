"""What the page shows, compared with plain numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.explore.conftest import HOSTILE, make_vectors
from x2static.pipeline.explore import answers
from x2static.pipeline.explore.answers import Searchable
from x2static.schemas.subwords import Subwords
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.segmentation import default_words

WORDS = [f"w{i}" for i in range(300)]


@pytest.fixture(scope="module")
def one() -> Searchable:
    return Searchable("one", make_vectors(WORDS)).prepare()


def unit_of(one: Searchable) -> np.ndarray:
    return one.vectors.matrix / np.linalg.norm(one.vectors.matrix, axis=1, keepdims=True)


@pytest.mark.parametrize("n", [1, 7, 299, 300, 1000])
def test_neighbours_are_the_others_in_the_order_of_their_cosines(one, n):
    cosines = unit_of(one) @ unit_of(one)[5]
    order = [row for row in np.argsort(-cosines) if row != 5][:n]
    answer = answers.neighbours(one, "w5", n)
    assert answer["known"] == [{"word": "w5", "rank": 6, "count": 295}]
    assert [near["word"] for near in answer["nearest"]] == [WORDS[row] for row in order]
    np.testing.assert_allclose([near["cosine"] for near in answer["nearest"]], cosines[order], atol=1e-4)


def test_an_analogy_is_the_order_of_all_cosines_with_a_minus_b_plus_c_without_the_three(one):
    unit = unit_of(one)
    query = unit[3] - unit[8] + unit[20]
    cosines = unit @ query / np.linalg.norm(query)
    order = [row for row in np.argsort(-cosines) if row not in (3, 8, 20)][:12]
    answer = answers.analogy(one, ("w3", "w8", "w20"), 12)
    assert [each["word"] for each in answer["nearest"]] == [WORDS[row] for row in order]
    np.testing.assert_allclose([each["cosine"] for each in answer["nearest"]], cosines[order], atol=1e-4)
    assert [known["word"] for known in answer["known"]] == ["w3", "w8", "w20"]


def test_a_word_that_is_named_twice_is_left_out_once(one):
    assert answers.analogy(one, ("w3", "w3", "w4"), 1000)["nearest"][0]["word"] != "w4"
    assert len(answers.analogy(one, ("w3", "w3", "w4"), 1000)["nearest"]) == 298


def test_similarity_is_the_cosine(one):
    answer = answers.similarity(one, "w1", " W2 ")
    assert answer["cosine"] == pytest.approx(one.vectors.similarity("w1", "w2"), abs=1e-4)
    assert answer["known"] == [{"word": "w1", "rank": 2, "count": 299}, {"word": "w2", "rank": 3, "count": 298}]


def test_zeros_are_near_to_nothing():
    vectors = WordVectors(["a", "b", "c"], np.array([[1, 0], [0, 0], [1, 1]], np.float32), np.ones(3, np.int64))
    one = Searchable("one", vectors)
    assert answers.neighbours(one, "b", 5)["nearest"] == []
    assert answers.similarity(one, "a", "b")["cosine"] == 0
    assert [each["cosine"] for each in answers.neighbours(one, "a", 5)["nearest"]] == [0.7071, 0.0]
    assert answers.sentences(one, ["a", "b"])["cosines"] == [[1.0, None], [None, None]]


def test_one_word_alone_has_no_neighbours_and_a_place_on_the_map():
    one = Searchable("one", make_vectors(["a"], dim=1))
    assert answers.neighbours(one, "a", 5)["nearest"] == []
    assert answers.word_map(one, 5) == {"words": ["a"], "counts": [1], "x": [0.0], "y": [0.0], "share": [0.0]}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("abA\u05e9𝔘 "), max_size=5), unique=True, min_size=1),
    st.text("abA\u05e9𝔘", max_size=3),
)
def test_completions_are_the_most_frequent_words_that_begin_so(words, prefix):
    one = Searchable("one", make_vectors(words))
    assert one.complete(prefix, 4) == [word for word in words if word.startswith(prefix)][:4]


def test_completions_of_several_sets_take_turns_and_name_no_word_twice():
    first, second = Searchable("1", make_vectors(["ab", "ac", "ad"])), Searchable("2", make_vectors(["ac", "ae", "Ab"]))
    assert answers.complete([first, second], "a", 3) == ["ab", "ac", "ae"]
    assert answers.complete([first, second], " A", 9) == ["Ab", "ab", "ac", "ae", "ad"]


@pytest.mark.parametrize("typed", ["kingg", "kng", "iking", "knig", "king_", "QUEN", "kingfishr"])
def test_an_unknown_word_is_answered_with_those_that_are_spelt_alike(typed):
    one = Searchable("one", make_vectors(["the", "king", "queen", "kingfisher", *HOSTILE]))
    unknown = answers.neighbours(one, typed, 5)["unknown"]
    meant = "queen" if typed == "QUEN" else "kingfisher" if "fish" in typed else "king"
    assert unknown[0] == {"word": typed, "near": unknown[0]["near"]}
    assert unknown[0]["near"][0] == meant


@pytest.mark.parametrize("typed", ["zzz", "x" * 5000, "", "\u202e", "𝔘𝔘"])
def test_nothing_is_near_to_a_word_that_is_spelt_like_none(one, typed):
    assert answers.neighbours(one, typed, 5) == {"unknown": [{"word": typed, "near": []}]}


def test_every_unknown_word_of_a_question_is_named(one):
    assert [each["word"] for each in answers.analogy(one, ("no", "w1", "nor"), 5)["unknown"]] == ["no", "nor"]
    assert [each["word"] for each in answers.similarity(one, "no", "w1")["unknown"]] == ["no"]


def test_a_word_outside_the_vocabulary_has_the_vector_of_its_subwords():
    subwords = Subwords(["<ki", "kin", "ing"], np.eye(3, 4, dtype=np.float16), 1.0)
    vectors = make_vectors(["a", "b", "c"], dim=4, subwords=subwords)
    one = Searchable("one", vectors)
    answer = answers.neighbours(one, "King", 3)
    assert answer["known"] == [{"word": "king", "rank": None, "count": None}]
    cosines = unit_of(one) @ subwords.vector("king")
    assert [each["word"] for each in answer["nearest"]] == ["abc"[row] for row in np.argsort(-cosines)]
    assert "unknown" in answers.neighbours(one, "zzz", 3)


def test_sentences_are_compared_by_the_means_of_their_words():
    vectors = make_vectors(["the", "king", "walks", "."], segmentation=default_words())
    texts = ["The king walks.", "King!", "nothing known"]
    answer = answers.sentences(Searchable("one", vectors), texts)
    first, second, _ = vectors.encode(texts)
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert answer["cosines"][0][1] == answer["cosines"][1][0] == pytest.approx(cosine, abs=1e-4)
    assert answer["cosines"][2] == [None, None, None]
    assert answer["words"][1] == [{"word": "king", "known": True}, {"word": "!", "known": False}]


def test_the_map_has_the_principal_components(one):
    answer = answers.word_map(one, 100)
    unit = one.vectors.matrix[:100] / np.linalg.norm(one.vectors.matrix[:100], axis=1, keepdims=True)
    centred = (unit - unit.mean(axis=0)).astype(np.float64)
    _, values, right = np.linalg.svd(centred, full_matrices=False)
    plane = centred @ right[:2].T
    plane /= np.abs(plane).max()
    for axis, name in enumerate("xy"):
        ours = np.array(answer[name])
        np.testing.assert_allclose(ours, plane[:, axis] * np.sign(plane[:, axis] @ ours), atol=1e-3)
        assert ours[np.abs(ours).argmax()] > 0
    np.testing.assert_allclose(answer["share"], values[:2] ** 2 / (values**2).sum(), atol=1e-4)
    assert (answer["words"], answer["counts"]) == (WORDS[:100], list(range(300, 200, -1)))


def test_settings_stand_in_rows_those_that_were_asked_for_first():
    first = make_vectors(["a"], run={"steps": 3, "configuration": {"lr": 0.1, "out": "x"}, "losses": [1, 2]})
    second = make_vectors(["a"], run={"configuration": {"lr": None}})
    rows = answers.settings([Searchable("1", first), Searchable("2", second)])
    assert [(row["name"], row["values"]) for row in rows] == [
        ("configuration.lr", ["0.1", None]),
        ("configuration.out", ["x", None]),
        ("steps", ["3", None]),
        ("losses", ["[1, 2]", None]),
    ]
