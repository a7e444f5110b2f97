"""The tables of averaged vectors, and methods of ours that need views: which there are, and what they say."""

import csv
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.test_retrieval import write_collection
from tests.pipeline.compare.conftest import write_pairs
from tests.stage1_encode.runs import config_of, paragraphs, write_lines
from tests.teachers import make_teacher
from x2static.evaluation.files import Pair
from x2static.evaluation.retrieval import Collection, score_retrieval
from x2static.evaluation.sentence_similarity import score_sentences
from x2static.evaluation.word_similarity import evaluate_word_similarity
from x2static.pipeline.compare import scores
from x2static.schemas.cache import Cache
from x2static.schemas.subwords import SUBWORDS
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.phrases import read_phrases
from x2static.stage1_encode.plan.origin import Origin
from x2static.stage1_encode.pools.word_states import WordStates
from x2static.stage2_train.subwords import fit_subwords


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny teacher, a text, and its cache of four units with all views."""
    folder = tmp_path_factory.mktemp("texts")
    teacher = make_teacher(folder / "teacher", "bert", 512)
    text = write_lines(folder / "text.txt", paragraphs(16))
    encode(config_of(teacher.folder, text, folder / "cache", unit=4), pools=[WordStates()])
    read_phrases(Cache.open(folder / "cache"), Origin(None, (), "cpu", False), 2)
    return folder


def texts_of(cache: Path, data: Path) -> tuple[list[Pair], Collection]:
    """Write sentence pairs, twice, and a collection of the cache's words, beside pairs of its words."""
    words = Cache.open(cache).shard(0).lexicon()["word"].to_pylist()[:12]
    write_pairs(data, words)
    texts = [f"{one} {other} absent" for one, other in zip(words, [*words[3:], *words[:3]], strict=True)]
    pairs = [Pair(one, other, float(i * 7 % 11)) for i, (one, other) in enumerate(pairwise(texts))]
    (data / "sentence-similarity").mkdir()
    for name in ("s-test", "s-dev"):
        lines = "".join("\t".join(map(str, pair)) + "\n" for pair in pairs)
        (data / "sentence-similarity" / f"{name}.tsv").write_text(lines)
    judged = {f"q{i}": {f"d{i}": 1} for i in range(len(texts))}
    queries = {f"q{i}": words[i] for i in range(len(texts))}
    collection = Collection({f"d{i}": text for i, text in enumerate(texts)}, queries, judged)
    write_collection(data / "retrieval" / "own", collection)
    return pairs, collection


def test_sentences_and_retrieval_have_tables_with_ours_model2vec_and_the_teacher_and_are_scored_once(
    encoded, tmp_path, compare, monkeypatch
):
    out, data = tmp_path / "out", tmp_path / "data"
    pairs, collection = texts_of(encoded / "cache", data)
    command = ["--cache", encoded / "cache", "--out", out, "--data", data, "--baselines", "model2vec", "--seeds", "1"]
    command += ["--only", "sentences", "--only", "retrieval", "--min-count", "2", "--device", "cpu", "--json"]
    ran = compare(*command)
    assert ran.status == 0, ran.err
    assert set(ran.json["tables"]) == {"sentences", "retrieval"}
    labels = ["X2Static", "X2Static, closed form (deterministic)", "X2Static, views (deterministic)"]
    labels += [
        "X2Static, for sentences",
        "X2Static, paper's settings",
        "Model2Vec (deterministic)",
        "the teacher itself",
    ]
    tables = ran.json["tables"]
    assert list(tables["sentences"]) == list(tables["retrieval"]) == labels

    views = WordVectors.load(out / "vectors" / "views")
    sentences, retrieval = score_sentences(views, "s", pairs), score_retrieval(views, "own", collection)
    of_views = {name: table["X2Static, views (deterministic)"] for name, table in tables.items()}
    assert of_views["sentences"]["s-test"] == of_views["sentences"]["s-dev"] == sentences.score
    assert of_views["sentences"]["s-test, SIF"] == sentences.sif.spearman
    assert "average" not in of_views["sentences"]  # over but one set: the other is one on which settings are chosen
    assert of_views["retrieval"]["own nDCG@10"] == retrieval.score
    assert of_views["retrieval"]["own recall@100, SIF"] == retrieval.sif.recall
    teacher = tables["retrieval"]["the teacher itself"]
    assert teacher["own nDCG@10"] is not None
    assert teacher["own nDCG@10, SIF"] is None
    page = (out / "compare.md").read_text()
    assert "has the best s-dev" not in page
    assert "has the best own nDCG@10" in page

    monkeypatch.setattr(scores, "score_all", None)  # nothing is scored again
    monkeypatch.setattr("x2static.baselines.teacher.TeacherSentences.of_cache", None)
    again = compare(*command)
    assert (again.status, again.json["tables"]) == (0, tables)


