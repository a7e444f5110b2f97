"""Word sums: every occurrence counts once, at every layer, whatever interrupts the run and whenever they are added."""

import doctest
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch

from tests.reference import Reader, sentence_bounds
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, run, write_lines
from tests.teachers import NOUNS
from x2static.durable.errors import X2StaticError
from x2static.pipeline.cli import run as command_line
from x2static.schemas.cache import Cache, content_of
from x2static.schemas.shard import LEXICON_SCHEMA, read_table
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.encoder import Encoder
from x2static.stage1_encode.plan.estimate import estimate
from x2static.stage1_encode.plan.origin import Origin
from x2static.stage1_encode.pools import pool
from x2static.stage1_encode.pools.pool import Shape, States
from x2static.stage1_encode.pools.registry import POOLS
from x2static.stage1_encode.pools.word_sums import StoredSums, UnitWordSums, WordSums
from x2static.stage1_encode.repair import repair
from x2static.stage1_encode.text.default import piece_spans
from x2static.stage1_encode.text.windows import Lexicon, PreparedText, Window

WANTED = [*NOUNS, "the", ".", "unheard", "Anna"]


def slowly(reader: Reader, texts: list[str], wanted: list[str]) -> dict[str, list[np.ndarray]]:
    """Return the vectors of each word's occurrences, (n_layers, dim) each, one paragraph at a time.

    For paragraphs that fit the window, of letters, digits and stops.
    """
    found: dict[str, list[np.ndarray]] = {word: [] for word in wanted}
    for text in texts:
        encoding = reader.plain.encode(text, add_special_tokens=False)
        ids = [*reader.teacher.begin, *encoding.ids, *reader.teacher.end]
        with torch.no_grad():
            states = reader.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
        layers = np.stack([state[0].double().numpy() for state in states])
        for start, stop in sentence_bounds(text):
            for match in re.finditer(r"\w+|[^\w\s]", text[start:stop]):
                if (word := match[0].lower()) in found:
                    touched = [
                        len(reader.teacher.begin) + number
                        for number, (begin, end) in enumerate(encoding.offsets)
                        if begin < start + match.end() and end > start + match.start()
                    ]
                    found[word].append(layers[:, touched].mean(axis=1))
    return found


def asked(model: Path, corpus: Path | tuple[Path, ...], cache: Path, words: Sequence[str], **options: Any) -> None:
    """Encode with the sums of some words."""
    config = config_of(model, corpus, cache, **options)
    encode(config, pools=[WordSums.of(config, words)] if words else [])


def means_of(cache: Path, words: list[str], layer: int) -> tuple[np.ndarray, np.ndarray]:
    sums = StoredSums.open(Cache.open(cache), words)
    assert sums
    return sums.means(layer)


@pytest.mark.parametrize(
    ("family", "context", "backend"),
    [("bert", "paragraph", "torch"), ("roberta", "sentence", "openvino"), ("gpt2", "paragraph", "torch")],
)
def test_means_are_those_of_an_unbatched_computation_at_every_layer(family, context, backend, readers, tmp_path):
    reader, texts = readers(family), paragraphs(24)
    corpus = write_lines(tmp_path / "t.txt", texts)
    asked(reader.teacher.folder, corpus, tmp_path / "cache", WANTED, unit=7, context=context, backend=backend)
    read = texts if context == "paragraph" else [t[a:b].strip() for t in texts for a, b in sentence_bounds(t)]
    expected = slowly(reader, read, sorted(word.lower() for word in WANTED))
    for layer in range(3):
        vectors, counts = means_of(tmp_path / "cache", list(expected), layer)
        assert counts.tolist() == [len(vectors) for vectors in expected.values()]
        assert counts.max() > 50
        for word, vector in zip(expected, vectors, strict=True):
            mean = np.mean([v[layer] for v in expected[word]], axis=0) if expected[word] else np.zeros(32)
            np.testing.assert_allclose(vector, mean, rtol=1e-4, atol=1e-5, err_msg=f"{word}, layer {layer}")


