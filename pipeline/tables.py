"""Tables of scores, as plain text."""

from evaluation.word_similarity import Score, average


def similarity_table(results: dict[str, list[Score]]) -> str:
    """Return a table of word-similarity scores: a row a task, a column pair (score, coverage) a set of vectors."""
    names = list(results)
    tasks = [score.task for score in results[names[0]]]
    width = max(len(task) for task in [*tasks, "average"])
    lines = [f"{'':{width}}  " + "  ".join(f"{_short(name):>18}" for name in names)]
    for row, task in enumerate(tasks):
        cells = [_cell(results[name][row]) for name in names]
        lines.append(f"{task:{width}}  " + "  ".join(f"{cell:>18}" for cell in cells))
    means = [average(results[name]) for name in names]
    lines.append(f"{'average':{width}}  " + "  ".join(f"{_number(mean):<6}{'':12}" for mean in means).rstrip())
    lines.append("Spearman's rho (pairs covered/total)")
    return "\n".join(lines)


def _cell(score: Score) -> str:
    return f"{_number(score.score):<6} ({score.covered}/{score.total})"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _short(name: str) -> str:
    return name if len(name) <= 18 else "..." + name[-15:]
