"""`x2static compare` as a user calls it: what is made, what is kept, what is said of what goes wrong."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.made import write as write_task
from tests.pipeline.compare.conftest import state_of
from tests.stage2_train.conftest import single_thread
from x2static.evaluation.word_similarity import evaluate_word_similarity
from x2static.machine import packages
from x2static.pipeline import cli
from x2static.pipeline.compare import scores
from x2static.schemas.vectors import WordVectors

SEEDED = "x2static-seed0 x2static-seed1 closed-form x2static-paper skipgram-seed0 skipgram-seed1 cbow".split()


@pytest.fixture(scope="module")
def done(cache: Path, data: Path, published: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A whole comparison, not to be changed, and its options."""
    out = tmp_path_factory.mktemp("compare") / "out"
    command = f"--cache {cache} --data {data} --out {out} --baselines skipgram,cbow --seeds 2 --min-count 5 --threads 1"
    command += f" --reference {published} --words w05,w11"
    with single_thread():
        assert cli.run(["compare", *command.split()]) == 0
    return out, command.split()


def copied(done: tuple[Path, list[str]], out: Path, *changes: str | Path) -> list[str | Path]:
    """Copy the whole comparison; return the command that goes on with the copy, with some options changed."""
    whole, command = done
    shutil.copytree(whole, out)
    return [*command, "--out", out, *changes]


def lines(out: Path, table: str) -> list[dict[str, str]]:
    return [row for row in csv.DictReader((out / "compare.csv").read_text().splitlines()) if row["table"] == table]


def rows(out: Path, table: str, column: str) -> dict[str, str]:
    return {row["row"]: row["value"] for row in lines(out, table) if row["column"] == column}


def test_every_method_is_made_with_as_many_seeds_as_it_gets_and_the_page_has_what_came_of_them(done, data):
    out, _ = done
    assert sorted(path.name for path in (out / "vectors").iterdir()) == sorted(SEEDED)
    text = (out / "compare.md").read_text()
    for label in ("X2Static (2 seeds)", "X2Static, closed form (deterministic)", "skip-gram (2 seeds)", "| CBOW |"):
        assert label in text
    seeds = [json.loads((out / "vectors" / name / "run.json").read_bytes())["configuration"] for name in SEEDED[:2]]
    assert [one["seed"] for one in seeds] == [0, 1]

    seeds = [evaluate_word_similarity(WordVectors.load(out / "vectors" / f"skipgram-seed{s}"), data) for s in (0, 1)]
    expected = np.mean([one.score for seed in seeds for one in seed if one.task == "simlex999"])
    assert float(rows(out, "table3", "SL-999")["skip-gram (2 seeds)"]) == pytest.approx(expected)
    assert rows(out, "table3", "average")["X2Static <para>, BERT, 768"] == "0.5"

    page = (out / "compare.html").read_text()
    assert "<dt>written by</dt>" in page
    assert "a count of at least 5, at most 750,000 words" in page
    for title in ("Word similarity (table 3)", "Quality against corpus size (figure 1)", "Losses", "neighbours"):
        assert f"{title}</h2>" in page
    assert page.count("<img") == 3
    assert "gives 3 sizes only" in page
    assert "X2Static &lt;para&gt;" in page
    assert {path.name for path in (out / "compare").iterdir()} == {"figure1.png", "losses.png", "map.png"}
    assert sorted(path.name for path in (out / "curve").iterdir()) == ["1", "2"]
    # three sizes of two methods, told apart in CSV and JSON by their rows alone
    assert len(rows(out, "figure1", "words")) == len({row["row"] for row in lines(out, "figure1")}) == 6
    whole = rows(out, "figure1", "SL-999")["4 units, X2Static, closed form"]
    assert rows(out, "table3", "SL-999")["X2Static, closed form (deterministic)"] == whole


def test_a_second_call_makes_nothing_anew_and_writes_the_page_elsewhere_too(done, compare, tmp_path):
    out, command = done
    before = state_of(out)
    assert compare(*command, "--results", tmp_path / "docs" / "RESULTS.md").status == 0
    assert state_of(out) == before
    assert "(results/figure1.png)" in (tmp_path / "docs" / "RESULTS.md").read_text()
    assert (tmp_path / "docs" / "results" / "figure1.png").is_file()


def test_other_data_is_scored_without_making_vectors_anew(done, compare, data, tmp_path):
    copy, other = tmp_path / "out", tmp_path / "data"
    shutil.copytree(data, other)
    (other / "wordsim" / "own.tsv").unlink()
    command = copied(done, copy, "--data", other, "--only", "table3")
    before = state_of(copy, "vectors/")
    assert compare(*command).status == 0
    assert state_of(copy, "vectors/") == before
    assert rows(copy, "table3", "own") == {}
    assert rows(copy, "figure1", "words") == {}  # its scores are of the data before


