"""Retrieval: documents found by averaged vectors, plain and with SIF weights."""

from x2static.evaluation.measures import MIN_PAIRS, figures_of, score_all
from x2static.evaluation.retrieval import read_collections, score_retrieval
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import FEW, score_table
from x2static.report.table import figure
from x2static.schemas.vectors import WordVectors

NOTE = "nDCG@10, recall@100 (queries with a known word/total; the others count as 0)"


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Find documents by sets of word vectors; `score` is nDCG@10 of plain averages."""
    collections = read_collections(config.data)
    scores = for_each(vectors, lambda _, one: score_all(one, collections, score_retrieval, "queries"))
    columns: dict[str, list[str]] = {}
    for name, of_one in scores.items():
        columns[name] = []
        for score in of_one:
            sif = (score.sif.ndcg, score.sif.recall) if score.sif else (None, None)
            for ndcg, recall in ((score.score, score.recall), sif):
                mark = FEW if score.too_few and ndcg is not None else ""
                columns[name].append(f"{figure(ndcg) + mark:<6} {figure(recall):<6} ({score.covered}/{score.total})")
    heads = [f"{task}, {kind}" for task in collections for kind in ("mean", "SIF")]
    figures = {name: figures_of(of_one) for name, of_one in scores.items()}
    return Results([score_table(heads, columns, NOTE, few=f"{MIN_PAIRS} queries")], figures)
