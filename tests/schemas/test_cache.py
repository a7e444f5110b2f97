"""A cache knows what it is, what it misses and what of it is damaged."""

import json
from pathlib import Path

import pytest

from tests.schemas.caches import RULES, content, encoding, make_cache, marker, plan, write_shard
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache, content_of, missing_shards
from x2static.schemas.encoding import differences
from x2static.schemas.manifest import Plan


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}))


def flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_whole_cache_opens_and_verifies(tmp_path):
    cache = Cache.open(make_cache(tmp_path / "cache", shards=3))
    assert cache.manifest.encoding == encoding()
    assert cache.plans() == [plan(3)]
    assert cache.indices() == [0, 1, 2]
    assert [shard.marker.n_contexts for shard in cache.shards()] == [6, 6, 6]
    assert cache.missing() == []
    assert cache.verify() == []
    assert cache.segmentation_file == tmp_path / "cache" / "word_segmentation.json"


def test_a_cache_of_empty_shards_verifies(tmp_path):
    cache = Cache.open(make_cache(tmp_path / "cache", rows=0))
    assert cache.verify() == []
    assert cache.shard(0).contexts().shape == (0, 8)


def test_a_cache_without_shards_opens_and_misses_them_all(tmp_path):
    path = make_cache(tmp_path / "cache", shards=0, plans=[plan(2)])
    (path / "shards").rmdir()
    cache = Cache.open(path)
    assert cache.indices() == []
    assert cache.missing() == [0, 1]


def test_a_folder_without_manifest_is_no_cache(tmp_path):
    with pytest.raises(X2StaticError, match=r"no cache here \(manifest\.json is missing\)"):
        Cache.open(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, r"not what this version of x2static writes \(format\)"),
        ({"surprise": 1}, r"\(surprise\)"),
        ({"encoding": encoding().model_dump() | {"window": "wide"}}, r"\(encoding\.window\)"),
        ({"encoding": encoding(window=128).model_dump()}, "its fingerprint does not fit its encoding"),
        ({"fingerprint": "0" * 64}, "its fingerprint does not fit its encoding"),
    ],
)
def test_a_manifest_with_a_changed_field_is_refused(tmp_path, changes, message):
    path = make_cache(tmp_path / "cache")
    change_json(path / "manifest.json", **changes)
    with pytest.raises(X2StaticError, match=message):
        Cache.open(path)


def test_a_manifest_that_is_no_json_is_refused(tmp_path):
    path = make_cache(tmp_path / "cache")
    (path / "manifest.json").write_text("{")
    with pytest.raises(X2StaticError, match=r"manifest\.json: not valid JSON"):
        Cache.open(path)


def test_a_plan_of_another_form_is_refused(tmp_path):
    cache = Cache.open(make_cache(tmp_path / "cache"))
    change_json(cache.path / "plans" / "0.json", unit="ten")
    with pytest.raises(X2StaticError, match=r"0\.json: not what this version of x2static writes \(unit\)"):
        cache.plans()


def test_folders_of_other_names_are_no_shards(tmp_path):
    cache = Cache.open(make_cache(tmp_path / "cache", shards=1))
    for name in ("00001", "000001.old", "x000001", ".tmp-000001"):
        (cache.shards_folder / name).mkdir()
    (cache.shards_folder / "1000000").mkdir()
    assert cache.indices() == [0, 1_000_000]


@pytest.mark.parametrize("name", ["contexts/c/0/0", "words.arrow", "lexicon.arrow", "contexts/zarr.json"])
def test_verify_names_a_changed_file(tmp_path, name):
    cache = Cache.open(make_cache(tmp_path / "cache", shards=3))
    flip_byte(cache.shards_folder / "000001" / name)
    assert cache.verify() == [f"shard 000001: {name} has changed since it was written"]


def test_verify_names_a_missing_chunk(tmp_path):
    cache = Cache.open(make_cache(tmp_path / "cache"))
    folder = cache.shards_folder / "000001"
    (folder / "contexts" / "c" / "0" / "0").unlink()
    (problem,) = cache.verify()
    assert problem.startswith(f"shard 000001: {folder}: contexts/c/0/0 is missing; ")
    assert cache.committed()[1].keys() == {1}


