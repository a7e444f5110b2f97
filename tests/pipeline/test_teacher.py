"""`x2static teacher`: static vectors and teacher under one classifier, kept result by result, errors in one line."""

import json
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from tests.teachers import NOUNS, english_sentence, make_teacher
from x2static.baselines import fine_tuning
from x2static.baselines.teacher_sentences import TeacherSentences
from x2static.evaluation.classification.data import read_tasks
from x2static.evaluation.classification.protocol import evaluate_sentence_classification
from x2static.pipeline import cli, teacher_reference, teacher_speed
from x2static.pipeline.commands.teacher import table_of
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.segmentation import default_words

QUICK = {"lr": 1e-3, "epochs": 2, "batch_size": 16}
SPEED = {"static_per_second": 25000.0, "teacher_per_second": 250.0, "ratio": 100.0, "precision": "float32"}


def write_task(folder: Path, labels: tuple[int, ...], seed: int) -> None:
    """Write a task of 60 sentences whose label the first noun tells."""
    drawn = random.Random(seed)
    folder.mkdir(parents=True)
    lines = []
    for _ in range(60):
        label = drawn.randrange(len(labels))
        lines.append(f"{labels[label]}\tthe {NOUNS[label]} sees the {drawn.choice(NOUNS[4:])} .\n")
    (folder / "all.tsv").write_text("".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    make_teacher(folder / "model", "bert", 24)
    write_task(folder / "data" / "classification" / "ANIMALS", (0, 1), 0)
    write_task(folder / "data" / "classification" / "GAPS", (1, 5, 7), 1)  # labels need not follow one another
    words = ["the", ".", "sees", *NOUNS]
    matrix = np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float32)
    WordVectors(words, matrix, np.ones(len(words), np.int64), default_words()).save(folder / "vectors")
    WordVectors(words, -matrix, np.ones(len(words), np.int64), default_words()).save(folder / "others")
    WordVectors(words, matrix, np.ones(len(words), np.int64)).save(folder / "no-rules")
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fine_tuning, "FineTuning", partial(fine_tuning.FineTuning, **QUICK))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def asked(folder: Path, *more: object) -> list[str]:
    given = ["--model", folder / "model", "--data", folder / "data", "--precision", "float32", "--device", "cpu"]
    return ["teacher", *map(str, [folder / "vectors", *given, "--json", *more])]


