"""A shard is written whole, is read by plain zarr and pyarrow, and tells when it is damaged."""

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.schemas.caches import ShardContent, change, content, flip_byte, marker, write_shard
from x2static.durable.errors import DamagedShard, X2StaticError
from x2static.schemas import shard as module
from x2static.schemas.shard import CHUNK_ROWS, WORDS_SCHEMA, Shard, dequantise, hash_files, quantise, read_table

PLAIN_READER = """
import json, sys
import pyarrow as pa
import zarr

assert "zarrs" not in sys.modules and "schemas" not in sys.modules
folder = sys.argv[1]
group = zarr.open_group(folder, mode="r")
tables = [pa.ipc.open_file(pa.memory_map(folder + name)).read_all() for name in ("/words.arrow", "/lexicon.arrow")]
arrays = {name: [str(array.dtype), array[:].tolist()] for name, array in group.arrays()}
types = [str(field.type) for table in tables for field in table.schema]
assert "zarrs" not in zarr.config.get("codec_pipeline.path").lower() and group.metadata.zarr_format == 3
json.dump([arrays, types, *(table.to_pydict() for table in tables)], sys.stdout)
"""


def write(tmp_path: Path, written: ShardContent | None = None, dtype: str = "float16") -> Shard:
    write_shard(tmp_path, 0, written or content(6), marker(0), dtype)
    return Shard.open(tmp_path / "000000")


def lists(offsets: np.ndarray, values: np.ndarray) -> list[list[int]]:
    return [values[start:stop].tolist() for start, stop in itertools.pairwise(offsets)]


def assert_within_half_a_scale(read: np.ndarray, written: np.ndarray) -> None:
    """Half a scale, computed in float64, the rounding of the result to float16, and float16's smallest step."""
    exact = written.astype(np.float64)
    half = np.abs(exact).max(axis=1, initial=0)[:, None] / 127 / 2
    assert read.dtype == np.float16
    assert np.isfinite(read).all()
    assert (np.abs(read - exact) <= half * (1 + 1e-5) + np.abs(exact) * 2.0**-11 * 1.01 + 2.0**-25).all()


@pytest.mark.parametrize(("rows", "dtype"), [(0, "float16"), (6, "float16"), (6, "int8")])
def test_plain_zarr_and_pyarrow_read_a_shard(tmp_path, rows, dtype):
    written = content(rows)
    folder = write(tmp_path, written, dtype).folder
    # Away from the checkout, so that nothing of x2static can be imported.
    command = [sys.executable, "-I", "-c", PLAIN_READER, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True)
    arrays, types, words, lexicon = json.loads(done.stdout)
    rows_read = np.array(arrays["contexts"][1]).reshape(rows, 8)
    if dtype == "int8":
        assert (arrays["contexts"][0], arrays["scales"][0], len(arrays)) == ("int8", "float32", 2)
        rows_read = rows_read * np.array(arrays["scales"][1])[:, None]
        assert_within_half_a_scale(rows_read.astype(np.float16), written.contexts)
    else:
        assert arrays == {"contexts": ["float16", written.contexts.tolist()]}
    ids = lists(written.word_offsets, written.word_ids)
    assert words == {"paragraph": written.paragraphs.tolist(), "word_ids": ids}
    assert lexicon == {"word": written.lexicon, "count": written.counts.tolist()}
    assert types == ["int32", "list<item: int32>", "string", "int64"]


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("rows", [0, 1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS + 5])
def test_what_is_written_is_read_whole_and_in_slices(tmp_path, rows, dtype):
    written = content(rows, dim=3)
    written.contexts[:] *= np.arange(1, rows + 1)[:, None] % 7 + 1  # a scale of its own for each row
    shard = write(tmp_path, written, dtype)
    read = shard.contexts()
    assert (read.dtype, read.shape) == (np.float16, (rows, 3))
    if dtype == "int8":
        assert_within_half_a_scale(read, written.contexts)
    else:
        assert np.array_equal(read, written.contexts)
    for start, stop in [(0, 1), (CHUNK_ROWS - 2, CHUNK_ROWS + 3), (CHUNK_ROWS, None), (5, 5)]:
        assert np.array_equal(shard.contexts(start, stop), read[start:stop])
    words = shard.words()
    assert words["paragraph"].to_pylist() == written.paragraphs.tolist()
    assert words["word_ids"].to_pylist() == lists(written.word_offsets, written.word_ids)
    assert words["word_ids"].num_chunks <= 1
    assert shard.lexicon().to_pydict() == {"word": written.lexicon, "count": written.counts.tolist()}
    assert shard.damage() == shard.strangers() == []


