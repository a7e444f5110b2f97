"""What the tasks of `x2static evaluate` find: a table to read, and figures for --json."""

import json

import numpy as np
import pytest

from tests.evaluation.classification.tasks import trigram_rows, vectors, write
from x2static.durable.errors import X2StaticError
from x2static.pipeline.evaluations import analogy, bias, classification, sentence_similarity
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


def test_analogies_by_section_and_kind(tmp_path):
    (tmp_path / "q.txt").write_text(": capitals\na b c d\na b c e\n: gram1-x\na b c x\n")
    results = analogy.run(two_sets(list("abcde")), config(tmp_path / "q.txt"))
    assert [line.strip().split("  ")[0] for line in lines_of(results)[1:-1]] == [
        "capitals",
        "gram1-x",
        "q, semantic",
        "q, syntactic",
        "q, all",
    ]
    table = "\n".join(lines_of(results))
    assert "(2/2)" in table
    assert "none  none  (0/1)" in table
    figures = results.vectors
    assert {key: figures["less"]["tasks"]["q"][key] for key in ("score", "cos_mul", "covered", "total")} == {
        "score": 1.0,  # d alone is left
        "cos_mul": 1.0,
        "covered": 1,
        "total": 3,
    }
    of_section = {"score": 0.5, "cos_mul": 0.5, "covered": 2, "total": 2}
    assert figures["all"]["tasks"]["q"]["sections"]["capitals"] == of_section
    assert figures["all"]["tasks"]["q"]["semantic"] == of_section
    assert figures["all"]["average"] == 0.5


def test_analogies_of_the_last_set_are_looked_up_before_those_of_the_first_are_answered(tmp_path, monkeypatch):
    (tmp_path / "q.txt").write_text(": capitals\na b c d\n")
    monkeypatch.delattr(analogy, "evaluate_analogies")
    with pytest.raises(X2StaticError, match="less: none of the 1 analogy questions of q is covered by the 3 words"):
        analogy.run(two_sets(list("abcd")), config(tmp_path / "q.txt"))


@pytest.mark.parametrize("resamples", [0, 50])
def test_bias_by_test(tmp_path, resamples):
    words = [f"w{i}" for i in range(30)]
    lists = {"X": words[:10], "Y": words[10:20], "A": words[20:25], "B": words[25:]}
    few = {name: of_list[:2] for name, of_list in lists.items()}
    few["B"] = words[-2:]
    (tmp_path / "lists.json").write_text(json.dumps({"many": lists, "few": few}))
    results = bias.run(two_sets(words), config(tmp_path / "lists.json", resamples))
    tasks = results.vectors["less"]["tasks"]
    assert (tasks["many"]["covered"], tasks["many"]["total"], tasks["many"]["exact"]) == (29, 30, False)
    assert tasks["few"] == {
        "score": None,
        "p": None,
        "exact": True,
        "covered": 7,
        "total": 8,
        "known": {"X": 2, "Y": 2, "A": 2, "B": 1},
    }
    p = results.vectors["all"]["tasks"]["many"]["p"]
    assert (p * 51 == pytest.approx(round(p * 51))) == (resamples == 50)
    table = "\n".join(lines_of(results))
    assert f"p~{p:.5f}" in table
    assert "none p none" in table
    assert lines_of(results)[-2].endswith(f"{tasks['many']['score']:.3f} over 1 of 2")
    assert results.vectors["less"]["average"] == tasks["many"]["score"]


def test_sentence_similarity_plain_and_weighted(tmp_path):
    (tmp_path / "s.tsv").write_text("a b\tc\t1\na c\tb d\t2\nd\ta\t3\ne\ta\t4\n")
    vectors = two_sets(list("abcde"))
    vectors["no counts"] = WordVectors(vectors["all"].words, vectors["all"].matrix, np.zeros(5, np.int64))
    results = sentence_similarity.run(vectors, config(tmp_path / "s.tsv"))
    assert [line.split("  ")[0] for line in lines_of(results)[1:-1]] == ["s, mean", "s, SIF"]
    tasks = {name: figures["tasks"]["s"] for name, figures in results.vectors.items()}
    assert (tasks["less"]["covered"], tasks["less"]["total"]) == (3, 4)
    assert set(tasks["all"]["sif"]) == {"spearman", "pearson"}
    assert tasks["no counts"] == tasks["all"] | {"sif": None}
    assert results.vectors["all"]["average"] == tasks["all"]["score"]
    assert f"{tasks['all']['score']:.3f}" in "\n".join(lines_of(results))


def test_every_set_of_vectors_has_a_column_and_every_task_a_row(tmp_path):
    for name in "AB":
        write(tmp_path / f"{name}/all.tsv", trigram_rows(40))
    sets = {"short": vectors(), "a/name/that/is/too/long/for/the/head/of/a/column": vectors(seed=1)}
    results = classification.run(sets, config(tmp_path))
    lines = lines_of(results)
    assert lines[0].split() == ["short", "..." + "a/name/that/is/too/long/for/the/head/of/a/column"[-37:]]
    assert [line.split()[0] for line in lines[1:4]] == ["A", "B", "average"]
    assert lines[4].split() == ["words", "known", "100.0%", "100.0%"]
    assert lines[5] == "macro-F1 / accuracy, in %"
    figures = json.loads(json.dumps(results.vectors))["short"]
    assert results.figures["protocol"]["epochs"] == [8, 16]
    assert figures["average"] == pytest.approx(
        (figures["tasks"]["A"]["accuracy"] + figures["tasks"]["B"]["accuracy"]) / 2
    )
    assert figures["tasks"]["A"]["runs"] == 1
    assert figures["tasks"]["A"]["score"] == figures["tasks"]["A"]["accuracy"]
    f1, accuracy = lines[1].split()[1:4:2]
    assert (float(f1), float(accuracy)) == tuple(
        round(100 * figures["tasks"]["A"][key], 1) for key in ("macro_f1", "accuracy")
    )


def test_several_runs_show_their_deviation(tmp_path):
    write(tmp_path / "A/all.tsv", trigram_rows(40, shuffled=True))
    results = classification.run({"one": vectors()}, config(tmp_path, runs=2))
    lines = lines_of(results)
    assert lines[1].count("±") == 2
    assert lines[-1] == "macro-F1 / accuracy, in %, mean ± standard deviation of 2 runs"
