"""A shard is written whole, is read by plain zarr and pyarrow, and tells when it is damaged."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.schemas.caches import ShardContent, content, marker, write_shard
from x2static.durable.errors import X2StaticError
from x2static.schemas import shard as module
from x2static.schemas.shard import CHUNK_ROWS, Shard, hash_files

PLAIN_READER = """
import json, sys
import pyarrow as pa
import zarr

assert "zarrs" not in sys.modules and "schemas" not in sys.modules
folder = sys.argv[1]
group = zarr.open_group(folder, mode="r")
rows = group["contexts"][:]
words = pa.ipc.open_file(pa.memory_map(folder + "/words.arrow")).read_all()
lexicon = pa.ipc.open_file(pa.memory_map(folder + "/lexicon.arrow")).read_all()
json.dump({
    "pipeline": zarr.config.get("codec_pipeline.path"),
    "format": group.metadata.zarr_format,
    "dtype": str(rows.dtype),
    "shape": list(rows.shape),
    "bytes": rows.tobytes().hex(),
    "words": words.to_pydict(),
    "word_types": [str(field.type) for field in words.schema],
    "lexicon": lexicon.to_pydict(),
    "lexicon_types": [str(field.type) for field in lexicon.schema],
}, sys.stdout)
"""


def read_plainly(folder: Path) -> dict:
    # Away from the checkout, so that nothing of x2static can be imported.
    command = [sys.executable, "-I", "-c", PLAIN_READER, str(folder)]
    return json.loads(subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True).stdout)


def write(tmp_path: Path, rows: int = 6) -> Shard:
    write_shard(tmp_path, 0, content(rows), marker(0))
    return Shard.open(tmp_path / "000000")


def lists(offsets: np.ndarray, values: np.ndarray) -> list[list[int]]:
    return [values[start:stop].tolist() for start, stop in itertools.pairwise(offsets)]


@pytest.mark.parametrize("rows", [0, 1, 6])
def test_plain_zarr_and_pyarrow_read_a_shard(tmp_path, rows):
    written = content(rows)
    read = read_plainly(write(tmp_path, rows).folder)
    assert "zarrs" not in read["pipeline"].lower()
    assert (read["format"], read["dtype"], read["shape"]) == (3, "float16", [rows, 8])
    assert read["bytes"] == written.contexts.tobytes().hex()
    assert read["words"]["paragraph"] == written.paragraphs.tolist()
    assert read["words"]["word_ids"] == lists(written.word_offsets, written.word_ids)
    assert read["word_types"] == ["int32", "list<item: int32>"]
    assert read["lexicon"] == {"word": written.lexicon, "count": written.counts.tolist()}
    assert read["lexicon_types"] == ["string", "int64"]


@pytest.mark.parametrize("rows", [0, 1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS + 5])
def test_what_is_written_is_read(tmp_path, rows):
    written = content(rows, dim=3)
    shard = _write_content(tmp_path, written)
    assert shard.contexts().dtype == np.float16
    assert np.array_equal(shard.contexts(), written.contexts)
    words = shard.words()
    assert words["paragraph"].to_pylist() == written.paragraphs.tolist()
    assert words["word_ids"].to_pylist() == lists(written.word_offsets, written.word_ids)
    assert words["word_ids"].num_chunks <= 1
    assert shard.lexicon()["word"].to_pylist() == written.lexicon
    assert shard.lexicon()["count"].to_pylist() == written.counts.tolist()
    assert shard.damage() == []


def _write_content(tmp_path: Path, written: ShardContent) -> Shard:
    write_shard(tmp_path, 0, written, marker(0))
    return Shard.open(tmp_path / "000000")


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (CHUNK_ROWS - 2, CHUNK_ROWS + 3), (CHUNK_ROWS, None), (5, 5)])
def test_a_slice_of_the_contexts_crosses_chunks(tmp_path, start, stop):
    written = content(CHUNK_ROWS + 10, dim=3)
    shard = _write_content(tmp_path, written)
    assert np.array_equal(shard.contexts(start, stop), written.contexts[start:stop])


def test_the_marker_counts_what_was_written_and_keeps_what_it_was_given(tmp_path):
    written = content(6)
    returned = write_shard(tmp_path, 0, written, marker(0, last=True))
    read = Shard.open(tmp_path / "000000").marker
    assert read == returned
    assert (read.n_contexts, read.n_words, read.n_paragraphs, read.n_tokens) == (6, len(written.word_ids), 2, 42)
    assert (read.last, read.unit) == (True, marker(0).unit)
    assert {"words.arrow", "lexicon.arrow", "zarr.json", "contexts/zarr.json"} < read.files.keys()


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_shard(tmp_path / name, 0, content(50), marker(0))
    one, other = tmp_path / "one" / "000000", tmp_path / "other" / "000000"
    assert hash_files(one) == hash_files(other)
    assert (one / "shard.json").read_bytes() == (other / "shard.json").read_bytes()


def test_a_chunk_of_zeros_is_written_like_any_other(tmp_path):
    zeros = content(6)
    zeros.contexts[:] = 0
    shard = _write_content(tmp_path, zeros)
    assert "contexts/c/0/0" in shard.marker.files


@pytest.mark.parametrize("step", ["write_table", "hash_files", "commit_folder"])
def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch, step):
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(module, step, fail)
    with pytest.raises(OSError, match="disk full"):
        write_shard(tmp_path, 0, content(6), marker(0))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_not_mixed_in(tmp_path):
    (tmp_path / ".tmp-000000").mkdir()
    (tmp_path / ".tmp-000000" / "foreign").write_bytes(b"half")
    shard = write(tmp_path)
    assert "foreign" not in shard.marker.files
    assert [path.name for path in tmp_path.iterdir()] == ["000000"]


def test_a_committed_shard_is_never_replaced(tmp_path):
    before = write(tmp_path).marker
    with pytest.raises(OSError, match="000000"):
        write_shard(tmp_path, 0, content(9), marker(0))
    assert Shard.open(tmp_path / "000000").marker == before
    assert [path.name for path in tmp_path.iterdir()] == ["000000"]


def test_a_folder_without_marker_is_no_shard(tmp_path):
    (write(tmp_path).folder / "shard.json").unlink()
    with pytest.raises(X2StaticError, match=r"000000: its marker shard\.json is missing; .*x2static cache repair DIR"):
        Shard.open(tmp_path / "000000")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_words": None}, r"not a valid marker \(n_words\)"),
        ({"n_contexts": "many"}, r"not a valid marker \(n_contexts\)"),
        ({"surprise": 1}, r"written by a newer x2static \(surprise\)"),
    ],
)
def test_a_marker_of_another_form_is_refused_by_field(tmp_path, change, message):
    path = write(tmp_path).folder / "shard.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}))
    with pytest.raises(X2StaticError, match=message):
        Shard.open(tmp_path / "000000")


def test_a_marker_that_is_no_json_is_refused(tmp_path):
    path = write(tmp_path).folder / "shard.json"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(X2StaticError, match=r"shard\.json: not valid JSON"):
        Shard.open(tmp_path / "000000")


@pytest.mark.parametrize("name", ["contexts/c/0/0", "contexts/zarr.json", "zarr.json", "words.arrow", "lexicon.arrow"])
def test_a_missing_file_is_named(tmp_path, name):
    shard = write(tmp_path)
    (shard.folder / name).unlink()
    assert shard.damage() == [f"{name} is missing"]
    with pytest.raises(X2StaticError, match=f"{name} is missing; the shard is damaged"):
        Shard.open(shard.folder)


@pytest.mark.parametrize("name", ["contexts/c/0/0", "contexts/zarr.json", "zarr.json", "words.arrow", "lexicon.arrow"])
def test_a_changed_byte_is_found(tmp_path, name):
    shard = write(tmp_path)
    data = bytearray((shard.folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (shard.folder / name).write_bytes(data)
    assert shard.damage() == [f"{name} has changed since it was written"]


def test_a_foreign_file_is_found(tmp_path):
    shard = write(tmp_path)
    (shard.folder / "contexts" / "c" / "9").mkdir()
    (shard.folder / "contexts" / "c" / "9" / "0").write_bytes(b"?")
    assert shard.damage() == []
    assert shard.strangers() == ["contexts/c/9/0 does not belong to it"]


@pytest.mark.parametrize("name", ["words", "lexicon"])
def test_a_table_that_is_no_arrow_is_refused(tmp_path, name):
    shard = write(tmp_path)
    (shard.folder / f"{name}.arrow").write_bytes(b"x" * 500)
    with pytest.raises(X2StaticError, match=rf"{name}\.arrow: not a valid Arrow file"):
        getattr(shard, name)()


PLAIN_INT8_READER = """
import json, sys
import zarr

