"""Occurrences: a bounded sample of each word's occurrences with their states, whatever interrupts, grows or merges."""

import re
from collections import defaultdict

import numpy as np
import pytest
import torch
import xxhash

from tests.reference import Reader, sentence_bounds
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, repaired, write_lines
from x2static.durable.errors import X2StaticError
from x2static.pipeline import cli
from x2static.schemas.cache import Cache
from x2static.schemas.occurrences import ROWS_SCHEMA, n_of, occurrence_bytes, pool_of, sample_of
from x2static.schemas.vectors import WordVectors
from x2static.schemas.word_states import NAME as WORD_STATES
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.plan.estimate import estimate
from x2static.stage1_encode.plan.origin import Origin
from x2static.stage1_encode.pools import occurrences
from x2static.stage1_encode.pools.occurrences import HIGHEST, MARGIN, Occurrences, draws_of, kept
from x2static.stage2_train.senses import sentence_at

N = 8
POOLS = [Occurrences(N)]
HERE = Origin(None, (), "cpu", False)
LOST = "occurrences_8/rows.arrow occurrences_8/codes/c/0/0 contexts/c/0/0"


def draw_of(unit: int, context: int, piece: int) -> int:
    """SplitMix64 with whole numbers of Python; the first unit is 1."""
    x = ((context << 20 ^ piece) + xxhash.xxh3_64_intdigest(b"", seed=unit) + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return (x ^ x >> 31) >> 32


def occurring(reader: Reader, texts: list[str], unit: int) -> dict[str, list[tuple[int, int, np.ndarray]]]:
    """Return draw, context and state of each word's occurrences in a unit, a paragraph of short windows at a time."""
    found, context = defaultdict(list), 0
    for text in texts:
        encoding = reader.plain.encode(text, add_special_tokens=False)
        ids = [*reader.teacher.begin, *encoding.ids, *reader.teacher.end]
        with torch.no_grad():
            states = reader.model(input_ids=torch.tensor([ids])).last_hidden_state[0].double().numpy()
        for start, stop in sentence_bounds(text):
            for match in re.finditer(r"\w+|[^\w\s]", text[start:stop]):
                touched = [
                    len(reader.teacher.begin) + number
                    for number, (begin, end) in enumerate(encoding.offsets)
                    if begin < start + match.end() and end > start + match.start()
                ]
                row = draw_of(unit, context, touched[0]), context, states[touched].mean(axis=0)
                found[match[0].lower()].append(row)
            context += 1
    return found


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_shard_holds_the_lowest_draws_of_each_word_and_the_states_of_an_unbatched_computation(
    family, readers, tmp_path, monkeypatch
):
    monkeypatch.setattr(occurrences, "LEAST", 6)
    reader, texts = readers(family), paragraphs(40)
    corpus = write_lines(tmp_path / "t.txt", texts)
    encode(config_of(reader.teacher.folder, corpus, tmp_path / "cache", unit=7), pools=POOLS)
    shards, everything = Cache.open(tmp_path / "cache").shards(), defaultdict(list)
    for number, shard in enumerate(shards):
        table = shard.table(f"{pool_of(N)}/rows.arrow", ROWS_SCHEMA).to_pylist()
        lexicon = shard.lexicon()["word"].to_pylist()
        expected = []
        for word, rows in occurring(reader, texts[7 * number : 7 * number + 7], number + 1).items():
            h = xxhash.xxh3_64_intdigest(word.encode(), seed=number + 1) / 2**64
            most = min(N, int(MARGIN * N / (number + 1) + h))
            if len(rows) * (number + 1) >= 6:
                lowest = sorted(rows, key=lambda row: row[0])[:most]
                expected += [(lexicon.index(word), context, draw) for draw, context, _ in lowest]
                everything[word] += [(draw, number, context, state) for draw, context, state in lowest]
        expected.sort(key=lambda row: (row[0], row[2]))
        assert [(row["word_id"], row["context"], row["draw"]) for row in table] == expected
    assert len(everything) > 10
    sample = sample_of(shards, [*everything, "unheard"], N)
    assert sample.of(len(everything)) == slice(len(sample.words), len(sample.words))
    for place, rows in enumerate(everything.values()):
        expected = sorted(rows, key=lambda row: row[0])[:N]
        here = sample.of(place)
        places = list(zip(sample.shards[here].tolist(), sample.contexts[here].tolist(), strict=True))
        assert places == [(shard, context) for _, shard, context, _ in expected]
        for state, (*_, right) in zip(sample.states[here], expected, strict=True):
            assert np.corrcoef(state.astype(float), right)[0, 1] > 0.97


def test_draws_are_spread_evenly_and_other_in_each_unit():
    draws = draws_of(np.arange(200_000), 3) / HIGHEST
    assert np.abs(np.histogram(draws, 20, (0, 1))[0] - 10_000).max() < 500
    assert abs(np.corrcoef(draws, draws_of(np.arange(200_000), 4))[0, 1]) < 0.01


@pytest.mark.parametrize(("n", "units"), [(64, 6), (64, 400), (16, 50)])
def test_what_units_keep_of_a_word_is_bounded_and_goes_on_falling(n, units):
    words = [f"word{number}" for number in range(300)]
    each = np.array([kept(words, n, number) for number in range(1, units + 1)])
    assert (each[0] == n).all()
    assert each.sum(0).mean() <= MARGIN * n * (1 + np.log(units))
    assert each[-1].mean() == pytest.approx(MARGIN * n / units, rel=0.3)


def test_the_sample_of_a_word_is_drawn_from_all_units_alike(readers, tmp_path, monkeypatch):
    """Of the N lowest draws of a word, the share of each unit is that of its occurrences."""
    monkeypatch.setattr(occurrences, "LEAST", 1)
    corpus = write_lines(tmp_path / "t.txt", paragraphs(240))
    encode(config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", unit=20), pools=[Occurrences(40)])
    shards = Cache.open(tmp_path / "cache").shards()
    lexicons = [shard.lexicon().to_pylist() for shard in shards]
    often = [row["word"] for row in lexicons[0] if all(row["word"] in {w["word"] for w in some} for some in lexicons)]
    counts = np.array([[row["count"] for row in some if row["word"] in often] for some in lexicons]).sum(1)
    sampled = np.bincount(sample_of(shards, often, 40).shards, minlength=len(shards))
    assert np.abs(sampled / sampled.sum() - counts / counts.sum()).max() < 0.03


@pytest.mark.exhaustive
def test_a_killed_a_grown_a_late_and_a_merged_cache_hold_the_sample_of_one_call(readers, forks, tmp_path):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(40))
    teacher = readers("bert").teacher.folder

    def config(name: str, **options: object):
        return config_of(teacher, corpus, tmp_path / name, unit=7, **options)

    encode(config("whole"), pools=POOLS)
    for limit in (20, None):
        encode(config("grown", limit=limit), pools=POOLS)
    encode(config("late"))
    encode(config("late"), pools=POOLS)
    arguments = [*as_options(config("killed")), "--occurrences", str(N), "--no-word-states"]
    assert forks.run(*arguments, kill=("x2static.schemas.shard:write_table", "after", 8))[0] == -9
    forks.succeed(*arguments)
    for name in ("late", "killed"):
        assert files_of(tmp_path / name) == files_of(tmp_path / "whole")
    assert files_of(tmp_path / "grown" / "shards" / "000001") == files_of(tmp_path / "whole" / "shards" / "000001")
    for part in ("1/2", "2/2"):
        encode(config(part.replace("/", "of"), part=part), pools=POOLS)
    halves = [str(tmp_path / name) for name in ("1of2", "2of2")]
    assert cli.run(["cache", "merge", *halves, "--out", str(tmp_path / "merged")]) == 0
    assert files_of(tmp_path / "merged" / "shards") == files_of(tmp_path / "whole" / "shards")


@pytest.mark.parametrize("lost", [*LOST.split(), ""])
def test_repair_takes_them_again_to_the_bytes_that_they_had(lost, readers, tmp_path):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(24))
    config = config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", unit=6)
    figures, same = repaired(config, POOLS, lost)
    assert figures["pools_dropped"] == []
    assert same


