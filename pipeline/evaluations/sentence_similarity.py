"""Sentence similarity: averaged vectors, plain and with SIF weights."""

from dataclasses import asdict
from typing import Any

from x2static.evaluation.sentence_pairs import find_sentence_pairs, read_sentence_pairs
from x2static.evaluation.sentence_similarity import Correlation, SentenceScore, average, evaluate_sentence_similarity
from x2static.pipeline.evaluations.asked import Asked, Evaluated
from x2static.pipeline.evaluations.each import for_each
from x2static.report.grid import grid, number
from x2static.schemas.vectors import WordVectors

NOTE = "Spearman's rho, Pearson's r (sentence pairs covered/total)"


def run(vectors: dict[str, WordVectors], asked: Asked) -> Evaluated:
    """Score averages of sets of word vectors; `asked.data` is used.

    Raises:
        X2StaticError: the data is not there or cannot be read, scipy is missing, or nothing is covered.
    """
    for path in find_sentence_pairs(asked.data):
        read_sentence_pairs(path)
    scores = for_each(vectors, lambda _, one: evaluate_sentence_similarity(one, asked.data))
    rows = [f"{score.task}, {kind}" for score in next(iter(scores.values())) for kind in ("mean", "SIF")]
    columns = {
        name: [_cell(score, kind) for score in of_one for kind in (score.mean, score.sif)]
        for name, of_one in scores.items()
    }
    return Evaluated(
        f"{grid(rows, columns)}\n{NOTE}",
        {name: _figures(of_one) for name, of_one in scores.items()},
    )


def _cell(score: SentenceScore, kind: Correlation | None) -> str:
    rho, r = (None, None) if kind is None else (kind.spearman, kind.pearson)
    return f"{number(rho):<6} {number(r):<6} ({score.covered}/{score.total})"


def _figures(scores: list[SentenceScore]) -> dict[str, Any]:
    """Return the figures of a set of vectors; `score` is Spearman's rho of plain averages."""
    return {
        "tasks": {
            score.task: {
                "score": score.mean and score.mean.spearman,
                "pearson": score.mean and score.mean.pearson,
                "sif": score.sif and asdict(score.sif),
                "covered": score.covered,
                "total": score.total,
            }
            for score in scores
        },
        "average": average(scores),
    }
