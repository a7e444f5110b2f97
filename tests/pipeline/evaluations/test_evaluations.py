"""What the tasks of `x2static evaluate` find: a table to read, and figures for --json."""

import json

import numpy as np
import pytest

from tests.evaluation.made import random_vectors, trigram_rows, write
from tests.evaluation.test_retrieval import write_collection
from x2static.durable.errors import X2StaticError
from x2static.evaluation import analogy as evaluation_of_analogies
from x2static.evaluation import measures
from x2static.evaluation.retrieval import Collection
from x2static.pipeline.evaluations import analogy, bias, classification, retrieval, sentence_similarity
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results
from x2static.schemas.vectors import WordVectors


def two_sets(words: list[str]) -> dict[str, WordVectors]:
    """All words, and all but the last."""
    matrix = np.random.default_rng(0).normal(size=(len(words), 4)).astype(np.float32)
    counts = np.arange(len(words), 0, -1)
    return {"all": WordVectors(words, matrix, counts), "less": WordVectors(words[:-1], matrix[:-1], counts[:-1])}


def config(data, resamples: int = 0, runs: int = 1) -> EvaluateConfig:
    return EvaluateConfig(data=data, seed=0, common=False, resamples=resamples, runs=runs)


def lines_of(results: Results) -> list[str]:
    (table,) = results.tables
    return table.terminal().splitlines()


def test_analogies_by_section_and_kind(tmp_path, monkeypatch):
    monkeypatch.setattr(measures, "MIN_PAIRS", 2)
    monkeypatch.setattr(evaluation_of_analogies, "MIN_PAIRS", 2)
    (tmp_path / "q.txt").write_text(": capitals\na b c d\na b c e\n: gram1-x\na b c x\n")
    results = analogy.run(two_sets(list("abcde")), config(tmp_path / "q.txt"))
    heads = ["capitals", "gram1-x", "q, semantic", "q, syntactic", "q, all"]
    assert [line.strip().split("  ")[0] for line in lines_of(results)[1:6]] == heads
    assert "(2/2)" in lines_of(results)[1]
    assert "none  none  (0/1)" in lines_of(results)[2]
    less, everything = (results.vectors[name]["tasks"]["q"] for name in ("less", "all"))
    of_all = {"score": 1.0, "cos_mul": 1.0, "covered": 1, "total": 3}  # d alone is left
    assert less.items() >= of_all.items()
    of_section = {"score": 0.5, "cos_mul": 0.5, "covered": 2, "total": 2}
    assert everything["sections"]["capitals"] == everything["semantic"] == of_section
    assert results.vectors["all"]["average"] == 0.5


def test_analogies_of_the_last_set_are_looked_up_before_those_of_the_first_are_answered(tmp_path, monkeypatch):
    (tmp_path / "q.txt").write_text(": capitals\na b c d\n")
    monkeypatch.delattr(analogy, "score_all")
    with pytest.raises(X2StaticError, match="less: none of the 1 analogy questions of q is covered by the 3 words"):
        analogy.run(two_sets(list("abcd")), config(tmp_path / "q.txt"))


@pytest.mark.parametrize("resamples", [0, 50])
def test_bias_by_test(tmp_path, resamples):
    words = [f"w{i}" for i in range(30)]
    lists = {"X": words[:10], "Y": words[10:20], "A": words[20:25], "B": words[25:]}
    few = {name: of_list[:2] for name, of_list in lists.items()} | {"B": words[-2:]}
    (tmp_path / "lists.json").write_text(json.dumps({"many": lists, "few": few}))
    results = bias.run(two_sets(words), config(tmp_path / "lists.json", resamples))
    tasks = results.vectors["less"]["tasks"]
    assert (tasks["many"]["covered"], tasks["many"]["total"], tasks["many"]["exact"]) == (29, 30, False)
    known = {"X": 2, "Y": 2, "A": 2, "B": 1}
    assert tasks["few"] == {
        "score": None,
        "p": None,
        "exact": True,
        "covered": 7,
        "total": 8,
        "known": known,
        "too_few": True,
    }
    p = results.vectors["all"]["tasks"]["many"]["p"]
    assert (p * 51 == pytest.approx(round(p * 51))) == (resamples == 50)
    assert f"p~{p:.5f}" in lines_of(results)[1]
    assert "none p none" in lines_of(results)[2]
    assert lines_of(results)[3].endswith(f"{tasks['many']['score']:.3f} over 1 of 2")
    assert results.vectors["less"]["average"] == tasks["many"]["score"]


