"""A file is whole or absent, and a folder has one writer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from x2static.durable import storage
from x2static.durable.errors import X2StaticError

ROOT = Path(__file__).parents[2]
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


def hold_lock_elsewhere(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_write_replaces_the_file_and_leaves_nothing_else(tmp_path):
    storage.write_atomically(tmp_path / "a.json", b"old")
    storage.write_atomically(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch, step):
    (tmp_path / "a.json").write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(step, fail)
    with pytest.raises(OSError, match="disk full"):
        storage.write_atomically(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


def test_a_file_written_in_pieces_has_its_name_only_when_it_is_whole(tmp_path):
    with storage.open_atomically(tmp_path / "a.txt") as file:
        file.write(b"first ")
        assert not (tmp_path / "a.txt").exists()
        file.write(b"second")
    assert (tmp_path / "a.txt").read_bytes() == b"first second"


def test_an_interrupted_block_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), storage.open_atomically(tmp_path / "a.txt") as file:
        file.write(b"first ")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_folder_is_renamed_with_all_it_holds(tmp_path):
    temporary = tmp_path / ".tmp-000000"
    (temporary / "inner").mkdir(parents=True)
    (temporary / "inner" / "a").write_bytes(b"a")
    storage.commit_folder(temporary, tmp_path / "000000")
    assert (tmp_path / "000000" / "inner" / "a").read_bytes() == b"a"
    assert names(tmp_path) == ["000000"]


def test_every_file_and_folder_is_durable_before_the_rename(tmp_path, monkeypatch):
    temporary = tmp_path / ".tmp-0"
    (temporary / "inner").mkdir(parents=True)
    (temporary / "inner" / "a").write_bytes(b"a")
    seen = []
    monkeypatch.setattr(storage, "sync", lambda path: seen.append((path, (tmp_path / "0").exists())))
    storage.commit_folder(temporary, tmp_path / "0")
    before = {path for path, renamed in seen if not renamed}
    assert before == {temporary, temporary / "inner", temporary / "inner" / "a"}
    assert seen[-1] == (tmp_path, True)


def folder_with(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "a").write_text(text)
    return path


def test_a_folder_takes_the_place_of_another(tmp_path):
    folder_with(tmp_path / "0", "old")
    storage.commit_folder(folder_with(tmp_path / ".tmp-0", "new"), tmp_path / "0", replace=True)
    assert (tmp_path / "0" / "a").read_text() == "new"
    assert names(tmp_path) == ["0"]


def test_a_folder_whose_place_is_free_just_takes_it(tmp_path):
    storage.commit_folder(folder_with(tmp_path / ".tmp-0", "new"), tmp_path / "0", replace=True)
    assert names(tmp_path) == ["0"]


def test_the_old_folder_stays_until_the_new_one_is_durable(tmp_path, monkeypatch):
    folder_with(tmp_path / "0", "old")
    seen = []
    monkeypatch.setattr(storage, "sync", lambda path: seen.append((path.name, (tmp_path / "0" / "a").read_text())))
    storage.commit_folder(folder_with(tmp_path / ".tmp-0", "new"), tmp_path / "0", replace=True)
    assert seen == [("a", "old"), (".tmp-0", "old"), (tmp_path.name, "new")]


def test_equal_values_have_one_json_text():
    assert storage.canonical_json({"b": 1, "a": "é"}) == storage.canonical_json({"a": "é", "b": 1})
    assert storage.canonical_json({"a": "é"}) == '{\n  "a": "é"\n}\n'.encode()


def test_json_is_read_back(tmp_path):
    value = {"a": [1, None, "é"], "b": {"c": 0.1}}
    (tmp_path / "a.json").write_bytes(storage.canonical_json(value))
    assert storage.read_json(tmp_path / "a.json") == value == json.loads((tmp_path / "a.json").read_text("utf-8"))


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": "\xff"}'])
def test_a_file_that_is_no_json_is_named(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(X2StaticError, match=r"a\.json: not valid JSON"):
        storage.read_json(tmp_path / "a.json")


def test_leftovers_go_and_everything_else_stays(tmp_path):
    (tmp_path / ".tmp-000001" / "contexts").mkdir(parents=True)
    (tmp_path / ".tmp-000001" / "contexts" / "0").write_bytes(b"half")
    (tmp_path / ".tmp-manifest.json").write_bytes(b"half")
    (tmp_path / "000000").mkdir()
    (tmp_path / ".lock").touch()
    (tmp_path / "tmp-mine").touch()
    storage.remove_leftovers(tmp_path)
    assert names(tmp_path) == [".lock", "000000", "tmp-mine"]


def test_the_hash_sees_every_byte(tmp_path):
    file = tmp_path / "a"
    data = bytearray(3 << 20)  # more than the 1 MiB that is read at once
    file.write_bytes(data)
    before = storage.hash_file(file)
    data[-1] = 1
    file.write_bytes(data)
    assert storage.hash_file(file) != before
    file.write_bytes(b"")
    assert storage.hash_file(file) == "99aa06d3014798d86001c324468d497f"  # xxh3-128 of nothing, by its specification


def test_a_second_process_is_refused_until_the_first_ends(tmp_path):
    folder = tmp_path / "cache"
    process = hold_lock_elsewhere(folder)
    try:
        message = "another x2static process is writing to this cache"
        with pytest.raises(X2StaticError, match=message), storage.only_writer(folder, "cache"):
            pass
    finally:
        process.communicate(b"\n")
    with storage.only_writer(folder, "cache"):
        assert folder.is_dir()


def test_a_killed_process_lets_go_of_its_lock(tmp_path):
    process = hold_lock_elsewhere(tmp_path)
    process.kill()
    process.communicate()
    with storage.only_writer(tmp_path, "run"):
        assert (tmp_path / ".lock").exists()


def test_an_error_inside_the_block_is_not_taken_for_a_held_lock(tmp_path):
    with pytest.raises(ValueError, match="mine"), storage.only_writer(tmp_path, "run"):
        raise ValueError("mine")
