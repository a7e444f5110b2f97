"""`x2static evaluate` scores what is asked for, compares with the first, and refuses options that change nothing."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from x2static.evaluation import files
from x2static.evaluation.word_similarity import average, evaluate_word_similarity, score_together
from x2static.machine import packages
from x2static.pipeline import cli
from x2static.pipeline.evaluations.registry import EVALUATIONS, EvaluateConfig, Results, fetched_data
from x2static.schemas.subwords import Subwords
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.segmentation import choose_words

ROOT = Path(__file__).parents[2]
WORDS = [f"w{i}" for i in range(40)]
OPTIONS = ("--common", "--intervals", "--resamples", "--runs", "--seed")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root, saved = tmp_path_factory.mktemp("runs"), []
    for name, left_out in (("one/vectors", ""), ("two/vectors", "w3"), ("three", "w5")):
        words = [word for word in WORDS if word != left_out]
        matrix = np.random.default_rng(len(saved) + 1).normal(size=(len(words), 5)).astype(np.float32)
        saved.append(root / name)
        WordVectors(words, matrix, np.ones(len(words), np.int64)).save(saved[-1])
    return saved


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, step in (("first", 1), ("second", 7)):
        lines = [f"{word}\t{WORDS[(i + step) % 40]}\t{(i * 17) % 40}\n" for i, word in enumerate(WORDS)]
        (folder / f"{name}.tsv").write_text("".join(lines))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where data would be fetched to, and nothing is: not that of who runs the tests."""
    folder = tmp_path_factory.mktemp("user-cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "x2static" / "data"


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object) -> tuple[str, dict[str, Any]]:
        assert cli.run(["evaluate", *map(str, arguments), "--json"]) == 0, capsys.readouterr().err
        said = capsys.readouterr()
        return said.err, json.loads(said.out)

    return call


def test_one_set_of_vectors_has_its_tasks_at_the_top_too(evaluate, folders, data):
    table, figures = evaluate(folders[0], "--data", data)
    scores = evaluate_word_similarity(WordVectors.load(folders[0]), data)
    tasks = {score.task: {"score": score.score, "covered": 40, "total": 40, "too_few": False} for score in scores}
    of_one = {"tasks": tasks, "average": average(scores)}
    assert figures.pop("version")
    of_all = {"command": "evaluate", "task": "word-similarity", "vectors": {str(folders[0]): of_one}}
    assert figures == of_all | of_one
    assert f"{scores[0].score:.3f}" in table


def test_common_scores_all_on_the_pairs_that_all_cover(evaluate, folders, data):
    table, figures = evaluate(*folders, folders[0], "--data", data, "--common")  # a folder given twice is scored once
    assert list(figures["vectors"]) == [str(folder) for folder in folders]
    assert "tasks" not in figures
    assert table.splitlines()[0].split() == ["one/vectors", "two/vectors", "three"]
    scores = score_together({str(folder): WordVectors.load(folder) for folder in folders}, data)
    for name, of_one in scores.items():
        tasks = figures["vectors"][name]["tasks"]
        assert {score.task: score.score for score in of_one} == {name: task["score"] for name, task in tasks.items()}
        assert {task["covered"] for task in tasks.values()} == {36}


def test_intervals_and_the_differences_from_the_first_are_given_when_asked_for(evaluate, folders, data):
    table, figures = evaluate(*folders, "--data", data, "--resamples", "100", "--seed", "3")
    first, *others = figures["vectors"].values()
    assert "differences" not in first
    assert all(low < task["score"] < high for task in first["tasks"].values() for low, high in [task["interval"]])
    for other in others:
        assert list(other["differences"]["tasks"]) == ["first", "second"]
        for difference in [*other["differences"]["tasks"].values(), other["differences"]["average"]]:
            low, high = difference["interval"]
            assert low < difference["difference"] < high
            assert difference["clear"] == (not low <= 0 <= high)
    assert "minus that of one/vectors" in table
    assert evaluate(*folders, "--data", data, "--resamples", "100", "--seed", "3") == (table, figures)
    assert evaluate(*folders, "--data", data, "--resamples", "100", "--seed", "4")[1] != figures


@pytest.mark.parametrize("task", list(EVALUATIONS))
@pytest.mark.parametrize("option", OPTIONS)
def test_options_that_a_task_does_not_use_are_wrong_usage_and_the_others_reach_it(
    task, option, monkeypatch, capsys, folders
):
    asked: list[EvaluateConfig] = []

    def run(vectors: dict[str, WordVectors], what: EvaluateConfig) -> Results:
        asked.append(what)
        return Results([], {name: {} for name in vectors})

    monkeypatch.setattr("x2static.pipeline.commands.evaluate.runner", lambda _: run)
    value = [] if option in ("--common", "--intervals") else ["123"]
    if (task, option) == ("word-similarity", "--seed"):
        value.append("--intervals")  # else there is nothing to draw
    status = cli.run(["evaluate", str(folders[0]), "--task", task, option, *value])
    if option[2:] not in EVALUATIONS[task].options:
        assert (status, asked) == (2, [])
        assert f"--task {task} does not use {option}; it is for " in capsys.readouterr().err
        return
    assert status == 0
    default = {"data": None, "seed": 0, "common": False, "resamples": 0, "runs": 1}
    changed = {"--common": {"common": True}, "--intervals": {"resamples": 1000}}.get(option, {option[2:]: 123})
    if "--intervals" in value:
        changed["resamples"] = 1000
    assert asked == [EvaluateConfig(**(default | changed))]


