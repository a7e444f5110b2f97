"""Word similarity: scores, with --common over the pairs that all cover, with --intervals as sure as they are."""

from collections.abc import Callable
from typing import Any

from x2static.evaluation import word_similarity
from x2static.evaluation.draws import Draws
from x2static.evaluation.measures import MIN_PAIRS, figures_of
from x2static.evaluation.word_similarity import SimilarityScore
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import marked, over_some, score_table
from x2static.report.table import Table
from x2static.schemas.vectors import WordVectors

Scores = dict[str, list[SimilarityScore]]  # of each set of vectors, by its name


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Score sets of word vectors and, where intervals are wanted, compare each with the first."""
    draws = Draws(config.resamples, config.seed) if config.resamples else None
    if config.common:
        scores = word_similarity.score_together(vectors, config.data, draws)
    else:
        word_similarity.read_datasets(config.data)
        scores = for_each(vectors, lambda _, one: word_similarity.evaluate_word_similarity(one, config.data, draws))
    tables, figures = [similarity_table(scores)], {}
    for name, of_one in scores.items():
        figures[name] = figures_of(of_one) | {"average": word_similarity.average(of_one)}
        if draws is None:
            for of_task in figures[name]["tasks"].values():
                del of_task["interval"]
    if draws and len(vectors) > 1:
        differences = word_similarity.paired_differences(vectors, config.data, draws, config.common)
        tables.append(difference_table(next(iter(vectors)), differences))
        for name, of_name in differences.items():
            *tasks, mean = of_name
            of_tasks = {one.task: _difference(one) for one in tasks}
            figures[name]["differences"] = {"tasks": of_tasks, "average": _difference(mean)}
    return Results(tables, figures)


def similarity_table(scores: Scores) -> Table:
    """Return a table of word-similarity scores: a row a task, a column (score, coverage) a set of vectors."""
    means = {name: SimilarityScore("average", word_similarity.average(of_one), 0, 0) for name, of_one in scores.items()}
    intervals = any(score.interval for of_one in scores.values() for score in of_one)
    note = f"Spearman's rho{' [95 % interval]' if intervals else ''} (pairs covered/total)"
    rows = {name: [*of_one, means[name]] for name, of_one in scores.items()}
    return _table(rows, lambda one: f"{marked(one):<6}", note)


def difference_table(first: str, differences: Scores) -> Table:
    """Return a table of paired differences: a row a task, a column a set of vectors, minus the first set, by name."""
    note = (
        f"Spearman's rho minus that of {first}, on the same pairs [95 % interval] (pairs covered/total); "
        "* where 0 is outside the interval"
    )
    return _table(differences, lambda one: f"{marked(one, signed=True)}{'*' if one.is_clear else ' '}", note)


def _table(scores: Scores, text: Callable[[SimilarityScore], str], note: str) -> Table:
    """Return a table of scores, the last of each set of which is the average."""
    columns = {}
    for name, of_one in scores.items():
        cells = []
        for one in of_one:
            ends = f" [{one.interval.low:.3f}, {one.interval.high:.3f}]" if one.interval else ""
            coverage = f" ({one.covered}/{one.total})" if one.total or one.task != "average" else ""
            cells.append(f"{text(one)}{ends}{coverage}".rstrip())
        heads = [one.task for one in of_one]
        whole = word_similarity.whole_sets(heads[:-1])
        counting = sum(one.score is not None and not one.too_few for one in of_one if one.task in whole)
        columns[name] = [*cells[:-1], over_some(cells[-1], counting, len(whole))]
    if parts := [task for task in heads[:-1] if task not in whole]:
        note += f"; the average is without parts of other sets: {', '.join(parts)}"
    return score_table(heads, columns, note, few=f"{MIN_PAIRS} pairs")


def _difference(one: SimilarityScore) -> dict[str, Any]:
    coverage = {"covered": one.covered, "total": one.total, "too_few": one.too_few}
    return {"difference": one.score, "interval": one.interval, "clear": one.is_clear, **coverage}
