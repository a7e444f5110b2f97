"""Merged caches have the sums of all their units, once each."""

from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.caches.parts import flip, part_of, plan_of
from tests.schemas.caches import make_cache
from x2static.pipeline.caches.merge import merge
from x2static.pipeline.caches.sample import sample
from x2static.schemas.aggregated import Aggregated, WordSums
from x2static.schemas.cache import Cache
from x2static.schemas.manifest import UnitSample

WORDS = ("cat", "dog")


def give_sums(cache: Path, units: list[int], words: tuple[str, ...] = WORDS) -> None:
    """Add up as many occurrences for each unit as its number says, all of ones."""
    aggregated = Aggregated.create(cache, words, Cache.open(cache).manifest.fingerprint)
    for unit in units:
        ones = np.full((2, len(words), 3), unit + 1, np.float32)
        aggregated.fold(unit, WordSums(ones, np.zeros_like(ones), np.full(len(words), unit + 1)))


def held(cache: Path) -> tuple[set[int], int] | None:
    found = Aggregated.open(cache)
    if found is None:
        return None
    vectors, counts = found.means(1)
    assert (vectors == 1).all()
    return found.units(), int(counts[0])


def test_parts_and_other_corpora_keep_and_shift_their_units(tmp_path: Path) -> None:
    whole = make_cache(tmp_path / "whole", shards=5)
    parts = [part_of(whole, tmp_path / f"part-{number}", number) for number in range(3)]
    for number, part in enumerate(parts):
        give_sums(part, list(range(number, 5, 3)))
    other = make_cache(tmp_path / "other", shards=2, plans=[plan_of("other.txt", 2)])
    give_sums(other, [0, 1])
    merge(tmp_path / "out", [parts[0], parts[1], other])
    assert held(tmp_path / "out") == ({0, 1, 3, 4, 5, 6}, 1 + 2 + 4 + 5 + 1 + 2)
    merge(tmp_path / "out", [parts[0], parts[1], other])
    assert held(tmp_path / "out") == ({0, 1, 3, 4, 5, 6}, 15)
    merge(tmp_path / "parts", parts)
    assert held(tmp_path / "parts") == ({0, 1, 2, 3, 4}, 15)
    assert Cache.open(tmp_path / "parts").verify() == []
    flip(next((tmp_path / "parts" / "ase").glob("*.safetensors")))
    assert any("encode --ase" in line for line in Cache.open(tmp_path / "parts").verify())


@pytest.mark.parametrize(
    ("second_units", "second_words", "said"),
    [
        ([1, 2], ("cat", "bird"), "not all of the caches have them, of the same words"),
        ([0, 1], WORDS, "some units are in the sums of several caches"),
        (None, WORDS, "not all of the caches have them"),
    ],
)
def test_sums_that_do_not_go_together_are_left_out_and_told(
    second_units: list[int] | None,
    second_words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = make_cache(tmp_path / "whole", shards=3)
    first, second = part_of(whole, tmp_path / "a", 0), part_of(whole, tmp_path / "b", 1)
    give_sums(first, [0])
    if second_units is not None:
        give_sums(second, second_units, second_words)
    with caplog.at_level("WARNING", logger="x2static.pipeline.caches.aggregates"):
        merge(tmp_path / "out", [first, second])
    assert said in caplog.text
    assert held(tmp_path / "out") is None


def test_a_sample_has_no_sums_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = make_cache(tmp_path / "cache", shards=3)
    give_sums(cache, [0, 1, 2])
    sample(cache, tmp_path / "out", UnitSample(kind="first", n=2))
    assert "are not in the sample" in caplog.text
    assert held(tmp_path / "out") is None
