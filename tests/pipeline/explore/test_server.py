"""The server, over HTTP on loopback, and the command that starts it."""

import json
import re
import signal
import socket
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import uvicorn

from tests.conftest import ROOT
from tests.pipeline.explore.conftest import HOSTILE, IMAGE, SCRIPT, Served, make_vectors, serving, wait_for
from tests.pipeline.ran import run_here
from x2static.pipeline.commands.explore import listening
from x2static.pipeline.explore import server
from x2static.pipeline.explore.answers import Searchable


def test_every_question_of_the_page_is_answered_by_set(served):
    assert [one["name"] for one in served.answer("facts")["sets"]] == ["one", IMAGE]
    assert served.answer("complete", prefix="k")["words"] == ["king", "kings"]
    for kind, parameters in {
        "neighbours": {"word": "king", "n": 3},
        "analogy": {"a": "king", "b": "man", "c": "queen"},
        "similarity": {"a": "king", "b": "queen"},
    }.items():
        of_sets = served.answer(kind, **parameters)["sets"]
        assert [len(one["known"]) for one in of_sets] == [len(parameters.keys() - {"n"})] * 2
    near = served.answer("neighbours", word="king", n=3)["sets"][0]["nearest"]
    assert len(near) == 3
    assert served.answer("map", set=1, n=2)["words"] == ["king", "queen"]
    assert served.answer("run")["settings"][0] == {"name": "configuration.lr", "values": ["0.1", None]}
    assert served.answer("sentences", ["king queen", "the"])["sets"][1]["cosines"] == [[1.0, None], [None, None]]


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_words_come_as_they_are_in_json_alone(served, word):
    status, content, headers = served.ask("/api/neighbours", word=word, n=200)
    assert (status, headers["content-type"], headers["x-content-type-options"]) == (200, "application/json", "nosniff")
    assert content["sets"][0]["known"][0]["word"] == word
    assert set(HOSTILE) - {word} < {near["word"] for near in content["sets"][0]["nearest"]}


def test_an_unknown_word_is_an_answer(served):
    first, second = served.answer("neighbours", word="kinq")["sets"]
    assert (first["unknown"][0]["near"][0], second["unknown"][0]["near"][0]) == ("king", "king")
    assert served.answer("neighbours", word="paris")["sets"][1]["unknown"][0]["near"] == ["Paris"]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("neighbours", None, 400, "the parameter word is missing"),
        ("neighbours?word=a&n=0", None, 400, "n is '0'; it must be a number from 1 to 200"),
        ("neighbours?word=a&n=1e3", None, 400, "n is '1e3'"),
        ("map?n=999999999", None, 400, "from 1 to 20000"),
        ("map?set=2", None, 400, "set is '2'; it must be a number from 0 to 1"),
        ("map?set=-1", None, 400, "set is '-1'"),
        ("sentences", b"{", 400, "the body is not JSON"),
        ("sentences", b"[" * 50_000, 400, "the body is not JSON"),
        ("sentences", b"\xff", 400, "the body is not JSON"),
        ("sentences", "a text", 400, "the body must be a list of sentences"),
        ("sentences", [], 400, "the body must be a list of sentences"),
        ("sentences", [1], 400, "the body must be a list of sentences"),
        ("sentences", ["a"] * 21, 400, "21 sentences; 20 at most"),
        ("sentences", ["a" * 200_000], 413, "more than 100,000 bytes"),
        ("sentences", None, 405, "Method Not Allowed"),
        ("nothing", None, 404, "Not Found"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(served, path, body, status, said):
    answered, content, _ = served.ask(f"/api/{path}", body)
    assert (answered, said in content["error"]) == (status, True), content


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", "", "127.0.0.2"])
def test_a_name_that_was_made_to_lead_here_is_refused(served, host):
    assert served.ask("/api/facts", host=host or " ")[0] == 421
    assert served.ask("/", host=host or " ")[0] == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "[::1]:8000", "LOCALHOST"])
def test_the_names_of_loopback_are_answered(served, host):
    assert served.ask("/api/facts", host=host)[0] == 200


