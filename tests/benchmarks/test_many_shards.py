"""A cache of many shards, as the benchmark makes and measures it, is a real one."""

from benchmarks.many_shards import make, measure
from x2static.schemas import index
from x2static.schemas.cache import Cache


def test_the_cache_of_the_benchmark_is_whole_and_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "FEWEST", 20)
    monkeypatch.setattr(index, "TICK_NS", 0)  # these are young
    make(tmp_path / "cache", 30)
    assert Cache.open(tmp_path / "cache").verify() == []
    assert measure(tmp_path / "cache")["shards"] == 30
