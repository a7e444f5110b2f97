"""Tables of scores, as plain text."""

from pathlib import Path

from evaluation.differences import Difference, Differences
from evaluation.intervals import Interval
from evaluation.word_similarity import Score, average
from pipeline.grid import grid, number


def similarity_table(results: dict[str, list[Score]]) -> str:
    """Return a table of word-similarity scores: a row a task, a column (score, coverage) a set of vectors."""
    tasks = [score.task for score in next(iter(results.values()))]
    columns = [[_cell(score) for score in scores] + [number(average(scores))] for scores in results.values()]
    intervals = any(score.interval for scores in results.values() for score in scores)
    note = f"Spearman's rho{' [95 % interval]' if intervals else ''} (pairs covered/total)"
    return grid([*tasks, "average"], dict(zip(results, columns, strict=True))) + "\n" + note


def difference_table(first: str, results: dict[str, Differences]) -> str:
    """Return a table of paired differences: a row a task, a column a set of vectors, minus the first set.

    Args:
        first: name of the set of vectors that the others are compared with.
        results: by the names of the others.
    """
    rows = [difference.task for difference in next(iter(results.values())).tasks]
    columns = [
        [_difference_cell(difference) for difference in [*differences.tasks, differences.average]]
        for differences in results.values()
    ]
    note = (
        f"Spearman's rho minus that of {first}, on the same pairs [95 % interval] (pairs covered/total); "
        "* where 0 is outside the interval"
    )
    return grid([*rows, "average"], dict(zip(results, columns, strict=True))) + "\n" + note


def short_names(folders: list[Path]) -> dict[str, Path]:
    """Return folders by a name for each: the end of its path that tells it from the others, the shortest."""
    return {_shortest(folder, [other for other in folders if other != folder]): folder for folder in folders}


def _shortest(folder: Path, others: list[Path]) -> str:
    for length in range(1, len(folder.parts)):
        tail = folder.parts[-length:]
        if all(other.parts[-length:] != tail for other in others):
            return str(Path(*tail))
    return str(folder)


def _cell(score: Score) -> str:
    return f"{number(score.score):<6}{_interval(score.interval)} ({score.covered}/{score.total})"


def _difference_cell(difference: Difference) -> str:
    shown = "none" if difference.difference is None else f"{difference.difference:+.3f}"
    star = "*" if difference.is_clear else " "
    return f"{shown}{star}{_interval(difference.interval)} ({difference.covered}/{difference.total})"


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]"