def test_the_marker_counts_what_was_written_and_keeps_its_unit(tmp_path):
    written = content(6)
    written = replace(written, contexts=written.contexts.astype(np.float32) * np.float32(1.0001))
    returned = write_shard(tmp_path, 0, written, marker(0, last=True))
    shard = Shard.open(tmp_path / "000000")
    read = shard.marker
    assert np.array_equal(shard.contexts(), written.contexts.astype(np.float16)), "rounded"
    assert read == returned
    assert (read.n_contexts, read.n_words, read.n_paragraphs, read.n_tokens) == (6, len(written.word_ids), 2, 42)
    assert (read.last, read.unit) == (True, marker(0).unit)
    assert {"words.arrow", "lexicon.arrow", "zarr.json", "contexts/zarr.json"} < read.files.keys()


@pytest.mark.parametrize(("dtype", "value"), [("float16", 0), ("int8", 0), ("int8", -1), ("int8", 1)])
def test_chunks_are_written_whatever_they_hold(tmp_path, dtype, value):
    same = content(CHUNK_ROWS + 1, dim=3)
    same.contexts[:] = value
    shard = write(tmp_path, same, dtype)
    assert {"contexts/c/0/0", "contexts/c/1/0"} <= shard.marker.files.keys()
    assert dtype == "float16" or {"scales/c/0", "scales/c/1"} <= shard.marker.files.keys()
    assert (shard.contexts() == value).all()


@pytest.mark.parametrize("name", ["contexts/c/1/0", "scales/c/1"])
def test_a_chunk_that_is_lost_while_the_shard_is_open_does_not_read_as_zeros(tmp_path, name):
    shard = write(tmp_path, content(CHUNK_ROWS + 3, dim=3), "int8")
    shard.contexts()  # its files are hashed
    (shard.folder / name).unlink()
    read = shard.contexts()
    assert np.isfinite(read[:CHUNK_ROWS]).all()
    assert np.isnan(read[CHUNK_ROWS:]).all()


@pytest.mark.parametrize("step", ["write_table", "hash_files", "sync_all"])
def test_a_write_that_fails_leaves_nothing_and_the_shard_that_was_there(tmp_path, monkeypatch, step):
    write(tmp_path)
    before = hash_files(tmp_path / "000000")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(module, step, fail)
        with pytest.raises(OSError, match="disk full"):
            write_shard(tmp_path, 0, content(9), marker(0), replace=True)
    assert hash_files(tmp_path / "000000") == before
    assert [path.name for path in tmp_path.iterdir()] == ["000000"]


def test_a_shard_is_replaced_only_when_it_is_asked_for_and_nothing_foreign_is_mixed_in(tmp_path):
    before = write(tmp_path).marker
    with pytest.raises(OSError, match="000000"):
        write_shard(tmp_path, 0, content(9), marker(0))
    assert Shard.open(tmp_path / "000000").marker == before
    for name in ("000000", ".tmp-000000"):  # the latter is what a killed writer left
        (tmp_path / name / "foreign").write_text("")
    write_shard(tmp_path, 0, content(9), marker(0), replace=True)
    shard = Shard.open(tmp_path / "000000")
    assert (shard.marker.n_contexts, shard.strangers()) == (9, [])
    assert [path.name for path in tmp_path.iterdir()] == ["000000"]


@pytest.mark.parametrize(
    ("to", "message"),
    [
        (None, r"000000: its marker shard\.json is missing; .*x2static cache repair DIR"),
        (b"{", r"shard\.json: not valid JSON"),
        ({"n_words": None}, r"not a valid marker \(n_words\)"),
        ({"n_contexts": "many"}, r"not a valid marker \(n_contexts\)"),
        ({"surprise": 1}, r"written by a newer x2static \(surprise\)"),
    ],
)
def test_a_marker_that_is_missing_or_of_another_form_is_refused(tmp_path, to, message):
    change(write(tmp_path).folder / "shard.json", to)
    with pytest.raises(X2StaticError, match=message):
        Shard.open(tmp_path / "000000")


