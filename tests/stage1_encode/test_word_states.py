"""Word states: every word's own states, averaged over the occurrences of a unit, in the units that keep it."""

import shutil

import numpy as np
import pytest
import torch
import xxhash

from tests.reference import sentence_bounds
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, repaired, write_lines
from tests.stage1_encode.test_word_sums import slowly
from x2static.durable.errors import X2StaticError
from x2static.pipeline import cli
from x2static.pipeline.caches import sample
from x2static.pipeline.commands.encode import read_words_alone
from x2static.schemas.cache import Cache
from x2static.schemas.manifest import UnitSample
from x2static.schemas.phrases import open_blocks
from x2static.schemas.shard import open_array, read_table
from x2static.schemas.word_states import NAME, STEP, WORDS_SCHEMA, pool_of, row_bytes, word_means, write_word_states
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.phrases import counted_words
from x2static.stage1_encode.plan.estimate import estimate
from x2static.stage1_encode.plan.origin import Origin
from x2static.stage1_encode.pools import word_states
from x2static.stage1_encode.pools.pool import Shape
from x2static.stage1_encode.pools.word_states import ENOUGH, LayerStates, WordStates, further_layers, kept
from x2static.stage1_encode.repair import repair
from x2static.stage1_encode.text.default import DefaultPreparer
from x2static.stage1_encode.text.windows import PreparedText

POOLS = [WordStates(), LayerStates(0)]
LOST = "word_states/words.arrow word_states/codes/c/0/0 word_states_0/scales/c/0 words.arrow contexts/c/0/0 shard.json"


def words_of(cache: Cache) -> list[str]:
    return sorted({word for shard in cache.shards() for word in shard.lexicon()["word"].to_pylist()})


@pytest.mark.parametrize(("family", "context"), [("bert", "paragraph"), ("roberta", "sentence"), ("gpt2", "paragraph")])
def test_means_are_those_of_an_unbatched_computation_of_every_word(family, context, readers, tmp_path, monkeypatch):
    monkeypatch.setattr(word_states, "ENOUGH", 10**9)  # every unit keeps every word
    reader, texts = readers(family), paragraphs(24)
    corpus = write_lines(tmp_path / "t.txt", texts)
    config = config_of(reader.teacher.folder, corpus, tmp_path / "cache", unit=7, context=context)
    encode(config, pools=[WordStates(), *further_layers(config, [0, "last", -2])])
    cache = Cache.open(tmp_path / "cache")
    read = texts if context == "paragraph" else [t[a:b].strip() for t in texts for a, b in sentence_bounds(t)]
    words = words_of(cache)
    expected = slowly(reader, read, words)
    for layer, pool in enumerate((pool_of(0), pool_of(1), NAME)):
        means, counts = word_means(cache.shards(), [*words, "unheard"], pool)
        assert counts.tolist() == [*(len(expected[word]) for word in words), 0]
        assert not means[-1].any()
        for word, mean in zip(words, means, strict=False):
            right = np.mean([layers[layer] for layers in expected[word]], axis=0)
            assert np.abs(mean - right).max() < 0.5 * STEP * np.abs(right).mean() + 0.2 * STEP


