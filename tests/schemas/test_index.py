"""With an index, whatever becomes of it and of the shards, a cache opens as it does without one."""

import os
import random
import shutil
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.schemas.caches import amend, change, content, encoding, flip_byte, make_cache, marker, write_shard
from x2static.durable import storage
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import read_sealed
from x2static.machine.processes import process_pool
from x2static.schemas import index
from x2static.schemas.cache import Cache, content_of
from x2static.schemas.index import INDEX, read_index
from x2static.schemas.manifest import Marker
from x2static.schemas.shard import MARKER, Shard, commit_pools, create_array, shard_name, stage_shard
from x2static.stage2_train.shards import choose_shards

SHARDS = 6


@pytest.fixture(autouse=True)
def for_few_shards(monkeypatch):
    """A cache of few shards has an index, too, and files may be as young as a tick of the disk's clock."""
    monkeypatch.setattr(index, "FEWEST", 1)
    monkeypatch.setattr(index, "TICK_NS", 0)


def write_index(cache: Path) -> None:
    time.sleep(0.02)  # some ticks: what is younger than the clock is not believed
    Cache.open(cache).write_index()


def answer(cache: Path) -> list[object]:
    """Return what users of a cache get to know of its shards: markers, damage, content, errors."""
    opened, known = Cache.open(cache), list[object]()
    for ask in (opened.committed, opened.missing, lambda: content_of(opened.shards()), partial(choose_shards, opened)):
        try:
            known.append(ask())
        except X2StaticError as error:
            known.append(str(error))
    return known


def assert_as_without(cache: Path) -> None:
    before = answer(cache)
    aside = cache.parent / "index-aside"
    if (cache / INDEX).exists():
        (cache / INDEX).rename(aside)
    assert before == answer(cache)
    if aside.exists():
        aside.rename(cache / INDEX)


def no_marker_is_read(monkeypatch):
    monkeypatch.setattr(Shard, "open", lambda _: pytest.fail("a marker is read"))


def test_an_index_spares_reading_markers_and_says_what_they_say(tmp_path, monkeypatch):
    cache = Cache.open(make_cache(tmp_path / "cache", SHARDS))
    without = answer(cache.path)
    write_index(cache.path)
    before = (cache.path / INDEX).read_bytes()
    write_index(cache.path)
    assert (cache.path / INDEX).read_bytes() == before, "nothing has changed"
    assert sorted(read_index(cache.path)) == [*range(SHARDS)]
    no_marker_is_read(monkeypatch)
    assert answer(cache.path) == without
    assert [shard.contexts().shape for shard in cache.shards()] == [(6, 8)] * SHARDS


def test_few_shards_have_no_index_and_young_ones_are_not_in_it(tmp_path, monkeypatch):
    cache = make_cache(tmp_path / "cache", SHARDS)
    monkeypatch.setattr(index, "FEWEST", SHARDS + 1)
    write_index(cache)
    assert not (cache / INDEX).exists()
    monkeypatch.setattr(index, "FEWEST", SHARDS)
    monkeypatch.setattr(index, "TICK_NS", 10**12)
    write_index(cache)
    assert not (cache / INDEX).exists(), "there is nothing that it could say"


def test_many_markers_are_read_by_processes_to_the_same_index(tmp_path, monkeypatch):
    cache = make_cache(tmp_path / "cache", SHARDS)
    write_index(cache)
    alone = read_index(cache)
    (cache / INDEX).unlink()
    asked = []
    monkeypatch.setattr(index, "process_pool", lambda count: asked.append(count) or process_pool(2))
    monkeypatch.setattr(index, "FEW", 2)
    monkeypatch.setattr(index, "AT_ONCE", 4)
    write_index(cache)
    assert (read_index(cache), len(asked)) == (alone, 1)
    assert len(alone) == SHARDS