def test_views_are_drawn_at_every_size_of_the_curve(encoded, tmp_path, compare):
    texts_of(encoded / "cache", tmp_path / "data")
    command = ["--cache", encoded / "cache", "--out", tmp_path / "out", "--data", tmp_path / "data", "--sizes", "2"]
    command += ["--baselines", "none", "--seeds", "1", "--min-count", "2", "--only", "figure1", "--device", "cpu"]
    ran = compare(*command)
    assert ran.status == 0, ran.err
    rows = csv.DictReader((tmp_path / "out" / "compare.csv").read_text().splitlines())
    points = {row["row"] for row in rows if row["table"] == "figure1"}
    labels = ("X2Static", "X2Static, closed form", "X2Static, views")
    assert points == {f"{units} units, {label}" for units in (2, 4) for label in labels}


def test_unknown_words_have_a_table_by_subwords_that_are_fitted_or_the_methods_own(encoded, tmp_path, compare):
    out, data, words = tmp_path / "out", tmp_path / "data", Cache.open(encoded / "cache").shard(0).lexicon()["word"]
    known = [word for word in words.to_pylist() if len(word) > 3][:10]
    pairs = [f"{word}\t{other}s\t{i * 7 % 11}\n" for i, (word, other) in enumerate(pairwise(known * 10))]
    (data / "wordsim").mkdir(parents=True)
    (data / "wordsim" / "simlex999.tsv").write_text("".join(pairs))
    command = ["--cache", encoded / "cache", "--out", out, "--data", data, "--baselines", "fasttext", "--seeds", "2"]
    command += ["--only", "unknown", "--min-count", "2", "--threads", "1", "--device", "cpu", "--json"]
    ran = compare(*command)
    assert ran.status == 0, ran.err
    table = ran.json["tables"]["unknown"]
    assert "X2Static, views (deterministic)" in table
    views = WordVectors.load(out / "vectors" / "views")
    expected = {"X2Static, views (deterministic)": replace(views, subwords=fit_subwords(views))}
    expected["fastText"] = WordVectors.load(out / "vectors" / "fasttext", "subwords")
    for label, vectors in expected.items():
        [score] = evaluate_word_similarity(vectors, data)
        assert score.covered > 30  # of these pairs, one word or both are in no vocabulary
        assert table[label]["SL-999"] == table[label]["average"] == score.score
        assert "misspellings" in table[label]
        assert table[label]["pairs covered"] == score.covered / score.total  # misspellings are no pairs
    assert not (out / "vectors" / "views" / SUBWORDS).exists()
    assert compare(*command).json["tables"]["unknown"] == table


def test_words_that_share_no_ngrams_have_no_scores_of_unknown_words_and_the_comparison_goes_on(tmp_path, compare):
    for seed in (1, 2):
        matrix = np.random.default_rng(seed).normal(size=(40, 8)).astype(np.float32)
        words = [chr(0x4E00 + i) for i in range(40)]
        WordVectors(words, matrix, np.ones(40, np.int64)).save(tmp_path / f"run{seed}")
    write_pairs(tmp_path / "data", words)
    command = (tmp_path / "run1", tmp_path / "run2", "--out", tmp_path / "out", "--data", tmp_path / "data")
    ran = compare(*command, "--baselines", "none")
    assert ran.status == 0, ran.err
    assert "run1: no scores of unknown words, no two of the 40 words share an n-gram" in ran.err


def test_a_cache_without_views_is_compared_without_what_needs_them_and_the_page_says_so(cache, data, tmp_path, compare):
    command = ["--cache", cache, "--out", tmp_path / "out", "--data", data, "--baselines", "none", "--min-count", "5"]
    ran = compare(*command, "--seeds", "1", "--only", "table3")
    assert ran.status == 0, ran.err
    assert "left out: X2Static, views, X2Static, for sentences; the cache has no word states; " in ran.err
    assert not (tmp_path / "out" / "vectors" / "views").exists()
    assert "the cache has no word states; " in (tmp_path / "out" / "compare.md").read_text()


@pytest.mark.parametrize("part", ["sentences", "retrieval"])
def test_a_part_that_is_asked_for_without_its_data_is_refused(part, cache, data, tmp_path, compare):
    ran = compare("--cache", cache, "--out", tmp_path / "out", "--data", data, "--only", part)
    assert ran.status == 1
    assert f"{part} needs --data, a folder with a folder " in ran.err