def test_sentence_similarity_plain_and_weighted(tmp_path):
    (tmp_path / "s.tsv").write_text("a b\tc\t1\na c\tb d\t2\nd\ta\t3\ne\ta\t4\n")
    sets = two_sets(list("abcde"))
    sets["no counts"] = WordVectors(sets["all"].words, sets["all"].matrix, np.zeros(5, np.int64))
    results = sentence_similarity.run(sets, config(tmp_path / "s.tsv"))
    assert [line.split("  ")[0] for line in lines_of(results)[1:3]] == ["s, mean", "s, SIF"]
    tasks = {name: figures["tasks"]["s"] for name, figures in results.vectors.items()}
    assert (tasks["less"]["covered"], tasks["less"]["total"]) == (3, 4)
    assert set(tasks["all"]["sif"]) == {"spearman", "pearson"}
    assert tasks["no counts"] == tasks["all"] | {"sif": None}
    assert (tasks["all"]["too_few"], results.vectors["all"]["average"]) == (True, None)
    assert f"{tasks['all']['score']:.3f}?" in lines_of(results)[1]
    assert lines_of(results)[-1] == "? rests on fewer than 30 pairs: says little, and is in no average"


def test_retrieval_plain_and_weighted(tmp_path):
    collection = Collection({"1": "a b", "2": "c"}, {"q": "a", "r": "e"}, {"q": {"1": 1}, "r": {"2": 1}})
    sets = two_sets(list("abcde"))
    sets["no counts"] = WordVectors(sets["all"].words, sets["all"].matrix, np.zeros(5, np.int64))
    results = retrieval.run(sets, config(write_collection(tmp_path / "t", collection)))
    assert [line.split("  ")[0] for line in lines_of(results)[1:3]] == ["t, mean", "t, SIF"]
    tasks = {name: figures["tasks"]["t"] for name, figures in results.vectors.items()}
    assert set(tasks["all"]["sif"]) == {"ndcg", "recall"}
    assert tasks["no counts"] == tasks["all"] | {"sif": None}
    assert (tasks["less"]["covered"], tasks["less"]["total"]) == (1, 2)
    assert f"{tasks['all']['score']:.3f}?" in lines_of(results)[1]


@pytest.mark.parametrize("runs", [1, 2])
def test_classification_has_deviations_over_several_runs(tmp_path, runs):
    for name in "AB":
        write(tmp_path / f"{name}/all.tsv", trigram_rows(20 if name == "A" else 160, shuffled=True))
    results = classification.run({"short": random_vectors(dim=4)}, config(tmp_path, runs=runs))
    lines = lines_of(results)
    assert [line.split()[0] for line in lines[1:4]] == ["A", "B", "average"]
    assert lines[1].count("±") == (2 if runs == 2 else 0)
    assert lines[4].split() == ["words", "known", "100.0%"]
    deviation = ", mean ± standard deviation of 2 runs" if runs == 2 else ""
    assert lines[5] == "macro-F1 / accuracy, in %" + deviation
    figures = json.loads(json.dumps(results.vectors))["short"]
    assert results.figures["protocol"]["epochs"] == [8, 16]
    one, other = figures["tasks"].values()
    assert (one["too_few"], other["too_few"]) == (True, False)
    assert figures["average"] == other["accuracy"]
    assert (lines[1].endswith("?"), lines[3].endswith("over 1 of 2")) == (True, True)
    assert (one["runs"], one["score"]) == (runs, one["accuracy"])
    assert f"{100 * one['macro_f1']:.1f}" in lines[1]