def test_the_plan_says_about_what_they_take(readers, tmp_path):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(120))
    config = config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", unit=20)
    without, planned = estimate(config)["cache_bytes"], estimate(config, POOLS)["cache_bytes"]
    encode(config, pools=POOLS)
    cache = Cache.open(tmp_path / "cache")
    rows = sum(len(shard.table(f"{pool_of(N)}/rows.arrow", ROWS_SCHEMA)) for shard in cache.shards())
    assert planned - without == pytest.approx(rows * occurrence_bytes(cache.manifest.encoding.dim), rel=0.5)


def test_a_cache_goes_on_with_them_as_it_was_begun(readers, tmp_path, capsys):
    old, new = (write_lines(tmp_path / f"{seed}.txt", paragraphs(8, seed)) for seed in (1, 2))
    options = ["encode", "--model", str(readers("bert").teacher.folder), "--device", "cpu", "--unit", "4"]
    options += ["--cache", str(tmp_path / "cache")]
    assert cli.run([*options, "--corpus", str(old), "--occurrences", "5"]) == 0
    assert cli.run([*options, "--corpus", str(new), "--append"]) == 0
    shards = Cache.open(tmp_path / "cache").shards()
    assert [sorted(shard.marker.pools) for shard in shards] == [[pool_of(5), WORD_STATES]] * 4
    assert cli.run([*options, "--corpus", str(old), "--corpus", str(new), "--occurrences"]) == 1
    assert "--occurrences 64: the cache keeps 5 of each word" in capsys.readouterr().err
    paper = ["--corpus", str(old), "--cache", str(tmp_path / "paper"), "--compat", "paper"]
    assert cli.run([*options, *paper, "--occurrences"]) == 1
    assert "--occurrences does not go with --compat paper" in capsys.readouterr().err
    assert (n_of("occurrences_64"), n_of("occurrences_0"), n_of("word_states")) == (64, None, None)
    with pytest.raises(X2StaticError, match="occurrences_9/rows"):
        sample_of(shards, ["the"], 9)


