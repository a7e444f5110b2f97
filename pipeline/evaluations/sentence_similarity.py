"""Sentence similarity: averaged vectors, plain and with SIF weights."""

from typing import Any

from x2static.evaluation.sentence_similarity import (
    average,
    evaluate_sentence_similarity,
    find_sentence_pairs,
    read_sentence_pairs,
)
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import score_table
from x2static.report.table import figure
from x2static.schemas.vectors import WordVectors

NOTE = "Spearman's rho, Pearson's r (sentence pairs covered/total)"


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Score averages of sets of word vectors; of the configuration, `data` is used. `score` is rho of plain averages.

    Raises X2StaticError: the data is not there or cannot be read, scipy is missing, or nothing is covered.
    """
    for path in find_sentence_pairs(config.data):
        read_sentence_pairs(path)
    scores = for_each(vectors, lambda _, one: evaluate_sentence_similarity(one, config.data))
    rows = [f"{score.task}, {kind}" for score in next(iter(scores.values())) for kind in ("mean", "SIF")]
    columns: dict[str, list[str]] = {}
    figures: dict[str, dict[str, Any]] = {}
    for name, of_one in scores.items():
        tasks = {}
        columns[name] = []
        for score in of_one:
            for kind in (score.mean, score.sif):
                rho, r = kind or (None, None)
                columns[name].append(f"{figure(rho):<6} {figure(r):<6} ({score.covered}/{score.total})")
            tasks[score.task] = {
                "score": score.mean and score.mean.spearman,
                "pearson": score.mean and score.mean.pearson,
                "sif": score.sif and score.sif._asdict(),
                "covered": score.covered,
                "total": score.total,
            }
        figures[name] = {"tasks": tasks, "average": average(of_one)}
    return Results([score_table(rows, columns, NOTE)], figures)
