"""Two sets of word vectors are compared on the same pairs, and the interval of their difference is honest."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from x2static.evaluation.intervals import Bootstrap, Interval, draw_counts
from x2static.evaluation.word_similarity import Difference, Differences, paired_differences, score_together
from x2static.schemas.vectors import WordVectors

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


def test_vectors_do_not_differ_from_themselves(tmp_path, human):
    vectors = of_cosines(noisy(human, 1, 1))
    result = compare(vectors, vectors, write(tmp_path / "pairs.tsv", human), resamples=100)
    assert (result.difference, result.interval) == (0, Interval(0, 0))
    assert not result.is_clear


@pytest.mark.parametrize("sign", [1, -1])
def test_a_great_difference_is_clear_either_way(tmp_path, human, sign):
    good, bad = of_cosines(noisy(human, 0.2, 1)), of_cosines(noisy(human, 3, 2))
    first, other = (bad, good) if sign == 1 else (good, bad)
    result = compare(first, other, write(tmp_path / "pairs.tsv", human))
    assert result.is_clear
    assert result.difference is not None
    assert result.difference * sign > 0


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


def test_the_average_is_over_the_sets_that_are_named(tmp_path, human):
    vectors = {"first": of_cosines(noisy(human, 1.5, 1)), "other": of_cosines(noisy(human, 0.7, 2))}
    for name, seed in (("one", 0), ("two", 7)):
        write(tmp_path / f"{name}.tsv", human + np.random.default_rng(seed).normal(size=N))
    (compared,) = paired_differences(vectors, tmp_path, Bootstrap(200), averaged=["two"]).values()
    two = compared.tasks[1]
    assert (compared.average.difference, compared.average.interval) == (two.difference, two.interval)


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


def test_parts_of_a_set_count_neither_in_the_average_nor_in_its_pairs(tmp_path, human):
    for name in ("ws", "ws-part"):
        write(tmp_path / f"{name}.tsv", human)
    vectors = {"a": of_cosines(noisy(human, 1.5, 1)), "b": of_cosines(noisy(human, 0.7, 2))}
    (compared,) = paired_differences(vectors, tmp_path, Bootstrap(100)).values()
    whole = compared.tasks[0]
    average = compared.average
    assert (average.covered, average.total) == (whole.covered, whole.total) == (N, N)
    assert (average.difference, average.interval) == (whole.difference, whole.interval)
