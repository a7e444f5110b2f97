"""Masked contexts: which are chosen, against plain Python; what is read, against the library; kills, growth, damage."""

import json
import re
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import xxhash

from tests.reference import Reader, Vector, assert_close, mean, sentence_bounds
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, read_back, run, write_lines
from tests.stage2_train.caches import shrunk_covariance
from x2static.durable.errors import X2StaticError
from x2static.pipeline import cli
from x2static.pipeline.caches import merge
from x2static.schemas.cache import Cache
from x2static.schemas.masked import NAME, MaskedShard, masked_means
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.masked import plan_masked, read_masked
from x2static.stage1_encode.plan.origin import Origin
from x2static.stage1_encode.pools.masked import Masked
from x2static.stage1_encode.pools.word_states import WordStates
from x2static.stage1_encode.text.default import DefaultPreparer
from x2static.stage2_train.sampling import Position
from x2static.stage2_train.stream import CPU
from x2static.stage2_train.trainer import Opened, train

HERE = Origin(None, (), "cpu", False)
MASKS = {"bert": "[MASK]", "roberta": "<mask>", "gpt2": None}
GOLDEN = 0x9E3779B97F4A7C15
Rows = dict[tuple[str, int, int], Vector]  # by word, shard, and the context's row


def read(folder: Path, most: int = 3, seed: int = 0, min_count: int = 2) -> dict:
    return read_masked(Cache.open(folder), HERE, Masked(most, seed, min_count))


def rows_of(folder: Path) -> Rows:
    """Every masked context of a cache."""
    found: Rows = {}
    for number, shard in enumerate(Cache.open(folder).shards()):
        masked, lexicon = MaskedShard.of(shard), shard.lexicon()["word"].to_pylist()
        for pair, row in zip(masked.pairs.to_pylist(), masked.contexts(), strict=True):
            found[lexicon[pair["word_id"]], number, pair["context"]] = row
    return found


def mixed(number: int) -> int:
    """SplitMix64, as it is published."""
    number = (number + GOLDEN) % 2**64
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB % 2**64
    return number ^ (number >> 31)


def plainly_chosen(folder: Path, most: int, seed: int, min_count: int) -> set[tuple[str, int, int]]:
    """The pairs of the lowest draws, a word at a time."""
    draws, counts = defaultdict(list), Counter()
    encoded = read_back(folder)
    for number, (shard, rows) in enumerate(zip(encoded.cache.shards(), encoded.shards, strict=True)):
        base = xxhash.xxh3_64_intdigest(shard.marker.files["words.arrow"].encode(), seed)
        for context, row in enumerate(rows):
            counts.update(row.words)
            for word in set(row.words):
                of_word = xxhash.xxh3_64_intdigest(word.encode(), seed)
                draws[word].append((mixed(mixed((base + context) % 2**64) ^ of_word), (word, number, context)))
    chosen = [sorted(pairs)[:most] for word, pairs in draws.items() if counts[word] >= min_count]
    return {pair for pairs in chosen for _, pair in pairs}


def plainly_read(reader: Reader, texts: list[str], alone: bool) -> dict[tuple[str, int], Vector | None]:
    """What the teacher makes of each sentence, by its number in the texts, without each of its words."""
    begin, end = list(reader.teacher.begin), list(reader.teacher.end)
    mask, found, number = MASKS[reader.teacher.family], {}, -1
    for text in texts:
        whole = reader.plain.encode(text, add_special_tokens=False)
        for start, stop in sentence_bounds(text):
            number += 1
            shift, encoding = 0, whole
            if alone:  # the teacher has read each sentence by itself
                shift = start + len(text[start:stop]) - len(text[start:stop].lstrip())
                encoding = reader.plain.encode(text[start:stop].strip(), add_special_tokens=False)
            pieces = [
                (piece, first + shift, last + shift)
                for piece, (first, last) in zip(encoding.ids, encoding.offsets, strict=True)
                if start < last + shift <= stop
            ]
            matches = list(re.finditer(r"\w+|[^\w\s]", text[start:stop]))
            for word in {match[0].lower() for match in matches}:
                ids, last = [], None
                for piece, first, behind in pieces:
                    inside = [
                        match
                        for match in matches
                        if match[0].lower() == word and first < start + match.end() and behind > start + match.start()
                    ]
                    if not inside:
                        ids.append(piece)
                    elif mask and inside[0] is not last:
                        ids.append(reader.tokenizer.convert_tokens_to_ids(mask))
                    last = inside[0] if inside else None
                states = reader.states(begin + ids + end)[len(begin) :]
                found[word, number] = mean(list(states[: len(ids)])) if ids else None
    return found