def test_verify_names_a_foreign_file(tmp_path):
    cache = Cache.open(make_cache(tmp_path / "cache"))
    (cache.shards_folder / "000000" / "notes.txt").write_text("mine")
    assert cache.verify() == ["shard 000000: notes.txt does not belong to it"]


def test_verify_names_a_missing_shard(tmp_path):
    cache = Cache.open(make_cache(tmp_path / "cache", shards=2, plans=[plan(3)]))
    assert cache.verify() == ["shard 000002: missing"]


def test_verify_names_an_invalid_marker_once(tmp_path):
    cache = Cache.open(make_cache(tmp_path / "cache"))
    (cache.shards_folder / "000001" / "shard.json").write_text("{")
    (problem,) = cache.verify()
    assert problem.startswith("shard 000001: ")
    assert "not valid JSON" in problem
    assert cache.missing() == [1]


def test_verify_names_a_shard_of_another_encoding(tmp_path):
    path = make_cache(tmp_path / "cache", shards=1, plans=[plan(2)])
    write_shard(path / "shards", 1, content(6), marker(1, fingerprint=encoding(window=128).fingerprint))
    (problem,) = Cache.open(path).verify()
    assert problem.startswith("shard 000001")
    assert "another encoding" in problem
    with pytest.raises(X2StaticError, match="another encoding"):
        Cache.open(path).committed()


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_verify_names_word_segmentation_rules_that_are_not_the_caches(tmp_path, damage):
    cache = Cache.open(make_cache(tmp_path / "cache"))
    assert cache.segmentation().rules == RULES.rules
    if damage == "changed":
        cache.segmentation_file.write_text("other rules")
    else:
        cache.segmentation_file.unlink()
    (problem,) = cache.verify()
    assert "word_segmentation.json" in problem


def test_verify_names_what_a_killed_writer_left(tmp_path):
    cache = Cache.open(make_cache(tmp_path / "cache"))
    (cache.shards_folder / ".tmp-000002").mkdir()
    assert cache.verify() == [".tmp-000002: half-written"]


def test_all_damage_is_named_at_once(tmp_path):
    cache = Cache.open(make_cache(tmp_path / "cache", shards=3, plans=[plan(4)]))
    flip_byte(cache.shards_folder / "000000" / "words.arrow")
    flip_byte(cache.shards_folder / "000000" / "lexicon.arrow")
    (cache.shards_folder / "000001" / "shard.json").unlink()
    assert sorted(problem[:12] for problem in cache.verify()) == [f"shard 00000{i}" for i in (0, 0, 1, 3)]


@pytest.mark.parametrize(
    ("plans", "present", "expected"),
    [
        ([plan(3)], [0, 1, 2], []),
        ([plan(3)], [1], [0, 2]),
        ([plan(2), plan(2)], [0, 3], [1, 2]),
        ([plan(0), plan(1)], [], [0]),
    ],
)
def test_missing_shards_follow_the_plans(plans: list[Plan], present, expected):
    assert missing_shards(plans, {index: marker(index) for index in present}) == expected


def test_content_changes_with_the_shards_and_their_order(tmp_path):
    one, other = Cache.open(make_cache(tmp_path / "one", 2)), Cache.open(make_cache(tmp_path / "other", 3))
    assert content_of(one.shards()) == content_of(other.shards()[:2])
    assert content_of(one.shards()) != content_of(other.shards())
    assert content_of(one.shards()) != content_of(one.shards()[::-1])


def test_every_field_of_the_encoding_changes_the_fingerprint():
    first = encoding()
    for name, value in first.model_dump().items():
        changed = {
            "context": "sentence",
            "compat": "paper",
            "language": "de",
            "precision": "bfloat16",
            "dtype": "int8",
            "compile": True,
        }.get(name, 7 if isinstance(value, int) else "other")
        second = encoding(**{name: changed})
        assert second.fingerprint != first.fingerprint, name
        assert differences(first, second) == [f"{name}: {value!r} != {changed!r}"]
    assert differences(first, encoding()) == []