def test_a_disk_that_answers_late_is_waited_for_by_threads_in_order(tmp_path, monkeypatch):
    cache = make_cache(tmp_path / "cache", SHARDS)
    without = answer(cache)
    monkeypatch.setattr(index, "AT_ONCE", 2)
    monkeypatch.setattr(index, "LATE_SECONDS", 0.0)
    assert answer(cache) == without
    write_index(cache)
    assert answer(cache) == without


def test_verify_and_whoever_hashes_all_read_the_markers_themselves(tmp_path):
    cache = make_cache(tmp_path / "cache", SHARDS)
    write_index(cache)
    file = cache / "shards/000002" / MARKER
    before, data = file.stat(), file.read_bytes()
    with file.open("r+b") as opened:  # the very file, as a disk that fails changes it: no time says so
        opened.write(data.replace(b'"n_words": ', b'"n_words":  ')[: len(data)])
    entry = read_index(cache)[2]
    same = entry._replace(stamp=index._hash(index._stats(str(file.parent), Marker.model_validate_json(entry.marker))))
    assert same != entry, "and what is younger is read again"
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert any("000002" in line for line in Cache.open(cache).verify())
    assert_as_without(cache)


@pytest.mark.parametrize("damage", [b"", b"ARROW1", 0.5, None, "flip"])
def test_a_damaged_index_costs_time_only(tmp_path, damage):
    cache = make_cache(tmp_path / "cache", SHARDS)
    write_index(cache)
    if damage == "flip":
        flip_byte(cache / INDEX)
    else:
        change(cache / INDEX, damage)
    assert_as_without(cache)
    write_index(cache)
    assert len(read_index(cache)) == SHARDS


def test_an_entry_that_was_changed_is_not_believed(tmp_path):
    cache = make_cache(tmp_path / "cache", SHARDS)
    write_index(cache)
    with pa.OSFile(str(cache / INDEX)) as source:
        table = pa.ipc.open_file(source).read_all()
    markers = [text.replace('"n_words":', '"n_words":1') for text in table["marker"].to_pylist()]
    table = table.set_column(2, table.schema.field(2), pa.array(markers, pa.large_string()))
    with pa.OSFile(str(cache / INDEX), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert read_index(cache) == {}
    assert_as_without(cache)


def test_what_is_written_into_a_cache_is_no_stranger(tmp_path):
    cache = make_cache(tmp_path / "cache", SHARDS)
    write_index(cache)
    opened = Cache.open(cache)
    assert (opened.verify(), opened.leftovers(), opened.indices()) == ([], [], [*range(SHARDS)])


def test_an_index_that_cannot_be_written_is_said_and_nothing_more(tmp_path, monkeypatch, caplog):
    cache = make_cache(tmp_path / "cache", SHARDS)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index, "open_atomically", full)
    write_index(cache)
    assert "index cannot be written" in caplog.text
    assert_as_without(cache)