@pytest.mark.parametrize(("family", "context"), [("bert", "paragraph"), ("roberta", "sentence"), ("gpt2", "paragraph")])
def test_what_is_read_is_the_sentence_without_the_word_as_the_library_reads_it(family, context, readers, tmp_path):
    reader, texts = readers(family), [f"{text} Go and go. Ho." for text in paragraphs(9)]
    folder = tmp_path / "cache"
    run(reader.teacher.folder, write_lines(tmp_path / "t.txt", texts), folder, unit=4, context=context)
    read(folder, most=5)
    expected, firsts = plainly_read(reader, texts, context == "sentence"), [0]
    for shard in Cache.open(folder).shards():
        firsts.append(firsts[-1] + shard.marker.n_contexts)
    assert firsts[-1] == len({number for _, number in expected}), "every sentence is a context"
    rows, chosen = rows_of(folder), plainly_chosen(folder, 5, 0, 2)
    nothing = {(word, number, row) for word, number, row in chosen if expected[word, firsts[number] + row] is None}
    assert rows.keys() == chosen - nothing
    assert len(rows) > 150
    for (word, number, row), vector in rows.items():
        assert_close(vector, expected[word, firsts[number] + row], word)


def test_a_sentence_over_several_windows_is_read_where_the_word_is(readers, tmp_path):
    reader = readers("bert", 16)
    text = "One of them saw that " + "and a river of stones " * 6 + "near Zurich"
    run(reader.teacher.folder, write_lines(tmp_path / "t.txt", [text]), tmp_path / "cache")
    read(tmp_path / "cache", min_count=1)
    ids = reader.plain.encode(text, add_special_tokens=False).ids
    runs = [ids[start : start + reader.teacher.room] for start in range(0, len(ids), reader.teacher.room)]
    pieces = {word: reader.plain.encode(word, add_special_tokens=False).ids for word in set(text.lower().split())}
    rows, single = rows_of(tmp_path / "cache"), {word: ids[0] for word, ids in pieces.items() if len(ids) == 1}
    assert len(runs) > 2
    assert {word for word, _, _ in rows} == pieces.keys()
    for word, piece in single.items():
        first = next(run for run in runs if piece in run)
        masked = [reader.tokenizer.mask_token_id if one == piece else one for one in first]
        states = reader.states([*reader.teacher.begin, *masked, *reader.teacher.end])
        assert_close(rows[word, 0, 0], mean(list(states[1:-1])), word)
    assert len(single) > 1


def test_another_seed_chooses_others_and_fewer_are_the_first_of_more(readers, tmp_path):
    corpus, chosen = write_lines(tmp_path / "t.txt", paragraphs(30)), {}
    run(readers("bert").teacher.folder, corpus, tmp_path / "bare", unit=7)
    for name, asked in {"few": (2, 0, 3), "more": (6, 0, 3), "others": (2, 1, 3)}.items():
        shutil.copytree(tmp_path / "bare", tmp_path / name)
        planned = plan_masked(Cache.open(tmp_path / name), Masked(*asked))
        figures = read(tmp_path / name, *asked)
        chosen[name] = set(rows_of(tmp_path / name))
        assert chosen[name] == plainly_chosen(tmp_path / name, *asked)
        assert planned["pairs"] == figures["pairs"] == len(chosen[name])
        assert planned["teacher_tokens"] == pytest.approx(figures["teacher_tokens"], rel=0.2)
    assert chosen["few"] < chosen["more"]
    assert chosen["few"] != chosen["others"]
    words = sorted({word for word, _, _ in chosen["few"]})
    of_more = [masked_means(Cache.open(tmp_path / name).shards(), words, 2) for name in ("few", "more")]
    assert (of_more[0][1] == of_more[1][1]).all()
    np.testing.assert_allclose(of_more[0][0], of_more[1][0], atol=2e-3)  # other batches, another rounding
    with pytest.raises(X2StaticError, match=r"masked: was taken with other settings"):
        read(tmp_path / "few", 3)


