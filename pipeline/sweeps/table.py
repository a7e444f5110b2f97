"""The table of a sweep, as plain text."""

from dataclasses import dataclass

from x2static.pipeline.sweeps.ranking import Ranking
from x2static.pipeline.sweeps.settings import shown
from x2static.pipeline.terminal import duration

WIDEST = 24  # characters of a value; paths and long words are cut


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        head: what stands above.
        cells: a text for each trial.
        left: whether the texts are words, and begin at the left.
    """

    head: str
    cells: list[str]
    left: bool = False

    @property
    def width(self) -> int:
        """Characters of the longest text."""
        return max(len(text) for text in [self.head, *self.cells])

    def lines(self) -> list[str]:
        """Return head and cells, of equal width."""
        texts = [self.head, *self.cells]
        return [text.ljust(self.width) if self.left else text.rjust(self.width) for text in texts]


def columns(ranking: Ranking) -> tuple[list[Column], list[Column], list[Column]]:
    """Return the columns: score and settings; the scores of single data sets; loss, time and how the trial ended.

    The name of a data set that is no part of the score stands in brackets.
    """
    rows = ranking.results
    settings = [
        Column(
            name,
            [_cut(shown(row.settings.get(name))) for row in rows],
            left=any(isinstance(row.settings.get(name), str) for row in rows),
        )
        for name in ranking.names
    ]
    sets = [
        Column(
            name if ranking.counts(name) else f"({name})",
            [_score(row.scores[name].score) if name in row.scores else "" for row in rows],
        )
        for name in ranking.sets
    ]
    ends = []
    if any(row.losses for row in rows):
        ends.append(Column("loss", [f"{row.loss:.4f}" if row.loss is not None else "" for row in rows]))
    ends.append(Column("time", [duration(row.seconds) if row.seconds is not None else "" for row in rows]))
    if any(row.state != "complete" for row in rows):
        ends.append(Column("state", [row.state for row in rows], left=True))
    score = Column("score", [_score(ranking.score(row)) if row.state == "complete" else "" for row in rows])
    return [score, *settings], sets, ends


def text_table(ranking: Ranking, width: int) -> str:
    """Return a table of all trials, best first, and below it the errors of those that failed.

    Args:
        ranking: the trials.
        width: characters in a line; where the table is wider, the scores of single data sets are left out, then loss
            and time.
    """
    first, sets, ends = columns(ranking)
    chosen = next((some for some in ([*first, *sets, *ends], [*first, *ends]) if _width(some) <= width), first)
    lines = ["  ".join(cells).rstrip() for cells in zip(*(column.lines() for column in chosen), strict=True)]
    if sets and sets[0] not in chosen:
        lines.append("the scores of each data set are in sweep.parquet; a wider terminal shows them too")
    lines += [f"{who}: {error}" for who, error in errors(ranking)]
    return "\n".join(lines)


def errors(ranking: Ranking) -> list[tuple[str, str]]:
    """Return each error of trials that failed once, after who had it."""
    names: dict[str, list[str]] = {}
    for row in ranking.results:
        if row.state == "failed" and row.error is not None:
            names.setdefault(row.error, []).append(row.name)
    return [(who[0] if len(who) == 1 else f"{who[0]} and {len(who) - 1} more", error) for error, who in names.items()]


def _width(some: list[Column]) -> int:
    return sum(column.width + 2 for column in some) - 2


def _score(score: float | None) -> str:
    return "none" if score is None else f"{score:.3f}"


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else "..." + text[3 - WIDEST :]