def ran(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[str, dict[str, Any]]:
    assert cli.run(arguments) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    return out, json.loads(out.splitlines()[-1])


def test_static_vectors_and_teacher_get_one_classifier(folder, capsys):
    out, told = ran(capsys, asked(folder))
    data = folder / "data"
    teacher = TeacherSentences.load(str(folder / "model"), "cpu", "float32").encode
    static = WordVectors.load(folder / "vectors").encode
    assert list(told["tasks"]) == ["ANIMALS", "GAPS"]
    for task, row in told["tasks"].items():
        for name, encode in (("teacher", teacher), ("static", static)):
            (score,) = evaluate_sentence_classification(encode, data, 0, [task])
            assert row[name] == {"accuracy": score.accuracy, "macro_f1": score.macro_f1}
        assert row["share"] == row["static"]["accuracy"] / row["teacher"]["accuracy"]
        assert row["fine_tuned"] is None
        (line,) = [line for line in out.splitlines() if line.startswith(f"{task} ")]
        numbers = [f"{row['teacher']['accuracy']:.3f}", f"{row['static']['accuracy']:.3f}", f"{row['share']:.1%}"]
        assert line.split()[1:] == ["accuracy", *numbers]
    shares = [row["share"] for row in told["tasks"].values()]
    assert told["share"] == {"accuracy": pytest.approx(np.mean(shares))}


def test_the_teacher_is_fine_tuned_on_training_and_validation_part(folder, capsys):
    out, told = ran(capsys, asked(folder, "--fine-tune", "--tasks", "GAPS"))
    (task,) = read_tasks(folder / "data", 0, ["GAPS"])
    sentences = TeacherSentences.load(str(folder / "model"), "cpu", "float32")
    classes = [1, 5, 7]
    labels = [classes.index(label) for part in (task.train, task.validation) for label in part.labels]
    texts, settings = task.train.texts + task.validation.texts, fine_tuning.FineTuning()
    predicted = fine_tuning.fine_tune(sentences, texts, labels, task.test.texts, settings)
    right = [classes[label] == other for label, other in zip(predicted, task.test.labels, strict=True)]
    row = told["tasks"]["GAPS"]
    assert row["fine_tuned"]["accuracy"] == pytest.approx(np.mean(right))
    assert row["share_of_fine_tuned"] == row["static"]["accuracy"] / row["fine_tuned"]["accuracy"]
    assert "fine-tuned" in out
    assert "average" not in out, "one task is its own average"


def test_sentence_pairs_are_scored_by_the_cosines_of_sentence_vectors(folder, tmp_path, capsys):
    drawn = random.Random(3)
    rows = [(english_sentence(drawn), english_sentence(drawn), drawn.random()) for _ in range(30)]
    pairs = tmp_path / "likeness.tsv"
    pairs.write_text("".join(f"{one}\t{other}\t{score}\n" for one, other, score in rows), encoding="utf-8")
    options = ["--model", folder / "model", "--precision", "float32", "--device", "cpu", "--pairs", pairs, "--json"]
    out, told = ran(capsys, ["teacher", *map(str, [folder / "vectors", *options])])
    encoders = {
        "teacher": TeacherSentences.load(str(folder / "model"), "cpu", "float32").encode,
        "static": WordVectors.load(folder / "vectors").encode,
    }
    row = told["tasks"]["likeness"]
    for name, encode in encoders.items():
        left, right = encode([one for one, _, _ in rows]), encode([other for _, other, _ in rows])
        cosines = (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
        expected = spearmanr(cosines, [score for _, _, score in rows]).statistic
        assert row[name]["spearman"] == pytest.approx(expected, abs=1e-6)
    assert (row["share"] is None) == (row["teacher"]["spearman"] <= 0)
    assert (row["covered"], row["total"]) == (30, 30)
    assert "likeness (30/30)  spearman" in out


def test_the_figure_of_sentence_pairs_is_that_of_evaluate_and_the_teachers_is_over_the_same_pairs(
    folder, tmp_path, capsys
):
    drawn = random.Random(5)
    rows = [(english_sentence(drawn), english_sentence(drawn), round(drawn.random(), 3)) for _ in range(20)]
    rows[0] = ("# " + rows[0][0], *rows[0][1:])  # a sentence like others
    unknown = [("zzz qqq", rows[3][0], 0.9), (rows[4][1], "zzz", 0.1)]
    lines = [f"main\tfile\t2012\t{i}\t{row[2]}\t{row[0]}\t{row[1]}\n" for i, row in enumerate(rows + unknown)]
    whole, known = tmp_path / "sts.csv", tmp_path / "known.tsv"
    whole.write_text("".join(lines), encoding="utf-8")
    known.write_text("".join(f"{one}\t{other}\t{score}\n" for one, other, score in rows), encoding="utf-8")
    vectors = str(folder / "vectors")
    asked = ["evaluate", vectors, "--task", "sentence-similarity", "--data", str(whole), "--json"]
    _, evaluated = ran(capsys, asked)
    options = ["--model", folder / "model", "--precision", "float32", "--device", "cpu", "--json"]
    _, told = ran(capsys, ["teacher", vectors, *map(str, [*options, "--pairs", whole, "--pairs", known])])
    found, expected = told["tasks"]["sts"], evaluated["tasks"]["sts"]
    assert found["static"]["spearman"] == expected["score"]
    assert (found["covered"], found["total"]) == (expected["covered"], expected["total"]) == (20, 22)
    assert found["teacher"] == told["tasks"]["known"]["teacher"]
    assert list(told["share"]) == ["spearman"]


def test_pairs_of_which_no_sentence_is_known_have_no_score(folder, tmp_path, capsys):
    (tmp_path / "foreign.tsv").write_text("zzz\tqqq\t1\nqqq\txxx\t2\n", encoding="utf-8")
    options = ["--model", folder / "model", "--pairs", tmp_path / "foreign.tsv", "--json"]
    out, told = ran(capsys, ["teacher", str(folder / "vectors"), *map(str, options)])
    row = told["tasks"]["foreign"]
    assert (row["static"], row["teacher"], row["share"]) == ({"spearman": None}, {"spearman": None}, None)
    assert (row["covered"], row["total"]) == (0, 2)
    assert told["share"] == {"spearman": None}
    assert "foreign (0/2)" in out


def test_an_average_is_over_the_tasks_that_have_a_share_and_says_so():
    figures = [(0.5, 0.25), (0.7, 0.6), (None, None)]
    rows = [
        teacher_reference.TaskFigures(name, "spearman", {"spearman": of_teacher}, {"spearman": static}, None, 9, 9)
        for name, (of_teacher, static) in zip("abc", figures, strict=True)
    ]
    (line,) = [line for line in table_of(rows).lines() if line.startswith("average")]
    assert line.split() == ["average", "over", "2", "of", "3", "spearman", "0.600", "0.425", "67.9%"]
    (line,) = [line for line in table_of([rows[2]] * 2).lines() if line.startswith("average")]
    assert line.split() == ["average", "spearman", "none", "none", "none"]


def test_two_results_of_one_name_are_refused(folder, tmp_path, capsys):
    for name in ("a/like.tsv", "b/like.csv", "GAPS.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("one\tother\t1\n", encoding="utf-8")
    for pairs in (["a/like.tsv", "b/like.csv"], ["GAPS.tsv"]):
        options = [option for name in pairs for option in ("--pairs", tmp_path / name)]
        assert cli.run(asked(folder, *options)) == 1
        err = capsys.readouterr().err
        assert "two tasks of one name; rename one" in err
        assert str(tmp_path / pairs[-1]) in err


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--pairs", "bad.tsv"], "bad.tsv, line 1: expected 3 columns"),
        (["--speed", "--text", "nothing.txt"], "nothing.txt: no such file"),
        (["--speed", "--text", "empty.txt"], "there are no sentences to read"),
    ],
)
def test_pairs_and_text_are_read_before_anything_is_scored(more, named, folder, tmp_path, monkeypatch, capsys):
    def load(*_: Any, **__: Any) -> None:
        raise NotImplementedError("the teacher was loaded")

    monkeypatch.setattr(TeacherSentences, "load", load)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.tsv").write_text("one\tother\n")
    (tmp_path / "empty.txt").write_text("\n")
    assert cli.run(asked(folder, *more)) == 1
    assert named in capsys.readouterr().err


def test_a_killed_run_goes_on_after_the_last_result(folder, tmp_path, monkeypatch, capsys):
    plain = evaluate_sentence_classification
    begun: list[int] = []

    def killed_at(number: int | None):
        def evaluate(*arguments):
            begun.append(1)
            if len(begun) == number:
                raise KeyboardInterrupt
            return plain(*arguments)

        return evaluate

    _, expected = ran(capsys, asked(folder))
    monkeypatch.setattr(teacher_reference, "evaluate_sentence_classification", killed_at(3))
    assert cli.run(asked(folder, "--out", tmp_path)) == 130
    assert len(list(tmp_path.glob("*.json"))) == 2
    begun.clear()
    monkeypatch.setattr(teacher_reference, "evaluate_sentence_classification", killed_at(None))
    _, told = ran(capsys, asked(folder, "--out", tmp_path))
    assert len(begun) == 2
    assert told == expected
    begun.clear()
    ran(capsys, asked(folder, "--out", tmp_path))
    assert not begun
    assert not list(tmp_path.glob(".tmp-*"))


def test_kept_results_of_another_version_of_the_method_are_made_again(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "like.tsv").write_text("the cat\tthe dog\t1\nthe cat\tthe cat\t2\n", encoding="utf-8")
    options = ["--out", tmp_path / "kept", "--tasks", "GAPS", "--pairs", tmp_path / "like.tsv", "--fine-tune"]
    counts = []
    for version in (teacher_reference.METHOD, teacher_reference.METHOD, teacher_reference.METHOD + 1):
        monkeypatch.setattr(teacher_reference, "METHOD", version)
        ran(capsys, asked(folder, *options))
        counts.append(len(list((tmp_path / "kept").glob("*.json"))))
    assert counts == [5, 5, 10]


def test_other_vectors_and_seeds_have_results_of_their_own_and_share_the_teachers(folder, tmp_path, capsys):
    names = lambda: {path.name.rpartition("-")[0] + ":" + path.name for path in tmp_path.glob("*.json")}  # noqa: E731
    ran(capsys, asked(folder, "--out", tmp_path, "--tasks", "GAPS"))
    first = names()
    other = asked(folder, "--out", tmp_path, "--tasks", "GAPS")
    other[1] = str(folder / "others")
    ran(capsys, other)
    assert [name.partition(":")[0] for name in names() - first] == ["GAPS-static"]
    second = names()
    ran(capsys, [*other, "--seed", "1"])
    assert sorted(name.partition(":")[0] for name in names() - second) == ["GAPS-static", "GAPS-teacher"]


def test_speed_is_told_and_kept(folder, tmp_path, monkeypatch, capsys):
    measured = []
    monkeypatch.setattr(teacher_speed, "measure", lambda what, report: (measured.append(what), SPEED)[1])
    for _ in range(2):
        out, told = ran(capsys, asked(folder, "--speed", "--out", tmp_path))
    assert told["speed"] == SPEED
    assert "25,000 sentences/s by static vectors, 250 by the teacher (float32): 100 times" in out
    (what,) = measured
    (kept,) = [json.loads(path.read_bytes()) for path in tmp_path.glob("speed-*.json")]
    assert kept["origin"]["machine"] == teacher_speed.machine()
    tests = [text for task in read_tasks(folder / "data", 0) for text in task.test.texts]
    assert sorted(what.sentences) == sorted(tests)


def test_speed_can_be_told_of_any_text_without_tasks(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "text.txt").write_text("one\ntwo\n\n", encoding="utf-8")
    measured = []
    monkeypatch.setattr(teacher_speed, "measure", lambda what, report: (measured.append(what), SPEED)[1])
    arguments = ["--model", folder / "model", "--speed", "--text", tmp_path / "text.txt", "--json"]
    _, told = ran(capsys, ["teacher", str(folder / "vectors"), *map(str, arguments)])
    assert "tasks" not in told
    assert sorted(measured[0].sentences) == ["one", "two"]


def test_a_teacher_that_gets_nothing_right_leaves_no_share():
    nothing, something = {"accuracy": 0.0, "macro_f1": 0.0}, {"accuracy": 0.5, "macro_f1": 0.5}
    row = teacher_reference.TaskFigures("TASK", "accuracy", nothing, something, nothing)
    assert (row.share, row.share_of_fine_tuned) == (None, None)
    assert json.loads(json.dumps(row.figures(), allow_nan=False))["share"] is None


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ([], "--data"),
        (["--speed"], "--data"),
        (["--data", "x", "--text", "y"], "--speed"),
        (["--pairs", "x", "--fine-tune"], "--fine-tune is for classification; give --data"),
        (["--speed", "--text", "x", "--tasks", "A"], "--tasks is for classification; give --data"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_loaded(more, named, capsys):
    assert cli.run(["teacher", "nowhere", *more]) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("vectors", "more", "named"),
    [
        ("nowhere", [], "nowhere: no word vectors here"),
        ("no-rules", [], "without word segmentation rules"),
        ("vectors", ["--tasks", "ANIMALS,PLANTS"], "no classification task PLANTS"),
        ("vectors", ["--model", "./nothing"], "model ./nothing: no such folder"),
        ("vectors", ["--pairs", "nothing.tsv"], "No such file or directory (nothing.tsv)"),
        ("vectors", ["--data", "nothing"], "nothing: no such folder"),
    ],
)
def test_an_error_is_one_line(folder, vectors, more, named, capsys):
    arguments = asked(folder, *more)
    arguments[1] = str(folder / vectors)
    assert cli.run(arguments) == 1
    err = capsys.readouterr().err
    assert named in err
    assert err.splitlines()[-1].startswith("error: ")
