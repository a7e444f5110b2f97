"""Tables of scores, as plain text."""

from pathlib import Path

from x2static.evaluation.differences import Difference, Differences
from x2static.evaluation.intervals import Interval
from x2static.evaluation.word_similarity import Score, average, whole_sets
from x2static.report.grid import grid, number


def similarity_table(results: dict[str, list[Score]]) -> str:
    """Return a table of word-similarity scores: a row a task, a column (score, coverage) a set of vectors."""
    tasks = [score.task for score in next(iter(results.values()))]
    columns = [
        [_cell(score) for score in scores]
        + [over_some(number(average(scores)), *_counting({score.task: score.score for score in scores}))]
        for scores in results.values()
    ]
    intervals = any(score.interval for scores in results.values() for score in scores)
    note = f"Spearman's rho{' [95 % interval]' if intervals else ''} (pairs covered/total){_about_parts(tasks)}"
    return grid([*tasks, "average"], dict(zip(results, columns, strict=True))) + "\n" + note


def difference_table(first: str, results: dict[str, Differences]) -> str:
    """Return a table of paired differences: a row a task, a column a set of vectors, minus the first set.

    Args:
        first: name of the set of vectors that the others are compared with.
        results: by the names of the others.
    """
    rows = [difference.task for difference in next(iter(results.values())).tasks]
    columns = [
        [
            *map(_difference_cell, differences.tasks),
            over_some(
                _difference_cell(differences.average),
                *_counting({difference.task: difference.difference for difference in differences.tasks}),
            ),
        ]
        for differences in results.values()
    ]
    note = (
        f"Spearman's rho minus that of {first}, on the same pairs [95 % interval] (pairs covered/total); "
        f"* where 0 is outside the interval{_about_parts(rows)}"
    )
    return grid([*rows, "average"], dict(zip(results, columns, strict=True))) + "\n" + note


def over_some(cell: str, counting: int, tasks: int) -> str:
    """Return the cell of an average, which says so where it is over fewer than all tasks: others may be over more."""
    return cell if counting in (0, tasks) else f"{cell} over {counting} of {tasks}"


def short_names(folders: list[Path]) -> dict[str, Path]:
    """Return folders by a name for each: the end of its path that tells it from the others, the shortest."""
    return {_shortest(folder, [other for other in folders if other != folder]): folder for folder in folders}


def _shortest(folder: Path, others: list[Path]) -> str:
    for length in range(1, len(folder.parts)):
        tail = folder.parts[-length:]
        if all(other.parts[-length:] != tail for other in others):
            return str(Path(*tail))
    return str(folder)


def _counting(scores: dict[str, float | None]) -> tuple[int, int]:
    """Return how many tasks count in an average, and how many would if all had a score."""
    whole = whole_sets(scores)
    return sum(scores[task] is not None for task in whole), len(whole)


def _about_parts(tasks: list[str]) -> str:
    parts = [task for task in tasks if task not in whole_sets(tasks)]
    return f"; the average is without parts of other sets: {', '.join(parts)}" if parts else ""


def _cell(score: Score) -> str:
    return f"{number(score.score):<6}{_interval(score.interval)} ({score.covered}/{score.total})"


def _difference_cell(difference: Difference) -> str:
    shown = "none" if difference.difference is None else f"{difference.difference:+.3f}"
    star = "*" if difference.is_clear else " "
    return f"{shown}{star}{_interval(difference.interval)} ({difference.covered}/{difference.total})"


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]"
