"""Sentence similarity: averaged vectors, plain and with SIF weights."""

from x2static.evaluation.measures import MIN_PAIRS, figures_of, score_all
from x2static.evaluation.sentence_similarity import read_all, score_sentences
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import FEW, score_table
from x2static.report.table import figure
from x2static.schemas.vectors import WordVectors

NOTE = "Spearman's rho, Pearson's r (sentence pairs covered/total)"


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Score averages of sets of word vectors; `score` is rho of plain averages."""
    datasets = read_all(config.data)
    scores = for_each(vectors, lambda _, one: score_all(one, datasets, score_sentences, "sentence pairs"))
    columns: dict[str, list[str]] = {}
    for name, of_one in scores.items():
        columns[name] = []
        for score in of_one:
            sif = (score.sif.spearman, score.sif.pearson) if score.sif else (None, None)
            for rho, r in ((score.score, score.pearson), sif):
                mark = FEW if score.too_few and rho is not None else ""
                columns[name].append(f"{figure(rho) + mark:<6} {figure(r):<6} ({score.covered}/{score.total})")
    heads = [f"{task}, {kind}" for task in datasets for kind in ("mean", "SIF")]
    figures = {name: figures_of(of_one) for name, of_one in scores.items()}
    return Results([score_table(heads, columns, NOTE, few=f"{MIN_PAIRS} pairs")], figures)
