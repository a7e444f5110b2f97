"""Sentence similarity agrees with a plain computation, and says plainly where there is no score."""

import logging

import numpy as np
import pytest

from x2static.durable.errors import X2StaticError
from x2static.evaluation.sentence_similarity import (
    SIF_A,
    Correlation,
    SentencePair,
    SentenceScore,
    average,
    evaluate_sentence_similarity,
    read_sentence_pairs,
    score_sentences,
    without_first_component,
)
from x2static.schemas.vectors import WordVectors, sif_weights
from x2static.stage1_encode.text.segmentation import default_words

WORDS = [f"w{i}" for i in range(40)]


def random_vectors(seed: int = 0, dim: int = 6, words: list[str] = WORDS) -> WordVectors:
    draw = np.random.default_rng(seed)
    counts = np.sort(draw.integers(1, 10_000, len(words)))[::-1]
    matrix = draw.normal(size=(len(words), dim)) + 0.5  # a common direction, for SIF to remove
    return WordVectors(words, matrix.astype(np.float32), counts.astype(np.int64))


def random_pairs(n: int, seed: int = 0) -> list[SentencePair]:
    draw = np.random.default_rng(seed)

    def sentence() -> str:
        return " ".join(draw.choice([*WORDS, "unknown"], draw.integers(3, 12)))

    return [SentencePair(sentence(), sentence(), float(draw.integers(0, 6))) for _ in range(n)]


def ranks(values: list[float]) -> np.ndarray:
    """Ranks from 1, of equals their mean."""
    return np.array([sum(x < v for x in values) + (sum(x == v for x in values) + 1) / 2 for v in values])


def naive(vectors: WordVectors, pairs: list[SentencePair], sif: bool) -> Correlation:
    """The scores, a word at a time; the component by a singular value decomposition."""
    total = float(vectors.counts.sum())
    averages = []
    for pair in pairs:
        for text in (pair.first, pair.second):
            parts = []
            for word in text.split(" "):
                if word in vectors:
                    share = vectors.counts[vectors.index[word]] / total
                    parts.append(vectors[word].astype(float) * (1e-3 / (1e-3 + share) if sif else 1))
            averages.append(sum(parts) / len(parts))
    if sif:
        first = np.linalg.svd(np.array(averages))[2][0]
        averages = [vector - first * (first @ vector) for vector in averages]
    cosines = [
        float(u @ v / np.linalg.norm(u) / np.linalg.norm(v)) for u, v in zip(averages[::2], averages[1::2], strict=True)
    ]
    human = [pair.score for pair in pairs]
    return Correlation(float(np.corrcoef(ranks(cosines), ranks(human))[0, 1]), float(np.corrcoef(cosines, human)[0, 1]))


def test_both_scores_are_those_of_a_plain_computation():
    vectors, pairs = random_vectors(), random_pairs(60)
    score = score_sentences(vectors, "t", pairs)
    for found, sif in ((score.mean, False), (score.sif, True)):
        expected = naive(vectors, pairs, sif)
        assert (found.spearman, found.pearson) == pytest.approx((expected.spearman, expected.pearson), abs=1e-6)
    assert score.mean != score.sif
    assert (score.covered, score.total) == (60, 60)


def test_the_weights_are_those_of_the_paper():
    assert sif_weights(np.array([900, 100, 0]), SIF_A).tolist() == pytest.approx([1e-3 / 0.901, 1e-3 / 0.101, 1])
    assert SIF_A == 1e-3


def test_without_its_first_component_nothing_lies_along_it():
    vectors = np.random.default_rng(0).normal(size=(30, 5)) + 2
    first = np.linalg.svd(vectors)[2][0]
    rest = without_first_component(vectors)
    assert np.abs(rest @ first).max() < 1e-12
    assert rest == pytest.approx(vectors - np.outer(vectors @ first, first))
    assert not without_first_component(np.outer([1.0, 2.0, -3.0], [0.6, 0.8])).any()  # not what rounding leaves


def test_vectors_without_counts_have_no_sif_score_and_say_so(caplog):
    vectors = random_vectors()
    without = WordVectors(vectors.words, vectors.matrix, np.zeros_like(vectors.counts))
    with caplog.at_level(logging.WARNING):
        score = score_sentences(without, "t", random_pairs(9))
    assert score.sif is None
    assert score.mean == score_sentences(vectors, "t", random_pairs(9)).mean
    assert "t: no SIF score, the vectors come without counts" in caplog.text


