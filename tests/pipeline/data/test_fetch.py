"""A fetched set is there whole, with a marker that knows it, or it is not there."""

import hashlib
import re
import signal
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.killing import die_at
from tests.pipeline.data.conftest import PAIRS, make_set, sends, tree
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import read_json
from x2static.evaluation.word_pairs import Pair, find_word_pairs, read_word_pairs
from x2static.pipeline.data import fetch as module
from x2static.pipeline.data.fetch import fetch, is_there
from x2static.pipeline.data.sources import DataSet

CONVERTED = b"sea\tocean\t9.5\ncat\tstone\t0.5\n"
PARTS = {"classification/TWO/train.tsv": PAIRS, "classification/TWO/test.tsv": PAIRS[:14]}
TRAIN, TEST = (f".tmp-downloads/{hashlib.sha256(body).hexdigest()}" for body in PARTS.values())


def test_a_fetched_set_is_read_like_a_data_folder_and_its_marker_names_source_licence_and_hashes(server, tmp_path):
    data_set = make_set(server)
    assert not is_there(tmp_path, data_set)
    assert fetch(tmp_path, data_set)
    assert is_there(tmp_path, data_set)
    (file,) = find_word_pairs(tmp_path)
    assert file.stem == "tiny"
    assert read_word_pairs(file) == [Pair("sea", "ocean", 9.5), Pair("cat", "stone", 0.5)]
    assert set(tree(tmp_path)) == {"wordsim/tiny.tsv", "fetched/tiny.json"}
    source, sha256 = data_set.files[0], hashlib.sha256(CONVERTED).hexdigest()
    known = {"path": source.path, "sha256": sha256, "source": source.url, "source_sha256": source.sha256}
    marker = {"conversion": 1, "files": [known], "licence": "CC0", "name": "tiny"}
    assert read_json(tmp_path / "fetched" / "tiny.json") == marker
    # The second time nothing is asked for and nothing written.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    server.requests.clear()
    assert not fetch(tmp_path, data_set)
    assert server.requests == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("place", ["wordsim/tiny.tsv", "fetched/tiny.json"])
@pytest.mark.parametrize("damage", [b"[]", b"<html>", None])
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


def test_of_a_set_with_one_bad_file_nothing_is_left_and_what_others_keep_there_stays(server, tmp_path):
    data_set = make_set(server, PARTS)
    server.answers["/classification/TWO/test.tsv"] = sends(b"<html>no</html>")
    with pytest.raises(X2StaticError):
        fetch(tmp_path, data_set)
    assert tree(tmp_path) == {}
    mine, notes = tmp_path / "wordsim" / "tiny.tsv", tmp_path / "classification" / "TWO" / "notes.txt"
    for path in (mine, notes):
        path.parent.mkdir(parents=True)
        path.write_text("mine")
    with pytest.raises(X2StaticError, match=r"tiny\.tsv: there is another file.*--to"):
        fetch(tmp_path, make_set(server))
    data_set = make_set(server, PARTS)
    assert fetch(tmp_path, data_set)
    assert is_there(tmp_path, data_set)
    assert mine.read_text() == notes.read_text() == "mine"


def fetch_and_die(folder: Path, data_set: DataSet, where: str, moment: str, n: int) -> None:
    die_at(where, moment, n)
    fetch(folder, data_set)


@pytest.mark.parametrize(
    ("where", "moment", "n", "left", "asked_again"),
    [
        ("download:_get", "after", 2, {TRAIN, ".tmp-downloads/unnamed"}, 1),
        ("fetch:download", "after", 2, {TRAIN, TEST}, 0),
        ("fetch:commit_folder", "before", 1, {".tmp-TWO/train.tsv", ".tmp-TWO/test.tsv"}, 2),
        ("fetch:commit_folder", "after", 1, set(PARTS), 2),
        ("fetch:write_atomically", "before", 1, set(PARTS), 2),
    ],
)
def test_a_kill_leaves_a_set_whole_or_absent_and_the_next_fetch_mends_it(
    server, tmp_path, where, moment, n, left, asked_again
):
    data_set = make_set(server, PARTS)
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    arguments = (folder, data_set, f"x2static.pipeline.data.{where}", moment, n)
    killed = get_context("spawn").Process(target=fetch_and_die, args=arguments)
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert {re.sub(r"tmp\w{8}$", "unnamed", path) for path in tree(folder)} == left
    assert not is_there(folder, data_set)
    server.requests.clear()
    assert fetch(folder, data_set)
    assert len(server.requests) == asked_again
    assert fetch(whole, data_set)
    assert tree(folder) == tree(whole)
