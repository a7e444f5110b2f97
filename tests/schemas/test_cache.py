"""A cache knows what it is, what it misses and what of it is damaged."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.schemas.caches import RULES, content, encoding, make_cache, marker, plan, write_shard
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache, begin_cache, content_of, may_become_cache, missing_shards
from x2static.schemas.encoding import differences
from x2static.schemas.manifest import Manifest

MANIFEST = Manifest(
    format=1, teacher="t", revision=None, fingerprint=encoding().fingerprint, encoding=encoding(), versions={}
)


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}))


def flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("rows", [6, 0])
def test_a_whole_cache_opens_and_verifies(tmp_path, rows):
    cache = Cache.open(make_cache(tmp_path / "cache", shards=3, rows=rows))
    assert cache.manifest.encoding == encoding()
    assert cache.plans() == [plan(3)]
    assert cache.segmentation().rules == RULES.rules
    assert [shard.contexts().shape for shard in cache.shards()] == [(rows, 8)] * 3
    assert (cache.missing(), cache.verify()) == ([], [])


def test_a_cache_without_shards_opens_and_misses_them_all(tmp_path):
    path = make_cache(tmp_path / "cache", shards=0, plans=[plan(2)])
    (path / "shards").rmdir()
    assert (Cache.open(path).indices(), Cache.open(path).missing()) == ([], [0, 1])


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("manifest.json", None, r"no cache here \(manifest\.json is missing\)"),
        ("manifest.json", "{", r"manifest\.json: not valid JSON"),
        ("manifest.json", {"format": 2}, r"not what this version of x2static writes \(format\)"),
        ("manifest.json", {"surprise": 1}, r"\(surprise\)"),
        ("manifest.json", {"encoding": encoding().model_dump() | {"window": "wide"}}, r"\(encoding\.window\)"),
        ("manifest.json", {"encoding": encoding(window=128).model_dump()}, "fingerprint does not fit its encoding"),
        ("manifest.json", {"fingerprint": "0" * 64}, "fingerprint does not fit its encoding"),
        ("plans/0.json", {"unit": "ten"}, r"0\.json: not what this version of x2static writes \(unit\)"),
        ("plans/0.json", None, "the cache is damaged"),
    ],
)
def test_json_that_is_missing_or_of_another_form_is_refused(tmp_path, file, changes, message):
    path = make_cache(tmp_path / "cache") / file
    if isinstance(changes, dict):
        change_json(path, **changes)
    elif changes:
        path.write_text(changes)
    else:
        path.unlink()
    with pytest.raises(X2StaticError, match=message):
        Cache.open(tmp_path / "cache").plans()


def test_folders_of_other_names_are_no_shards(tmp_path):
    cache = Cache.open(make_cache(tmp_path / "cache", shards=1))
    for name in ("00001", "000001.old", "x000001", ".tmp-000001", "1000000"):
        (cache.shards_folder / name).mkdir()
    assert cache.indices() == [0, 1_000_000]


DAMAGE = {
    "a changed chunk": (
        lambda cache: flip_byte(cache / "shards/000001/contexts/c/0/0"),
        ["shard 000001: contexts/c/0/0 has changed"],
    ),
    "a missing chunk": (
        lambda cache: (cache / "shards/000001/contexts/c/0/0").unlink(),
        ["shard 000001: .*contexts/c/0/0 is missing; "],
    ),
    "a foreign file": (
        lambda cache: (cache / "shards/000000/notes.txt").write_text("mine"),
        ["shard 000000: notes.txt does not belong to it"],
    ),
    "a missing shard": (lambda cache: shutil.rmtree(cache / "shards/000001"), ["shard 000001: missing"]),
    "an invalid marker": (
        lambda cache: (cache / "shards/000001/shard.json").write_text("{"),
        ["shard 000001: .*not valid JSON"],
    ),
    "a foreign shard": (
        lambda cache: change_json(cache / "shards/000001/shard.json", encoding=encoding(window=128).fingerprint),
        ["shard 000001: .*another encoding"],
    ),
    "other rules": (
        lambda cache: (cache / "word_segmentation.json").write_text("x"),
        ["word_segmentation.json: not the rules"],
    ),
    "no rules": (lambda cache: (cache / "word_segmentation.json").unlink(), ["word_segmentation.json.* missing"]),
    "a leftover": (lambda cache: (cache / "shards/.tmp-000002").mkdir(), [r"\.tmp-000002: half-written"]),
    "several things at once": (
        lambda cache: (
            [flip_byte(cache / f"shards/000000/{name}.arrow") for name in ("words", "lexicon")]
            + [(cache / "shards/000001/shard.json").unlink()]
        ),
        ["shard 000000: lexicon.arrow", "shard 000000: words.arrow", "shard 000001: .*shard.json is missing"],
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_verify_names_all_damage_once(tmp_path, name):
    damage, lines = DAMAGE[name]
    cache = Cache.open(make_cache(tmp_path / "cache"))
    damage(cache.path)
    for problem, line in zip(cache.verify(), lines, strict=True):
        assert re.search(line, problem)


def test_a_damaged_shard_is_missing_and_one_of_another_encoding_is_refused(tmp_path):
    path = make_cache(tmp_path / "cache")
    (path / "shards/000001/words.arrow").unlink()
    cache = Cache.open(path)
    assert (cache.missing(), list(cache.committed()[1])) == ([1], [1])
    write_shard(path / "shards", 2, content(6), marker(2, fingerprint=encoding(window=128).fingerprint))
    with pytest.raises(X2StaticError, match="another encoding"):
        cache.committed()


@pytest.mark.parametrize(
    ("plans", "present", "expected"),
    [
        ([plan(3)], [0, 1, 2], []),
        ([plan(3)], [1], [0, 2]),
        ([plan(2), plan(2)], [0, 3], [1, 2]),
        ([plan(0), plan(1)], [], [0]),
    ],
)
def test_missing_shards_follow_the_plans(plans, present, expected):
    assert missing_shards(plans, present) == expected


def test_content_changes_with_the_shards_and_their_order(tmp_path):
    one, other = Cache.open(make_cache(tmp_path / "one", 2)), Cache.open(make_cache(tmp_path / "other", 3))
    assert content_of(one.shards()) == content_of(other.shards()[:2])
    assert content_of(one.shards()) != content_of(other.shards())
    assert content_of(one.shards()) != content_of(one.shards()[::-1])


def test_every_field_of_the_encoding_changes_the_fingerprint():
    first = encoding()
    others = {
        "context": "sentence",
        "compat": "paper",
        "language": "de",
        "precision": "bfloat16",
        "dtype": "int8",
        "compile": True,
    }
    for name, value in first.model_dump().items():
        changed = others.get(name, 7 if isinstance(value, int) else "other")
        second = encoding(**{name: changed})
        assert second.fingerprint != first.fingerprint, name
        assert differences(first, second) == [f"{name}: {value!r} != {changed!r}"]
    assert differences(first, encoding()) == []


def test_a_beginning_opens_as_a_cache_that_misses_every_shard(tmp_path):
    begin_cache(tmp_path, MANIFEST, RULES, {0: plan(2), 1: plan(1)})
    cache = Cache.open(tmp_path)
    assert (cache.manifest, cache.plans(), cache.missing()) == (MANIFEST, [plan(2), plan(1)], [0, 1, 2])
    assert cache.segmentation().rules == RULES.rules
    assert not may_become_cache(tmp_path)


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
    with pytest.raises(X2StaticError, match="this is a file"):
        may_become_cache(tmp_path / "notes")
