"""Word translation: the share of words whose nearest word of another language is a translation."""

from x2static.evaluation.measures import MIN_PAIRS, figures_of, score_all
from x2static.evaluation.translation import read_dictionaries, score_translation
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import marked, score_table
from x2static.report.table import figure
from x2static.schemas.vectors import WordVectors

NOTE = "precision at 1 and 5 by CSLS; the same by cosine (words covered/total)"


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Translate words with sets of word vectors of several languages; `score` is the precision at 1 by CSLS."""
    dictionaries = read_dictionaries(config.data)
    scores = for_each(vectors, lambda _, one: score_all(one, dictionaries, score_translation, "words"))
    columns = {
        name: [
            f"{marked(one):<5} {figure(one.at_5):<5}; {figure(one.cosine_at_1)} {figure(one.cosine_at_5)} "
            f"({one.covered}/{one.total})"
            for one in of_one
        ]
        for name, of_one in scores.items()
    }
    figures = {name: figures_of(of_one) for name, of_one in scores.items()}
    return Results([score_table(list(dictionaries), columns, NOTE, few=f"{MIN_PAIRS} words")], figures)
