"""Sentence similarity: averaged vectors, plain and with SIF weights."""

from x2static.evaluation.measures import MIN_PAIRS, figures_of, score_all
from x2static.evaluation.sentence_similarity import SentenceScore, read_all, score_sentences
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import Pair, averages_table
from x2static.schemas.vectors import WordVectors

NOTE = "Spearman's rho, Pearson's r (sentence pairs covered/total)"


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Score averages of sets of word vectors; `score` is rho of plain averages."""
    datasets = read_all(config.data)
    scores = for_each(vectors, lambda _, one: score_all(one, datasets, score_sentences, "sentence pairs"))
    figures = {name: figures_of(of_one) for name, of_one in scores.items()}
    return Results([averages_table(list(datasets), scores, _measures, NOTE, f"{MIN_PAIRS} pairs")], figures)


def _measures(score: SentenceScore) -> tuple[Pair, Pair]:
    return (score.score, score.pearson), (score.sif.spearman, score.sif.pearson) if score.sif else (None, None)
