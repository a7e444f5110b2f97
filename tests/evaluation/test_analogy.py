"""Analogies agree with gensim's and with a naive loop, whatever the memory."""

import tracemalloc
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.made import cosine, of_gensim, random_vectors
from x2static.evaluation import analogy
from x2static.evaluation.analogy import EPSILON, Question, read_questions, score_questions
from x2static.evaluation.files import QUESTIONS, find_files
from x2static.schemas.vectors import WordVectors


def questions_of(n_words: int, n: int, seed: int = 0) -> list[Question]:
    draw = np.random.default_rng(seed)
    words = [[f"w{k}" for k in draw.choice(n_words, 4, replace=False)] for _ in range(n)]
    sections = [f"{'gram' if i % 3 else 'x'}{i % 5}" for i in range(n)]
    return [Question(section, (a, b, c), d) for section, (a, b, c, d) in zip(sections, words, strict=True)]


def written(path: Path, questions: list[Question]) -> Path:
    lines = []
    for name, of_section in groupby(sorted(questions), key=lambda question: question.section):
        lines += [f": {name}", *(" ".join((*question.given, question.answer)) for question in of_section)]
    path.write_text("\n".join(lines))
    return path


def naive(vectors: WordVectors, question: Question, multiply: bool = True) -> str:
    """The answer, a word at a time, in float64, as Levy & Goldberg write it."""

    def score(word: str) -> float:
        a, b, c = (cosine(vectors, word, given) for given in question.given)
        return (1 + b) / 2 * ((1 + c) / 2) / ((1 + a) / 2 + EPSILON) if multiply else b - a + c

    return max((word for word in vectors.words if word not in question.given), key=score)


def solvable(vectors: WordVectors, questions: list[Question]) -> list[Question]:
    """The questions with every second answer replaced by that of 3CosAdd."""
    return [q._replace(answer=naive(vectors, q, multiply=False)) if i % 2 else q for i, q in enumerate(questions)]


def test_3cosadd_is_that_of_gensim_in_every_section(tmp_path):
    vectors = random_vectors([f"w{i}" for i in range(60)])
    questions = solvable(vectors, questions_of(60, 200)) + questions_of(80, 50, seed=1)
    file = written(tmp_path / "q.txt", questions)
    expected, sections = of_gensim(vectors).evaluate_word_analogies(str(file), restrict_vocab=10**9)
    score = score_questions(vectors, "q", read_questions(file))
    assert score.score == pytest.approx(expected, abs=1e-12)
    assert 0.3 < expected < 0.7
    for section in sections[:-1]:
        right, wrong = len(section["correct"]), len(section["incorrect"])
        assert score.sections[section["section"]].score == pytest.approx(right / (right + wrong))
        assert score.sections[section["section"]].covered == right + wrong
    assert score.covered < score.total == 250


def test_gensim_ships_the_published_questions():
    (path,) = find_files(QUESTIONS, None)
    score = score_questions(random_vectors(["athens", "greece", "oslo", "norway"]), "q", read_questions(path))
    assert (score.covered, score.total) == (2, 19544)
    assert (len(score.sections), score.semantic.total, score.syntactic.total) == (14, 8869, 10675)


def test_3cosmul_is_that_of_a_naive_loop():
    vectors = random_vectors([f"w{i}" for i in range(50)], seed=2, dim=4)
    questions = questions_of(50, 120, seed=3)
    answers = [naive(vectors, question) for question in questions]
    score = score_questions(vectors, "t", [q._replace(answer=a) for q, a in zip(questions, answers, strict=True)])
    assert score.cos_mul == 1
    assert score.score < 1  # so the two were told apart


def test_the_result_does_not_depend_on_the_block_and_memory_is_bounded_by_the_megabytes(monkeypatch):
    vectors = random_vectors([f"w{i}" for i in range(70)], seed=4)
    questions = solvable(vectors, questions_of(70, 90, seed=5))
    whole = score_questions(vectors, "t", questions)
    for megabytes in (1e-9, 0.002):
        monkeypatch.setattr(analogy, "MEGABYTES", megabytes)
        assert score_questions(vectors, "t", questions) == whole
    vectors = random_vectors([f"w{i}" for i in range(40_000)], dim=4)
    questions = questions_of(40_000, 500)
    monkeypatch.setattr(analogy, "MEGABYTES", 2)
    tracemalloc.start()
    try:
        score_questions(vectors, "t", questions)
        # Beside the cosines, 200 MB at once: the spellings of 40,000 words, and some megabytes of compared scores.
        assert tracemalloc.get_traced_memory()[1] < 42 * 2**20
    finally:
        tracemalloc.stop()


def test_case_is_ignored_as_in_gensim(tmp_path):
    lower = [f"w{i}" for i in range(30)]
    words = lower + [word.upper() for word in lower[::2]] + ["W1x", "w1X"]
    vectors = random_vectors(words, seed=6, dim=3)
    questions = [q._replace(answer=q.answer.upper()) for q in questions_of(30, 300, seed=7)]
    file = written(tmp_path / "q.txt", questions)
    expected, _ = of_gensim(vectors).evaluate_word_analogies(str(file), restrict_vocab=10**9)
    assert score_questions(vectors, "q", read_questions(file)).score == pytest.approx(expected, abs=1e-12)
    assert expected > 0


@pytest.mark.parametrize(
    ("vectors", "question", "expected"),
    [
        # "b" is nearest to itself, then "B", then "d"; given words are no answers in any case.
        ({"a": (1, 0), "b": (0.2, 1), "c": (1, 0.1), "B": (0.21, 1), "d": (0.3, 1), "e": (-1, 0)}, "a b c d", 1),
        ({"a": (1, 0), "b": (0, 1), "c": (1, 1)}, "a b c a", 0),  # given words alone: nothing is left to answer
        ({"a": (1, 0), "b": (-1, 0), "c": (0, 0), "d": (1, 0)}, "a b c d", 1),  # zeros, and opposite vectors
    ],
)
def test_given_words_are_no_answers_and_zeros_are_no_error(vectors, question, expected):
    *given, answer = question.split()
    of_rows = WordVectors(list(vectors), np.array(list(vectors.values()), np.float32), np.ones(len(vectors), np.int64))
    known = Question("s", tuple(given), answer)
    unknown = [known._replace(answer="x"), known._replace(given=("a", "x", "c"))]
    score = score_questions(of_rows, "t", [known, *unknown])
    assert (score.score, score.cos_mul, score.covered, score.total) == (expected, expected, 1, 3)
    assert (score.semantic, score.syntactic) == (None, None), "the file has sections of one kind alone"


def test_questions_without_coverage_are_warned_of(caplog):
    score = score_questions(random_vectors(["a", "b", "c", "d"]), "rare", [Question("s", ("a", "b", "c"), "x")])
    assert (score.score, score.cos_mul, score.covered, score.total) == (None, None, 0, 1)
    assert "rare: no score, none of the 1 analogy questions is covered" in caplog.text
