"""Word similarity: scores, with --common over the pairs that all cover, with --intervals as sure as they are."""

from typing import Any

from x2static.evaluation.intervals import Bootstrap, Interval
from x2static.evaluation.word_similarity import (
    Difference,
    Differences,
    Score,
    average,
    evaluate_word_similarity,
    paired_differences,
    read_datasets,
    score_together,
    whole_sets,
)
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import over_some, score_table
from x2static.report.table import Table, figure
from x2static.schemas.vectors import WordVectors


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Score sets of word vectors and, where intervals are wanted, compare each with the first.

    Raises X2StaticError: the data cannot be read, scipy is missing, or nothing is covered.
    """
    bootstrap = Bootstrap(config.resamples, config.seed) if config.resamples else None
    if config.common:
        scores = score_together(vectors, config.data, bootstrap)
    else:
        read_datasets(config.data)
        scores = for_each(vectors, lambda _, one: evaluate_word_similarity(one, config.data, bootstrap))
    tables = [similarity_table(scores)]
    differences: dict[str, Differences] = {}
    if bootstrap and len(vectors) > 1:
        differences = paired_differences(vectors, config.data, bootstrap, config.common)
        tables.append(difference_table(next(iter(vectors)), differences))
    figures = {name: _figures(of_one, differences.get(name), bootstrap is not None) for name, of_one in scores.items()}
    return Results(tables, figures)


def similarity_table(scores: dict[str, list[Score]]) -> Table:
    """Return a table of word-similarity scores: a row a task, a column (score, coverage) a set of vectors."""
    tasks = [score.task for score in next(iter(scores.values()))]
    columns = {}
    for name, of_one in scores.items():
        cells = [f"{figure(one.score):<6}{_ends(one.interval)} ({one.covered}/{one.total})" for one in of_one]
        counting = _counting({score.task: score.score for score in of_one})
        columns[name] = [*cells, over_some(figure(average(of_one)), *counting)]
    intervals = any(score.interval for of_one in scores.values() for score in of_one)
    note = f"Spearman's rho{' [95 % interval]' if intervals else ''} (pairs covered/total){_about_parts(tasks)}"
    return score_table([*tasks, "average"], columns, note)


def difference_table(first: str, differences: dict[str, Differences]) -> Table:
    """Return a table of paired differences: a row a task, a column a set of vectors, minus the first set.

    Args:
        first: name of the set of vectors that the others are compared with.
        differences: by the names of the others.
    """
    tasks = [difference.task for difference in next(iter(differences.values())).tasks]
    columns = {}
    for name, of_one in differences.items():
        *cells, mean = [_difference_cell(difference) for difference in (*of_one.tasks, of_one.average)]
        counting = _counting({difference.task: difference.difference for difference in of_one.tasks})
        columns[name] = [*cells, over_some(mean, *counting)]
    note = (
        f"Spearman's rho minus that of {first}, on the same pairs [95 % interval] (pairs covered/total); "
        f"* where 0 is outside the interval{_about_parts(tasks)}"
    )
    return score_table([*tasks, "average"], columns, note)


def _difference_cell(one: Difference) -> str:
    star = "*" if one.is_clear else " "
    return f"{figure(one.difference, signed=True)}{star}{_ends(one.interval)} ({one.covered}/{one.total})"


def _ends(interval: Interval | None) -> str:
    return "" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]"


def _counting(scores: dict[str, float | None]) -> tuple[int, int]:
    """Return how many tasks count in an average, and how many would if all had a score."""
    whole = whole_sets(scores)
    return sum(scores[task] is not None for task in whole), len(whole)


def _about_parts(tasks: list[str]) -> str:
    parts = [task for task in tasks if task not in whole_sets(tasks)]
    return f"; the average is without parts of other sets: {', '.join(parts)}" if parts else ""


def _figures(scores: list[Score], differences: Differences | None, intervals: bool) -> dict[str, Any]:
    tasks: dict[str, Any] = {}
    for score in scores:
        tasks[score.task] = {"score": score.score, "covered": score.covered, "total": score.total}
        if intervals:
            tasks[score.task]["interval"] = score.interval
    figures: dict[str, Any] = {"tasks": tasks, "average": average(scores)}
    if differences is not None:
        figures["differences"] = {
            "tasks": {difference.task: _difference(difference) for difference in differences.tasks},
            "average": _difference(differences.average),
        }
    return figures


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "difference": difference.difference,
        "interval": difference.interval,
        "clear": difference.is_clear,
        "covered": difference.covered,
        "total": difference.total,
    }