@pytest.fixture
def quick(cache: Path, data: Path, tmp_path: Path) -> list[str]:
    """Options of the smallest comparison."""
    options = f"--cache {cache} --data {data} --out {tmp_path}/out --min-count 5 --threads 1 --seeds 1 --only table3"
    return options.split()


def let_fail(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the making of one step fail."""
    original = scores.make_vectors

    def make(step, config, report):
        if step.name == name:
            raise ValueError("<b>no</b>")
        return original(step, config, report)

    monkeypatch.setattr(scores, "make_vectors", make)


def test_a_method_that_fails_is_told_and_the_others_are_compared(quick, compare, monkeypatch, tmp_path):
    let_fail("cbow", monkeypatch)
    ran = compare(*quick, "--baselines", "skipgram,cbow", "--json")
    assert ran.status == 1
    assert ran.err.splitlines()[-1].startswith(f"error: {tmp_path / 'out'}: 1 of the steps failed: cbow; ")
    assert list(ran.json["failures"]) == ["cbow"]
    assert "&lt;b&gt;no" in (tmp_path / "out" / "compare.html").read_text()
    assert "skip-gram" in rows(tmp_path / "out", "table3", "average")
    monkeypatch.undo()
    assert compare(*quick, "--baselines", "skipgram,cbow").status == 0  # the same command tries it again


def test_differences_are_from_the_first_of_seed_0_that_is_there(quick, compare, monkeypatch, tmp_path):
    let_fail("x2static-seed0", monkeypatch)
    assert compare(*quick, "--seeds", "2", "--baselines", "none").status == 1
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "How much better or worse than X2Static, closed form (seed 0" in text
    assert "from X2Static, seed" not in text
    assert "X2Static, closed form" not in rows(tmp_path / "out", "differences", "average")


def test_vectors_of_other_settings_are_not_shown_as_those_asked_for(done, compare, tmp_path):
    command = copied(done, tmp_path / "out", "--only", "table3", "--json")
    settings = tmp_path / "out" / "vectors" / "cbow" / "settings.json"
    settings.write_text(json.dumps(json.loads(settings.read_bytes()) | {"epochs": 9}))
    ran = compare(*command)
    assert ran.status == 1
    assert "settings.json: has changed since it was written" in ran.json["failures"]["cbow"]
    assert "CBOW" not in ran.json["tables"]["table3"]
    assert "skip-gram (2 seeds)" in ran.json["tables"]["table3"]


def test_a_record_of_version_0_1_0_with_its_deviations_is_read(tmp_path):
    task = {"task": "cr", "accuracy": 0.75, "macro_f1": 0.5}
    deviations = {"accuracy_deviation": 0.0, "macro_f1_deviation": 0.0, "runs": 1}
    classification = {"data": "d", "seconds": 1.5, "pairs": [], "classes": [task | deviations]}
    record = {"vectors": "v", "seconds": 2.0, "vocabulary": 9, "dim": 3, "classification": classification}
    file = scores.file_of(tmp_path, "x2static-0")
    file.parent.mkdir()
    file.write_text(json.dumps(record))
    assert scores.load(tmp_path, "x2static-0", "v").classification.classes == (scores.Accuracy(**task),)
    assert scores.load(tmp_path, "x2static-0", "other vectors") is None


def test_a_damaged_record_ends_nothing(done, compare, tmp_path):
    command = copied(done, tmp_path / "out", "--only", "table3", "--json")
    scores.file_of(tmp_path / "out", "teacher").write_text("[]")
    ran = compare(*command)
    assert ran.status == 1
    assert list(ran.json["failures"]) == ["teacher"]
    assert "remove the file and run" in ran.json["failures"]["teacher"]
    assert "skip-gram (2 seeds)" in ran.json["tables"]["table3"]


def run_of(folder: Path, cosines: list[float]) -> Path:
    """Vectors in the plane of which the words a0 and b0, a1 and b1 ... have these cosines."""
    angles = np.arccos(cosines)
    second = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    words = [f"{side}{pair}" for side in "ab" for pair in range(len(cosines))]
    matrix = np.concatenate([np.tile([1.0, 0.0], (len(angles), 1)), second]).astype(np.float32)
    WordVectors(words, matrix, np.ones(len(words), np.int64)).save(folder)
    return folder


def of_runs(pairs: list[str], *runs: Path) -> list[str | Path]:
    """The command that compares finished runs, on pairs that are written beside them."""
    folder = runs[0].parent
    (folder / "own.tsv").write_text("".join(pairs))
    return [*runs, "--baselines", "none", "--data", folder / "own.tsv", "--out", folder / "out", "--json"]


def test_few_easy_pairs_win_nothing(compare, tmp_path):
    human = np.linspace(0, 0.9, 120)
    pairs = [f"a{pair}\tb{pair}\t{score}\n" for pair, score in enumerate(human)]
    drawn = np.random.default_rng(0).permutation(human[30:])
    large = run_of(tmp_path / "large", [*human[:30], *drawn])
    small = run_of(tmp_path / "small", [*human[:28], human[29], human[28]])
    ran = compare(*of_runs(pairs, large, small))
    assert ran.status == 0, ran.err
    own = {name: row["average"] for name, row in ran.json["tables"]["table3"].items()}
    assert own["small"] > own["large"]
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "large has the best average, 1.000 (on the pairs that all cover)" in text


def test_what_could_not_be_tested_is_not_said_to_be_undecided(compare, tmp_path):
    runs = [run_of(tmp_path / name, [0.1, 0.2]) for name in ("one", "two")]
    ran = compare(*of_runs(["a0\tb0\t1\n", "a1\tb1\t2\n"], *runs))
    assert ran.status == 0, ran.err
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "Too few pairs for an interval of the difference from one: two." in text
    assert "Not told apart" not in text


def test_classification_alone_needs_no_word_pairs(compare, tmp_path):
    write_task(tmp_path / "data" / "classification" / "cr" / "all.tsv", [(i % 2, f"a{i % 2} b{i}") for i in range(30)])
    command = [run_of(tmp_path / "one", [0.1, 0.2]), *"--baselines none --json --data".split(), tmp_path / "data"]
    command += ["--out", tmp_path / "out"]
    ran = compare(*command, "--only", "table4")
    assert ran.status == 0, ran.err
    assert list(ran.json["tables"]) == ["table4"]
    assert compare(*command).status == 1


def test_a_figure_that_was_asked_for_and_cannot_be_drawn_is_told(done, compare, data, tmp_path):
    own = data / "wordsim" / "own.tsv"
    ran = compare(*copied(done, tmp_path / "out", "--data", own, "--only", "figure1", "--json"))
    assert ran.status == 1
    assert "figure 1 is of SL-999 and RW-2034, and the data has none" in ran.json["failures"]["figure1"]


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ("", 2, "give --cache"),
        ("--cache CACHE --baselines glove", 2, "--baselines glove"),
        ("--cache CACHE --baselines all,cbow", 2, "--baselines all,cbow"),
        ("--cache CACHE --sizes 0,2", 2, "--sizes"),
        ("--cache CACHE --only table4 --no-classification", 2, "--no-classification leaves out"),
        ("BASE --cache ABSENT", 1, "no cache here"),
        ("BASE --sizes 1,9", 1, "has 4 units"),
        ("BASE --out WHOLE --min-count 6", 1, "holds another comparison (min_count: 5 there, 6 here)"),
        ("BASE --out FULL", 1, "not empty and no comparison"),
        ("BASE RUN RUN", 1, "run-cbow: two sets of vectors of one name"),
        ("BASE --words w01,absent", 1, "--words absent: not in the cache's vocabulary"),
        ("BASE --only figure1 --sizes 4", 1, "a curve needs two sizes, and the cache has 4 units"),
        ("BASE --reference ABSENT", 1, "--reference takes their folder"),
        ("BASE --only table4", 1, "table 4 needs --data"),
        ("BASE --data ABSENT", 1, "no such file or folder"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line_and_leaves_nothing(
    options, status, said, compare, cache, data, done, tmp_path
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    base = f"--cache CACHE --data {data} --baselines none --min-count 5"
    places = {"BASE": base, "CACHE": cache, "WHOLE": done[0], "RUN": done[0] / "vectors" / "cbow"}
    places |= {"FULL": tmp_path / "full", "ABSENT": tmp_path / "no"}
    for name, place in places.items():
        options = options.replace(name, str(place))
    ran = compare("--out", tmp_path / "out", *options.split())
    assert ran.status == status
    assert said in (ran.err.splitlines()[-1] if status == 1 else " ".join(ran.err.split()))
    assert not (tmp_path / "out").exists()


def test_what_is_not_installed_is_said_before_anything_is_made(quick, compare, tmp_path, monkeypatch):
    find = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "jinja2" else find(name))
    ran = compare(*quick)
    assert (ran.status, "jinja2" in ran.err, "x2static[compare]" in ran.err) == (1, True, True)
    assert not (tmp_path / "out").exists()