def test_shards_and_content_are_the_same_with_and_without_them_and_a_finished_cache_gets_them(teacher, tmp_path):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(20))
    for name, words in (("with", WANTED), ("without", [])):
        asked(teacher, corpus, tmp_path / name, words, unit=6)
    with_sums, without = (Cache.open(tmp_path / name) for name in ("with", "without"))
    for one, other in zip(with_sums.shards(), without.shards(), strict=True):
        assert one.marker.files == other.marker.files
        assert one.marker.pools.keys() == {"word_sums"}
        assert "pools" not in json.loads((other.folder / "shard.json").read_bytes())
    assert content_of(with_sums.shards()) == content_of(without.shards())
    assert with_sums.verify() == []
    shards = without.shards_folder
    before = {path: path.stat().st_mtime_ns for path in shards.rglob("*") if path.is_file()}
    asked(teacher, corpus, tmp_path / "without", WANTED, unit=6)
    changed = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == set(shards.glob("*/shard.json")), "no other file is touched"
    assert files_of(tmp_path / "without") == files_of(tmp_path / "with")


KILLS = {
    "in a new shard": (False, ("x2static.schemas.shard:write_table", "after", 8)),
    "before sums have their name": (True, ("x2static.stage1_encode.encode:commit_pools", "before", 3)),
    "between sums and marker": (True, ("x2static.schemas.shard:sync", "after", 5)),
}


@pytest.mark.parametrize("kill", KILLS)
def test_killed_and_run_again_a_cache_is_that_of_a_whole_run(kill, teacher, forks, tmp_path):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(40))
    (tmp_path / "words.txt").write_text("\n".join(WANTED))
    asked(teacher, corpus, tmp_path / "whole", WANTED, unit=7)
    finished, where = KILLS[kill]
    config = config_of(teacher, corpus, tmp_path / "cache", unit=7)
    if finished:
        encode(config)
    arguments = tuple(map(str, [*as_options(config), "--no-word-states", "--ase", tmp_path / "words.txt"]))
    assert forks.run(*arguments, kill=where)[0] == -9
    if finished:  # training and everything else goes on meanwhile
        assert not [shard.damage() for shard in Cache.open(config.cache).shards() if shard.damage()]
    forks.succeed(*arguments)
    assert files_of(tmp_path / "cache") == files_of(tmp_path / "whole")


def test_appended_units_are_added_and_missing_ones_need_their_corpus(teacher: Path, tmp_path: Path) -> None:
    old, new = (write_lines(tmp_path / f"{seed}.txt", paragraphs(12, seed)) for seed in (1, 2))
    for name, words in (("with", WANTED), ("without", [])):
        asked(teacher, old, tmp_path / name, words, unit=5)
    asked(teacher, new, tmp_path / "with", WANTED, unit=5, append=True)
    with pytest.raises(X2StaticError, match=r"word_sums is missing in 3 units.* leave out --append and name all"):
        asked(teacher, new, tmp_path / "without", WANTED, unit=5, append=True)
    asked(teacher, (old, new), tmp_path / "without", WANTED, unit=5)
    ours, theirs = (means_of(tmp_path / name, ["cat", "the"], 1)[0] for name in ("with", "without"))
    np.testing.assert_array_equal(ours, theirs)


def test_a_plan_counts_the_sums(teacher: Path, tmp_path: Path) -> None:
    config = config_of(teacher, write_lines(tmp_path / "text.txt", paragraphs(60)), tmp_path / "cache", unit=60)
    sums = WordSums.of(config, WANTED)
    without, planned = estimate(config), estimate(config, [sums])
    encode(config, pools=[sums])
    n_bytes = sum(path.stat().st_size for path in config.cache.glob("shards/*/word_sums/sums/c/**/*") if path.is_file())
    (table,) = config.cache.glob("shards/*/word_sums/words.arrow")
    n_words = len(read_table(table, LEXICON_SCHEMA))
    assert n_words < len(sums.words)  # the plan takes every word to occur, some of the list do not
    assert planned["cache_bytes"] - without["cache_bytes"] == pytest.approx(n_bytes * len(sums.words) / n_words)


def test_other_words_are_refused_and_removed_or_dropped_sums_are_made_again(teacher, tmp_path, log):
    corpus, cache = write_lines(tmp_path / "t.txt", paragraphs(9)), tmp_path / "cache"
    asked(teacher, corpus, cache, ["cat", "dog"], unit=5)
    with pytest.raises(X2StaticError, match=r"other words.* remove shards/\*/word_sums"):
        asked(teacher, corpus, cache, ["dog", "bird", "road"], unit=5)
    before = files_of(cache)
    asked(teacher, corpus, cache, [], unit=5)
    asked(teacher, corpus, cache, ["Dog", "cat", "dog"], unit=5)
    assert files_of(cache) == before
    shutil.rmtree(cache / "shards" / "000001" / "word_sums")
    run(teacher, corpus, cache, unit=5)  # nothing else is amiss
    asked(teacher, corpus, cache, ["cat", "dog"], unit=5)
    assert files_of(cache) == before
    # Damaged ones are dropped by a repair, and made again too.
    (cache / "shards" / "000000" / "word_sums" / "words.arrow").write_bytes(b"damage")
    assert any("word_sums/words.arrow has changed" in line for line in Cache.open(cache).verify())
    with pytest.raises(X2StaticError, match=r"repair .* and `x2static encode --ase` again"):
        StoredSums.open(Cache.open(cache), ["cat"])
    figures = repair(cache, Origin(None, (), "cpu", False))
    assert (figures["shards_encoded"], len(figures["pools_dropped"])) == (0, 1)
    assert "dropped; encode it again (`x2static encode --ase`" in log.text
    assert Cache.open(cache).verify() == []
    asked(teacher, corpus, cache, ["cat", "dog"], unit=5)
    assert files_of(cache) == before