@pytest.mark.parametrize("name", ["contexts/c/0/0", "scales/c/0", "contexts/zarr.json", "zarr.json", "words.arrow"])
def test_files_that_are_changed_missing_or_foreign_are_named(tmp_path, name):
    shard = write(tmp_path, dtype="int8")
    (shard.folder / "contexts/c/9").mkdir()
    (shard.folder / "contexts/c/9/0").write_bytes(b"?")
    assert (shard.damage(), shard.strangers()) == ([], ["contexts/c/9/0 does not belong to it"])
    flip_byte(shard.folder / name)
    assert shard.damage() == [f"{name} has changed since it was written"]
    (shard.folder / name).unlink()
    assert shard.damage() == [f"{name} is missing"]
    with pytest.raises(X2StaticError, match=f"{name} is missing; the shard is damaged"):
        Shard.open(shard.folder)


def test_a_table_that_is_no_arrow_is_refused(tmp_path):
    shard = write(tmp_path)
    (shard.folder / "words.arrow").write_bytes(b"x" * 500)
    with pytest.raises(X2StaticError, match=r"words\.arrow: not a valid Arrow file"):
        read_table(shard.folder / "words.arrow", WORDS_SCHEMA)
    with pytest.raises(DamagedShard, match=r"000000: words\.arrow has changed since it was written"):
        shard.words()
    with pytest.raises(DamagedShard, match=r"lexicon\.arrow: other columns than paragraph, word_ids"):
        read_table(shard.folder / "lexicon.arrow", WORDS_SCHEMA)


HOSTILE = {
    "zeros": [0.0] * 8,
    "one huge value": [65504.0, 1.0, -1.0, 0.25, 0.0, 3.0, 257.0, 258.0],
    "subnormal in float16": [6e-8, -6e-8, 1.2e-7, 0.0, 6e-8, 3e-7, -3e-7, 1e-6],
    "subnormal in float32": [1e-45, -3e-44, 2e-43, 0.0, 1e-40, 1e-42, -1e-41, 1e-44],
    "tiny beside ordinary": [1e-30, 1.0, -1e-30, 0.5, 1e-9, -1.0, 0.0, 2e-3],
    "negative zero": [-0.0, 0.0, -0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
}


@pytest.mark.parametrize("name", [*HOSTILE, "many of all sizes"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_codes_and_scales_are_within_half_a_scale(name, dtype):
    draw = np.random.default_rng(0)
    many = draw.normal(size=(500, 33)) * 10.0 ** draw.uniform(-6, 4, (500, 1))
    rows = np.clip(many if name not in HOSTILE else [HOSTILE[name]], -65504, 65504).astype(dtype)
    codes, scales = quantise(rows)
    assert (codes.dtype, scales.dtype) == (np.int8, np.float32)
    assert codes.min() >= -127
    expected = np.abs(rows.astype(np.float64)).max(axis=1) / 127
    np.testing.assert_allclose(scales, expected, rtol=1e-6, atol=2.0**-149)  # the smallest step of a float32
    assert_within_half_a_scale(dequantise(codes, scales), rows)


@pytest.mark.parametrize(
    ("rows", "codes", "scales"),
    [
        ([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5]], [[127, 0, 2, 2, 0, -2, -2]], [1]),  # halves to even
        ([[-3.0, 1.0], [3.0, -1.0]], [[-127, 42], [127, -42]], [np.float32(3) / np.float32(127)] * 2),
        (np.zeros((0, 4)), np.zeros((0, 4)), np.zeros(0)),
        (np.zeros((3, 0)), np.zeros((3, 0)), np.zeros(3)),
    ],
)
def test_codes_are_what_they_are_defined_to_be(rows, codes, scales):
    ours = quantise(np.array(rows, np.float32))
    assert np.array_equal(ours[0], codes)
    assert np.array_equal(ours[1], scales)
