"""Sentence similarity agrees with a plain computation, and says plainly where there is no score."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from tests.evaluation.made import WORDS, random_vectors
from x2static.evaluation.files import Pair
from x2static.evaluation.sentence_similarity import SentenceScore, score_sentences, without_first_component
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.segmentation import default_words


def random_pairs(n: int) -> list[Pair]:
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice([*WORDS, "unknown"], draw.integers(3, 12))) for _ in range(2 * n)]
    return [Pair(one, other, float(draw.integers(0, 6))) for one, other in zip(texts[:n], texts[n:], strict=True)]


def naive(vectors: WordVectors, pairs: list[Pair], sif: bool) -> tuple[float, float]:
    """The scores, a word at a time; the component by a singular value decomposition."""
    total = float(vectors.counts.sum())
    averages = []
    for text in (text for pair in pairs for text in pair[:2]):
        parts = []
        for word in text.split(" "):
            if word in vectors:
                share = vectors.counts[vectors.index[word]] / total
                parts.append(vectors[word].astype(float) * (1e-3 / (1e-3 + share) if sif else 1))
        averages.append(sum(parts) / len(parts))
    if sif:
        first = np.linalg.svd(np.array(averages))[2][0]
        averages = [vector - first * (first @ vector) for vector in averages]
    two = zip(averages[::2], averages[1::2], strict=True)
    cosines = [u @ v / np.linalg.norm(u) / np.linalg.norm(v) for u, v in two]
    human = [pair.score for pair in pairs]
    return spearmanr(cosines, human).statistic, pearsonr(cosines, human).statistic


def test_both_scores_are_those_of_a_plain_computation_over_pairs_with_known_words():
    vectors, pairs = random_vectors(), random_pairs(60)
    score = score_sentences(vectors, "t", [*pairs, Pair("x y z", "w1", 5), Pair("w1", "x", 0)])
    assert (score.score, score.pearson) == pytest.approx(naive(vectors, pairs, sif=False), abs=1e-6)
    assert (score.sif.spearman, score.sif.pearson) == pytest.approx(naive(vectors, pairs, sif=True), abs=1e-6)
    assert (score.covered, score.total) == (60, 62)


def test_of_vectors_along_the_first_component_nothing_is_left_not_what_rounding_leaves():
    assert not without_first_component(np.outer([1.0, 2.0, -3.0], [0.6, 0.8])).any()


def test_text_is_cut_as_training_cut_it_or_else_lower_cased_at_white_space():
    words = ["a", "cat", "sat", "mat", "ran", ".", "cat."]
    last = Pair("ran", "sat", 3)
    pairs = [Pair("A cat.", "a mat", 1), Pair("The Cat sat.", "a cat", 2), last]
    plain = random_vectors(words)
    ruled = WordVectors(words, plain.matrix, plain.counts, default_words())
    spaced = [Pair("a cat .", "a mat", 1), Pair("the cat sat .", "a cat", 2), last]
    assert score_sentences(ruled, "t", pairs) == score_sentences(plain, "t", spaced)
    lowered = [Pair("a cat.", "a mat", 1), Pair("the cat sat.", "a cat", 2), last]
    assert score_sentences(plain, "t", pairs) == score_sentences(plain, "t", lowered)
    assert score_sentences(plain, "t", pairs) != score_sentences(ruled, "t", pairs)


def test_equal_human_scores_or_cosines_and_fewer_than_two_covered_pairs_give_no_score(caplog):
    equal = [pair._replace(score=1) for pair in random_pairs(9)]
    line = random_vectors(dim=1)
    alike = WordVectors(line.words, np.abs(line.matrix), line.counts)
    for score in (score_sentences(random_vectors(), "t", equal), score_sentences(alike, "t", random_pairs(9))):
        assert score == SentenceScore("t", None, 9, 9, None, None)
    score = score_sentences(random_vectors(), "rare", [Pair("x", "y", 2), Pair("w1", "w2", 3)])
    assert score == SentenceScore("rare", None, 1, 2, None, None)
    assert "rare: no score, 1 of 2 pairs are covered" in caplog.text