def test_text_is_cut_as_training_cut_it_or_else_lower_cased_at_white_space():
    words = ["a", "cat", "sat", "mat", "ran", ".", "cat."]
    pairs = [
        SentencePair("A cat.", "a mat", 1),
        SentencePair("The Cat sat.", "a cat", 2),
        SentencePair("ran", "sat", 3),
    ]
    plain = random_vectors(words=words)
    ruled = WordVectors(words, plain.matrix, plain.counts, default_words())
    spaced = [SentencePair("a cat .", "a mat", 1), SentencePair("the cat sat .", "a cat", 2), pairs[2]]
    assert score_sentences(ruled, "t", pairs) == score_sentences(plain, "t", spaced)
    lowered = [SentencePair(pair.first.lower(), pair.second, pair.score) for pair in pairs]
    assert score_sentences(plain, "t", pairs) == score_sentences(plain, "t", lowered)
    assert score_sentences(plain, "t", pairs) != score_sentences(ruled, "t", pairs)


def test_pairs_with_a_sentence_of_unknown_words_are_left_out_and_counted():
    pairs = random_pairs(9)
    unknown = [SentencePair("x y z", "w1", 5), SentencePair("w1", "x", 0)]
    more, alone = score_sentences(random_vectors(), "t", pairs + unknown), score_sentences(random_vectors(), "t", pairs)
    assert (more.mean, more.sif) == (alone.mean, alone.sif)
    assert (more.covered, more.total) == (9, 11)


def test_equal_human_scores_or_cosines_give_no_score():
    equal = [pair._replace(score=1) for pair in random_pairs(9)]
    score = score_sentences(random_vectors(), "t", equal)
    assert (score.mean, score.sif) == (None, None)
    line = random_vectors(dim=1)
    score = score_sentences(WordVectors(line.words, np.abs(line.matrix), line.counts), "t", random_pairs(9))
    assert (score.mean, score.sif) == (None, None)


def test_the_average_counts_each_task_the_same(tmp_path):
    for name in ("a", "b"):
        lines = [f"{pair.first}\t{pair.second}\t{pair.score}" for pair in random_pairs(9, seed=ord(name))]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines))
    scores = evaluate_sentence_similarity(random_vectors(), tmp_path)
    assert [score.task for score in scores] == ["a", "b"]
    assert average(scores) == pytest.approx((scores[0].mean.spearman + scores[1].mean.spearman) / 2)
    assert average([SentenceScore("t", None, None, 0, 1)]) is None


def test_fewer_than_two_covered_pairs_give_no_score_and_a_warning_and_none_at_all_an_error(tmp_path, caplog):
    (tmp_path / "rare.tsv").write_text("x\ty\t2\nw1\tw2\t3\n")
    with caplog.at_level(logging.WARNING):
        assert evaluate_sentence_similarity(random_vectors(), tmp_path) == [SentenceScore("rare", None, None, 1, 2)]
    assert "rare: no score, 1 of 2 sentence pairs are covered" in caplog.text
    (tmp_path / "rare.tsv").write_text("x\ty\t2\nx\tz\t3\n")
    with pytest.raises(X2StaticError, match="none of the 2 sentence pairs of rare is covered by the 40 words"):
        evaluate_sentence_similarity(random_vectors(), tmp_path)


PLAIN = 'A "cat".\t#2 sat\t4.5\n'
STS = 'main-news\tMSRvid\t2012test\t0001\t4.5\tA "cat".\t#2 sat\n'


def test_plain_files_and_the_sts_benchmark_give_the_same_pairs(tmp_path):
    sourced = STS.rstrip("\n") + "\thttp://a.example\thttp://b.example\n"
    for name, text in (
        ("plain.tsv", PLAIN * 2),
        ("sts.csv", STS + sourced),
        ("windows.tsv", "\ufeff" + PLAIN[:-1] + "\r\n" + PLAIN),
    ):
        (tmp_path / name).write_bytes(text.encode())
        assert read_sentence_pairs(tmp_path / name) == [SentencePair('A "cat".', "#2 sat", 4.5)] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN + "a\tb\n", "line 2: expected 3 columns, got 2"),
        ("a,b,3\n", "line 1: expected 3 columns, got 1"),
        (PLAIN + STS, "line 2: expected 3 columns, got 7"),
        (STS + PLAIN, "line 2: expected 7 to 9 columns, as in the first line, got 3"),
        ("\t".join("0123456789") + "\n", "line 1: expected 3 columns, got 10"),  # GLUE's, with a header
        ("sentence1\tsentence2\tscore\n" + PLAIN, "line 1: the score 'score' is no number; remove a header"),
        (STS.replace("4.5", "high"), "line 1: the score 'high' is no number"),
        (PLAIN + "\n" + PLAIN.replace("4.5", "nan"), "line 3: the score 'nan' is not finite"),
        (PLAIN + "a\t \t3\n", "line 2: a sentence is empty"),
        ("", "no sentence pairs in it"),
        (PLAIN + "na\udcefve\tb\t2\n", "line 2: not valid UTF-8"),
    ],
)
def test_a_bad_file_is_refused_by_line(tmp_path, text, message):
    (tmp_path / "p.tsv").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(X2StaticError, match=r"p\.tsv.*" + message):
        read_sentence_pairs(tmp_path / "p.tsv")
