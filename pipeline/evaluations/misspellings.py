"""Misspellings: the share whose nearest frequent word is the one that was meant."""

from x2static.evaluation.measures import MIN_PAIRS, figures_of, score_all
from x2static.evaluation.misspellings import CANDIDATES, read_misspellings, score_misspellings
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import marked, score_table
from x2static.schemas.vectors import WordVectors

NOTE = (
    f"share whose nearest of the {CANDIDATES:,} most frequent words is the meant one (misspellings with a vector/total)"
)


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Look for the meant words with sets of word vectors; `score` is the share that is found."""
    sets = read_misspellings(config.data, list(vectors.values()), config.seed)
    scores = for_each(vectors, lambda _, one: score_all(one, sets, score_misspellings, "misspellings"))
    columns = {
        name: [f"{marked(score):<6} ({score.covered}/{score.total})" for score in of_one]
        for name, of_one in scores.items()
    }
    figures = {name: figures_of(of_one) for name, of_one in scores.items()}
    return Results([score_table(list(sets), columns, NOTE, few=f"{MIN_PAIRS} misspellings")], figures)