def test_the_page_needs_nothing_from_elsewhere_and_may_run_only_what_is_its_own(served):
    status, page, headers = served.ask("/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert not re.search(r"https?:|//[a-z]|@import|url\(|\son\w+=|\sstyle=", page)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", page)
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert [name for name, value in policy.items() if "unsafe" in value] == []

    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, _: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(page)
    assert (tags.count("script"), tags.count("style"), tags.count("img")) == (1, 1, 0)


def test_scores_are_computed_once_and_say_why_there_are_none(tmp_path, monkeypatch):
    (tmp_path / "pairs.tsv").write_text("".join(f"w{i}\tw{i + 1}\t{i % 7}\n" for i in range(40)))
    calls: list[object] = []
    evaluate = server.evaluate_word_similarity
    monkeypatch.setattr(server, "evaluate_word_similarity", lambda *given: calls.append(given) or evaluate(*given))
    sets = [Searchable("1", make_vectors([f"w{i}" for i in range(41)])), Searchable("2", make_vectors(["a"]))]
    questions = server.Questions(sets, tmp_path)
    first, second = questions.scores(None)["sets"]  # type: ignore[arg-type]
    assert questions.scores(None)["sets"] == [first, second]  # type: ignore[arg-type]
    assert (first["tasks"]["pairs"]["covered"], first["average"]) == (40, first["tasks"]["pairs"]["score"])
    assert "none of the 40 word pairs of pairs is covered by the 1 words" in second["error"]
    assert len(calls) == 2


def test_any_name_is_answered_where_it_listens_to_all():
    with serving(Searchable("one", make_vectors(["a"])), hosts=None) as served:
        assert served.ask("/api/facts", host="another.example:80")[0] == 200


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_interrupted_and_ends_well(tmp_path, number):
    make_vectors(["king", SCRIPT]).save(tmp_path / "run")
    port = free_port()
    command = [sys.executable, "-m", "x2static", "explore", str(tmp_path / "run"), "--port", str(port), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line == f"http://127.0.0.1:{port}/ shows run; Ctrl-C ends it\n"
            wait_for(port)
            assert Served(port).answer("complete", prefix="<")["words"] == [SCRIPT]
            assert Served(port).ask("/", host="evil.example")[0] == 421
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "ended\n")
    assert json.loads(out)["vectors"] == {"run": 2}


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_only_this_machine_is_served_unless_told_otherwise_which_is_warned_of(host, tmp_path, capsys, monkeypatch):
    make_vectors(["a"]).save(tmp_path / "run")
    opened: list[str] = []
    served: list[tuple[str, object]] = []

    def interrupted(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        app = server.config.app
        served.append((sockets[0].getsockname()[0], app.user_middleware[0].kwargs["hosts"]))  # type: ignore[union-attr]
        raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn.Server, "run", interrupted)
    monkeypatch.setattr("webbrowser.open", opened.append)
    ran = run_here(capsys, ["explore", tmp_path / "run", "--host", host, "--port", "0", "--open", "--json"])
    assert (ran.status, opened) == (0, [ran.json["url"]])
    address, hosts = served[0]
    assert (address == "0.0.0.0", hosts is None, "whoever reaches" in ran.err) == (host == "0.0.0.0",) * 3


def wrong(folder: Path, taken: int) -> dict[str, tuple[list[str], int, str]]:
    run = str(folder / "run")
    return {
        "no vectors": ([], 2, "missing: VECTORS"),
        "no folder": ([str(folder / "absent")], 1, "there is no such folder"),
        "no subwords": ([run, "--unknown", "subwords"], 1, "no subwords here"),
        "no words": ([str(folder / "empty")], 1, "no words to look at"),
        "another word": ([run, "--unknown", "guess"], 2, "'guess' is not one of 'skip', 'subwords'"),
        "no port": ([run, "--port", "65536"], 2, "--port"),
        "a port that is taken": ([run, "--port", str(taken)], 1, f"--host 127.0.0.1 --port {taken}: "),
        "no host": ([run, "--host", "host.invalid"], 1, "--host host.invalid: no address"),
        "another machine's host": ([run, "--host", "192.0.2.1"], 1, "--host 192.0.2.1 --port 0: "),
    }


@pytest.mark.parametrize("what", wrong(Path(), 1))
def test_wrong_options_end_in_a_line_that_names_them(what, tmp_path, capsys):
    make_vectors(["a"]).save(tmp_path / "run")
    make_vectors([]).save(tmp_path / "empty")
    with listening("127.0.0.1", 0) as bound:
        bound.listen()
        arguments, status, said = wrong(tmp_path, bound.getsockname()[1])[what]
        ran = run_here(capsys, ["explore", *arguments])
    assert (ran.status, said in ran.err) == (status, True), ran.err


def test_a_port_that_is_taken_is_left_for_a_free_one_where_none_was_asked_for():
    with listening("127.0.0.1", None) as first:
        first.listen()
        with listening("127.0.0.1", None) as second:
            assert first.getsockname()[1] != second.getsockname()[1]


def test_a_missing_package_is_named_with_the_extra_that_brings_it(tmp_path, capsys, monkeypatch):
    from x2static.machine import packages

    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    ran = run_here(capsys, ["explore", tmp_path])
    assert (ran.status, "pip install 'x2static[explore]'" in ran.err) == (1, True)
