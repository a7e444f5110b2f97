"""Word similarity: scores, with --common over the pairs that all cover, with --intervals as sure as they are."""

from typing import Any

from x2static.evaluation.differences import Difference, Differences, paired_differences
from x2static.evaluation.intervals import Bootstrap
from x2static.evaluation.word_similarity import Score, average, evaluate_word_similarity, read_datasets, score_together
from x2static.pipeline.evaluations.asked import Asked, Evaluated
from x2static.pipeline.evaluations.each import for_each
from x2static.pipeline.tables import difference_table, similarity_table
from x2static.schemas.vectors import WordVectors


def run(vectors: dict[str, WordVectors], asked: Asked) -> Evaluated:
    """Score sets of word vectors and, where intervals are asked for, compare each with the first.

    Raises:
        X2StaticError: the data cannot be read, scipy is missing, or nothing is covered.
    """
    bootstrap = Bootstrap(asked.resamples, asked.seed) if asked.resamples else None
    if asked.common:
        scores = score_together(vectors, asked.data, bootstrap)
    else:
        read_datasets(asked.data)
        scores = for_each(vectors, lambda _, one: evaluate_word_similarity(one, asked.data, bootstrap))
    tables = [similarity_table(scores)]
    differences: dict[str, Differences] = {}
    if bootstrap and len(vectors) > 1:
        differences = paired_differences(vectors, asked.data, bootstrap, asked.common)
        tables.append(difference_table(next(iter(vectors)), differences))
    figures = {name: _figures(of_one, differences.get(name), bootstrap is not None) for name, of_one in scores.items()}
    return Evaluated("\n\n".join(tables), figures)


def _figures(scores: list[Score], differences: Differences | None, intervals: bool) -> dict[str, Any]:
    tasks = {score.task: _score(score) | ({"interval": score.interval} if intervals else {}) for score in scores}
    figures: dict[str, Any] = {"tasks": tasks, "average": average(scores)}
    if differences is not None:
        figures["differences"] = {
            "tasks": {difference.task: _difference(difference) for difference in differences.tasks},
            "average": _difference(differences.average),
        }
    return figures


def _score(score: Score) -> dict[str, Any]:
    return {"score": score.score, "covered": score.covered, "total": score.total}


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "difference": difference.difference,
        "interval": difference.interval,
        "clear": difference.is_clear,
        "covered": difference.covered,
        "total": difference.total,
    }