def test_unknown_words_have_vectors_of_subwords_where_that_is_asked_for_and_the_task_takes_it(
    evaluate, folders, tmp_path, capsys
):
    vectors = WordVectors.load(folders[0])
    matrix = np.random.default_rng(3).normal(size=(40, 5)).astype(np.float16)
    whole = replace(vectors, subwords=Subwords([f"<w{i}" for i in range(10)] + WORDS[10:], matrix, 0.5))
    whole.save(tmp_path / "run")
    lines = [f"w{i}\tw{i}x\t{i * 13 % 31}\n" for i in range(40)]  # of each pair but one word is in the vocabulary
    (tmp_path / "pairs.tsv").write_text("".join(lines) + "w1\tzzz\t3\n")
    arguments = (tmp_path / "run", "--data", tmp_path / "pairs.tsv")
    _, figures = evaluate(*arguments, "--unknown", "subwords")
    by_hand = [cosine_of(whole[f"w{i}"], whole[f"w{i}x"]) for i in range(40)]
    expected = spearmanr(by_hand, [i * 13 % 31 for i in range(40)]).statistic
    assert figures["tasks"]["pairs"]["score"] == pytest.approx(expected)
    assert figures["tasks"]["pairs"]["covered"], figures["tasks"]["pairs"]["total"] == (40, 41)
    assert cli.run(["evaluate", *map(str, arguments)]) == 1
    assert "none of the 41 word pairs" in capsys.readouterr().err
    assert cli.run(["evaluate", str(folders[0]), "--unknown", "subwords"]) == 1
    assert f"no subwords here; make them with `x2static subwords {folders[0]}`" in capsys.readouterr().err
    assert cli.run(["evaluate", str(tmp_path / "run"), "--unknown", "subwords", "--task", "analogy"]) == 2
    assert "--task analogy does not use --unknown; it is for word-similarity" in capsys.readouterr().err
    assert (
        cli.run(["evaluate", str(folders[0]), "--seed", "0", "--task", "analogy"]) == 2
    )  # a default that is given, too