def test_a_cache_of_another_layer_has_the_last_as_a_further_one_and_the_same_words_in_each(
    readers, tmp_path, monkeypatch
):
    monkeypatch.setattr(word_states, "ENOUGH", 1)
    corpus = write_lines(tmp_path / "t.txt", paragraphs(40))
    of_layer = {}
    for layer in ("last", 1):
        config = config_of(readers("bert").teacher.folder, corpus, tmp_path / str(layer), unit=7, layer=layer)
        encode(config, pools=[WordStates(), *further_layers(config, [1, 2, "last"])])
        shards = Cache.open(config.cache).shards()
        names = NAME, pool_of("last" if layer == 1 else 1)
        assert all(tuple(shard.marker.pools) == names for shard in shards)
        of_layer[layer] = [files_of(shard.folder / name) for shard in shards for name in names]
    assert of_layer["last"][0::2] == of_layer[1][1::2]
    assert of_layer["last"][1::2] == of_layer[1][0::2]
    assert all(files["words.arrow"] == of_layer[1][n // 2 * 2]["words.arrow"] for n, files in enumerate(of_layer[1]))


def test_layers_are_asked_for_by_names_that_the_teacher_has(readers, tmp_path, capsys):
    corpus, teacher = write_lines(tmp_path / "t.txt", paragraphs(3)), readers("bert").teacher.folder
    config = config_of(teacher, corpus, tmp_path / "cache")
    assert [pool.name for pool in further_layers(config, [0, -3, 2, -1])] == [pool_of(0)]
    with pytest.raises(
        X2StaticError, match=r"--state-layers 3: this teacher has layers 0 \(its embeddings\) to 2 \(the"
    ):
        further_layers(config, [3])
    with pytest.raises(
        X2StaticError, match=r"--state-layers 1: the model has states of 1 layers, config.json names more"
    ):
        LayerStates(1).begin(Shape(2, 4, torch.device("cpu")), 0)
    options = ["encode", "--model", str(teacher), "--corpus", str(corpus), "--cache", str(tmp_path / "cache")]
    for wrong, said in (
        (["--state-layers", "0,first"], "--state-layers 0,first: layers are last, or numbers"),
        (["--state-layers", "0", "--no-word-states"], "--state-layers adds to the word states that --no-word-states"),
    ):
        assert cli.run([*options, *wrong]) == 2
        assert said in capsys.readouterr().err


def test_a_code_is_off_by_half_a_step_at_most_and_large_values_of_all_rows_do_not_count(tmp_path):
    rows, counts = np.array([3, 5, 6, 9]), np.array([1, 2, 3, 70_000])
    means = np.random.default_rng(0).normal(size=(4, 50)).astype(np.float32)
    means[3, 7] = 300.0  # of one row: then codes reach it
    means[:, 4] += 1e4  # as some teachers have it
    write_word_states(tmp_path, rows, counts, means)
    codes, scales, centre = (
        np.asarray(open_array(tmp_path / NAME / name)[:], np.float32) for name in ("codes", "scales", "centre")
    )
    assert (np.abs(centre + codes * scales[:, None] - means) <= 0.51 * scales[:, None] + 2e-3).all()
    expected = np.maximum(STEP * np.abs(means - means.mean(0)).mean(1), np.abs(means - means.mean(0)).max(1) / 127)
    np.testing.assert_allclose(scales, expected, rtol=1e-3)
    table = read_table(tmp_path / NAME / "words.arrow", WORDS_SCHEMA)
    assert table.to_pydict() == {"word_id": rows.tolist(), "count": counts.tolist()}


def test_words_without_rows_or_of_zeros_are_written_as_such(tmp_path):
    for number, means in enumerate((np.zeros((0, 6), np.float32), np.zeros((1, 6), np.float32))):
        (tmp_path / str(number)).mkdir()
        n = np.arange(len(means))
        write_word_states(tmp_path / str(number), n, n + 1, means)
        assert np.asarray(open_array(tmp_path / str(number) / NAME / "codes")[:]).tolist() == means.tolist()


def test_a_unit_keeps_what_the_rule_says_and_says_how_often_it_occurs(readers, tmp_path, monkeypatch):
    monkeypatch.setattr(word_states, "ENOUGH", 2)
    texts = [text.lower() for text in paragraphs(60)]
    corpus = write_lines(tmp_path / "t.txt", texts)
    encode(config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", unit=10), pools=POOLS)
    dropped = 0
    for number, shard in enumerate(Cache.open(tmp_path / "cache").shards(), 1):
        lexicon = shard.lexicon()
        table = shard.table(f"{NAME}/words.arrow", WORDS_SCHEMA)
        there = dict(zip(lexicon["word"].take(table["word_id"]).to_pylist(), table["count"].to_pylist(), strict=True))
        for word, count in zip(lexicon["word"].to_pylist(), lexicon["count"].to_pylist(), strict=True):
            probability = 2 * count / number
            wanted = xxhash.xxh3_64_intdigest(word.encode(), seed=number) / 2**64 < probability
            assert (word in there) == wanted
            dropped += not wanted
            assert not wanted or there[word] == count
    assert dropped


@pytest.mark.parametrize("count", [1, 3, 16, 500])
def test_a_word_is_in_as_many_units_as_the_bound_says_and_the_first_keep_it(count):
    words, units = [f"word{n}" for n in range(200)], 400
    there = np.array([kept(words, np.full(200, count), number) for number in range(1, units + 1)])
    enough = min(ENOUGH * count, units)
    assert there[:enough].all()
    assert abs(there.sum(0).mean() - enough * (1 + np.log(units / enough))) < 2.5  # five standard errors


def test_a_late_word_that_a_unit_has_often_is_kept():
    words = [f"word{n}" for n in range(500)]
    assert kept(words, np.full(500, 50), 300).all()
    assert kept(words, np.full(500, 1), 300).sum() < 30


@pytest.mark.exhaustive
def test_a_killed_a_grown_and_a_parted_cache_hold_the_rows_of_one_call(readers, tmp_path):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(40))
    teacher = readers("bert").teacher.folder

    def config(name: str, **options: object):
        return config_of(teacher, corpus, tmp_path / name, unit=7, **options)

    encode(config("whole"), pools=POOLS)
    encode(config("grown", limit=20), pools=POOLS)
    encode(config("grown"), pools=POOLS)
    encode(config("later"))
    encode(config("later"), pools=POOLS)
    encode(config("one by one"), pools=POOLS[:1])
    bare = files_of(tmp_path / "one by one" / "shards")
    encode(config("one by one"), pools=POOLS[1:])
    rows = [files_of(tmp_path / name / "shards") for name in ("whole", "later", "one by one")]
    assert rows[0] == rows[1] == rows[2]
    added = {name for name in rows[0].keys() - bare.keys() if f"/{pool_of(0)}" in name}
    assert added == rows[0].keys() - bare.keys()
    assert {name for name in bare if rows[0][name] != bare[name]} == {f"00000{n}/shard.json" for n in range(6)}
    whole, grown = (Cache.open(tmp_path / name) for name in ("whole", "grown"))
    words = words_of(whole)
    assert word_means(grown.shards(), words)[1].sum() > 0
    first = [files_of(tmp_path / name / "shards" / "000000" / NAME) for name in ("whole", "grown")]
    assert first[0] == first[1]


def test_the_command_keeps_them_unless_told_otherwise_and_a_cache_goes_on_as_it_was_begun(readers, tmp_path, capsys):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(8))
    options = ["encode", "--model", str(readers("bert").teacher.folder), "--corpus", str(corpus), "--device", "cpu"]
    cache = ["--cache", str(tmp_path / "a")]
    assert cli.run([*options, *cache, "--no-word-states"]) == 0
    assert cli.run([*options, *cache]) == 0
    bare = Cache.open(tmp_path / "a").shards()
    with pytest.raises(X2StaticError, match=r"000000: no word states here; .* with --word-states, adds"):
        word_means(bare, ["the"])
    assert cli.run([*options, *cache, "--word-states"]) == 0
    assert Cache.open(tmp_path / "a").shards()[0].pool(NAME) is not None
    assert cli.run([*options, "--cache", str(tmp_path / "b"), "--limit", "4"]) == 0
    assert cli.run([*options, "--cache", str(tmp_path / "b")]) == 0
    assert all(shard.pool(NAME) for shard in Cache.open(tmp_path / "b").shards())
    read = [word for block in open_blocks(tmp_path / "b") for word in block.words()]
    assert sorted(read) == sorted(counted_words(Cache.open(tmp_path / "b"), 10))
    assert cli.run([*options, "--cache", str(tmp_path / "c"), "--compat", "paper", "--word-states"]) == 1
    assert "--word-states does not go with --compat paper" in capsys.readouterr().err
    assert cli.run([*options, "--cache", str(tmp_path / "c"), "--compat", "paper"]) == 0
    assert not any(shard.pool(NAME) for shard in Cache.open(tmp_path / "c").shards())


def test_the_plan_says_about_what_they_take(readers, tmp_path):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(60))
    config = config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", unit=10)
    without, planned = estimate(config)["cache_bytes"], estimate(config, POOLS)["cache_bytes"]
    encode(config, pools=POOLS)
    rows = [len(shard.table(f"{NAME}/words.arrow", WORDS_SCHEMA)) for shard in Cache.open(tmp_path / "cache").shards()]
    dim = Cache.open(tmp_path / "cache").manifest.encoding.dim
    assert planned - without == pytest.approx(sum(rows) * len(POOLS) * row_bytes(dim), rel=0.3)