class Changes:
    """What may happen to a cache, drawn."""

    def __init__(self, cache: Path, seed: int) -> None:
        self.cache, self.draw, self.seed = cache, random.Random(seed), seed

    def shard(self) -> Path:
        there = [path for path in (self.cache / "shards").iterdir() if path.name.isdecimal()]
        return self.draw.choice(there) if there else self.cache / "shards" / shard_name(0)

    def file(self) -> Path:
        there = [path for path in self.shard().rglob("*") if path.is_file()]
        return self.draw.choice(there) if there else self.cache / "manifest.json"

    def remove_a_shard(self) -> None:
        shutil.rmtree(self.shard(), ignore_errors=True)

    def remove_a_file(self) -> None:
        if (file := self.file()).name != "manifest.json":
            file.unlink()

    def remove_a_folder(self) -> None:
        shutil.rmtree(self.shard() / "contexts", ignore_errors=True)

    def lead_a_file_elsewhere(self) -> None:
        file = self.shard() / "words.arrow"
        if file.exists():
            file.rename(elsewhere := self.cache / f"elsewhere-{self.draw.random()}")
            file.symlink_to(elsewhere)

    def lead_a_file_within(self) -> None:
        file = self.shard() / "words.arrow"
        if file.is_file() and not file.is_symlink():
            file.rename(file.with_name("words-2.arrow"))
            file.symlink_to("words-2.arrow")

    def damage_a_marker(self) -> None:
        if (file := self.shard() / MARKER).is_file():
            flip_byte(file)

    def change_a_marker(self) -> None:
        if (file := self.shard() / MARKER).is_file():
            with suppress(X2StaticError):
                amend(file, n_words=self.draw.randint(0, 99))

    def another_encoding(self) -> None:
        if (file := self.shard() / MARKER).is_file() and self.draw.random() < 0.2:
            with suppress(X2StaticError):
                amend(file, encoding=encoding(window=128).fingerprint)

    def encode_again(self) -> None:
        number = self.draw.randrange(SHARDS)
        seed = self.draw.randrange(99)
        write_shard(self.cache / "shards", number, content(6, seed=seed), marker(number), replace=True)

    def swap(self) -> None:
        one, other = self.shard(), self.shard()
        if one != other:
            one.rename(aside := one.with_name("aside"))
            other.rename(one)
            aside.rename(other)

    def add_a_pool(self) -> None:
        shard, shards = self.shard(), self.cache / "shards"
        try:
            known = Marker.model_validate(read_sealed(shard / MARKER))
        except (X2StaticError, OSError, ValueError):
            return

        def write(folder: Path) -> None:
            create_array(folder, "pool", (4,), "float32", (4,))[:] = np.full(4, self.draw.random())

        (shard / "pool").mkdir(exist_ok=True)
        stage_shard(shards, int(shard.name), known, {"pool": write}, {"pool": "x" * 64}, None)
        commit_pools(shards, int(shard.name), ["pool"])

    def damage_the_index(self) -> None:
        if (self.cache / INDEX).exists():
            change(self.cache / INDEX, self.draw.choice([b"", 0.5, 0.9]))

    def flip_in_the_index(self) -> None:
        if (self.cache / INDEX).exists() and (self.cache / INDEX).stat().st_size:
            flip_byte(self.cache / INDEX)

    def remove_the_index(self) -> None:
        (self.cache / INDEX).unlink(missing_ok=True)

    def copy_the_cache(self) -> None:
        self.cache.rename(aside := self.cache.with_name("aside"))
        shutil.copytree(aside, self.cache, symlinks=True)
        shutil.rmtree(aside)

    def write_the_index(self) -> None:
        write_index(self.cache)


KINDS = [name for name in vars(Changes) if name not in ("shard", "file") and not name.startswith("_")]


@pytest.mark.parametrize("seed", range(5))
def test_whatever_changes_the_answer_is_the_one_without_an_index(tmp_path, seed):
    changes = Changes(make_cache(tmp_path / "cache", SHARDS), seed)
    write_index(changes.cache)
    for _ in range(12):
        getattr(changes, changes.draw.choice(KINDS))()
        assert_as_without(changes.cache)
        if changes.draw.random() < 0.5:
            write_index(changes.cache)
            assert_as_without(changes.cache)


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(100, 140))
def test_whatever_changes_in_more_ways_the_answer_is_the_one_without_an_index(tmp_path, seed):
    test_whatever_changes_the_answer_is_the_one_without_an_index(tmp_path, seed)


def test_a_seal_is_looked_at_in_the_text_as_in_the_record(tmp_path, monkeypatch):
    """Where the quick look does not say that a record is right, it is made again; both agree on every byte."""
    file = make_cache(tmp_path / "cache", 1) / "shards/000000" / MARKER
    data = file.read_bytes()
    assert storage._is_sealed(data)

    def outcome() -> object:
        try:
            return read_sealed(file)
        except X2StaticError as error:
            return str(error)

    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        file.write_bytes(changed)
        with monkeypatch.context() as patch:
            quick = outcome()
            patch.setattr(storage, "_is_sealed", lambda _: False)
            assert quick == outcome(), f"byte {place} was changed"