def cosine_of(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("task", list(EVALUATIONS))
def test_fetched_data_is_taken_where_the_task_has_some_and_gensim_has_none(task, cache, monkeypatch):
    monkeypatch.setattr(files, "package_file", lambda *_: None)
    folder = cache / EVALUATIONS[task].data.folder
    folder.mkdir(parents=True)
    (folder / ".tmp-half").touch()
    assert fetched_data(task) is None
    (folder / "set.tsv").touch()
    assert fetched_data(task) == cache
    # gensim counts only where it ships all files of the task
    monkeypatch.setattr(files, "package_file", lambda _, name: Path(name) if "wordsim" in name else None)
    assert fetched_data(task) == cache
    monkeypatch.setattr(files, "package_file", Path)
    assert fetched_data(task) == (None if EVALUATIONS[task].data.gensim else cache)


def test_fetched_word_pairs_are_scored_without_gensim(cache, monkeypatch, evaluate, folders, data):
    shutil.copytree(data, cache / "wordsim")
    monkeypatch.setattr(files, "find_spec", lambda _: None)
    assert evaluate(folders[0]) == evaluate(folders[0], "--data", data)


LISTS = {"X": ["w0", "w1"], "Y": ["w2", "w3"], "A": ["w4", "w5"], "B": ["w6", "w7"]}
DATA = {  # a file of each task
    "word-similarity": ("p.tsv", "w0\tw1\t1\nw2\tw3\t2\n"),
    "classification": ("T/all.tsv", "".join(f"{i % 2}\tw{i % 8}\n" for i in range(20))),
    "analogy": ("q.txt", ": s\nw0 w1 w2 w3\n"),
    "bias": ("b.json", json.dumps({"t": LISTS})),
    "sentence-similarity": ("s.tsv", "w0\tw1\t1\nw2\tw3\t2\n"),
    "misspellings": ("m.tsv", "w0\tw1\nw2\tw4\n"),
    "translation": ("en-de.txt", "w0 w1\nw2 w3\n"),
    "retrieval": ("corpus.jsonl", '{"_id": "1", "text": "w0"}\n'),
}
BESIDE = {"queries.jsonl": '{"_id": "q", "text": "w1"}\n', "qrels/test.tsv": "query-id\tcorpus-id\tscore\nq\t1\t1\n"}


@pytest.mark.parametrize("task", list(EVALUATIONS))
def test_an_error_says_which_of_several_sets_it_is_about_and_one_of_the_data_is_about_none(
    task, tmp_path, capsys, folders
):
    foreign = str(tmp_path / "foreign")
    WordVectors([f"x{i}" for i in range(40)], np.eye(40, 5, dtype=np.float32), np.ones(40, np.int64)).save(foreign)

    if task == "translation":  # of words that are kept apart by language
        marked = [tmp_path / "one", tmp_path / "two", tmp_path / "three", tmp_path / "foreign"]
        for folder, copy in zip([*folders, Path(foreign)], marked, strict=True):
            vectors, rules = WordVectors.load(folder), choose_words(None, "de+en", marked=True)
            words = [f"{('en', 'de')[int(word[1:]) % 2]}:{word}" for word in vectors.words]
            replace(vectors, words=words, segmentation=rules).save(copy)
        folders = marked[:3]

    def error(*arguments: str) -> str:
        assert cli.run(["evaluate", *arguments, "--task", task]) == 1
        return capsys.readouterr().err

    name, text = DATA[task]
    file = tmp_path / "data" / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    for beside, text_beside in BESIDE.items() if task == "retrieval" else ():
        (file.parent / beside).parent.mkdir(exist_ok=True)
        (file.parent / beside).write_text(text_beside)
    lines = error(str(folders[0]), foreign, "--data", str(tmp_path / "data")).splitlines()
    assert re.match("error: foreign: (none of the .* is covered by the 40 words|T: 0 of its 20 words)", lines[-1])
    assert "classifiers" not in "".join(lines), "no classifier was trained before"
    assert "foreign: " not in error(foreign, "--data", str(tmp_path / "data"))
    nothing = str(tmp_path / "nothing")
    assert error(*map(str, folders[:2]), "--data", nothing).splitlines()[-1].startswith(f"error: {nothing}: ")


@pytest.mark.parametrize("task", list(EVALUATIONS))
def test_a_missing_package_is_named_before_vectors_are_read(task, monkeypatch, capsys):
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    assert cli.run(["evaluate", "nowhere", "--task", task]) == 1
    needed = EVALUATIONS[task].packages
    expected = f"{needed[1]}: {packages.install_extra(needed[0])}" if needed else "nowhere: no word vectors"
    assert expected in capsys.readouterr().err


def test_a_warning_says_which_of_several_sets_it_is_about(tmp_path, capsys, folders):
    (tmp_path / "one.tsv").write_text("w3\tw4\t1\nw1\tw2\t2\n")
    (tmp_path / "two.tsv").write_text("w6\tw7\t1\nw1\tw2\t2\n")
    assert cli.run(["evaluate", *map(str, folders), "--data", str(tmp_path)]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    about = ("one/vectors: one", "one/vectors: two", "two/vectors: one", "two/vectors: two", "three: one", "three: two")
    assert [line.removeprefix("warning: ").rsplit(": ", 1)[0] for line in warnings] == [*about]
    assert warnings[2] == "warning: two/vectors: one: no score, 1 of 2 pairs are covered"
    assert warnings[5].endswith(" rests on 2 of 2 word pairs, too few to say much")


def test_wrong_usage_is_told_before_anything_is_loaded(capsys):
    for name, value in (("--seed", "3"), ("--resamples", "99"), ("--runs", "0"), ("--task", "chess")):
        assert cli.run(["evaluate", "nowhere", name, value]) == 2
        message = "uses --seed for intervals alone; give --intervals" if name == "--seed" else name
        assert message in capsys.readouterr().err


def test_options_of_a_file_are_judged_like_those_of_the_command_line(tmp_path, capsys, folders, data):
    config = tmp_path / "run.toml"
    config.write_text(f'data = "{data}"\nruns = 6\ncommon = false\n')
    assert cli.run(["evaluate", str(folders[0]), "--config", str(config)]) == 2
    assert "does not use --runs; it is for classification" in capsys.readouterr().err
    config.write_text(f'data = "{data}"\ncommon = false\n')
    assert cli.run(["evaluate", str(folders[0]), "--config", str(config)]) == 0


def test_help_loads_nothing_heavy_and_no_task_and_gensim_is_found_without_being_imported():
    code = (
        "import sys; from x2static.pipeline import cli; cli.run(['evaluate', '--help'])\n"
        "from x2static.evaluation.files import WORD_PAIRS, find_files; find_files(WORD_PAIRS, None)\n"
        "heavy = {'gensim', 'numpy', 'pyarrow', 'scipy', 'torch', 'transformers'} & set(sys.modules)\n"
        "tasks = [name for name in sys.modules if name.startswith('x2static.pipeline.evaluations.')]\n"
        "sys.exit(f'{heavy} {tasks}' if heavy or tasks != ['x2static.pipeline.evaluations.registry'] else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
