"""Retrieval agrees with nDCG and recall by their definitions, and data that is not BEIR's layout is refused."""

import json
from math import log2
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.made import WORDS, cosine, random_vectors
from x2static.durable.errors import X2StaticError
from x2static.evaluation.retrieval import Collection, read_collections, score_retrieval
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.segmentation import default_words


def write_collection(folder: Path, collection: Collection, **files: str) -> Path:
    """Write a collection in BEIR's layout; `files` are what others hold instead, by corpus, queries or qrels."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    rows = {"corpus": collection.documents, "queries": collection.queries}
    texts = {
        name: "".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in of_one.items())
        for name, of_one in rows.items()
    }
    lines = [f"{q}\t{d}\t{score}\n" for q, of_one in collection.judgments.items() for d, score in of_one.items()]
    texts["qrels"] = "".join(["query-id\tcorpus-id\tscore\n", *lines])
    texts |= files
    for name, path in {"corpus": "corpus.jsonl", "queries": "queries.jsonl", "qrels": "qrels/test.tsv"}.items():
        (folder / path).write_text(texts[name], encoding="utf-8")
    return folder


def random_collection(documents: int = 150, queries: int = 12) -> Collection:
    draw = np.random.default_rng(0)

    def texts(kind: str, n: int) -> dict[str, str]:
        return {f"{kind}{i}": " ".join(draw.choice([*WORDS, "x"], draw.integers(1, 9))) for i in range(n)}

    judged = {f"q{i}": {f"d{j}": int(draw.integers(0, 4)) for j in draw.choice(documents, 20)} for i in range(queries)}
    return Collection(texts("d", documents) | {"dx": "x x"}, texts("q", queries) | {"q0": "x"}, judged)


def naive(vectors: WordVectors, collection: Collection, sif: bool) -> tuple[float, float]:
    """The scores, a query and a document at a time."""
    total = float(vectors.counts.sum())

    def mean(text: str) -> np.ndarray:
        rows = [vectors.index[word] for word in text.split() if word in vectors.index]
        weights = 1e-3 / (1e-3 + vectors.counts[rows] / total) if sif else np.ones(len(rows))
        return weights @ vectors.matrix[rows].astype(float) if rows else np.zeros(vectors.dim)

    documents = {name: mean(text) for name, text in collection.documents.items()}
    pairs = WordVectors(["one", "two"], np.zeros((2, vectors.dim), np.float32), np.ones(2, np.int64))
    ndcg, recall = [], []
    for query, judged in collection.judgments.items():
        first, near = mean(collection.queries[query]), {}
        for name, second in documents.items():
            if first.any() and second.any():
                pairs.matrix[:] = first, second
                near[name] = cosine(pairs, "one", "two")
        ranked = sorted(near, key=near.__getitem__, reverse=True)
        gains = [judged.get(name, 0) / log2(place + 2) for place, name in enumerate(ranked[:10])]
        best = [score / log2(place + 2) for place, score in enumerate(sorted(judged.values(), reverse=True)[:10])]
        relevant = {name for name, score in judged.items() if score}
        ndcg.append(sum(gains) / sum(best))
        recall.append(len(relevant & set(ranked[:100])) / len(relevant))
    return float(np.mean(ndcg)), float(np.mean(recall))


def test_both_measures_are_those_of_a_plain_computation_and_a_query_without_a_known_word_counts_as_0():
    vectors, collection = random_vectors(), random_collection()
    score = score_retrieval(vectors, "t", collection)
    assert (score.score, score.recall) == pytest.approx(naive(vectors, collection, sif=False), abs=1e-6)
    assert (score.sif.ndcg, score.sif.recall) == pytest.approx(naive(vectors, collection, sif=True), abs=1e-6)
    assert (score.covered, score.total) == (11, 12)


def test_text_is_cut_as_training_cut_it_or_else_lower_cased_at_white_space():
    plain = random_vectors(["cat", "mat", ".", "cat."])
    ruled = WordVectors(plain.words, plain.matrix, plain.counts, default_words())
    judged = {"q": {"1": 1}}
    written = Collection({"1": "Cat.", "2": "mat cat. mat"}, {"q": "cat."}, judged)
    spaced = Collection({"1": "cat .", "2": "mat cat . mat"}, {"q": "cat ."}, judged)
    assert score_retrieval(ruled, "t", written) == score_retrieval(plain, "t", spaced)


def test_a_collection_is_read_with_titles_and_without_queries_that_nobody_judged(tmp_path):
    corpus = '{"_id": "1", "title": "A", "text": "b c"}\n{"_id": "2", "title": "", "text": "d", "metadata": {}}\n'
    queries = '{"_id": "q", "text": "e"}\n{"_id": "r", "text": "f"}\n{"_id": "s", "text": "g"}\n'
    qrels = "query-id\tcorpus-id\tscore\nq\t2\t1\nq\t1\t0\ns\t1\t0\n"
    write_collection(
        tmp_path / "retrieval" / "own", Collection({}, {}, {}), corpus=corpus, queries=queries, qrels=qrels
    )
    expected = Collection({"1": "A b c", "2": "d"}, {"q": "e"}, {"q": {"2": 1, "1": 0}})
    for data in (tmp_path, tmp_path / "retrieval", tmp_path / "retrieval/own", tmp_path / "retrieval/own/corpus.jsonl"):
        assert read_collections(data) == {"own": expected}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("corpus", '{"_id": "1", "text": "a"}\n{"_id": "2", ', r"corpus.jsonl, line 2: no JSON"),
        ("corpus", "[" * 100_000, r"corpus.jsonl, line 1: no JSON"),
        ("corpus", '["1", "a"]', r'corpus.jsonl, line 1: expected an object with the strings "_id", "text"'),
        ("corpus", '{"_id": 1, "text": "a"}', r"corpus.jsonl, line 1: expected an object"),
        ("corpus", '{"_id": "1", "title": "a"}', r"corpus.jsonl, line 1: expected an object"),
        ("corpus", '{"_id": "1", "text": "a"}\n' * 2, r"corpus.jsonl, line 2: the id '1' is there twice"),
        ("queries", '{"_id": "q", "text": null}', r"queries.jsonl, line 1: expected an object"),
        ("qrels", "query-id\tcorpus-id\tscore\nq\t3\t1\n", r"test.tsv, line 2: '3' is no id of corpus.jsonl"),
        ("qrels", "query-id\tcorpus-id\tscore\nr\t1\t1\n", r"test.tsv, line 2: 'r' is no id of queries.jsonl"),
        ("qrels", "query-id\tcorpus-id\tscore\nq 1 1\n", r"test.tsv, line 2: expected .*, got 1 columns"),
        ("qrels", "query-id\tcorpus-id\tscore\nq\t1\tyes\n", r"test.tsv, line 2: the score 'yes' is no whole number"),
        ("qrels", "query-id\tcorpus-id\tscore\nq\t1\t0\n", r"test.tsv: no query has a document with a score above 0"),
    ],
)
def test_what_is_not_beirs_layout_is_refused_with_its_line(tmp_path, file, text, message):
    write_collection(tmp_path, Collection({"1": "a"}, {"q": "b"}, {"q": {"1": 1}}), **{file: text})
    with pytest.raises(X2StaticError, match=message):
        read_collections(tmp_path)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_file_that_is_missing_is_named(tmp_path, name):
    write_collection(tmp_path, Collection({"1": "a"}, {"q": "b"}, {"q": {"1": 1}}))
    (tmp_path / name).unlink()
    with pytest.raises(X2StaticError, match="corpus.jsonl" if name == "corpus.jsonl" else f"{name}: no such file"):
        read_collections(tmp_path)
