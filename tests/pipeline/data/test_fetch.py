"""A fetched set is there whole, with a marker that knows it, or it is not there."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from tests.conftest import ROOT
from tests.pipeline.data.conftest import PAIRS, make_set, tree
from tests.pipeline.data.server import sends
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json, read_json
from x2static.evaluation.word_pairs import Pair, find_word_pairs, read_word_pairs
from x2static.pipeline.data import fetch as module
from x2static.pipeline.data.fetch import data_folder, fetch, is_there

CONVERTED = b"sea\tocean\t9.5\ncat\tstone\t0.5\n"
PARTS = {"classification/TWO/train.tsv": PAIRS, "classification/TWO/test.tsv": PAIRS[:14]}
DOWNLOADS = {f".tmp-downloads/{hashlib.sha256(body).hexdigest()}" for body in PARTS.values()}


def test_a_fetched_set_is_read_like_a_data_folder(server, tmp_path):
    data_set = make_set(server)
    assert not is_there(tmp_path, data_set)
    assert fetch(tmp_path, data_set)
    assert is_there(tmp_path, data_set)
    (file,) = find_word_pairs(tmp_path)
    assert file.stem == "tiny"
    assert read_word_pairs(file) == [Pair("sea", "ocean", 9.5), Pair("cat", "stone", 0.5)]
    assert set(tree(tmp_path)) == {"wordsim/tiny.tsv", "fetched/tiny.json"}


def test_the_second_time_nothing_is_asked_for_and_nothing_written(server, tmp_path):
    data_set = make_set(server, PARTS)
    assert fetch(tmp_path, data_set)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    server.requests.clear()
    assert not fetch(tmp_path, data_set)
    assert server.requests == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("place", ["wordsim/tiny.tsv", "fetched/tiny.json"])
@pytest.mark.parametrize("damage", [b"", b"[]", b"<html>", None])
def test_what_was_damaged_or_removed_is_fetched_again(server, tmp_path, place, damage):
    data_set = make_set(server)
    fetch(tmp_path, data_set)
    whole = tree(tmp_path)
    (tmp_path / place).unlink()
    if damage is not None:
        (tmp_path / place).write_bytes(damage)
    assert not is_there(tmp_path, data_set)
    assert fetch(tmp_path, data_set)
    assert tree(tmp_path) == whole


def test_another_source_or_conversion_is_another_set(server, tmp_path, monkeypatch):
    data_set = make_set(server)
    fetch(tmp_path, data_set)
    (file,) = data_set.files
    assert not is_there(tmp_path, replace(data_set, files=(replace(file, sha256="0" * 64),)))
    assert is_there(tmp_path, replace(data_set, licence="said otherwise"))
    monkeypatch.setattr(module, "CONVERSION", 2)
    assert not is_there(tmp_path, data_set)


def test_the_marker_names_source_licence_and_hashes(server, tmp_path):
    data_set = make_set(server)
    fetch(tmp_path, data_set)
    marker = read_json(tmp_path / "fetched" / "tiny.json")
    assert marker["licence"] == "CC0"
    (file,) = marker["files"]
    assert file["source"] == data_set.files[0].url
    assert file["source_sha256"] == data_set.files[0].sha256
    assert file["sha256"] == hashlib.sha256(CONVERTED).hexdigest()


@pytest.mark.parametrize("bad", [sends(b"<html>no</html>"), sends(b"", status=404)])
def test_of_a_set_with_one_bad_file_nothing_is_left(server, tmp_path, bad):
    data_set = make_set(server, PARTS)
    server.answers["/classification/TWO/test.tsv"] = bad
    with pytest.raises(X2StaticError):
        fetch(tmp_path, data_set)
    assert tree(tmp_path) == {}


def test_a_file_that_was_not_fetched_is_not_written_over(server, tmp_path):
    mine = tmp_path / "wordsim" / "tiny.tsv"
    mine.parent.mkdir()
    mine.write_bytes(b"my\town\t1\n")
    with pytest.raises(X2StaticError, match=r"tiny\.tsv: there is another file.*--to"):
        fetch(tmp_path, make_set(server))
    assert tree(tmp_path) == {"wordsim/tiny.tsv": b"my\town\t1\n"}


def test_what_others_keep_beside_a_set_stays(server, tmp_path):
    notes = tmp_path / "classification" / "TWO" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    data_set = make_set(server, PARTS)
    assert fetch(tmp_path, data_set)
    assert notes.read_text() == "mine"
    assert is_there(tmp_path, data_set)


def test_the_folder_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "x2static" / "data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert data_folder() == tmp_path / "home" / ".cache" / "x2static" / "data"


def child(where, server, folder, files):
    given = [f"{server.url}/{path}={body.hex()}" for path, body in files.items()]
    command = [sys.executable, "-m", "tests.pipeline.data.child", *where, folder, *given]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize(
    ("where", "left"),
    [
        (("x2static.pipeline.data.fetch:download", "after", "2"), DOWNLOADS),
        (("x2static.pipeline.data.fetch:commit_folder", "before", "1"), {".tmp-TWO/train.tsv", ".tmp-TWO/test.tsv"}),
        (("x2static.pipeline.data.fetch:commit_folder", "after", "1"), set(PARTS)),
        (("x2static.pipeline.data.fetch:write_atomically", "before", "1"), set(PARTS)),
    ],
)
def test_a_kill_leaves_a_set_whole_or_absent_and_the_next_fetch_mends_it(server, certificate, tmp_path, where, left):
    data_set = make_set(server, PARTS)
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    for place in (folder, whole):
        place.mkdir()
    assert child(where, server, folder, PARTS).wait() == -signal.SIGKILL
    assert set(tree(folder)) == left
    assert not is_there(folder, data_set)
    assert fetch(folder, data_set)
    assert fetch(whole, data_set)
    assert tree(folder) == tree(whole)


def test_what_came_before_a_kill_in_the_middle_of_a_download_is_not_asked_for_again(server, tmp_path):
    data_set = make_set(server, PARTS)
    server.answers["/classification/TWO/test.tsv"] = server.hangs(PARTS["classification/TWO/test.tsv"], after=5)
    process = child(("nowhere", "-", "0"), server, tmp_path, PARTS)
    while len(server.requests) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert all(path.startswith(".tmp-downloads/") for path in tree(tmp_path))
    make_set(server, PARTS)
    server.requests.clear()
    assert fetch(tmp_path, data_set)
    assert server.requests == ["/classification/TWO/test.tsv"]
    assert set(tree(tmp_path)) == {*PARTS, "fetched/tiny.json"}


def test_a_marker_without_its_files_is_nothing(server, tmp_path):
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched" / "tiny.json").write_bytes(canonical_json({"conversion": 1, "files": []}))
    assert not is_there(tmp_path, make_set(server))
