"""`x2static data`: what is shown, and the one line where something is wrong."""

import json
import socket
from dataclasses import replace

import pytest

from tests.pipeline.data.conftest import make_set, run_alone, tree
from tests.pipeline.data.server import sends
from x2static.durable.storage import only_writer
from x2static.pipeline import cli
from x2static.pipeline.data.sources import SETS


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "x2static" / "data"


def test_fetch_shows_what_it_is_the_licence_the_source_and_the_size(server, instead, home, capsys):
    data_set = make_set(server)
    instead(data_set)
    assert cli.run(["data", "fetch", "tiny", "--json"]) == 0
    said = capsys.readouterr()
    for shown in (
        "tiny: Two pairs",
        "licence: CC0",
        data_set.files[0].url,
        "28 bytes",
        f"fetched: {home}/wordsim/tiny",
    ):
        assert shown in said.out
    assert f"--data {home}" in said.err
    assert json.loads(said.out.splitlines()[-1]) == {
        "command": "data fetch",
        "version": json.loads(said.out.splitlines()[-1])["version"],
        "folder": str(home),
        "sets": {"tiny": "fetched"},
        "refused": {},
    }


def test_the_second_fetch_says_that_all_was_there(server, instead, capsys):
    instead(make_set(server))
    assert cli.run(["data", "fetch"]) == 0
    server.requests.clear()
    assert cli.run(["data", "fetch", "ALL"]) == 0
    assert "was there: " in capsys.readouterr().out
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
    assert cli.run(["data", "fetch"]) == 1
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if line.startswith("error:")]
    assert "1 of 2 data sets were refused: bad: https://" in line
    assert bad.files[0].sha256 in line
    assert set(tree(home)) == {"wordsim/tiny.tsv", "fetched/tiny.json"}


def test_without_a_network_one_line_says_what_to_do_and_nothing_else_is_tried(server, instead, home, capsys):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    data_set = make_set(server)
    (file,) = data_set.files
    away = replace(data_set, files=(replace(file, url=f"https://localhost:{port}/a"),))
    instead(away, make_set(server, name="other"))
    assert cli.run(["data", "fetch"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert "no connection" in line
    assert "--data DIR" in line
    assert tree(home) == {}
    assert server.requests == []


def test_an_unknown_name_is_wrong_usage_and_the_known_ones_are_named(capsys):
    assert cli.run(["data", "fetch", "rg65", "rg66"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "no data set is called rg66; there are rg65, ws353" in said


def test_list_shows_task_size_licence_and_whether_a_set_is_there(server, instead, capsys):
    instead(make_set(server), make_set(server, name="other"))
    assert cli.run(["data", "fetch", "tiny"]) == 0
    capsys.readouterr()
    assert cli.run(["data", "list", "--json"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["tiny", "word-similarity", "28", "bytes", "there", "CC0"],
        ["other", "word-similarity", "28", "bytes", "-", "CC0"],
    ]
    assert lines[2].startswith("1 of 2 are in ")
    assert {name: shown["there"] for name, shown in json.loads(last)["sets"].items()} == {"tiny": True, "other": False}


def test_list_needs_no_network_and_names_every_set(capsys):
    assert cli.run(["data", "list"]) == 0
    out = capsys.readouterr().out
    for data_set in SETS.values():
        assert data_set.name in out
        assert data_set.licence in out


def test_path_prints_the_folder_once_something_is_there(server, instead, home, capsys):
    instead(make_set(server))
    assert cli.run(["data", "path"]) == 1
    assert "nothing was fetched yet; run `x2static data fetch`" in capsys.readouterr().err
    assert cli.run(["data", "fetch"]) == 0
    capsys.readouterr()
    assert cli.run(["data", "path"]) == 0
    assert capsys.readouterr().out == f"{home}\n"


@pytest.mark.parametrize("command", ["list", "path", "fetch"])
def test_a_folder_in_the_place_of_a_file_is_named(command, server, instead, home, capsys):
    instead(make_set(server))
    (home / "wordsim" / "tiny.tsv").mkdir(parents=True)
    assert cli.run(["data", command]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert f"{home}/wordsim/tiny.tsv: a folder has the place of a file of tiny; move it away" in line


def test_two_fetches_at_once_are_kept_apart(server, instead, home, capsys):
    instead(make_set(server))
    with only_writer(home, "data folder"):
        assert cli.run(["data", "fetch"]) == 1
    assert "another x2static process is writing" in capsys.readouterr().err


def test_the_command_loads_none_of_the_heavy_libraries():
    heavy = "{'torch', 'numpy', 'datasets', 'pooch', 'requests'}"
    code = f"import sys, x2static.pipeline.commands.data; sys.exit(bool({heavy} & set(sys.modules)))"
    assert run_alone(code).returncode == 0
