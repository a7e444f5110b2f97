"""What the tasks have in common: their results, rows of words, cosines, correlations, averages."""

import logging
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.machine.packages import require_modules
from x2static.schemas.vectors import WordVectors

Floats = npt.NDArray[np.float64]

# Cosines that differ by less are equal: parallel vectors stored in float32 differ by about 1e-15, and ranks of
# rounding errors are no result.
SAME_COSINE = 1e-9

# A score over fewer items is shown and marked, and counts in no average. The rank correlation of n pairs that have
# nothing to do with each other has a standard error of 1 / sqrt(n - 1): 0.19 of 30 pairs, so chance alone gives up to
# 0.36 in nineteen of twenty cases, and 0.58 of 4 pairs. The share of right ones among 30 is known to 0.09.
MIN_PAIRS = 30

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """The result on one data set."""

    task: str  # name of the data set
    score: float | None  # None where it is not defined
    covered: int  # items that the score is over: those of which all words are known
    total: int  # items of the data set

    @property
    def too_few(self) -> bool:
        """Whether the score rests on too few items to mean something; an average (of no total) never does."""
        return self.total > 0 and self.covered < MIN_PAIRS


Data = TypeVar("Data")
Result = TypeVar("Result", bound=Score)


def figures_of(scores: Sequence[Score]) -> dict[str, Any]:
    """Return all that is known of each task, and the mean of the scores over enough items, as JSON has them."""
    tasks = {one.task: asdict(one) | {"too_few": one.too_few} for one in scores}
    for figures in tasks.values():
        del figures["task"]
    return {"tasks": tasks, "average": known_mean(one.score for one in scores if not one.too_few)}


def score_all(
    vectors: WordVectors, datasets: Mapping[str, Data], score: Callable[[WordVectors, str, Data], Result], items: str
) -> list[Result]:
    """Score word vectors on every data set by a function of vectors, name and data; then see `check_covered`."""
    scores = [score(vectors, task, data) for task, data in datasets.items()]
    check_covered(scores, items, vectors)
    return scores


def check_covered(scores: Sequence[Score], items: str, *vectors: WordVectors) -> None:
    """Raise X2StaticError where no item is covered by the set of vectors, or by all of several sets.

    Scores that rest on too few items are warned of.
    """
    if any(score.covered for score in scores):
        for one in scores:
            if one.too_few and one.score is not None:
                over = f"{one.covered} of {one.total} {items}"
                logger.warning("%s: %.3f rests on %s, too few to say much", one.task, one.score, over)
        return
    by = f"all {len(vectors)} sets of vectors; score them without --common, or leave out the one that covers too little"
    if len(vectors) == 1:
        by = f"the {len(vectors[0])} words of the vectors; check that vectors and data are of one language"
    names = textwrap.shorten(", ".join(score.task for score in scores), 100, placeholder=" ...")
    raise X2StaticError(f"none of the {sum(score.total for score in scores)} {items} of {names} is covered by {by}")


def rows_of(vectors: WordVectors, words: Iterable[str]) -> list[int]:
    """Return the rows of known words, as they are written ("Jerusalem") or else lower-cased, as trained text is."""
    rows = (vectors.index.get(word, vectors.index.get(word.lower())) for word in words)
    return [row for row in rows if row is not None]


def unit(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return rows scaled to length 1, (n, dim) of the same type; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1).astype(rows.dtype))


def cosines(left: Floats, right: Floats) -> Floats:
    """Return the cosine of each pair of rows, (n,) float64 for two (n, dim) float64; 0 where a vector is all zeros."""
    return np.asarray(np.einsum("nd,nd->n", unit(left), unit(right)))


def spearman(human: Floats, values: Floats) -> float | None:
    """Return Spearman's rho of human scores and cosines, (n,) float64; None if n < 2, or all of either are equal."""
    require_modules("evaluate", "scipy")
    from scipy.stats import spearmanr  # an extra

    if len(human) < 2 or np.ptp(values) < SAME_COSINE or np.ptp(human) == 0:
        return None
    return float(spearmanr(human, values).statistic)


def why_none(n: int, total: int) -> str:
    """Return for a warning why covered pairs have no correlation."""
    return f"{n} of {total} pairs are covered" if n < 2 else f"all {n} cosines or human scores are equal"


def known_mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are there, each counting the same; None where there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
