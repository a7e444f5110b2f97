"""Retrieval: documents found by averaged vectors, plain and with SIF weights."""

from x2static.evaluation.measures import MIN_PAIRS, figures_of, score_all
from x2static.evaluation.retrieval import RetrievalScore, read_collections, score_retrieval
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import Pair, averages_table
from x2static.schemas.vectors import WordVectors

NOTE = "nDCG@10, recall@100 (queries with a known word/total; the others count as 0)"


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Find documents by sets of word vectors; `score` is nDCG@10 of plain averages."""
    collections = read_collections(config.data)
    scores = for_each(vectors, lambda _, one: score_all(one, collections, score_retrieval, "queries"))
    figures = {name: figures_of(of_one) for name, of_one in scores.items()}
    return Results([averages_table(list(collections), scores, _measures, NOTE, f"{MIN_PAIRS} queries")], figures)


def _measures(score: RetrievalScore) -> tuple[Pair, Pair]:
    return (score.score, score.recall), (score.sif.ndcg, score.sif.recall) if score.sif else (None, None)