@pytest.mark.parametrize("mends", [pytest.param(False, marks=pytest.mark.exhaustive), True])
def test_a_kill_while_a_layer_is_added_leaves_a_whole_cache_that_goes_on(mends, readers, forks, tmp_path):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(40))
    config = config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", unit=7)
    encode(config, pools=POOLS[:1])
    encode(config.model_copy(update={"cache": tmp_path / "whole"}), pools=POOLS)
    read_words_alone(tmp_path / "whole", Origin(None, (), "cpu", False), 10)
    arguments = [*as_options(config), "--state-layers", "0"]
    assert forks.run(*arguments, kill=("x2static.schemas.shard:sync", "after", 5))[0] == -9
    assert not [shard.damage() for shard in Cache.open(config.cache).shards() if shard.damage()]
    if mends:
        assert f"shards/000002/{pool_of(0)}" in repair(config.cache, Origin(None, (), "cpu", False))["leftovers"]
        arguments = as_options(config)  # what was begun goes on unasked
    forks.succeed(*arguments)
    assert files_of(config.cache) == files_of(tmp_path / "whole")


def test_what_a_cache_keeps_of_layers_goes_on_unasked_into_more_text_and_other_caches(readers, tmp_path):
    old, new = (write_lines(tmp_path / f"{seed}.txt", paragraphs(12, seed)) for seed in (1, 2))
    cache, teacher = ["--cache", str(tmp_path / "cache")], str(readers("bert").teacher.folder)
    begin = ["encode", "--model", teacher, "--device", "cpu", "--unit", "5"]
    assert cli.run([*begin, *cache, "--corpus", str(old), "--limit", "5", "--state-layers", "0"]) == 0
    assert cli.run([*begin, *cache, "--corpus", str(old)]) == 0
    assert cli.run([*begin, *cache, "--corpus", str(new), "--append"]) == 0
    assert cli.run([*begin, *cache, "--corpus", str(old), "--corpus", str(new), "--state-layers", "1"]) == 0
    assert cli.run(["cache", "merge", *cache[1:], "--out", str(tmp_path / "merged")]) == 0
    for name in ("cache", "merged"):
        shards = Cache.open(tmp_path / name).shards()
        assert len(shards) == 6
        assert all(list(shard.marker.pools) == [NAME, pool_of(0), pool_of(1)] for shard in shards)


