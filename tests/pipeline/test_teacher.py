"""`x2static teacher`: static vectors and teacher under one classifier, saved result by result, errors in one line."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import DEFAULT, Mock

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from tests.pipeline.ran import run_here
from tests.teachers import NOUNS, english_sentence, make_teacher
from x2static.baselines import fine_tuning
from x2static.baselines.teacher import TeacherSentences
from x2static.durable.errors import X2StaticError
from x2static.evaluation.classification.data import read_tasks
from x2static.evaluation.classification.protocol import evaluate_sentence_classification
from x2static.pipeline import cli, teacher_reference, teacher_speed
from x2static.pipeline.commands.teacher import table_of
from x2static.pipeline.teacher_reference import saved_result
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.segmentation import default_words

QUICK = {"lr": 1e-3, "epochs": 2, "batch_size": 16}
SPEED = {"static_per_second": 25000.0, "teacher_per_second": 250.0, "ratio": 100.0, "precision": "float32"}


def write_task(folder: Path, labels: tuple[int, ...], seed: int) -> None:
    """Write a task of 60 sentences whose label the first noun tells."""
    drawn = random.Random(seed)
    folder.mkdir(parents=True)
    places = drawn.choices(range(len(labels)), k=60)
    lines = [f"{labels[place]}\tthe {NOUNS[place]} sees the {drawn.choice(NOUNS[4:])} .\n" for place in places]
    (folder / "all.tsv").write_text("".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    make_teacher(folder / "model", "bert", 24)
    write_task(folder / "data" / "classification" / "ANIMALS", (0, 1), 0)
    write_task(folder / "data" / "classification" / "GAPS", (1, 5, 7), 1)  # labels need not follow one another
    words = ["the", ".", "sees", *NOUNS]
    matrix, counts = np.random.default_rng(0).normal(size=(len(words), 8)), np.ones(len(words), np.int64)
    for name, sign, rules in (("vectors", 1, default_words()), ("others", -1, default_words()), ("no-rules", 1, None)):
        WordVectors(words, np.float32(sign * matrix), counts, rules).save(folder / name)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fine_tuning, "FineTuning", partial(fine_tuning.FineTuning, **QUICK))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def command(folder: Path, *more: object, vectors: str = "vectors", data: bool = True) -> list[str]:
    options = ["--model", folder / "model", "--precision", "float32", "--device", "cpu", "--json"]
    options += ["--data", folder / "data"] if data else []
    return ["teacher", *map(str, [folder / vectors, *options, *more])]


def ran(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[str, dict[str, Any]]:
    done = run_here(capsys, arguments)
    assert done.status == 0, done.err
    return done.err, done.json


def encoders(folder: Path) -> dict[str, Any]:
    teacher = TeacherSentences.load(str(folder / "model"), "cpu", "float32")
    return {"teacher": teacher.encode, "static": WordVectors.load(folder / "vectors").encode}


def test_static_vectors_and_teacher_get_one_classifier(folder, capsys):
    out, figures = ran(capsys, command(folder))
    assert list(figures["tasks"]) == ["ANIMALS", "GAPS"]
    for task, row in figures["tasks"].items():
        for name, encode in encoders(folder).items():
            (score,) = evaluate_sentence_classification(encode, folder / "data", 0, [task])
            assert row[name] == {"accuracy": score.accuracy, "macro_f1": score.macro_f1}
        assert row["share"] == row["static"]["accuracy"] / row["teacher"]["accuracy"]
        assert row["fine_tuned"] is None
        (line,) = [line for line in out.splitlines() if line.startswith(f"{task} ")]
        numbers = [f"{row['teacher']['accuracy']:.3f}", f"{row['static']['accuracy']:.3f}", f"{row['share']:.1%}"]
        assert line.split()[1:] == ["accuracy", *numbers]
    shares = [row["share"] for row in figures["tasks"].values()]
    assert figures["share"] == {"accuracy": pytest.approx(np.mean(shares))}


def test_the_teacher_is_fine_tuned_on_training_and_validation_part(folder, capsys):
    out, figures = ran(capsys, command(folder, "--fine-tune", "--tasks", "GAPS"))
    (task,) = read_tasks(folder / "data", 0, ["GAPS"])
    sentences = TeacherSentences.load(str(folder / "model"), "cpu", "float32")
    classes = [1, 5, 7]
    labels = [classes.index(label) for part in (task.train, task.validation) for label in part.labels]
    texts, settings = task.train.texts + task.validation.texts, fine_tuning.FineTuning()
    predicted = fine_tuning.fine_tune(sentences, texts, labels, task.test.texts, settings)
    right = [classes[label] == other for label, other in zip(predicted, task.test.labels, strict=True)]
    row = figures["tasks"]["GAPS"]
    assert row["fine_tuned"]["accuracy"] == pytest.approx(np.mean(right))
    assert row["share_of_fine_tuned"] == row["static"]["accuracy"] / row["fine_tuned"]["accuracy"]
    assert "fine-tuned" in out
    assert "average" not in out, "one task is its own average"


def test_sentence_pairs_are_scored_by_the_cosines_of_the_pairs_that_the_vectors_know(folder, tmp_path, capsys):
    drawn = random.Random(5)
    rows = [(english_sentence(drawn), english_sentence(drawn), round(drawn.random(), 3)) for _ in range(20)]
    rows[0] = ("# " + rows[0][0], *rows[0][1:])  # a sentence like others
    unknown = [("zzz qqq", rows[3][0], 0.9), (rows[4][1], "zzz", 0.1)]
    lines = [f"main\tfile\t2012\t{i}\t{row[2]}\t{row[0]}\t{row[1]}\n" for i, row in enumerate(rows + unknown)]
    whole, foreign = tmp_path / "sts.csv", tmp_path / "foreign.tsv"
    whole.write_text("".join(lines), encoding="utf-8")
    foreign.write_text("zzz\tqqq\t1\nqqq\txxx\t2\n", encoding="utf-8")
    out, figures = ran(capsys, command(folder, "--pairs", whole, "--pairs", foreign, data=False))
    row = figures["tasks"]["sts"]
    for name, encode in encoders(folder).items():
        left, right = encode([one for one, _, _ in rows]), encode([other for _, other, _ in rows])
        cosines = (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
        expected = spearmanr(cosines, [score for _, _, score in rows]).statistic
        assert row[name]["spearman"] == pytest.approx(expected, abs=1e-6)
    assert (row["covered"], row["total"]) == (20, 22)
    assert "sts (20/22)" in out
    evaluate = ["evaluate", str(folder / "vectors"), "--task", "sentence-similarity", "--data", str(whole), "--json"]
    assert row["static"]["spearman"] == ran(capsys, evaluate)[1]["tasks"]["sts"]["score"]
    assert (row["share"] is None) == (row["teacher"]["spearman"] <= 0)
    assert figures["share"] == {"spearman": row["share"]}
    row = figures["tasks"]["foreign"]
    assert (row["static"], row["teacher"], row["share"]) == ({"spearman": None}, {"spearman": None}, None)
    assert (row["covered"], row["total"]) == (0, 2)


def test_an_average_is_over_the_tasks_that_have_a_share_and_says_so():
    figures = [(0.5, 0.25), (0.7, 0.6), (None, None)]
    rows = [
        teacher_reference.TaskFigures(name, "spearman", {"spearman": of_teacher}, {"spearman": static}, None, 9, 9)
        for name, (of_teacher, static) in zip("abc", figures, strict=True)
    ]
    for of, words in ((rows, "over 2 of 3 spearman 0.600 0.425 67.9%"), ([rows[2]] * 2, "spearman none none none")):
        (line,) = [line for line in table_of(of).lines() if line.startswith("average")]
        assert " ".join(line.split()) == f"average {words}"

    nothing, something = {"accuracy": 0.0, "macro_f1": 0.0}, {"accuracy": 0.5, "macro_f1": 0.5}
    row = teacher_reference.TaskFigures("TASK", "accuracy", nothing, something, nothing)
    assert (row.share_of(row.teacher), row.share_of(row.fine_tuned)) == (None, None)


def test_a_killed_run_goes_on_after_the_last_result(folder, tmp_path, monkeypatch, capsys):
    _, expected = ran(capsys, command(folder))
    evaluate = Mock(wraps=evaluate_sentence_classification, side_effect=[DEFAULT, DEFAULT, KeyboardInterrupt])
    monkeypatch.setattr(teacher_reference, "evaluate_sentence_classification", evaluate)
    assert cli.run(command(folder, "--out", tmp_path)) == 130
    assert len(list(tmp_path.glob("*.json"))) == 2
    evaluate.side_effect = None
    for n_calls in (2, 0):
        evaluate.reset_mock()
        assert ran(capsys, command(folder, "--out", tmp_path))[1] == expected
        assert evaluate.call_count == n_calls
    assert not list(tmp_path.glob(".tmp-*"))


def test_other_vectors_seeds_and_methods_have_results_of_their_own(folder, tmp_path, monkeypatch, capsys):
    def new_results(*more: object, vectors: str = "vectors") -> Counter[str]:
        before = set(tmp_path.glob("*.json"))
        ran(capsys, command(folder, "--out", tmp_path, "--tasks", "GAPS", *more, vectors=vectors))
        return Counter(path.name.rpartition("-")[0] for path in set(tmp_path.glob("*.json")) - before)

    assert new_results("--fine-tune") == Counter(["GAPS-teacher", "GAPS-static", "GAPS-fine-tuned"])
    assert new_results("--fine-tune") == Counter()
    assert new_results(vectors="others") == Counter(["GAPS-static"])
    assert new_results("--seed", "1", vectors="others") == Counter(["GAPS-teacher", "GAPS-static"])
    monkeypatch.setattr(teacher_reference, "METHOD", teacher_reference.METHOD + 1)
    assert new_results("--fine-tune") == Counter(["GAPS-teacher", "GAPS-static", "GAPS-fine-tuned"])


def test_speed_is_told_and_saved_of_the_tasks_or_of_any_text(folder, tmp_path, monkeypatch, capsys):
    measured = []
    monkeypatch.setattr(teacher_speed, "measure", lambda what, report: measured.append(what) or SPEED)
    for _ in range(2):
        out, figures = ran(capsys, command(folder, "--speed", "--out", tmp_path))
    assert figures["speed"] == SPEED
    assert "25,000 sentences/s by static vectors, 250 by the teacher (float32): 100 times" in out
    (path,) = tmp_path.glob("speed-*.json")
    assert json.loads(path.read_bytes())["origin"]["machine"] == teacher_speed.machine()
    (tmp_path / "text.txt").write_text("one\ntwo\n\n", encoding="utf-8")
    _, figures = ran(capsys, command(folder, "--speed", "--text", tmp_path / "text.txt", data=False))
    assert "tasks" not in figures
    tests = [text for task in read_tasks(folder / "data", 0) for text in task.test.texts]
    assert [sorted(what.sentences) for what in measured] == [sorted(tests), ["one", "two"]]


WRONG = {
    "": "--data",
    "--speed": "--data",
    "--data x --text y": "--speed",
    "--pairs x --fine-tune": "--fine-tune is for classification; give --data",
    "--speed --text x --tasks A": "--tasks is for classification; give --data",
}


@pytest.mark.parametrize(("more", "named"), WRONG.items())
def test_wrong_usage_is_told_before_anything_is_loaded(more, named, capsys):
    assert cli.run(["teacher", "nowhere", *more.split()]) == 2
    assert named in capsys.readouterr().err


ERRORS = {  # by vectors and options
    "no-rules": "without word segmentation rules",
    "vectors --tasks ANIMALS,PLANTS": "no classification task PLANTS",
    "vectors --model ./nothing": "model ./nothing: no such folder",
}
ERRORS_BEFORE_THE_TEACHER = {
    "nowhere": "nowhere: no word vectors here",
    "vectors --data nothing": "nothing: no such folder",
    "vectors --pairs nothing.tsv": "No such file or directory (nothing.tsv)",
    "vectors --pairs bad.tsv": "bad.tsv, line 1: expected 3 columns",
    "vectors --pairs like.tsv --pairs like.csv": "like.csv: two tasks of one name; rename",
    "vectors --pairs GAPS.tsv": "GAPS.tsv: two tasks of one name; rename one",
    "vectors --speed --text nothing.txt": "nothing.txt: no such file; --text takes",
    "vectors --speed --text empty.txt": "there are no sentences to read; give --text",
}


@pytest.mark.parametrize(("asked", "named"), (ERRORS | ERRORS_BEFORE_THE_TEACHER).items())
def test_an_error_is_one_line_and_all_data_is_read_first(folder, asked, named, tmp_path, monkeypatch, capsys):
    if asked in ERRORS_BEFORE_THE_TEACHER:
        monkeypatch.setattr(TeacherSentences, "load", Mock(side_effect=NotImplementedError("the teacher was loaded")))
    monkeypatch.chdir(tmp_path)
    Path("bad.tsv").write_text("one\tother\n")
    Path("empty.txt").write_text("\n")
    for name in ("like.tsv", "like.csv", "GAPS.tsv"):
        Path(name).write_text("one\tother\t1\n")
    vectors, *more = asked.split()
    done = run_here(capsys, command(folder, *more, vectors=vectors))
    assert (done.status, done.err.splitlines()[-1][:7]) == (1, "error: ")
    assert named in done.err


def test_a_result_is_made_once_for_each_origin_and_one_that_fails_is_not_saved(tmp_path):
    folder, computed = tmp_path / "new" / "folder", []

    def compute(value: int):
        return lambda: computed.append(value) or {"value": value, "half": 1 / value}

    for _ in range(2):  # another run
        assert saved_result(folder, "score", {"seed": 1}, compute(1)) == {"value": 1, "half": 1.0}
        assert saved_result(folder, "score", {"seed": 2}, compute(2)) == {"value": 2, "half": 0.5}
        assert saved_result(folder, "other", {"seed": 1}, compute(4)) == {"value": 4, "half": 0.25}
        with pytest.raises(ZeroDivisionError):
            saved_result(folder, "score", {"seed": 3}, compute(0))
    assert computed == [1, 2, 4, 0, 0]
    assert len(list(folder.iterdir())) == 3
    for value in (1, 2):
        assert saved_result(None, "score", {}, compute(value))["value"] == value
    (path,) = folder.glob("other-*")  # one of another origin is not taken, a damaged one is named
    path.write_text('{"origin": {"seed": 3}, "result": {"value": 9}}')
    assert saved_result(folder, "other", {"seed": 1}, compute(5))["value"] == 5
    path.write_text("{")
    with pytest.raises(X2StaticError, match=rf"{path.name}: not valid JSON"):
        saved_result(folder, "other", {"seed": 1}, compute(1))
