"""A cache knows what it is, what it misses and what of it is damaged."""

import re

import pytest

from tests.schemas.caches import MANIFEST, RULES, change, content, encoding, make_cache, marker, plan, write_shard
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache, begin_cache, content_of, may_become_cache, missing_shards
from x2static.schemas.encoding import differences


@pytest.mark.parametrize("rows", [6, 0])
def test_a_whole_cache_opens_and_verifies(tmp_path, rows):
    cache = Cache.open(make_cache(tmp_path / "cache", shards=3, rows=rows))
    assert (cache.manifest, cache.plans(), cache.segmentation().rules) == (MANIFEST, [plan(3)], RULES.rules)
    assert [shard.contexts().shape for shard in cache.shards()] == [(rows, 8)] * 3
    assert (cache.missing(), cache.verify()) == ([], [])


def test_a_cache_without_shards_opens_and_misses_them_all(tmp_path):
    path = make_cache(tmp_path / "cache", shards=0, plans=[plan(2)])
    change(path / "shards", None)
    assert (Cache.open(path).indices(), Cache.open(path).missing()) == ([], [0, 1])
    for name in ("00001", "000001.old", "x000001", ".tmp-000001", "1000000"):
        (path / "shards" / name).mkdir(parents=True)
    assert Cache.open(path).indices() == [1_000_000], "others are no shards"


@pytest.mark.parametrize(
    ("file", "to", "message"),
    [
        ("manifest.json", None, r"no cache here \(manifest\.json is missing\)"),
        ("manifest.json", b"{", r"manifest\.json: not valid JSON"),
        ("manifest.json", {"format": 2, "surprise": 1}, r"this version of x2static writes \(format, surprise\)"),
        ("manifest.json", {"encoding": encoding().model_dump() | {"window": "wide"}}, r"\(encoding\.window\)"),
        ("manifest.json", {"encoding": encoding(window=128).model_dump()}, "fingerprint does not fit its encoding"),
        ("plans/0.json", {"unit": "ten"}, r"0\.json: not what this version of x2static writes \(unit\)"),
        ("plans/0.json", None, "the cache is damaged"),
    ],
)
def test_json_that_is_missing_or_of_another_form_is_refused(tmp_path, file, to, message):
    change(make_cache(tmp_path / "cache") / file, to)
    with pytest.raises(X2StaticError, match=message):
        Cache.open(tmp_path / "cache").plans()


@pytest.mark.parametrize(
    ("path", "to", "line"),
    [
        ("shards/000001/contexts/c/0/0", b"?", "shard 000001: contexts/c/0/0 has changed"),
        ("shards/000001/contexts/c/0/0", None, "shard 000001: .*contexts/c/0/0 is missing; "),
        ("shards/000000/notes.txt", b"mine", "shard 000000: notes.txt does not belong to it"),
        ("shards/000001", None, "shard 000001: missing"),
        ("shards/000001/shard.json", b"{", "shard 000001: .*not valid JSON"),
        ("shards/000001/shard.json", {"encoding": "another"}, "shard 000001: .*another encoding"),
        ("word_segmentation.json", b"x", "word_segmentation.json: not the rules"),
        ("word_segmentation.json", None, "word_segmentation.json.* missing"),
        ("shards/.tmp-000002", b"", r"\.tmp-000002: half-written"),
    ],
)
def test_verify_names_damage_once(tmp_path, path, to, line):
    cache = Cache.open(make_cache(tmp_path / "cache"))
    change(cache.path / path, to)
    [problem] = cache.verify()
    assert re.search(line, problem)
    change(cache.shards_folder / "000000" / "words.arrow", b"")
    assert any("000000: words.arrow" in problem for problem in cache.verify())
    assert len(cache.verify()) == 2


def test_a_damaged_shard_is_missing_and_one_of_another_encoding_is_refused(tmp_path):
    path = make_cache(tmp_path / "cache")
    change(path / "shards/000001/words.arrow", None)
    cache = Cache.open(path)
    assert (cache.missing(), list(cache.committed()[1])) == ([1], [1])
    write_shard(path / "shards", 2, content(6), marker(2, fingerprint=encoding(window=128).fingerprint))
    with pytest.raises(X2StaticError, match="another encoding"):
        cache.committed()


def test_missing_shards_follow_the_plans():
    assert missing_shards([plan(2), plan(2)], [0, 3]) == [1, 2]
    assert missing_shards([plan(0), plan(1)], []) == [0]


def test_content_changes_with_the_shards_and_their_order(tmp_path):
    one, other = Cache.open(make_cache(tmp_path / "one", 2)), Cache.open(make_cache(tmp_path / "other", 3))
    assert content_of(one.shards()) == content_of(other.shards()[:2])
    assert content_of(one.shards()) != content_of(other.shards())
    assert content_of(one.shards()) != content_of(one.shards()[::-1])


def test_every_field_of_the_encoding_changes_the_fingerprint():
    first = encoding()
    others = {"context": "sentence", "compat": "paper", "language": "de", "dtype": "int8", "compile": True}
    others |= {"precision": "bfloat16", "backend": "openvino", "mark_language": True}
    others |= {"pooling": "max", "context_words": 3, "word_weights": {"the": 0.5}}
    named_by_others = {"text_rules"}  # `words` and `sentences` say what came of them
    for name, value in first.model_dump(exclude=named_by_others).items():
        changed = others.get(name, 7 if isinstance(value, int) else "other")
        second = encoding(**{name: changed})
        assert second.fingerprint != first.fingerprint, name
        said = f"{value[:12]}..." if re.fullmatch("[0-9a-f]{64}", str(value)) else value  # hashes by their beginning
        assert differences(first, second) == [f"{name}: {said!r} != {changed!r}"]
    assert differences(first, encoding()) == []


def test_what_a_killed_beginning_left_is_no_stranger_and_goes(tmp_path):
    begin_cache(tmp_path, MANIFEST, RULES, {0: plan(2), 1: plan(1)})
    assert Cache.open(tmp_path).missing() == [0, 1, 2]
    assert not may_become_cache(tmp_path)
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