def test_units_get_them_later_whose_markers_know_more_than_their_plan(readers, tmp_path, monkeypatch):
    """Namely how many paragraphs a library could not take."""
    prepare = DefaultPreparer.prepare

    def failing(self: DefaultPreparer, texts: list[str], language: str | None) -> PreparedText:
        if any("unreadable" in text for text in texts):
            raise ValueError
        return prepare(self, texts, language)

    monkeypatch.setattr(DefaultPreparer, "prepare", failing)
    corpus = write_lines(tmp_path / "t.txt", [*paragraphs(12), "It is unreadable.", *paragraphs(8, 2)])
    teacher = readers("bert").teacher.folder
    options = {"unit": 8, "on_bad_text": "skip"}
    encode(config_of(teacher, corpus, tmp_path / "later", **options))
    encode(config_of(teacher, corpus, tmp_path / "later", **options), pools=POOLS)
    encode(config_of(teacher, corpus, tmp_path / "whole", **options), pools=POOLS)
    assert files_of(tmp_path / "later" / "shards") == files_of(tmp_path / "whole" / "shards")
    assert Cache.open(tmp_path / "later").shards()[1].marker.unit.skipped == 1


@pytest.mark.parametrize("lost", [*LOST.split(), ""])
def test_repair_takes_them_again_to_the_bytes_that_they_had(lost, readers, tmp_path):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(24))
    config = config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", unit=6)
    figures, same = repaired(config, POOLS, lost)
    assert figures["pools_dropped"] == []
    assert same
    assert Cache.open(config.cache).verify() == []


def test_repair_adds_none_to_shards_that_never_had_them_and_names_what_a_sample_lost(readers, tmp_path):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(24))
    config = config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", unit=6)
    encode(config)
    shutil.rmtree(tmp_path / "cache" / "shards" / "000001")
    assert repair(config.cache, Origin(None, (), "cpu", False))["pools_dropped"] == []
    assert not any(shard.marker.pools for shard in Cache.open(config.cache).shards())
    encode(config, pools=POOLS)
    sample(config.cache, tmp_path / "sample", UnitSample(kind="every", n=2))
    (tmp_path / "sample" / "shards" / "000001" / NAME / "words.arrow").unlink()
    (line,) = repair(tmp_path / "sample", Origin(None, (), "cpu", False))["pools_dropped"]
    assert line == "shard 000001: word_states, since word_states/words.arrow is missing"