@pytest.mark.exhaustive
def test_a_kill_leaves_a_whole_cache_that_goes_on_to_the_same_bytes(readers, forks, tmp_path, capsys):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(40))
    for name in ("whole", "cache"):
        run(readers("bert").teacher.folder, corpus, tmp_path / name, unit=7)
    command = ["cache", "masked", "--occurrences", "3", "--min-count", "2", "--device", "cpu"]
    assert cli.run([*command, str(tmp_path / "whole"), "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == len(plainly_chosen(tmp_path / "whole", 3, 0, 2))
    assert cli.run([*command, str(tmp_path / "whole")]) == 0
    assert "sentences with a word masked read" in capsys.readouterr().out
    command.append(str(tmp_path / "cache"))
    assert forks.run(*command, kill=("x2static.schemas.shard:sync", "after", 5))[0] == -9
    assert not any(shard.damage() for shard in Cache.open(tmp_path / "cache").shards())
    assert 0 < sum(NAME in shard.marker.pools for shard in Cache.open(tmp_path / "cache").shards()) < 6
    forks.succeed(*command)
    assert files_of(tmp_path / "cache") == files_of(tmp_path / "whole")
    assert read(tmp_path / "cache")["units_read"] == 0


def test_what_is_damaged_is_dropped_and_read_again(readers, tmp_path):
    corpus, folder = write_lines(tmp_path / "t.txt", paragraphs(20)), tmp_path / "cache"
    run(readers("bert").teacher.folder, corpus, folder, unit=5, dtype="int8")
    read(folder)
    before = files_of(folder)
    for name in ("words.arrow", "contexts/c/0/0", "scales/c/0"):
        file = folder / "shards" / "000002" / NAME / name
        file.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(X2StaticError, match="has changed since it was written"):
            masked_means(Cache.open(folder).shards(), ["the"])
        assert read(folder)["units_read"] == 1
        assert files_of(folder) == before
    shutil.rmtree(folder / "shards" / "000001")
    with pytest.raises(
        X2StaticError, match=r"1 shard missing or damaged \(the first is 1\); run the `x2static encode`"
    ):
        read(folder)


def test_a_grown_and_a_merged_cache_have_the_first_of_all(readers, tmp_path):
    teacher = readers("bert").teacher.folder
    old, new = (write_lines(tmp_path / f"{seed}.txt", paragraphs(14, seed)) for seed in (1, 2))
    for name, corpora in {"grown": old, "other": new, "whole": (old, new)}.items():
        run(teacher, corpora, tmp_path / name, unit=5)
        read(tmp_path / name, min_count=1)
    merge(tmp_path / "merged", [tmp_path / "grown", tmp_path / "other"])
    run(teacher, new, tmp_path / "grown", unit=5, append=True)
    with pytest.raises(X2StaticError, match="000003: no masked contexts here; `x2static cache masked` on the cache"):
        masked_means(Cache.open(tmp_path / "grown").shards(), ["the"])
    assert read(tmp_path / "grown", min_count=1)["units_read"] == 3
    whole = rows_of(tmp_path / "whole")
    words = sorted({word for word, _, _ in whole})
    expected = masked_means(Cache.open(tmp_path / "whole").shards(), words)
    assert expected[1].max() == 3
    for name in ("grown", "merged"):
        assert len(rows_of(tmp_path / name)) > len(whole), "what was read before stays"
        means, counts = masked_means(Cache.open(tmp_path / name).shards(), words, 3)
        assert (counts == expected[1]).all()
        np.testing.assert_allclose(means, expected[0], atol=2e-3)


def test_encode_reads_them_at_its_end_and_says_where_it_cannot(readers, tmp_path, capsys):
    corpus, teacher = write_lines(tmp_path / "t.txt", paragraphs(30)), readers("bert").teacher.folder
    config = config_of(teacher, corpus, tmp_path / "cache", unit=8)
    options = [*as_options(config), "--no-word-states", "--masked", "2"]
    assert cli.run(options) == 0
    rows = rows_of(config.cache)
    assert rows.keys() == plainly_chosen(config.cache, 2, 0, 10)
    assert cli.run(options) == 0
    capsys.readouterr()
    assert cli.run(["cache", "info", str(config.cache)]) == 0
    assert "masked, of 4 shards" in capsys.readouterr().out
    assert cli.run([*options, "--part", "1/2"]) == 1
    assert "of a --part are not those of the corpus; merge the parts, then run" in capsys.readouterr().err
    paper = ["--compat", "paper", "--min-sentences", "0", "--min-characters", "0"]
    assert cli.run([*options, "--cache", str(tmp_path / "paper"), *paper]) == 1
    assert "masked contexts do not go with --compat paper" in capsys.readouterr().err


@pytest.fixture(scope="module")
def cache(readers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with word states and masked contexts."""
    folder = tmp_path_factory.mktemp("masked")
    corpus = write_lines(folder / "t.txt", paragraphs(30))
    encode(config_of(readers("bert").teacher.folder, corpus, folder / "cache", unit=12), pools=[WordStates()])
    read(folder / "cache", most=6)
    return folder / "cache"


def wish(cache: Path, out: Path, **changes: object) -> TrainConfig:
    return TrainConfig.model_validate({"cache": cache, "out": out, "min_count": 2, "device": "cpu", **changes})


def of_words(cache: Path) -> dict[str, list[Vector]]:
    found = defaultdict(list)
    for (word, _, _), row in rows_of(cache).items():
        found[word].append(row.astype(np.float64))
    return found


def test_their_means_are_a_view_beside_own_states(cache, tmp_path):
    plain = {"objective": "views", "phrases": 0, "components": 0, "neighbours": 0, "sif": 0}
    train(wish(cache, tmp_path / "own", **plain))
    train(wish(cache, tmp_path / "run", **plain, masked=0.6))
    own, vectors = (WordVectors.load(tmp_path / name) for name in ("own", "run"))
    found = of_words(cache)
    assert sorted(found) == sorted(vectors.words)
    means = np.array([np.mean(found[word], axis=0) for word in vectors.words])
    centred = means - np.concatenate([found[word] for word in vectors.words]).mean(0)
    together = own.matrix + 0.6 * centred / np.linalg.norm(centred, axis=1, keepdims=True)
    expected = together / np.linalg.norm(together, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors.matrix, expected, atol=1e-5)
    assert not np.allclose(vectors.matrix, own.matrix, atol=0.01)


def test_the_closed_form_of_them_is_the_formula(cache, tmp_path):
    train(wish(cache, tmp_path / "run", contexts="masked", objective="closed-form", transform="none"))
    vectors, found = WordVectors.load(tmp_path / "run"), of_words(cache)
    assert dict(zip(vectors.words, vectors.counts, strict=True)) == {word: len(rows) for word, rows in found.items()}
    contexts = np.concatenate([found[word] for word in vectors.words])
    means = np.array([np.mean(found[word], axis=0) for word in vectors.words]) - contexts.mean(0)
    expected = np.linalg.solve(shrunk_covariance(contexts), means.T).T
    np.testing.assert_allclose(vectors.matrix, expected, atol=1e-3 * np.abs(expected).max())


def test_negative_sampling_learns_each_pair_once_an_epoch(cache, tmp_path):
    config = wish(cache, tmp_path / "run", contexts="masked", transform="none", phrases=0, epochs=2, batch_size=16)
    stream = Opened.by(config).stream(CPU)
    words, read_once = stream.vocabulary.words.to_pylist(), []
    for _, batch, _ in stream.batches(Position(0), 1):
        assert batch.context_of.tolist() == list(range(len(batch.contexts)))
        read_once += zip(map(words.__getitem__, batch.words), map(bytes, batch.contexts.numpy()), strict=True)
    assert Counter(read_once) == Counter((word, bytes(row)) for (word, _, _), row in rows_of(cache).items())
    figures = train(config)
    assert figures["targets"] == 2 * len(read_once), "subsampling keeps all"
    assert np.isfinite(WordVectors.load(config.out).matrix).all()


def test_other_masked_contexts_are_another_run_and_what_lacks_is_named(cache, tmp_path):
    copy, out = Path(shutil.copytree(cache, tmp_path / "cache")), tmp_path / "run"
    settings = {"contexts": "masked", "objective": "closed-form"}
    train(wish(copy, out, **settings))
    assert train(wish(copy, out, **settings))["finished_before"]
    for pool in copy.glob("shards/*/masked"):
        shutil.rmtree(pool)
    for changes in (settings, {"objective": "views", "phrases": 0, "masked": 0.5}):
        with pytest.raises(X2StaticError, match="000000: no masked contexts here; `x2static cache masked` on the"):
            train(wish(copy, tmp_path / "other", **changes))
    read(copy, most=2)
    with pytest.raises(X2StaticError, match=r"other settings \(.*masked_contexts: "):
        train(wish(copy, out, **settings))


def test_text_that_is_cut_otherwise_is_not_read(readers, tmp_path, monkeypatch):
    run(readers("bert").teacher.folder, write_lines(tmp_path / "t.txt", paragraphs(4)), tmp_path / "cache")
    prepare = DefaultPreparer.prepare
    monkeypatch.setattr(
        DefaultPreparer, "prepare", lambda self, texts, _: prepare(self, [*texts[:-1], f"{texts[-1]} So."])
    )
    with pytest.raises(X2StaticError, match="000000: its text is cut otherwise here than when it was written"):
        read(tmp_path / "cache")