group = zarr.open_group(sys.argv[1], mode="r")
codes, scales = group["contexts"][:], group["scales"][:]
json.dump({"dtypes": [str(codes.dtype), str(scales.dtype)], "rows": (codes * scales[:, None]).tolist()}, sys.stdout)
"""


def write_int8(tmp_path: Path, written: ShardContent) -> Shard:
    write_shard(tmp_path, 0, written, marker(0), "int8")
    return Shard.open(tmp_path / "000000")


@pytest.mark.parametrize("rows", [0, 1, 6])
def test_plain_zarr_reads_an_int8_shard(tmp_path, rows):
    written = content(rows)
    folder = write_int8(tmp_path, written).folder
    command = [sys.executable, "-I", "-c", PLAIN_INT8_READER, str(folder)]
    read = json.loads(subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True).stdout)
    assert read["dtypes"] == ["int8", "float32"]
    scales = np.abs(written.contexts.astype(float)).max(axis=1) / 127
    assert (np.abs(np.array(read["rows"]).reshape(rows, 8) - written.contexts) <= scales[:, None] * 0.50001).all()


@pytest.mark.parametrize("rows", [0, 1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS + 5])
def test_what_is_written_as_int8_is_read_as_float16(tmp_path, rows):
    written = content(rows, dim=3)
    shard = write_int8(tmp_path, written)
    read = shard.contexts()
    assert (read.dtype, read.shape) == (np.float16, (rows, 3))
    bound = np.abs(written.contexts.astype(float)).max(axis=1) / 127 * 0.50001
    error = np.abs(read.astype(float) - written.contexts)
    assert (error <= bound[:, None] + np.abs(read) * 2.0**-11).all()
    assert shard.damage() == shard.strangers() == []


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (CHUNK_ROWS - 2, CHUNK_ROWS + 3), (CHUNK_ROWS, None), (5, 5)])
def test_a_slice_of_an_int8_shard_has_the_scales_of_its_rows(tmp_path, start, stop):
    written = content(CHUNK_ROWS + 10, dim=3)
    written.contexts[:] *= np.arange(1, CHUNK_ROWS + 11)[:, None] % 7 + 1  # a scale of its own for each row
    shard = write_int8(tmp_path, written)
    assert np.array_equal(shard.contexts(start, stop), shard.contexts()[start:stop])


def test_int8_halves_the_contexts(tmp_path):
    def size(dtype: str) -> int:
        folder = tmp_path / dtype
        folder.mkdir()
        write_shard(folder, 0, content(600, dim=64), marker(0), dtype)
        return sum(path.stat().st_size for path in folder.glob("000000/*/c/**/*") if path.is_file())

    assert (size("float16"), size("int8")) == (600 * 64 * 2, 600 * (64 + 4))


@pytest.mark.parametrize("value", [0.0, -1.0, 1.0])
def test_int8_chunks_are_written_whatever_they_hold(tmp_path, value):
    same = content(CHUNK_ROWS + 1, dim=3)
    same.contexts[:] = value
    shard = write_int8(tmp_path, same)
    chunks = {f"contexts/c/{number}/0" for number in (0, 1)} | {f"scales/c/{number}" for number in (0, 1)}
    assert chunks <= shard.marker.files.keys()
    assert (shard.contexts() == np.float16(value)).all()


@pytest.mark.parametrize("name", ["contexts/c/0/0", "scales/c/0", "scales/zarr.json"])
def test_a_missing_file_of_an_int8_shard_is_refused(tmp_path, name):
    shard = write_int8(tmp_path, content(6))
    (shard.folder / name).unlink()
    with pytest.raises(X2StaticError, match=f"{name} is missing"):
        Shard.open(shard.folder)


@pytest.mark.parametrize("name", ["contexts/c/1/0", "scales/c/1"])
def test_a_chunk_of_an_int8_shard_that_is_lost_while_it_is_open_does_not_read_as_zeros(tmp_path, name):
    shard = write_int8(tmp_path, content(CHUNK_ROWS + 3, dim=3))
    (shard.folder / name).unlink()
    read = shard.contexts()
    assert np.isfinite(read[:CHUNK_ROWS]).all()
    assert np.isnan(read[CHUNK_ROWS:]).all()


def test_the_same_content_gives_the_same_int8_bytes(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_shard(tmp_path / name, 0, content(50), marker(0), "int8")
    assert hash_files(tmp_path / "one" / "000000") == hash_files(tmp_path / "other" / "000000")


def test_float32_contexts_are_stored_as_the_float16_that_they_round_to(tmp_path):
    given = content(6)
    wide = ShardContent(**{**vars(given), "contexts": given.contexts.astype(np.float32) * np.float32(1.0001)})
    shard = _write_content(tmp_path, wide)
    assert np.array_equal(shard.contexts(), wide.contexts.astype(np.float16))


def test_a_damaged_shard_is_replaced_when_it_is_asked_for(tmp_path):
    (write(tmp_path).folder / "words.arrow").unlink()
    (tmp_path / "000000" / "foreign").write_text("")
    write_shard(tmp_path, 0, content(9), marker(0), replace=True)
    assert Shard.open(tmp_path / "000000").marker.n_contexts == 9
    assert [path.name for path in tmp_path.iterdir()] == ["000000"]
    assert not (tmp_path / "000000" / "foreign").exists()


def test_a_damaged_shard_stays_when_its_successor_fails(tmp_path, monkeypatch):
    (write(tmp_path).folder / "words.arrow").unlink()
    before = hash_files(tmp_path / "000000")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(module, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write_shard(tmp_path, 0, content(9), marker(0), replace=True)
    assert hash_files(tmp_path / "000000") == before
    assert [path.name for path in tmp_path.iterdir()] == ["000000"]
