"""Retrieval: do averaged word vectors find the documents of a query? nDCG@10 and recall@100, on data in BEIR's layout.

Thakur, Reimers, Rücklé, Srivastava & Gurevych, BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information
Retrieval Models, 2021. The measures are trec_eval's own.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import RETRIEVAL, find_files, numbered_lines
from x2static.evaluation.measures import Score, unit
from x2static.evaluation.sentence_similarity import SIF_A, words_of
from x2static.machine.packages import require_modules
from x2static.schemas.vectors import WordVectors, sif_weights

logger = logging.getLogger(__name__)

QUERIES, JUDGMENTS = "queries.jsonl", Path("qrels", "test.tsv")  # beside corpus.jsonl
MEASURES = NDCG, RECALL = "ndcg_cut_10", "recall_100"  # as trec_eval calls them
DEPTH = 100  # documents that are found for a query: no measure looks further down
QUERIES_AT_ONCE = 64  # whose cosines to all documents are held


@dataclass(frozen=True)
class Collection:
    """Documents, queries, and which documents people found relevant."""

    documents: dict[str, str]  # title and text by id
    queries: dict[str, str]  # text by id; those with a relevant document alone
    judgments: dict[str, dict[str, int]]  # of each of these queries, how relevant a document is, by its id


def read_collections(data: Path | None) -> dict[str, Collection]:
    """Return the collections in a folder, by the names of their folders. Raises X2StaticError: none, or damaged."""
    return {file.resolve().parent.name: read_collection(file) for file in find_files(RETRIEVAL, data)}


def read_collection(corpus: Path) -> Collection:
    """Read `corpus.jsonl` and what is beside it.

    Raises X2StaticError: a file is missing, a line is not of BEIR's layout, an id is there twice or unknown, or no
    query has a relevant document.
    """
    for name in (QUERIES, JUDGMENTS):
        if not (corpus.parent / name).is_file():
            raise X2StaticError(f"{corpus.parent / name}: no such file; --data takes {RETRIEVAL.expected}")
    documents, queries = _read_texts(corpus), _read_texts(corpus.parent / QUERIES)
    judgments: dict[str, dict[str, int]] = {}
    # The first line is a head, query-id<TAB>corpus-id<TAB>score.
    for where, line in numbered_lines(corpus.parent / JUDGMENTS)[1:]:
        columns = line.split("\t")
        if len(columns) != 3:
            raise X2StaticError(f"{where}: expected query-id<TAB>corpus-id<TAB>score, got {len(columns)} columns")
        query, document, score = columns
        for name, known, file in ((query, queries, QUERIES), (document, documents, corpus.name)):
            if name not in known:
                raise X2StaticError(f"{where}: {name!r} is no id of {file}; mend or remove the line")
        try:
            judgments.setdefault(query, {})[document] = int(score)
        except ValueError as error:
            raise X2StaticError(f"{where}: the score {score!r} is no whole number; mend or remove the line") from error
    judgments = {query: scores for query, scores in judgments.items() if max(scores.values()) > 0}
    if not judgments:
        raise X2StaticError(f"{corpus.parent / JUDGMENTS}: no query has a document with a score above 0")
    return Collection(documents, {query: queries[query] for query in judgments}, judgments)


def _read_texts(file: Path) -> dict[str, str]:
    """Return title and text of each JSON line, by its `_id`."""
    texts: dict[str, str] = {}
    for where, line in numbered_lines(file):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise X2StaticError(f"{where}: no JSON ({error}); mend or remove the line") from error
        row = row if isinstance(row, dict) else {}
        name, title, text = (row.get(key, "") for key in ("_id", "title", "text"))
        if not name or not all(isinstance(value, str) for value in (name, title, text)) or "text" not in row:
            wanted = 'an object with the strings "_id", "text" and perhaps "title"'
            raise X2StaticError(f"{where}: expected {wanted}; mend or remove the line")
        if name in texts:
            raise X2StaticError(f"{where}: the id {name!r} is there twice; remove one of the lines")
        texts[name] = f"{title} {text}".strip()
    return texts


@dataclass(frozen=True)
class Found:
    """How well documents are found, means over all queries, 0 to 1."""

    ndcg: float  # nDCG@10
    recall: float  # recall@100


@dataclass(frozen=True)
class RetrievalScore(Score):
    """nDCG@10 of averaged vectors on one collection, over all queries; `covered` have a known word."""

    recall: float | None  # recall@100 of the same; None where the score is
    sif: Found | None  # of weighted ones; None where undefined or without counts


def score_retrieval(vectors: WordVectors, task: str, collection: Collection) -> RetrievalScore:
    """Score averaged word vectors: documents and queries are means of their known words, compared by cosine.

    A query without a known word finds nothing, and counts as 0. With SIF a word weighs a / (a + its share); no
    component is taken out, which would be one of the collection. Text is cut as training cut it or, where the vectors
    came without rules for that, lower-cased and at white space.
    """
    texts, queries = list(collection.documents.values()), list(collection.queries.values())
    of_queries = encode(vectors, queries)
    covered = int(of_queries.any(axis=1).sum())
    if not covered:
        logger.warning("%s: no score, no query has a known word", task)
        return RetrievalScore(task, None, 0, len(queries), None, None)
    plain, sif = found(collection, encode(vectors, texts), of_queries), None
    if vectors.counts.any():
        weights = sif_weights(vectors.counts, SIF_A).astype(np.float32)
        weighted = replace(vectors, matrix=vectors.matrix * weights[:, None])
        sif = found(collection, encode(weighted, texts), encode(weighted, queries))
    else:
        logger.warning("%s: no SIF score, the vectors come without counts of their words", task)
    return RetrievalScore(task, plain.ndcg, covered, len(queries), plain.recall, sif)


def score_encoder(
    of_texts: Callable[[list[str]], npt.NDArray[Any]], task: str, collection: Collection
) -> RetrievalScore:
    """Score what gives one vector a text, (n, dim); it knows every text."""
    texts, queries = list(collection.documents.values()), list(collection.queries.values())
    whole = found(collection, of_texts(texts), of_texts(queries))
    return RetrievalScore(task, whole.ndcg, len(queries), len(queries), whole.recall, None)


def encode(vectors: WordVectors, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the mean of the known words of each text, (n, dim); zeros where none is known."""
    return np.array([vectors.mean(words_of(vectors, text)) for text in texts])


