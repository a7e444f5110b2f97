"""Word similarity agrees with gensim's; where there is no score it says so; comparisons are honest."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from scipy.stats import spearmanr

from x2static.durable.errors import X2StaticError
from x2static.evaluation.intervals import Bootstrap, draw_counts
from x2static.evaluation.word_pairs import Pair, find_word_pairs, read_word_pairs
from x2static.evaluation.word_similarity import (
    Difference,
    Differences,
    Score,
    average,
    evaluate_word_similarity,
    paired_differences,
    score_pairs,
    score_together,
)
from x2static.machine import packages
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


def test_a_task_without_coverage_is_reported_beside_one_with(tmp_path):
    (tmp_path / "known.tsv").write_text("a\tb\t2\na\tc\t1\n")
    (tmp_path / "unknown.tsv").write_text("x\ty\t2\n")
    scores = evaluate_word_similarity(plane(a=0, b=10, c=30), tmp_path)
    assert scores == [Score("known", pytest.approx(1), 2, 2), Score("unknown", None, 0, 1)]
    assert average(scores) == pytest.approx(1)


def test_the_average_counts_each_task_the_same():
    assert average([Score("a", 0.5, 2, 2), Score("b", None, 0, 9), Score("c", 0.1, 900, 900)]) == pytest.approx(0.3)
    assert average([Score("b", None, 0, 9)]) is None
    halves = [Score("ws353-similarity", 0.9, 2, 2), Score("ws353-relatedness", 0.7, 2, 2)]
    assert average([Score("ws353", 0.5, 4, 4), *halves]) == pytest.approx(0.5), "parts do not count beside the whole"
    assert average(halves) == pytest.approx(0.8)
    assert average([]) is None


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


PARALLEL = (np.arange(1, 21, dtype=np.float32)[:, None] * np.array([0.3, -1.7, 0.9, 0.2, 1.1], np.float32)).astype(
    np.float32
)


@pytest.mark.parametrize(
    ("matrix", "scores"),
    [
        (PARALLEL / 3, range(19)),  # equal cosines, which rounding tells apart
        (np.zeros((20, 5), np.float32), range(19)),
        (np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32), [1] * 19),
    ],
)
def test_equal_cosines_or_human_scores_give_no_score_and_a_warning(matrix, scores, caplog):
    words = [f"w{i}" for i in range(20)]
    vectors = WordVectors(words, matrix, np.ones(20, np.int64))
    pairs = [Pair(*two, score) for *two, score in zip(words, words[1:], scores, strict=False)]
    assert score_pairs(vectors, "t", pairs) == Score("t", None, 19, 19)
    assert "equal" in caplog.text


def test_no_coverage_at_all_is_an_error(tmp_path):
    (tmp_path / "one.tsv").write_text("a\tb\t2\n")
    (tmp_path / "two.tsv").write_text("a\tc\t2\na\tb\t3\n")
    with pytest.raises(X2StaticError, match="none of the 3 word pairs of one, two is covered by the 2 words"):
        evaluate_word_similarity(plane(x=0, b=10), tmp_path)
    with pytest.raises(X2StaticError, match="none of the 3 word pairs of one, two is covered by all 2 sets of vectors"):
        score_together({"one": plane(a=0, b=10), "other": plane(a=0, c=10)}, tmp_path)


def test_without_scipy_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    with pytest.raises(X2StaticError, match=r"scipy.*x2static\[evaluate\]"):
        score_pairs(plane(a=0, b=10, c=30), "t", [Pair("a", "b", 1), Pair("a", "c", 2)])


N = 120


def of_cosines(cosines: np.ndarray, left_out: tuple[int, ...] = ()) -> WordVectors:
    """Vectors in the plane of which the words a0 and b0, a1 and b1 ... have these cosines."""
    rows = [i for i in range(len(cosines)) if i not in left_out]
    angles = np.arccos(cosines[rows])
    first = np.tile([1.0, 0.0], (len(rows), 1))
    second = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    words = [f"a{i}" for i in rows] + [f"b{i}" for i in rows]
    return WordVectors(words, np.concatenate([first, second]).astype(np.float32), np.ones(len(words), np.int64))


def noisy(human: np.ndarray, noise: float, seed: int) -> np.ndarray:
    return np.tanh(human + noise * np.random.default_rng(seed).normal(size=len(human)))


def write(path: Path, human: np.ndarray) -> Path:
    path.write_text("".join(f"a{i}\tb{i}\t{score!r}\n" for i, score in enumerate(human.tolist())))
    return path


@pytest.fixture
def human() -> np.ndarray:
    return np.random.default_rng(0).normal(size=N)


def compare(first: WordVectors, other: WordVectors, file: Path, **options: int) -> Difference:
    (difference,) = paired_differences({"first": first, "other": other}, file, Bootstrap(**options))["other"].tasks
    return difference


def test_the_difference_and_its_interval_are_those_of_a_naive_loop_over_the_pairs_that_both_cover(tmp_path, human):
    file = write(tmp_path / "pairs.tsv", human)
    cosines = noisy(human, 1.5, 1), noisy(human, 0.7, 2)
    result = compare(of_cosines(cosines[0], (0, 1, 2)), of_cosines(cosines[1], (2, 3)), file, resamples=200, seed=5)

    both = slice(4, None)
    left = [human[both], *(values[both] for values in cosines)]
    score = [spearmanr(left[0], values).statistic for values in left[1:]]
    resampled = []
    for row in np.concatenate(list(draw_counts(N - 4, Bootstrap(200, 5), "pairs"))):
        people, *sets = (np.repeat(values, row) for values in left)
        resampled.append(spearmanr(people, sets[1]).statistic - spearmanr(people, sets[0]).statistic)
    assert (result.task, result.covered, result.total) == ("pairs", N - 4, N)
    assert result.difference == pytest.approx(score[1] - score[0], abs=1e-9)
    assert result.interval == pytest.approx(np.percentile(resampled, [2.5, 97.5]).tolist(), abs=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_great_difference_is_clear_either_way(tmp_path, human, sign):
    good, bad = of_cosines(noisy(human, 0.2, 1)), of_cosines(noisy(human, 3, 2))
    first, other = (bad, good) if sign == 1 else (good, bad)
    result = compare(first, other, write(tmp_path / "pairs.tsv", human))
    assert result.is_clear
    assert result.difference is not None
    assert result.difference * sign > 0


@pytest.mark.exhaustive
def test_no_difference_is_inside_the_interval_about_95_times_in_100(tmp_path):
    trials, inside = 200, 0
    for seed in range(trials):
        human = np.random.default_rng(seed).normal(size=N)
        first, other = (of_cosines(noisy(human, 1, 1000 * which + seed)) for which in (1, 2))
        inside += not compare(first, other, write(tmp_path / "pairs.tsv", human), resamples=300).is_clear
    assert inside / trials == pytest.approx(0.95, abs=0.05)  # three standard errors


def test_the_average_counts_data_sets_the_same_and_its_interval_is_that_of_independent_sets(tmp_path, human):
    vectors = {"first": of_cosines(noisy(human, 1.5, 1)), "other": of_cosines(noisy(human, 0.7, 2))}
    for name, seed in (("one", 0), ("two", 7)):
        write(tmp_path / f"{name}.tsv", human + np.random.default_rng(seed).normal(size=N))
    (tmp_path / "unknown.tsv").write_text("x\ty\t1\n")
    (compared,) = paired_differences(vectors, tmp_path, Bootstrap()).values()
    one, two, unknown = compared.tasks
    assert unknown == Difference("unknown", None, None, 0, 1)
    assert not unknown.is_clear
    average = compared.average
    assert (average.task, average.covered, average.total) == ("average", 2 * N, 2 * N), (
        "what has no difference is not counted"
    )
    assert average.difference == pytest.approx((one.difference + two.difference) / 2)
    # Independent data sets of like width: the mean's interval is narrower by about the root of two.
    width = [interval.high - interval.low for interval in (one.interval, two.interval, average.interval)]
    assert width[2] == pytest.approx(np.hypot(width[0], width[1]) / 2, rel=0.15)


def test_a_set_of_too_few_pairs_for_an_interval_takes_not_that_of_the_average(tmp_path, human):
    vectors = {"first": of_cosines(noisy(human, 1.5, 1)), "other": of_cosines(noisy(human, 0.7, 2))}
    write(tmp_path / "many.tsv", human)
    write(tmp_path / "few.tsv", human[:2])
    (compared,) = paired_differences(vectors, tmp_path, Bootstrap(200)).values()
    few, many = compared.tasks
    assert few.difference is not None
    assert few.interval is None
    assert many.interval is not None
    assert (compared.average.difference, compared.average.interval) == (many.difference, many.interval)
    (tmp_path / "many.tsv").unlink()
    (alone,) = paired_differences(vectors, tmp_path, Bootstrap(200)).values()
    assert (alone.average.difference, alone.average.interval) == (few.difference, None)


def test_with_common_the_differences_are_those_of_scores_on_the_pairs_that_all_cover(tmp_path, human):
    file = write(tmp_path / "pairs.tsv", human)
    left_out = {"first": (0,), "second": (1,), "third": (2, 3)}
    vectors = {name: of_cosines(noisy(human, 1, seed), out) for seed, (name, out) in enumerate(left_out.items())}
    scores = {name: score for name, (score,) in score_together(vectors, file).items()}
    compared = paired_differences(vectors, file, Bootstrap(100), common=True)
    assert list(compared) == ["second", "third"]
    for name, differences in compared.items():
        (difference,) = differences.tasks
        assert difference.covered == N - 4
        assert difference.difference == pytest.approx(scores[name].score - scores["first"].score)
    assert paired_differences(vectors, file, Bootstrap(100))["second"].tasks[0].covered == N - 2


def test_without_any_score_there_is_no_average(tmp_path):
    (tmp_path / "pairs.tsv").write_text("x\ty\t1\n")
    vectors = of_cosines(np.array([0.1, 0.2]))
    compared = paired_differences({"a": vectors, "b": vectors}, tmp_path, Bootstrap(100))
    none = Difference("pairs", None, None, 0, 1)
    assert compared == {"b": Differences([none], Difference("average", None, None, 0, 0))}


@pytest.mark.parametrize(("names", "averaged"), [(("ws", "ws-part"), None), (("one", "two"), ["one"])])
def test_the_average_is_over_the_sets_that_are_named_or_else_all_but_parts_of_others(tmp_path, human, names, averaged):
    for seed, name in enumerate(names):
        write(tmp_path / f"{name}.tsv", human + np.random.default_rng(seed).normal(size=N))
    vectors = {"a": of_cosines(noisy(human, 1.5, 1)), "b": of_cosines(noisy(human, 0.7, 2))}
    (compared,) = paired_differences(vectors, tmp_path, Bootstrap(100), averaged=averaged).values()
    assert replace(compared.average, task=names[0]) == compared.tasks[0]
