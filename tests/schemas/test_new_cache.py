"""How a cache begins."""

import pytest

from tests.schemas.caches import RULES, encoding, plan
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache, begin_cache, may_become_cache
from x2static.schemas.manifest import Manifest

MANIFEST = Manifest(
    format=1, teacher="t", revision=None, fingerprint=encoding().fingerprint, encoding=encoding(), versions={}
)


def test_a_beginning_opens_as_a_cache_that_misses_every_shard(tmp_path):
    begin_cache(tmp_path, MANIFEST, RULES, {0: plan(2), 1: plan(1)})
    cache = Cache.open(tmp_path)
    assert (cache.manifest, cache.plans(), cache.missing()) == (MANIFEST, [plan(2), plan(1)], [0, 1, 2])
    assert cache.segmentation().rules == RULES.rules


def test_what_a_killed_beginning_left_is_no_stranger_and_goes(tmp_path):
    begin_cache(tmp_path, MANIFEST, RULES, {0: plan(2), 1: plan(1)})
    (tmp_path / "manifest.json").unlink()
    (tmp_path / ".lock").touch()
    for leftover in (".tmp-manifest.json-7", "plans/.tmp-2.json-7", "zarr.0123abc.partial"):
        (tmp_path / leftover).write_text("half")
    assert may_become_cache(tmp_path)
    begin_cache(tmp_path, MANIFEST, RULES, {0: plan(3)})
    assert Cache.open(tmp_path).plans() == [plan(3)]
    assert not list(tmp_path.rglob("*7"))
    assert (tmp_path / ".lock").exists()


def test_shards_and_other_things_are_strangers(tmp_path):
    for name in ("shards/000000", "plans"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "plans" / "2027.txt").touch()
    (tmp_path / "notes").touch()
    with pytest.raises(X2StaticError, match=r"other things \(notes, plans/2027.txt, shards/000000\)"):
        may_become_cache(tmp_path)
