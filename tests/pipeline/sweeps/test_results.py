"""What a sweep shows: made from results that no training is needed for."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from x2static.pipeline.sweeps.results import Ranking
from x2static.pipeline.sweeps.trial import Result


def result(name: str, score: float | None, state: str = "complete", **more: object) -> Result:
    scores = {"ws353": {"score": score, "covered": 30, "total": 40}} if state == "complete" else {}
    return Result.model_validate({"name": name, "settings": {"lr": 0.1}, "state": state, "scores": scores, **more})


def ranking(*results: Result, names: tuple[str, ...] = ("lr",)) -> Ranking:
    return Ranking(list(names), (), list(results))


def test_trials_are_ranked_by_score_ties_by_name_and_those_without_a_score_last():
    failed = [result(f"failed {n}", None, "failed", error="the disk is full") for n in range(3)]
    some = [*failed, result("none", None), result("b", 0.5), result("pruned", None, "pruned"), result("a", 0.5)]
    ranked = ranking(*some, result("negative", -0.5), result("best", 0.6))
    names = [row.name for row in ranked.results]
    assert names == ["best", "a", "b", "negative", "none", "pruned", "failed 0", "failed 1", "failed 2"]
    assert ranked.best is ranked.results[0]
    assert ranked.text(100).splitlines()[-1] == "failed 0 and 2 more: the disk is full"
    unscored = ranking(*some[:4])
    assert unscored.best is None
    assert unscored.pictures() == []


WIDE = result("x", 0.25, settings={"vocab": "folder/" * 9 + "words.txt", "lr": 1e-3}, losses=[2.5], seconds=61)


@pytest.mark.parametrize("width", [200, 70, 45, 20])
def test_a_table_gets_narrower_with_the_terminal_as_far_as_its_settings_allow(width: int):
    table = ranking(WIDE, names=("lr", "vocab")).text(width)
    head = table.splitlines()[0].split()
    assert head[:4] == ["score", "pairs", "lr", "vocab"]
    assert "words.txt" in table
    if width >= 45:
        assert max(map(len, table.splitlines()[:2])) <= width
    assert ("ws353" in head) == ("in sweep.parquet" not in table) == (width == 200)
    assert ("loss" in head) == (width >= 70)


def scored(name: str, ws353: int, rare: int) -> Result:
    covered = {"ws353": (0.5, ws353, 353), "rare": (1.0, rare, 99)}
    scores = {task: {"score": score, "covered": n, "total": total} for task, (score, n, total) in covered.items()}
    return result(name, None, scores=scores)


def test_a_score_over_few_pairs_is_in_no_mean_and_makes_nobody_the_best():
    ranked = ranking(scored("much", 300, 29), scored("little", 29, 29), scored("all", 300, 30))
    assert {row.name: ranked.scores[row.name] for row in ranked.results} == {"all": 0.75, "much": 0.5, "little": None}
    few, compared = ranked.warnings()
    assert few.startswith("rare, ws353: no part of the score")
    assert compared.startswith("trials are scored on 0 to 330 pairs")
    lines = [line.split() for line in ranked.text(120).splitlines()]
    assert lines[0][:5] == ["score", "pairs", "lr", "rare", "ws353"]
    assert [line[:2] for line in lines[1:3]] == [["0.750", "330/452"], ["0.500", "300/452"]]
    assert [line[3:5] for line in lines[1:3]] == [["1.000", "0.500"], ["1.000?", "0.500"]]
    nobody = ranking(scored("little", 29, 0))
    assert nobody.best is None
    assert "none is the best" in nobody.warnings()[-1]
    assert "none is the best" in nobody.page({}, []).html()
    assert ranking(scored("a", 300, 40), scored("b", 300, 40)).warnings() == []


def test_settings_of_any_kind_can_be_written_and_drawn(tmp_path: Path):
    values = {"dim": [None, 100], "lr": [1e-4, 1.0], "vocab": [None, "$x^_${語}.txt"], "partly": [True, None]}
    settings = [{name: both[n] for name, both in values.items()} for n in (0, 1)]
    ranked = ranking(
        *(result(str(n), 0.5 + n, settings=settings[n], losses=[3.0, 2.0]) for n in (0, 1)), names=(*values,)
    )
    ranked.write(tmp_path / "sweep.parquet")
    read = pq.read_table(tmp_path / "sweep.parquet").to_pydict()
    assert {name: read[name][::-1] for name in values} == values
    assert {picture.name for picture in ranked.pictures()} == {*(f"score-{name}" for name in values), "losses"}
