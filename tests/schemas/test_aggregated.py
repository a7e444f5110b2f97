"""Sums of contextual vectors on disk: nothing is lost by folding, no unit counts twice, damage is told."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from x2static.durable.errors import X2StaticError
from x2static.schemas.aggregated import FOLDER, Aggregated, WordSums

WORDS = ("cat", "dog", "river")


def some_sums(seed: int, scale: float = 1.0) -> WordSums:
    drawn = np.random.default_rng(seed)
    sums = (drawn.normal(size=(2, 3, 4)) * scale).astype(np.float32)
    rests = (drawn.uniform(-0.5, 0.5, size=sums.shape) * np.spacing(np.abs(sums))).astype(np.float32)
    return WordSums(sums, rests, drawn.integers(1, 100, 3))


@pytest.fixture
def aggregated(tmp_path: Path) -> Aggregated:
    return Aggregated.create(tmp_path, WORDS, "f" * 64)


def test_folding_keeps_what_float32_would_lose(aggregated: Aggregated) -> None:
    units = [some_sums(seed, scale=10.0 ** (seed % 6)) for seed in range(60)]
    for number in range(len(units)):
        aggregated.fold(number, some_sums(number, scale=10.0 ** (number % 6)))
    exact = sum((Fraction(float(u.sums[1, 2, 3])) + Fraction(float(u.rests[1, 2, 3])) for u in units), Fraction(0))
    read = aggregated.files()[0].read()
    kept = Fraction(float(read.sums[1, 2, 3])) + Fraction(float(read.rests[1, 2, 3]))
    spacing = float(np.spacing(np.abs(read.sums[1, 2, 3])))
    assert abs(float(kept - exact)) < 60 * spacing / 254, "each fold rounds the rest to the 254th of a spacing"
    naive = np.float32(0)
    for unit in units:
        naive = np.float32(naive + unit.sums[1, 2, 3])
    assert abs(float(Fraction(float(naive)) - exact)) > 5 * abs(float(kept - exact))
    np.testing.assert_array_equal(read.counts, np.sum([unit.counts for unit in units], axis=0))


def test_means_are_those_of_all_files_together(aggregated: Aggregated) -> None:
    first, second = some_sums(1), some_sums(2)
    aggregated.write([0, 2], first)
    aggregated.write([1], second)
    assert aggregated.units() == {0, 1, 2}
    assert [file.units for file in aggregated.files()] == [(0, 2), (1,)]
    vectors, counts = aggregated.means(1)
    exact = sum(part.sums[1].astype(np.float64) + part.rests[1] for part in (first, second))
    np.testing.assert_allclose(vectors, exact / (first.counts + second.counts)[:, None], rtol=1e-6)
    np.testing.assert_array_equal(counts, first.counts + second.counts)


def test_a_word_that_does_not_occur_has_zeros(aggregated: Aggregated) -> None:
    zeros = np.zeros((2, 3, 4), np.float32)
    aggregated.fold(5, WordSums(zeros, zeros, np.zeros(3, np.int64)))
    vectors, counts = aggregated.means(0)
    assert not vectors.any()
    assert not counts.any()


def test_words_that_do_not_occur_take_no_room_and_come_back_in_their_places(aggregated: Aggregated) -> None:
    found = some_sums(4)
    counts = np.array([5, 0, 2])
    aggregated.fold(0, WordSums(found.sums * (counts > 0)[:, None], found.rests * (counts > 0)[:, None], counts))
    with safe_open(aggregated.files()[0].path, framework="numpy") as file:
        assert file.get_slice("sums").get_shape() == [2, 2, 4]
    vectors, read = aggregated.means(0)
    assert read.tolist() == [5, 0, 2]
    np.testing.assert_allclose(vectors[[0, 2]], found.sums[0][[0, 2]] / counts[[0, 2], None], rtol=1e-6)
    assert not vectors[1].any()


def test_a_file_that_was_folded_into_another_is_left_out(aggregated: Aggregated) -> None:
    aggregated.fold(0, some_sums(0))
    old = aggregated.files()[0].path
    bytes_before = old.read_bytes()
    aggregated.fold(1, some_sums(1))
    assert not old.exists()
    old.write_bytes(bytes_before)  # as a writer leaves it that is killed before it removes it
    assert [file.units for file in aggregated.files()] == [(0, 1)]
    aggregated.sweep()
    assert not old.exists()
    aggregated.fold(2, some_sums(2))
    assert aggregated.units() == {0, 1, 2}
    np.testing.assert_array_equal(
        aggregated.means(0)[1], some_sums(0).counts + some_sums(1).counts + some_sums(2).counts
    )


def test_files_that_share_some_units_are_refused(aggregated: Aggregated) -> None:
    aggregated.write([0, 1], some_sums(0))
    aggregated.write([1, 2, 3], some_sums(1))
    with pytest.raises(X2StaticError, match=r"000000-000001-2\.safetensors: it shares some of its units with 000001-"):
        aggregated.units()


def test_a_half_written_file_does_not_count(aggregated: Aggregated) -> None:
    (aggregated.folder / ".tmp-000000-000000-1.safetensors-17").write_bytes(b"half")
    assert aggregated.units() == set()
    aggregated.sweep()
    assert [path.name for path in aggregated.folder.iterdir()] == ["words.json"]


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_damaged_file_is_refused_with_what_to_do(aggregated: Aggregated, keep: int) -> None:
    aggregated.fold(0, some_sums(0))
    path = aggregated.files()[0].path
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(X2StaticError, match=r"000000-000000-1\.safetensors: damaged .*encode --ase"):
        aggregated.means(0)


def test_changed_bytes_are_found(aggregated: Aggregated) -> None:
    aggregated.fold(0, some_sums(0))
    file = aggregated.files()[0]
    assert file.damage() is None
    data = bytearray(file.path.read_bytes())
    data[-3] ^= 1
    file.path.write_bytes(data)
    assert "has changed since it was written" in str(aggregated.files()[0].damage())


def test_a_damaged_list_of_words_is_refused(aggregated: Aggregated, tmp_path: Path) -> None:
    assert Aggregated.open(tmp_path / "elsewhere") is None
    assert Aggregated.open(tmp_path) == aggregated
    (tmp_path / FOLDER / "words.json").write_text(json.dumps(["cat"]))
    with pytest.raises(X2StaticError, match=r"words\.json: not a list of words"):
        Aggregated.open(tmp_path)
