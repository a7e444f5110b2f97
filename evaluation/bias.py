"""Bias: the Word Embedding Association Test (Caliskan et al. 2017), effect sizes and permutation p-values."""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.evaluation.averages import mean_of_known
from x2static.evaluation.word_lists import WordLists, find_word_lists, read_word_lists
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

PARTITIONS = 100_000  # at most so many are all tried (a second); of more, so many are drawn if nothing else is asked
LEAST = 2  # known words in a list
SAME = 1e-6  # associations that differ by less are equal: parallel vectors stored in float32 differ by about 1e-8

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Association:
    """The result of one test.

    Attributes:
        task: name of the test.
        effect: d, -2 to 2 for targets of equal number: how many standard deviations the targets X are nearer than Y to
            the attributes A rather than B; None where it is not defined: fewer than two words of a list are known, or
            all targets are associated alike.
        p: share of the partitions of X and Y together that are at least as far apart; None likewise.
        exact: whether all partitions were tried, and not a sample.
        covered: known words of the four lists, those that are one in the vocabulary ("May", "may") counted once.
        total: words of the four lists.
        known: known words of each list.
    """

    task: str
    effect: float | None
    p: float | None
    exact: bool
    covered: int
    total: int
    known: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Permutations:
    """How partitions are drawn where they are too many to be all tried: more than 100,000, and more than n.

    Attributes:
        n: how many are drawn.
        seed: of the draws.
    """

    n: int = PARTITIONS
    seed: int = 0


def evaluate_bias(
    vectors: WordVectors, data: Path | None = None, permutations: Permutations | None = None
) -> list[Association]:
    """Run every association test, unknown words left out and counted.

    Args:
        vectors: the word vectors.
        data: where the word lists are, see `find_word_lists`; None for the published ones, from WEFE.
        permutations: how partitions are drawn; None for 100,000 and seed 0.

    Raises:
        X2StaticError: the lists cannot be read, scipy is missing, or no word of any test is known.
    """
    files = {path: read_word_lists(path) for path in find_word_lists(data)}
    tests = [
        (name if len(files) == 1 else f"{path.stem}: {name}", lists)
        for path, of_file in files.items()
        for name, lists in of_file.items()
    ]
    results = [associate(vectors, name, lists, permutations or Permutations()) for name, lists in tests]
    if not any(result.covered for result in results):
        total = sum(result.total for result in results)
        raise X2StaticError(
            f"none of the {total} words of {len(results)} association tests is among the {len(vectors)} words of the "
            "vectors; check that vectors and lists are of one language"
        )
    return results


def associate(vectors: WordVectors, task: str, lists: WordLists, permutations: Permutations) -> Association:
    """Run one test; one without a score is warned of.

    The standard deviation is that of the population of all targets, as the paper's text and WEFE have it. The p-value
    is one-sided and counts partitions that are just as far apart: exactly, the observed one is among them; in a
    sample, p = (1 + hits) / (1 + drawn). Where unknown words leave X and Y of unequal sizes, the partitions keep them.

    Args:
        vectors: the word vectors.
        task: what the test is called.
        lists: its words.
        permutations: how partitions are drawn where there are more than 100,000, and more than would be drawn.

    Raises:
        X2StaticError: scipy is missing.
    """
    rows = {name: _rows(vectors, words) for name, words in lists}
    known = {name: len(found) for name, found in rows.items()}
    counts = {"covered": sum(known.values()), "total": sum(len(words) for _, words in lists)}
    few = [name for name, n in known.items() if n < LEAST]
    if few:
        logger.warning("%s: no score, of list %s only %d words are known", task, few[0], known[few[0]])
        return Association(task, None, None, True, **counts, known=known)
    units = {name: _unit(vectors, found) for name, found in rows.items()}
    towards = units["A"].mean(axis=0) - units["B"].mean(axis=0)  # its product with a target is s(w, A, B)
    x, y = units["X"] @ towards, units["Y"] @ towards
    both = np.concatenate([x, y])
    if np.ptp(both) < SAME:
        logger.warning("%s: no score, all %d targets are associated alike", task, len(both))
        return Association(task, None, None, True, **counts, known=known)
    p, exact = _p_value(x, y, permutations)
    return Association(task, float(_difference(x, y) / both.std()), p, exact, **counts, known=known)


def average(results: Iterable[Association]) -> float | None:
    """Return the mean effect size of the tests that have one, each counting the same; None where none has."""
    return mean_of_known(result.effect for result in results)


def _rows(vectors: WordVectors, words: list[str]) -> list[int]:
    # Vectors are trained on lower-cased text, lists of names are not. Two words that are one in the vocabulary ("May",
    # "may") are that one, once.
    rows = dict.fromkeys(vectors.index.get(word, vectors.index.get(word.lower())) for word in words)
    return [row for row in rows if row is not None]


def _unit(vectors: WordVectors, rows: list[int]) -> Floats:
    matrix = vectors.matrix[rows].astype(np.float64)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: Floats = matrix / np.where(lengths > 0, lengths, 1)
    return unit


def _difference(x: Floats, y: Floats, axis: int = -1) -> Floats:
    # Of partitions of fixed sizes, in the same order as the paper's difference of sums.
    difference: Floats = np.asarray(x.mean(axis=axis) - y.mean(axis=axis))
    return difference


def _p_value(x: Floats, y: Floats, permutations: Permutations) -> tuple[float, bool]:
    try:
        from scipy.stats import permutation_test
    except ImportError as error:
        raise X2StaticError("association tests need scipy: `pip install x2static[evaluate]`") from error
    exact = math.comb(len(x) + len(y), len(x)) <= max(PARTITIONS, permutations.n)
    result = permutation_test(
        (x, y),
        _difference,
        n_resamples=math.inf if exact else permutations.n,
        batch=1000,
        alternative="greater",
        vectorized=True,
        rng=np.random.default_rng(permutations.seed),
    )
    return float(result.pvalue), exact
