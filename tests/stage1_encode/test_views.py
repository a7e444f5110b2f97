"""Views: own states and carrier phrases put together, against a plain computation, and what is said where one lacks."""

import json
import logging
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.stage1_encode.runs import config_of, killed_at_second_block, paragraphs, write_lines
from tests.stage2_train.caches import bags_and_contexts, shrunk_covariance
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import read_sealed
from x2static.machine.progress import silent
from x2static.pipeline import cli
from x2static.schemas.cache import Cache
from x2static.schemas.phrases import open_blocks
from x2static.schemas.training import YOUNGER, TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.schemas.word_states import NAME, pool_of, word_means
from x2static.stage1_encode import phrases
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.phrases import carrier_phrases, counted_words, read_phrases
from x2static.stage1_encode.plan.origin import Origin, find_teacher
from x2static.stage1_encode.pools.word_states import LayerStates, WordStates
from x2static.stage2_train import regression
from x2static.stage2_train.objectives import views
from x2static.stage2_train.trainer import train

POOLS = [WordStates(), LayerStates(0), LayerStates(1)]
HERE = Origin(None, (), "cpu", False)


@pytest.fixture(scope="module")
def cache(readers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with word states, whose words are read in phrases."""
    folder = tmp_path_factory.mktemp("views")
    corpus = write_lines(folder / "t.txt", paragraphs(40))
    encode(config_of(readers("bert").teacher.folder, corpus, folder / "cache", unit=15), pools=POOLS)
    read_phrases(Cache.open(folder / "cache"), HERE, 2)
    return folder / "cache"


def wish(cache: Path, out: Path, **changes: object) -> TrainConfig:
    return TrainConfig.model_validate({"cache": cache, "out": out, "objective": "views", "min_count": 2, **changes})


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


def plainly(
    cache: Path,
    vectors: WordVectors,
    weight: float,
    components: int,
    n: int,
    pull: float,
    others: np.ndarray | float = 0,
    pools: tuple = (NAME,),
) -> np.ndarray:
    """The same in numpy, a word at a time, by singular vectors instead of the covariance's; `others` are added."""
    words, of_layers = vectors.words, 0.0
    for pool in pools:
        means, _ = word_means(Cache.open(cache).shards(), words, pool)
        centred = means.astype(np.float64) - np.average(means, axis=0, weights=vectors.counts)
        axes = np.linalg.svd(centred, full_matrices=False)[2][:components]
        of_layers = of_layers + unit(centred - centred @ axes.T @ axes)
    a = unit(of_layers)
    read = {}
    for block in open_blocks(cache):
        read.update(zip(block.words(), block.vectors().astype(np.float64), strict=True))
    of_phrases = np.array([read[word] for word in words])
    t = unit(sum(unit(of_phrases[:, p] - of_phrases[:, p].mean(0)) for p in range(of_phrases.shape[1])))
    v = unit(a + weight * t + others)
    if not n:
        return v
    result = []
    for number in range(len(v)):
        cosines = v @ v[number]
        cosines[number] = -np.inf
        nearest = np.argsort(-cosines)[:n]
        shares = np.exp(cosines[nearest] / 0.05)
        result.append(v[number] + pull * (shares / shares.sum()) @ v[nearest])
    return unit(np.array(result))


@pytest.mark.parametrize(
    ("weight", "components", "n", "pull"), [(0.75, 3, 10, 0.5), (2.0, 0, 3, 1.5), (0.75, 1, 0, 0.5)]
)
def test_the_vectors_are_those_of_a_plain_computation(cache, tmp_path, monkeypatch, weight, components, n, pull):
    monkeypatch.setattr(views, "ROWS_AT_ONCE", 7)
    settings = {"phrases": weight, "components": components, "neighbours": n, "neighbour_weight": pull}
    figures = train(wish(cache, tmp_path / "run", **settings))
    vectors = WordVectors.load(tmp_path / "run")
    assert (figures["steps"], figures["loss"]) == (0, None)
    np.testing.assert_allclose(unit(vectors.matrix), plainly(cache, vectors, weight, components, n, pull), atol=2e-5)
    lengths = np.linalg.norm(vectors.matrix, axis=1)
    np.testing.assert_allclose(lengths, 1e-3 / (1e-3 + vectors.counts / vectors.counts.sum()), rtol=1e-4)


def test_regression_and_closed_form_are_further_views(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(regression, "STEPS", 100)
    train(wish(cache, tmp_path / "run", neighbours=0, sif=0, regression=0.7, closed_form=0.4))
    vectors = WordVectors.load(tmp_path / "run")
    bags, contexts = bags_and_contexts(cache, vectors.words)
    x, centred = bags / bags.sum(1, keepdims=True), contexts - contexts.mean(0)
    r = np.linalg.solve(x.T @ x + regression.RIDGE * np.eye(len(vectors.words)), x.T @ centred)
    of_targets = np.repeat(contexts, bags.sum(1), axis=0)
    values, axes = np.linalg.eigh(shrunk_covariance(of_targets))
    differences = bags.T @ contexts / bags.sum(0)[:, None] - of_targets.mean(0)
    c = differences @ (axes / np.sqrt(values)) @ axes.T
    right = plainly(cache, vectors, 1.0, 3, 0, 0, 0.7 * unit(r) + 0.4 * unit(c))
    np.testing.assert_allclose(vectors.matrix, right, atol=1e-3)


@pytest.mark.parametrize(
    ("layers", "pools"), [("0", (pool_of(0),)), ("last+0", (NAME, pool_of(0))), ("1, 0", (pool_of(0), pool_of(1)))]
)
def test_own_states_of_layers_are_added_up_as_unit_vectors(cache, tmp_path, layers, pools):
    train(wish(cache, tmp_path / "run", state_layers=layers, components=1, phrases=0.75, neighbours=0))
    vectors = WordVectors.load(tmp_path / "run")
    np.testing.assert_allclose(unit(vectors.matrix), plainly(cache, vectors, 0.75, 1, 0, 0.0, pools=pools), atol=2e-5)


def test_the_layer_of_the_cache_is_no_other_run_and_runs_know_of_layers_where_views_count(cache, tmp_path):
    recorded = {}
    for name, changes in {
        "default": {},
        "others": {"state_layers": "last,0"},
        "training": {"state_layers": "0", "objective": "negative-sampling", "phrases": 0},
        "closed": {"state_layers": "0", "objective": "closed-form"},
    }.items():
        train(wish(cache, tmp_path / name, **changes))
        recorded[name] = read_sealed(tmp_path / name / "settings.json").get("state_layers")
    assert recorded == {"default": None, "others": "0+last", "training": "0", "closed": None}
    assert not {*YOUNGER} & {*read_sealed(tmp_path / "default" / "settings.json")}, "as runs of before have none"
    assert train(wish(cache, tmp_path / "default", state_layers="last"))["finished_before"]
    assert train(wish(cache, tmp_path / "others", state_layers="0+last+0"))["finished_before"]
    with pytest.raises(X2StaticError, match=r"other settings \(state_layers: None there, '1' here\)"):
        train(wish(cache, tmp_path / "default", state_layers="1"))


def test_layers_that_a_cache_lacks_are_named_with_those_that_it_has(cache, readers, tmp_path):
    with pytest.raises(
        X2StaticError,
        match="no own states of layer 2, 7 here, there are those of last, 0, 1; the `x2static encode` that made it, "
        "with --state-layers 2,7, adds them",
    ):
        train(wish(cache, tmp_path / "run", state_layers="2+0+7+last"))
    corpus = write_lines(tmp_path / "t.txt", paragraphs(9))
    encode(config_of(readers("bert").teacher.folder, corpus, tmp_path / "bare"))
    with pytest.raises(X2StaticError, match="no own states of layer last here, there are none; "):
        train(wish(tmp_path / "bare", tmp_path / "run", state_layers="last", objective="negative-sampling"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(X2StaticError, match=r"no word states of layer 0 here; .* with --state-layers 0, adds them"):
        word_means(Cache.open(tmp_path / "bare").shards(), ["the"], pool_of(0))


def test_own_states_alone_are_the_mean_of_ase(cache, tmp_path):
    train(wish(cache, tmp_path / "run", phrases=0, components=0, neighbours=0, sif=0))
    vectors = WordVectors.load(tmp_path / "run")
    means, _ = word_means(Cache.open(cache).shards(), vectors.words)
    centre = np.average(means, axis=0, weights=vectors.counts)
    np.testing.assert_allclose(vectors.matrix, unit(means - centre), atol=1e-5)


def test_only_frequent_words_are_neighbours(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(views, "AMONG", 5)
    train(wish(cache, tmp_path / "a", neighbours=0, sif=0))
    train(wish(cache, tmp_path / "b", neighbours=10, neighbour_weight=1e6, sif=0))
    before, after = (WordVectors.load(tmp_path / name).matrix for name in "ab")
    for row in range(len(before)):  # all that is left is the mean of the others among the five
        shares = np.linalg.lstsq(before[[one for one in range(5) if one != row]].T, after[row], rcond=None)
        assert shares[1].sum() < 1e-6
        assert (shares[0] > -1e-4).all()


def test_phrases_are_what_the_teacher_says_of_each_phrase_alone(cache, readers):
    reader = readers("bert")
    import torch

    assert carrier_phrases("en")[0] == "a definition of {}"
    assert carrier_phrases("cy") == carrier_phrases("neutral")
    block = next(iter(open_blocks(cache)))
    for word, rows in list(zip(block.words(), block.vectors(), strict=True))[:4]:
        for phrase, row in zip(carrier_phrases("en"), rows, strict=True):
            ids = reader.plain.encode(phrase.replace("{}", word), add_special_tokens=False).ids
            with torch.no_grad():
                read = torch.tensor([[*reader.teacher.begin, *ids, *reader.teacher.end]])
                right = reader.model(input_ids=read).last_hidden_state[0].double().mean(0).numpy()
            np.testing.assert_allclose(row, right, atol=np.abs(right).max() / 100 + 5e-3)


def test_phrases_go_on_after_a_kill_and_read_only_new_words(cache, readers, tmp_path, monkeypatch):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(40))
    encode(config_of(readers("bert").teacher.folder, corpus, tmp_path / "cache", unit=15))
    opened = Cache.open(tmp_path / "cache")
    monkeypatch.setattr(phrases, "WORDS_AT_ONCE", 20)
    with killed_at_second_block(monkeypatch):
        read_phrases(opened, HERE, 2)
    figures = read_phrases(opened, HERE, 2, silent)
    assert figures["words"] - figures["words_read"] == 20
    assert read_phrases(opened, HERE, 2)["words_read"] == 0
    assert read_phrases(opened, HERE, 1)["words_read"] == len(counted_words(opened, 1)) - figures["words"]
    found = {
        word: rows
        for block in open_blocks(opened.path)
        for word, rows in zip(block.words(), block.vectors(), strict=True)
    }
    for block in open_blocks(cache):
        for word, rows in zip(block.words(), block.vectors(), strict=True):
            np.testing.assert_allclose(found[word], rows, atol=np.abs(rows).max() / 100)


def test_a_finished_run_says_that_more_words_are_read_by_now(cache, tmp_path, caplog):
    copy = Path(shutil.copytree(cache, tmp_path / "cache"))
    for objective in ("views", "negative-sampling", "sentence"):
        train(wish(copy, tmp_path / objective, objective=objective))
        assert train(wish(copy, tmp_path / objective, objective=objective))["finished_before"]
    assert "give another --out" not in caplog.text
    assert read_phrases(Cache.open(copy), HERE, 1)["words_read"]
    for objective in ("views", "negative-sampling", "sentence"):
        caplog.clear()
        assert train(wish(copy, tmp_path / objective, objective=objective))["finished_before"]
        assert "words that the teacher had read alone, the cache has" in caplog.text
        assert "give another --out" in caplog.text


def test_what_lacks_is_named_with_its_command(cache, readers, tmp_path, capsys):
    corpus = write_lines(tmp_path / "t.txt", paragraphs(9))
    encode(config_of(readers("bert").teacher.folder, corpus, tmp_path / "bare"))
    with pytest.raises(X2StaticError, match="no word states here; the `x2static encode` that made it, with --w"):
        train(wish(tmp_path / "bare", tmp_path / "run"))
    encode(config_of(readers("bert").teacher.folder, corpus, tmp_path / "bare"), pools=[WordStates()])
    with pytest.raises(X2StaticError, match=r"run `x2static cache phrases .*bare`, or give --phrases 0"):
        train(wish(tmp_path / "bare", tmp_path / "run"))
    assert cli.run(["cache", "phrases", str(tmp_path / "bare"), "--min-count", "2", "--device", "cpu"]) == 0
    assert "words read in 2 phrases" in capsys.readouterr().out
    train(wish(tmp_path / "bare", tmp_path / "run"))
    file = next((tmp_path / "bare" / "phrases").glob("*.arrow"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(X2StaticError, match=r"000000\.arrow: has changed since it was written"):
        train(wish(tmp_path / "bare", tmp_path / "other"))


def test_phrases_go_with_a_cache_into_others_and_damage_is_named_and_mended(cache, tmp_path, capsys):
    copy = tmp_path / "copy"
    assert cli.run(["cache", "sample", str(cache), "--first", "2", "--out", str(copy), "--copy"]) == 0
    assert cli.run(["cache", "merge", str(copy), "--out", str(tmp_path / "merged")]) == 0
    for made in (copy, tmp_path / "merged"):
        assert [block.words() for block in open_blocks(made)] == [block.words() for block in open_blocks(cache)]
    capsys.readouterr()
    for name, damage in (("000000.arrow", b"x"), ("000000.json", b"{}"), ("000000.json", b"x")):
        file = copy / "phrases" / name
        file.write_bytes(damage)
        assert cli.run(["cache", "verify", str(copy)]) == 1
        assert name in capsys.readouterr().out
        with pytest.raises(X2StaticError, match=name):
            train(wish(copy, tmp_path / "run"))
        assert cli.run(["cache", "phrases", str(copy), "--min-count", "2", "--device", "cpu"]) == 0
        assert cli.run(["cache", "verify", str(copy)]) == 0
    capsys.readouterr()
    assert cli.run(["cache", "info", str(copy)]) == 0
    assert "phrases     " in capsys.readouterr().out


def test_what_would_be_passed_over_is_refused(cache, tmp_path):
    with pytest.raises(X2StaticError, match="--dim 3: views has the dimensions of the teacher's states; leave it out"):
        train(wish(cache, tmp_path / "run", dim=3))
    dim = Cache.open(cache).manifest.encoding.dim
    with pytest.raises(X2StaticError, match=f"--components {dim}: the states have but {dim} dimensions"):
        train(wish(cache, tmp_path / "run", components=dim))


def test_blocks_of_other_phrases_are_passed_over(cache, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(cache, copy)
    for block in open_blocks(copy):
        block.file.unlink()
        block.file.with_suffix(".json").unlink()
    monkeypatch.setattr(phrases, "carrier_phrases", lambda language: ("the word {}", "{} means", "{}"))
    read_phrases(Cache.open(copy), HERE, 2)
    monkeypatch.undo()
    assert read_phrases(Cache.open(copy), HERE, 2)["words_read"] == len(counted_words(Cache.open(copy), 2))
    for name, where in (("whole", cache), ("mixed", copy)):
        train(wish(where, tmp_path / name))
    ours, theirs = (WordVectors.load(tmp_path / name).matrix for name in ("whole", "mixed"))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_one_word_has_a_vector_and_no_neighbour(cache, tmp_path, caplog):
    (tmp_path / "words.txt").write_text("the\n")
    train(wish(cache, tmp_path / "run", vocab=tmp_path / "words.txt"))
    assert WordVectors.load(tmp_path / "run").words == ["the"]


def test_words_without_states_of_their_own_are_counted(cache, tmp_path, caplog, monkeypatch):
    def without(shards, words, pool):
        means, counts = word_means(shards, words, pool)
        means[:3], counts[:3] = 0, 0
        return means, counts

    monkeypatch.setattr(views, "word_means", without)
    train(wish(cache, tmp_path / "run"))
    assert "3 of " in caplog.text
    assert "words have no states of their own" in caplog.text
    assert np.linalg.norm(WordVectors.load(tmp_path / "run").matrix[:3], axis=1).min() > 0, "the phrases have them"


def listed(tmp_path: Path, opened: Cache) -> tuple[Path, list[tuple[str, ...]]]:
    """A list of two pairs that occur often, of letters, and one with a word that nobody has."""
    pairs = Counter[tuple[str, ...]]()
    for shard in opened.shards():
        words = shard.lexicon()["word"].to_pylist()
        for ids in shard.words()["word_ids"].to_pylist():
            pairs.update(pairwise([words[i] for i in ids]))
    common = [pair for pair, _ in pairs.most_common() if pair[0] != pair[1] and "".join(pair).isalpha()][:2]
    (tmp_path / "list.txt").write_text("\n".join([*(" ".join(pair).title() for pair in common), "nobody has"]))
    return tmp_path / "list.txt", common


def test_several_words_as_one_are_made_of_their_words_until_they_are_read(cache, tmp_path, capsys, caplog):
    copy = Path(shutil.copytree(cache, tmp_path / "copy"))
    file, entries = listed(tmp_path, Cache.open(copy))
    settings = {"components": 0, "neighbours": 0, "sif": 0, "multiword": file}
    train(wish(copy, tmp_path / "own", phrases=0, **settings))
    vectors = WordVectors.load(tmp_path / "own")
    names = [word if word not in {"_".join(e) for e in entries} else tuple(word.split("_")) for word in vectors.words]
    spoken = sorted({word for name in names for word in (name if isinstance(name, tuple) else [name])})
    means, _ = word_means(Cache.open(copy).shards(), spoken)
    of_word = dict(zip(spoken, means, strict=True))
    own = np.array(
        [
            np.mean([of_word[word] for word in name], axis=0) if isinstance(name, tuple) else of_word[name]
            for name in names
        ]
    )
    assert sum(isinstance(name, tuple) for name in names) == 2
    np.testing.assert_allclose(vectors.matrix, unit(own - np.average(own, axis=0, weights=vectors.counts)), atol=1e-5)

    def of_phrases() -> np.ndarray:
        read = {}
        for block in open_blocks(copy):
            read.update(zip(block.words(), block.vectors().astype(np.float64), strict=True))
        spelt = [" ".join(name) if isinstance(name, tuple) else name for name in names]
        some = np.array(
            [read[word] if word in read else np.mean([read[part] for part in word.split()], axis=0) for word in spelt]
        )
        return unit(sum(unit(some[:, p] - some[:, p].mean(0)) for p in range(some.shape[1])))

    with caplog.at_level(logging.INFO):
        train(wish(copy, tmp_path / "composed", **settings))
    assert "in phrases, 2 of 2 entries of several words are put together of their words" in caplog.text
    expected = unit(vectors.matrix + of_phrases())
    np.testing.assert_allclose(WordVectors.load(tmp_path / "composed").matrix, expected, atol=1e-5)

    before, caplog.records[:] = of_phrases(), []
    command = ["cache", "phrases", str(copy), "--min-count", "2", "--device", "cpu", "--multiword", str(file), "--json"]
    assert cli.run(command) == 0
    ran = capsys.readouterr()
    assert "list.txt: 1 of 3 entries hold a word that the corpus does not have (nobody has)" in ran.err + caplog.text
    assert json.loads(ran.out)["words_read"] == 2
    assert cli.run(command) == 0
    assert json.loads(capsys.readouterr().out)["words_read"] == 0
    assert np.abs(of_phrases() - before).max() > 0.01
    train(wish(copy, tmp_path / "read", **settings))
    expected = unit(vectors.matrix + of_phrases())
    np.testing.assert_allclose(WordVectors.load(tmp_path / "read").matrix, expected, atol=1e-5)
    train(wish(copy, tmp_path / "single", components=0, neighbours=0, sif=0))  # they are in nobody else's way
    train(wish(cache, tmp_path / "before", components=0, neighbours=0, sif=0))
    assert WordVectors.load(tmp_path / "single") == WordVectors.load(tmp_path / "before")
    train(wish(copy, tmp_path / "begun", objective="negative-sampling", multiword=file, epochs=1))
    assert "_".join(entries[0]) in WordVectors.load(tmp_path / "begun").index


def test_an_entry_is_read_as_it_is_spelt(cache, tmp_path):
    copy = Path(shutil.copytree(cache, tmp_path / "copy"))
    word = next(word for word in counted_words(Cache.open(copy), 2) if word.isalpha())
    (tmp_path / "list.txt").write_text(f"{word.title()}.\n")
    assert read_phrases(Cache.open(copy), HERE, 2, multiword=tmp_path / "list.txt")["words_read"] == 1
    block = list(open_blocks(copy))[-1]
    assert block.words() == [f"{word} ."]
    encoder = find_teacher(Cache.open(copy), Cache.open(copy).plans()[0], HERE)
    expected = phrases.in_phrases(encoder, [f"{word}."], carrier_phrases("en"))
    np.testing.assert_allclose(block.vectors(), expected, atol=np.abs(expected).max() / 100)