def test_a_pool_of_ones_own_takes_a_class_its_line_in_the_registry_and_an_option(teacher, tmp_path, monkeypatch):
    from x2static.pipeline.commands.encode import encode as command

    example = vars(pool).copy()
    exec("".join(one.source for one in doctest.DocTestParser().get_examples(pool.__doc__)), example)
    monkeypatch.setitem(POOLS, "largest", example["Largest"])
    monkeypatch.setattr(command, "params", [*command.params, click.Option(["--largest"], is_flag=True)])
    config = config_of(teacher, write_lines(tmp_path / "t.txt", paragraphs(9)), tmp_path / "cache", unit=5)
    for options in ([], ["--largest"]):  # it is added to shards that are there
        assert command_line([*as_options(config), "--no-word-states", *options]) == 0
    for shard in Cache.open(config.cache).shards():
        assert list(shard.marker.pools) == ["largest"]
        largest = json.loads((shard.folder / "largest" / "largest.json").read_text())
        assert largest >= np.abs(shard.contexts()).max() > 0
    assert Cache.open(config.cache).verify() == []


def test_entries_that_are_no_single_words_are_left_out_or_refused(teacher, tmp_path, log):
    config = config_of(teacher, write_lines(tmp_path / "t.txt", paragraphs(3)), tmp_path / "cache")
    with pytest.raises(X2StaticError, match="none of the 2 entries is a single word"):
        WordSums.of(config, ["new york", "don't"])
    with pytest.raises(X2StaticError, match="--ase does not go with --compat paper"):
        WordSums.of(config.model_copy(update={"compat": "paper"}), ["cat"])
    assert WordSums.of(config, ["new york", "cat"]).words == ("cat",)
    assert "left out, as no single words: 1 (new york)" in log.text


def test_small_additions_are_not_lost_beside_a_large_sum() -> None:
    sums = UnitWordSums(("cat", "dog"), Shape(1, 1, torch.device("cpu")))
    sums.extend(PreparedText(lexicon=Lexicon({"mouse": 0, "dog": 1})), np.array([0, 1]))
    batch = [Window(np.arange(1), np.zeros((0, 3), np.int64), np.array([[1, 0, 1]]))]
    for value in [2.0**24, *[0.5] * 100]:
        states = torch.full((1, 1, 1), value)
        sums.add(sums.take(batch, States(states, (states,))))
    assert sums.sums[0, :, 0].tolist() == [0, 2**24 + 50]
    assert sums.counts.tolist() == [0, 101]


def test_an_occurrence_touches_the_pieces_that_overlap_it() -> None:
    places = np.array([[0, 3], [3, 3], [3, 7], [8, 9], [9, 12]])
    stretches = np.array([[5, 0, 3], [6, 2, 4], [7, 7, 8], [8, 8, 12], [9, 12, 14]])
    assert piece_spans(places, stretches).tolist() == [[5, 0, 1], [6, 0, 3], [8, 3, 5]]


def test_sums_beyond_memory_are_refused_before_the_teacher_reads(teacher: Path, tmp_path: Path, monkeypatch) -> None:
    corpus = write_lines(tmp_path / "corpus.txt", ["It began. It ended."])
    config = config_of(teacher, corpus, tmp_path / "cache")
    monkeypatch.setattr("x2static.stage1_encode.worker.memory_of", lambda _: 1000)
    monkeypatch.setattr(Encoder, "encode", lambda *_: pytest.fail("the teacher reads"))
    with pytest.raises(X2StaticError, match=r"cache: .* takes .* GB, and there are 0\.0; name fewer words \(--ase\)"):
        encode(config, pools=[WordSums.of(config, ["it", "began", "ended"])])
