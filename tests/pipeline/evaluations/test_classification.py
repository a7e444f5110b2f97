"""The classification table and its figures show what was scored."""

import json
from functools import partial

import pytest

from tests.evaluation.classification.tasks import trigram_rows, vectors, write
from x2static.durable.errors import X2StaticError
from x2static.pipeline.evaluations import classification
from x2static.pipeline.evaluations.registry import EvaluateConfig

asked = partial(EvaluateConfig, seed=0, common=False, resamples=0)


def test_every_set_of_vectors_has_a_column_and_every_task_a_row(tmp_path):
    for name in "AB":
        write(tmp_path / f"{name}/all.tsv", trigram_rows(40))
    sets = {"short": vectors(), "a/name/that/is/too/long/for/the/head/of/a/column": vectors(seed=1)}
    done = classification.run(sets, asked(data=tmp_path, runs=1))
    lines = done.table.split("\n")
    assert lines[0].split() == ["short", "..." + "a/name/that/is/too/long/for/the/head/of/a/column"[-37:]]
    assert [line.split()[0] for line in lines[1:4]] == ["A", "B", "average"]
    assert lines[4].split() == ["words", "known", "100.0%", "100.0%"]
    assert lines[5] == "macro-F1 / accuracy, in %"
    figures = json.loads(json.dumps(done.vectors))["short"]
    assert done.figures["protocol"]["epochs"] == [8, 16]
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
    done = classification.run({"one": vectors()}, asked(data=tmp_path, runs=2))
    lines = done.table.split("\n")
    assert lines[1].count("±") == 2
    assert lines[-1] == "macro-F1 / accuracy, in %, mean ± standard deviation of 2 runs"


def test_without_data_it_is_said_what_to_give():
    with pytest.raises(X2StaticError, match="`x2static data fetch`, or give --data"):
        classification.run({"one": vectors()}, asked(data=None, runs=1))