def test_from_text_to_senses_that_a_user_asks_for(readers, tmp_path, capsys):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(120))
    cache, out = ["--cache", str(tmp_path / "cache")], str(tmp_path / "run")
    model = ["--model", str(readers("bert").teacher.folder), "--device", "cpu"]
    assert cli.run(["encode", *model, *cache, "--corpus", str(corpus), "--occurrences", "--unit", "40"]) == 0
    assert cli.run(["train", *cache, "--out", out, "--objective", "views", "--device", "cpu"]) == 0
    capsys.readouterr()
    assert cli.run(["senses", out, *cache, "--silhouette", "0.02", "--show", "cat"]) == 0
    said = capsys.readouterr().out
    assert "senses of" in said
    assert re.search(r"cat#1  \d+%  \w+, ", said)
    vectors = WordVectors.load(out)
    several = [word for word in vectors if len(vectors.senses(word)) > 1]
    assert several
    for word in several:
        senses = vectors.senses(word)
        assert sum(sense.share for sense in senses) == pytest.approx(1)
        sentences = [sentence_at(Cache.open(tmp_path / "cache"), *place) for one in senses for place in one.examples]
        assert all(word in sentence.split() for sentence in sentences)
    assert vectors.encode(["The cat sat.", "A dog."], senses=True).shape == (2, vectors.dim)
    assert cli.run(["senses", out, *cache, "--show", "kign"]) == 1
    assert "--show kign: these vectors have no such word" in capsys.readouterr().err
    assert cli.run(["export", out, "--to", "word2vec", "--senses", "--out", str(tmp_path / "v.txt")]) == 0
    assert f"{several[0]}#2 " in (tmp_path / "v.txt").read_text()
