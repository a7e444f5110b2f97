"""What the tasks of `x2static evaluate` answer: a table to read, and figures for --json."""

import json

import numpy as np
import pytest

from x2static.durable.errors import X2StaticError
from x2static.pipeline.evaluations import analogy, bias, sentence_similarity
from x2static.pipeline.evaluations.registry import EvaluateConfig
from x2static.schemas.vectors import WordVectors


def two_sets(words: list[str]) -> dict[str, WordVectors]:
    """All words, and all but the last."""
    matrix = np.random.default_rng(0).normal(size=(len(words), 4)).astype(np.float32)
    counts = np.arange(len(words), 0, -1)
    return {"all": WordVectors(words, matrix, counts), "less": WordVectors(words[:-1], matrix[:-1], counts[:-1])}


def asked(data, resamples: int = 0) -> EvaluateConfig:
    return EvaluateConfig(data=data, seed=0, common=False, resamples=resamples, runs=1)


def test_analogies_by_section_and_kind(tmp_path):
    (tmp_path / "q.txt").write_text(": capitals\na b c d\na b c e\n: gram1-x\na b c x\n")
    evaluated = analogy.run(two_sets(list("abcde")), asked(tmp_path / "q.txt"))
    assert [line.strip().split("  ")[0] for line in evaluated.table.splitlines()[1:-1]] == [
        "capitals",
        "gram1-x",
        "q, semantic",
        "q, syntactic",
        "q, all",
    ]
    assert "(2/2)" in evaluated.table
    assert "none  none  (0/1)" in evaluated.table
    figures = evaluated.vectors
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
        analogy.run(two_sets(list("abcd")), asked(tmp_path / "q.txt"))


def test_questions_of_one_kind_have_no_figures_of_the_kinds(tmp_path):
    (tmp_path / "q.txt").write_text(": capitals\na b c d\n")
    figures = analogy.run(two_sets(list("abcde")), asked(tmp_path / "q.txt")).vectors["all"]["tasks"]["q"]
    assert (figures["semantic"], figures["syntactic"]) == (None, None)


@pytest.mark.parametrize("resamples", [0, 50])
def test_bias_by_test(tmp_path, resamples):
    words = [f"w{i}" for i in range(30)]
    lists = {"X": words[:10], "Y": words[10:20], "A": words[20:25], "B": words[25:]}
    few = {name: of_list[:2] for name, of_list in lists.items()}
    few["B"] = words[-2:]
    (tmp_path / "lists.json").write_text(json.dumps({"many": lists, "few": few}))
    evaluated = bias.run(two_sets(words), asked(tmp_path / "lists.json", resamples))
    tasks = evaluated.vectors["less"]["tasks"]
    assert (tasks["many"]["covered"], tasks["many"]["total"], tasks["many"]["exact"]) == (29, 30, False)
    assert tasks["few"] == {
        "score": None,
        "p": None,
        "exact": True,
        "covered": 7,
        "total": 8,
        "known": {"X": 2, "Y": 2, "A": 2, "B": 1},
    }
    p = evaluated.vectors["all"]["tasks"]["many"]["p"]
    assert (p * 51 == pytest.approx(round(p * 51))) == (resamples == 50)
    assert f"p~{p:.5f}" in evaluated.table
    assert "none p none" in evaluated.table
    assert evaluated.table.splitlines()[-2].endswith(f"{tasks['many']['score']:.3f} over 1 of 2")
    assert evaluated.vectors["less"]["average"] == tasks["many"]["score"]


def test_sentence_similarity_plain_and_weighted(tmp_path):
    (tmp_path / "s.tsv").write_text("a b\tc\t1\na c\tb d\t2\nd\ta\t3\ne\ta\t4\n")
    vectors = two_sets(list("abcde"))
    vectors["no counts"] = WordVectors(vectors["all"].words, vectors["all"].matrix, np.zeros(5, np.int64))
    evaluated = sentence_similarity.run(vectors, asked(tmp_path / "s.tsv"))
    assert [line.split("  ")[0] for line in evaluated.table.splitlines()[1:-1]] == ["s, mean", "s, SIF"]
    tasks = {name: figures["tasks"]["s"] for name, figures in evaluated.vectors.items()}
    assert (tasks["less"]["covered"], tasks["less"]["total"]) == (3, 4)
    assert set(tasks["all"]["sif"]) == {"spearman", "pearson"}
    assert tasks["no counts"] == tasks["all"] | {"sif": None}
    assert evaluated.vectors["all"]["average"] == tasks["all"]["score"]
    assert f"{tasks['all']['score']:.3f}" in evaluated.table
