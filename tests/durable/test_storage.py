"""A file is whole or absent, and a folder has one writer."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from x2static.durable import storage
from x2static.durable.errors import X2StaticError

HOLD_THE_LOCK = """
import sys
from pathlib import Path
from x2static.durable.storage import only_writer

with only_writer(Path(sys.argv[1]), "cache"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def folder_with(path: Path, text: str) -> Path:
    (path / "inner").mkdir(parents=True)
    (path / "inner" / "a").write_text(text)
    return path


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch, step):
    storage.write_atomically(tmp_path / "a.json", b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(step, fail)
    with pytest.raises(OSError, match="disk full"):
        storage.write_atomically(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


def test_a_file_written_in_pieces_has_its_name_only_when_it_is_whole(tmp_path):
    with pytest.raises(KeyboardInterrupt), storage.open_atomically(tmp_path / "a.txt") as file:
        file.write(b"first ")
        assert not (tmp_path / "a.txt").exists()
        raise KeyboardInterrupt
    assert names(tmp_path) == []


WRITE_AND_WAIT = """
import sys
from pathlib import Path
from x2static.durable.storage import open_atomically

with open_atomically(Path(sys.argv[1])) as file:
    print("begun", flush=True)
    sys.stdin.readline()
"""


def test_a_file_s_next_writer_removes_what_a_killed_one_left_and_nothing_of_a_living_one(tmp_path):
    path = tmp_path / "v.txt"
    for name in (".tmp-v.txt-1", ".tmp-v.txt-999999", ".tmp-other.txt-1"):  # one is of a number that lives again
        (tmp_path / name).write_bytes(b"half")
    command = [sys.executable, "-c", WRITE_AND_WAIT, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "begun\n"
        storage.write_atomically(path, b"mine")
        assert names(tmp_path) == [".tmp-other.txt-1", f".tmp-v.txt-{other.pid}", "v.txt"]
        other.communicate("go on\n")
    assert other.returncode == 0
    assert names(tmp_path) == [".tmp-other.txt-1", "v.txt"]
    assert path.read_bytes() == b""


@pytest.mark.parametrize("old", [True, False])
def test_a_folder_takes_its_place_with_all_it_holds_once_it_is_durable(tmp_path, monkeypatch, old):
    if old:
        folder_with(tmp_path / "0", "old")
    temporary = folder_with(tmp_path / ".tmp-0", "new")
    synced = []
    place = tmp_path / "0" / "inner" / "a"
    monkeypatch.setattr(storage, "sync", lambda path: synced.append((path, place.exists() and place.read_text())))
    storage.commit_folder(temporary, tmp_path / "0", replace=old)
    before = "old" if old else False
    assert set(synced[:-1]) == {(path, before) for path in (temporary, temporary / "inner", temporary / "inner" / "a")}
    assert synced[-1] == (tmp_path, "new")
    assert names(tmp_path) == ["0"]


def test_equal_values_have_one_json_text_and_it_is_read_back(tmp_path):
    assert storage.canonical_json({"b": 1, "a": "é"}) == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    value, file = {"a": [1, None, "é"], "b": {"c": 0.1}}, tmp_path / "a.json"
    file.write_bytes(storage.canonical_json(value))
    assert storage.read_json(file) == value
    for data in (b"", b"{", b'{"a": "\xff"}'):
        file.write_bytes(data)
        with pytest.raises(X2StaticError, match=r"a\.json: not valid JSON"):
            storage.read_json(file)


def test_a_sealed_record_with_any_bit_flipped_is_refused_or_says_the_same(tmp_path):
    record = {"name": "a ü \N{SNOWMAN}", "rate": 1e-3, "counts": [1, 20, 300], "parts": {"x": None, "y": True}}
    path, whole = tmp_path / "record.json", storage.sealed_json(record)
    n_refused = 0
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found = storage.read_sealed(path)
        except X2StaticError as error:
            assert str(path) in str(error)
            n_refused += 1
        else:  # white space, an escape of the same letter, or the name of the seal itself
            assert {name: found.get(name) for name in record} == record
    assert n_refused > 0.9 * 8 * len(whole)
    path.write_bytes(whole)
    assert storage.read_sealed(path) == record


def test_a_record_of_an_earlier_version_has_no_seal_and_is_read(tmp_path):
    (tmp_path / "record.json").write_bytes(storage.canonical_json({"a": 1}))
    assert storage.read_sealed(tmp_path / "record.json") == {"a": 1}


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5_000, '{"a": "\\ud800", "xxh3": "0"}', "\x00", ""])
def test_what_no_record_holds_is_said_to_be_damaged(tmp_path, text):
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(X2StaticError, match=r"record\.json: .*damaged"):
        storage.read_sealed(tmp_path / "record.json")


@pytest.mark.parametrize("call", ["unlink", "rmdir", "scandir"])
def test_what_cannot_be_removed_is_named_with_its_folder(tmp_path, monkeypatch, call):
    folder_with(tmp_path / "0000000004", "state")

    def fail(path, **settings):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(PermissionError, match=re.escape(str(tmp_path / "0000000004"))):
        storage.remove(tmp_path / "0000000004")


def test_leftovers_go_and_everything_else_stays(tmp_path):
    folder_with(tmp_path / ".tmp-000001", "half")
    for name in (".tmp-manifest.json", ".lock", "tmp-mine"):
        (tmp_path / name).touch()
    storage.remove_leftovers(tmp_path)
    assert names(tmp_path) == [".lock", "tmp-mine"]


def test_the_hash_sees_every_byte(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"")
    assert storage.hash_file(file) == "99aa06d3014798d86001c324468d497f"  # xxh3-128 of nothing, by its specification
    hashes = set()
    for last in (b"a", b"b"):
        file.write_bytes(bytes(3 << 20) + last)  # more than is read at once
        hashes.add(storage.hash_file(file))
    assert len(hashes) == 2


@pytest.mark.parametrize("end", ["ends", "is killed"])
def test_a_second_process_is_refused_until_the_first(tmp_path, end):
    folder = tmp_path / "cache"
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    message = "another x2static process is writing to this cache"
    with pytest.raises(X2StaticError, match=message), storage.only_writer(folder, "cache"):
        pass
    if end == "is killed":
        process.kill()
    process.communicate(b"\n")
    with storage.only_writer(folder, "cache"):
        assert (folder / ".lock").exists()


def test_a_sync_that_fails_names_the_path(tmp_path, monkeypatch):
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for work in (lambda: storage.write_atomically(tmp_path / "file", b"x"), lambda: storage.sync(tmp_path)):
        with pytest.raises(OSError, match=re.escape(str(tmp_path))):
            work()
    with pytest.raises(OSError, match=r"folder"), storage.temporary_folder(tmp_path / "folder"):
        os.fsync(0)