def found(collection: Collection, documents: npt.NDArray[Any], queries: npt.NDArray[Any]) -> Found:
    """Score vectors of all documents, (n_documents, dim), and queries, (n_queries, dim), in the collection's order.

    Of the nearest by cosine. What is zeros is not found, and finds nothing.
    """
    require_modules("evaluate", "pytrec_eval")
    import pytrec_eval  # an extra

    judge = pytrec_eval.RelevanceEvaluator(collection.judgments, {"ndcg_cut.10", "recall.100"})
    rows = np.flatnonzero(documents.any(axis=1))
    names = np.array(list(collection.documents), object)[rows]
    units, identities = unit(documents[rows]), list(collection.queries)
    scores: dict[str, list[float]] = {measure: [] for measure in MEASURES}
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        here = queries[start : start + QUERIES_AT_ONCE]
        cosines = unit(here) @ units.T
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :DEPTH]
        run = {
            identities[start + row]: dict(zip(names[nearest], cosines[row, nearest].tolist(), strict=True))
            for row, nearest in enumerate(best)
            if here[row].any()
        }
        judged = judge.evaluate(run)
        for identity in identities[start : start + len(here)]:
            for measure in MEASURES:
                scores[measure].append(judged.get(identity, {}).get(measure, 0.0))
    return Found(*(float(np.mean(scores[measure])) for measure in MEASURES))
