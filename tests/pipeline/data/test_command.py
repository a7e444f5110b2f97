"""`x2static data`: what is shown, and the one line where something is wrong."""

import re
import socket
from dataclasses import replace

import pytest

from tests.pipeline.data.conftest import make_set, sends, tree
from tests.pipeline.ran import run_here
from x2static.durable.storage import only_writer
from x2static.pipeline import cli
from x2static.pipeline.data.sources import SETS


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "x2static" / "data"


def test_fetch_shows_what_it_is_and_the_second_time_that_all_was_there(server, instead, home, capsys):
    data_set = make_set(server)
    instead(data_set)
    done = run_here(capsys, ["data", "fetch", "tiny", "--json"])
    url = data_set.files[0].url
    for shown in ("tiny: Two pairs", "licence: CC0", url, "28 bytes", f"fetched: {home}/wordsim/tiny"):
        assert shown in done.err
    assert done.out.count("\n") == 1, "JSON is alone on stdout"
    assert f"--data {home}" in done.err
    expected = {"command": "data fetch", "folder": str(home), "sets": {"tiny": "fetched"}, "refused": {}}
    assert expected.items() <= done.json.items()
    server.requests.clear()
    assert "was there: " in run_here(capsys, ["data", "fetch", "ALL"]).out
    assert server.requests == []


def test_only_what_was_named_is_fetched_in_whatever_case(server, instead, home, tmp_path):
    instead(make_set(server), make_set(server, name="other"))
    assert cli.run(["data", "fetch", "Other", "--to", str(tmp_path / "here")]) == 0
    assert set(tree(tmp_path / "here")) == {"wordsim/other.tsv", "fetched/other.json"}
    assert not home.exists()


def test_one_refused_set_does_not_keep_the_others(server, instead, home, capsys):
    bad, good = make_set(server, name="bad"), make_set(server)
    server.answers["/wordsim/bad.tsv"] = sends(b"<html>log in</html>")
    instead(bad, good)
    done = run_here(capsys, ["data", "fetch"])
    assert done.status == 1
    expected = f"refused: 1 of 2 data sets: bad: https://.*{bad.files[0].sha256}"
    assert re.search(expected, done.err.splitlines()[-1])
    assert set(tree(home)) == {"wordsim/tiny.tsv", "fetched/tiny.json"}


def test_without_a_network_one_line_says_what_to_do_and_nothing_else_is_tried(server, instead, home, capsys):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    data_set = make_set(server)
    away = replace(data_set.files[0], url=f"https://localhost:{port}/a")
    instead(replace(data_set, files=(away,)), make_set(server, name="other"))
    assert cli.run(["data", "fetch"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert re.search(r"cannot be reached \(.*refused\); run .*with a network.*gensim", line)
    assert tree(home) == {}
    assert server.requests == []


def test_an_unknown_name_is_wrong_usage_and_the_known_ones_are_named(capsys):
    done = run_here(capsys, ["data", "fetch", "rg65", "rg66"])
    assert done.status == 2
    assert "no data set is called rg66; there are rg65, ws353" in " ".join(done.err.split())


def test_list_shows_task_size_licence_and_whether_a_set_is_there(server, instead, capsys):
    out = run_here(capsys, ["data", "list"]).out
    assert all(name in out and data_set.licence in out for name, data_set in SETS.items())
    instead(make_set(server), make_set(server, name="other"))
    assert cli.run(["data", "fetch", "tiny"]) == 0
    done = run_here(capsys, ["data", "list", "--json"])
    lines = done.err.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["tiny", "word-similarity", "28", "bytes", "there", "CC0"],
        ["other", "word-similarity", "28", "bytes", "-", "CC0"],
    ]
    assert lines[2].startswith("1 of 2 are in ")
    assert {name: shown["there"] for name, shown in done.json["sets"].items()} == {"tiny": True, "other": False}


def test_path_prints_the_folder_once_something_is_there(server, instead, home, capsys):
    instead(make_set(server))
    done = run_here(capsys, ["data", "path"])
    assert done.status == 1
    assert "nothing was fetched yet; run `x2static data fetch`" in done.err
    assert cli.run(["data", "fetch"]) == 0
    assert run_here(capsys, ["data", "path"]).out == f"{home}\n"


def test_a_folder_in_the_place_of_a_file_is_named(server, instead, home, capsys):
    instead(make_set(server))
    (home / "wordsim" / "tiny.tsv").mkdir(parents=True)
    for command in ("list", "path", "fetch"):
        done = run_here(capsys, ["data", command])
        assert done.status == 1
        assert f"{home}/wordsim/tiny.tsv: a folder has the place of a file of tiny; move it away" in done.err


def test_two_fetches_at_once_are_kept_apart(server, instead, home, capsys):
    instead(make_set(server))
    with only_writer(home, "data folder"):
        assert cli.run(["data", "fetch"]) == 1
    assert "another x2static process is writing" in capsys.readouterr().err
