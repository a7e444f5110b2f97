"""Word similarity agrees with gensim's; where there is no score it says so; comparisons are honest."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.evaluation.made import of_gensim, random_vectors
from x2static.durable.errors import X2StaticError
from x2static.evaluation import word_similarity as similarity
from x2static.evaluation.draws import Draws
from x2static.evaluation.word_pairs import find_word_pairs, read_word_pairs
from x2static.evaluation.word_similarity import SimilarityScore, evaluate_word_similarity, paired_differences
from x2static.schemas.vectors import WordVectors


@pytest.mark.parametrize(("which", "every"), [(0, 1), (1, 3)])
def test_the_score_is_that_of_gensim(which, every):
    file = find_word_pairs(None)[which]
    words = sorted({word.lower() for pair in read_word_pairs(file) for word in pair[:2]})[::every]
    vectors = random_vectors(words)
    (score,) = evaluate_word_similarity(vectors, file)
    _, (expected, _), _ = of_gensim(vectors).evaluate_word_pairs(str(file), case_insensitive=True)
    assert score.score == pytest.approx(expected, abs=1e-6)
    assert (score.covered < score.total) == (every == 3)


def plane(**angles: float) -> WordVectors:
    """Vectors of length 3 in the plane, at these angles in degrees."""
    radians = np.radians(list(angles.values()))
    matrix = 3 * np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
    return WordVectors(list(angles), matrix, np.ones(len(angles), np.int64))


def written(file: Path, pairs: list[tuple[str, str, float]]) -> Path:
    file.write_text("".join(f"{one}\t{other}\t{score!r}\n" for one, other, score in pairs))
    return file


def scored(file: Path, vectors: WordVectors, pairs: list[tuple[str, str, float]]) -> SimilarityScore:
    (score,) = evaluate_word_similarity(vectors, written(file, pairs))
    return score


def test_pairs_with_an_unknown_word_are_left_out_and_counted(tmp_path):
    vectors = plane(a=0, b=10, c=30, d=80)
    pairs = [("a", "b", 5), ("a", "c", 9), ("a", "d", 1)]  # ranks 2, 3, 1 for cosines of ranks 3, 2, 1
    unknown = [("a", "x", 99), ("x", "a", 99), ("x", "y", 99)]
    expected = SimilarityScore("t", pytest.approx(0.5), covered=3, total=6)
    assert scored(tmp_path / "t.tsv", vectors, pairs + unknown) == expected


def test_words_are_looked_up_as_they_are_before_they_are_lower_cased(tmp_path):
    # "Paris" at 30 degrees is nearer than "Jerusalem" at 50; the lower-cased one at 80 would not be.
    vectors = plane(a=0, jerusalem=50, Paris=30, paris=80)
    pairs = [("a", "Paris", 2), ("a", "Jerusalem", 1)]
    assert scored(tmp_path / "t.tsv", vectors, pairs).score == pytest.approx(1)


def test_the_average_counts_each_task_the_same():
    def of(**scores: float | None) -> list[SimilarityScore]:
        return [SimilarityScore(task.replace("_", "-"), score, 30, 900) for task, score in scores.items()]

    assert similarity.average(of(a=0.5, b=None, c=0.1)) == pytest.approx(0.3)
    assert similarity.average(of(b=None)) is None
    assert similarity.average(of(ws_one=0.9, ws=0.5, ws_two=0.7)) == pytest.approx(0.5)  # no parts beside the whole
    assert similarity.average(of(ws_one=0.9, ws_two=0.7)) == pytest.approx(0.8)


def test_what_rests_on_few_pairs_is_in_no_average():
    few, enough = (SimilarityScore(f"{n}", score, n, 900) for n, score in ((29, -0.9), (30, 0.5)))
    assert (few.too_few, enough.too_few) == (True, False)
    assert similarity.average([few, enough]) == 0.5
    assert similarity.average([few]) is None
    assert not replace(few, interval=similarity.Interval(-0.99, -0.8)).is_clear


def test_together_all_are_scored_on_the_pairs_that_all_cover(tmp_path):
    pairs = [("a", "b", 5), ("a", "C", 4), ("a", "d", 3), ("b", "c", 2), ("b", "d", 1)]
    sets = {"full": plane(a=0, b=50, c=10, d=20), "part": plane(a=0, b=10, c=40), "other": plane(b=0, c=5, a=50, d=7)}
    scores = similarity.score_together(sets, written(tmp_path / "t.tsv", pairs))
    known = [("a", "b", 5), ("a", "C", 4), ("b", "c", 2)]
    for name, vectors in sets.items():
        assert scores[name] == [replace(scored(tmp_path / "t.tsv", vectors, known), total=5)]
    assert scored(tmp_path / "t.tsv", sets["full"], pairs).score != scores["full"][0].score


PARALLEL = np.outer(np.arange(1, 21, dtype=np.float32), np.array([0.3, -1.7, 0.9, 0.2, 1.1], np.float32))


@pytest.mark.parametrize(
    ("matrix", "scores"),
    [
        (PARALLEL / np.float32(3), range(19)),  # equal cosines, which rounding tells apart
        (np.zeros((20, 5), np.float32), range(19)),
        (np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32), [1] * 19),
    ],
)
def test_equal_cosines_or_human_scores_give_no_score_and_a_warning(tmp_path, matrix, scores, caplog):
    words = [f"w{i}" for i in range(20)]
    vectors = WordVectors(words, matrix, np.ones(20, np.int64))
    pairs = list(zip(words, words[1:], scores, strict=False))
    assert scored(tmp_path / "t.tsv", vectors, pairs) == SimilarityScore("t", None, 19, 19)
    assert "equal" in caplog.text


def test_no_coverage_at_all_is_an_error(tmp_path):
    (tmp_path / "one.tsv").write_text("a\tb\t2\na\tc\t2\n")
    sets = {"one": plane(a=0, b=10), "other": plane(x=0, c=10)}
    with pytest.raises(X2StaticError, match="none of the 2 word pairs of one is covered by the 2 words"):
        evaluate_word_similarity(sets["other"], tmp_path)
    with pytest.raises(X2StaticError, match="none of the 2 word pairs of one is covered by all 2 sets of vectors"):
        similarity.score_together(sets, tmp_path)


N = 120


def of_cosines(cosines: np.ndarray, left_out: tuple[int, ...] = ()) -> WordVectors:
    """Vectors in the plane of which the words a0 and b0, a1 and b1 ... have these cosines."""
    angles = {i: angle for i, angle in enumerate(np.degrees(np.arccos(cosines))) if i not in left_out}
    return plane(**{f"a{i}": 0 for i in angles}, **{f"b{i}": angle for i, angle in angles.items()})


def noisy(human: np.ndarray, noise: float, seed: int) -> np.ndarray:
    return np.tanh(human + noise * np.random.default_rng(seed).normal(size=len(human)))


def write(path: Path, human: np.ndarray) -> Path:
    return written(path, [(f"a{i}", f"b{i}", score) for i, score in enumerate(human.tolist())])


HUMAN = np.random.default_rng(0).normal(size=N)
TWO = {"first": of_cosines(noisy(HUMAN, 1.5, 1)), "other": of_cosines(noisy(HUMAN, 0.7, 2))}


def test_the_difference_and_its_interval_are_those_of_the_pairs_that_both_cover(tmp_path):
    file = write(tmp_path / "pairs.tsv", HUMAN)
    cosines = noisy(HUMAN, 1.5, 1), noisy(HUMAN, 0.7, 2)
    sets = {"first": of_cosines(cosines[0], (0, 1, 2)), "other": of_cosines(cosines[1], (2, 3))}
    result, _ = paired_differences(sets, file, Draws(200, seed=5))["other"]

    people, *both = (values[4:] for values in (HUMAN, *cosines))
    rhos = similarity.resampled_rhos(people, both, Draws(200, 5), "pairs")  # those of a naive loop: below
    before, after = (spearmanr(people, values).statistic for values in both)
    assert (result.task, result.covered, result.total) == ("pairs", N - 4, N)
    assert result.score == pytest.approx(after - before, abs=1e-9)
    assert result.interval == pytest.approx(np.percentile(rhos[1] - rhos[0], [2.5, 97.5]).tolist(), abs=1e-9)


def test_the_average_counts_data_sets_the_same_and_its_interval_is_that_of_independent_sets(tmp_path):
    for name, seed in (("one", 0), ("two", 7)):
        write(tmp_path / f"{name}.tsv", HUMAN + np.random.default_rng(seed).normal(size=N))
    (tmp_path / "unknown.tsv").write_text("x\ty\t1\n")
    one, two, unknown, mean = paired_differences(TWO, tmp_path, Draws(1000))["other"]
    assert unknown == SimilarityScore("unknown", None, 0, 1)
    assert not unknown.is_clear
    assert (mean.task, mean.covered, mean.total) == ("average", 2 * N, 2 * N), "what has no difference is not counted"
    assert mean.score == pytest.approx((one.score + two.score) / 2)
    # Independent data sets of like width: the mean's interval is narrower by about the root of two.
    width = [score.interval.high - score.interval.low for score in (one, two, mean)]
    assert width[2] == pytest.approx(np.hypot(width[0], width[1]) / 2, rel=0.15)


def test_a_set_of_too_few_pairs_for_an_interval_takes_not_that_of_the_average(tmp_path):
    write(tmp_path / "many.tsv", HUMAN)
    write(tmp_path / "few.tsv", HUMAN[:2])
    few, many, mean = paired_differences(TWO, tmp_path, Draws(200))["other"]
    assert few.interval is None
    assert replace(mean, task="many") == many
    (tmp_path / "many.tsv").unlink()
    few, mean = paired_differences(TWO, tmp_path, Draws(200))["other"]
    assert (few.score, mean.score) == (pytest.approx(2), None)


def test_with_common_the_differences_are_those_of_scores_on_the_pairs_that_all_cover(tmp_path):
    file = write(tmp_path / "pairs.tsv", HUMAN)
    left_out = {"first": (0,), "second": (1,), "third": (2, 3)}
    vectors = {name: of_cosines(noisy(HUMAN, 1, seed), out) for seed, (name, out) in enumerate(left_out.items())}
    scores = {name: score for name, (score,) in similarity.score_together(vectors, file).items()}
    compared = paired_differences(vectors, file, Draws(100), common=True)
    assert list(compared) == ["second", "third"]
    for name, (difference, _) in compared.items():
        assert difference.covered == N - 4
        assert difference.score == pytest.approx(scores[name].score - scores["first"].score)
    assert paired_differences(vectors, file, Draws(100))["second"][0].covered == N - 2


@pytest.mark.parametrize(("names", "averaged"), [(("ws", "ws-part"), None), (("one", "two"), ["one"])])
def test_the_average_is_over_the_sets_that_are_named_or_else_all_but_parts_of_others(tmp_path, names, averaged):
    for seed, name in enumerate(names):
        write(tmp_path / f"{name}.tsv", HUMAN + np.random.default_rng(seed).normal(size=N))
    first, _, mean = paired_differences(TWO, tmp_path, Draws(100), averaged=averaged)["other"]
    assert replace(mean, task=names[0]) == first


def test_resampled_correlations_are_those_of_a_naive_loop_over_resamples_ties_or_not():
    draw, draws = np.random.default_rng(1), Draws(200, seed=3)
    human = np.round(draw.normal(size=83))
    sets = [human + draw.normal(size=83), np.round(human + draw.normal(size=83), 1)]
    rhos = similarity.resampled_rhos(human, sets, draws, "t")
    drawn = np.concatenate(list(similarity.draw_pairs(83, draws, "t")))
    for resampled, cosines in zip(rhos, sets, strict=True):
        expected = [spearmanr(human[row], cosines[row]).statistic for row in drawn]
        np.testing.assert_allclose(resampled, expected, atol=1e-12)
    assert similarity.percentile_interval(rhos[0]) == pytest.approx(tuple(np.percentile(rhos[0], [2.5, 97.5])))


def test_draws_depend_on_seed_and_data_set_and_on_nothing_else(monkeypatch):
    def first(draws: Draws, task: str) -> bytes:
        return np.concatenate(list(similarity.draw_pairs(7, draws, task))).tobytes()

    drawn = first(Draws(31, 1), "a")
    assert first(Draws(31, 2), "a") != drawn != first(Draws(31, 1), "b")
    monkeypatch.setattr(similarity, "BLOCK_VALUES", 20)  # two resamples at a time
    assert first(Draws(31, 1), "a") == drawn


@pytest.mark.parametrize(("n", "there"), [(2, False), (3, False), (6, True)])
def test_too_few_pairs_have_no_interval(n, there):
    human = np.arange(n, dtype=np.float64)
    cosines = np.array([0.1, 0.5, 0.3, 0.2, 0.7, 0.6])[:n]
    rhos = similarity.resampled_rhos(human, [cosines], Draws(1000), "t")[0]
    assert np.isnan(rhos).mean() == pytest.approx(n ** (1 - n), abs=0.05)  # every draw is the same pair
    assert (similarity.percentile_interval(rhos) is not None) == there


HEADERS = ["word1,word2,score", ",word1,word2,score", "id,Word_1,Word_2,Mean", "score,word1,word2", "w1,rating,w2"]
HEADERS += ["word2,pos,word1,similarity", "index,term 1,term 2,gold"]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_header_says_which_columns_are_the_words_and_the_score(header, separator, tmp_path):
    pairs = [("money", "bank", 8.0), ("book", "paper", 7.5)]
    names = header.split(",")
    places = [next(i for i, name in enumerate(names) if name.endswith(n)) for n in "12"]
    place = next(i for i, name in enumerate(names) if name.lower() in ("score", "mean", "rating", "similarity", "gold"))
    rows = [[str(row)] * len(names) for row in range(len(pairs))]
    for cells, pair in zip(rows, pairs, strict=True):
        for where, value in zip((*places, place), pair, strict=True):
            cells[where] = str(value)
    (tmp_path / "t.csv").write_text("".join(separator.join(cells) + "\n" for cells in [names, *rows]))
    expected = [(pair[1], pair[0], pair[2]) for pair in pairs] if places[0] > places[1] else pairs
    assert [tuple(pair) for pair in read_word_pairs(tmp_path / "t.csv")] == expected


@pytest.mark.parametrize("lacking", ["NA", "", "nan", "None", "-", "n/a", "7,5"])
def test_a_first_pair_without_a_score_is_refused_and_not_taken_for_a_header(lacking, tmp_path):
    (tmp_path / "t.tsv").write_text(f"money\tbank\t{lacking}\nbook\tpaper\t7.5\n")
    with pytest.raises(X2StaticError, match=r"t\.tsv, line 1: the score '.*' is no finite number"):
        read_word_pairs(tmp_path / "t.tsv")


def test_row_numbers_are_no_words_and_an_unknown_header_is_named(tmp_path, caplog):
    (tmp_path / "t.tsv").write_text("0\tmoney\t8\n1\tbook\t7.5\n")
    with pytest.raises(X2StaticError, match=r"t\.tsv: column 1 holds nothing but numbers, such as '0'"):
        read_word_pairs(tmp_path / "t.tsv")
    (tmp_path / "t.tsv").write_text("Mot\tAutre\tNote\nmoney\tbank\t8\n")
    assert len(read_word_pairs(tmp_path / "t.tsv")) == 1
    assert "line 1: 'Mot\\tAutre\\tNote' is taken for a header, since 'Note' is no score" in caplog.text
