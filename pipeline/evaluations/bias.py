"""Bias: effect sizes of association tests (WEAT) with their p-values."""

from typing import Any

from x2static.evaluation.bias import PARTITIONS, Association, Permutations, average, evaluate_bias
from x2static.evaluation.word_lists import find_word_lists, read_word_lists
from x2static.pipeline.evaluations.asked import Asked, Evaluated
from x2static.pipeline.evaluations.each import for_each
from x2static.pipeline.tables import over_some
from x2static.report.grid import grid, number
from x2static.schemas.vectors import WordVectors

NOTE = (
    "effect size d of WEAT and p of a one-sided permutation test, ~ where partitions were drawn "
    "(words known/in the four lists)"
)


def run(vectors: dict[str, WordVectors], asked: Asked) -> Evaluated:
    """Run association tests on sets of word vectors; `asked.data`, `seed` and `resamples` are used.

    Raises:
        X2StaticError: the word lists are not there or cannot be read, scipy is missing, or nothing is covered.
    """
    permutations = Permutations(asked.resamples or PARTITIONS, asked.seed)
    for path in find_word_lists(asked.data):
        read_word_lists(path)
    results = for_each(vectors, lambda _, one: evaluate_bias(one, asked.data, permutations))
    rows = [result.task for result in next(iter(results.values()))]
    columns = {
        name: [*map(_cell, of_one), over_some(number(average(of_one)), _scored(of_one), len(of_one))]
        for name, of_one in results.items()
    }
    return Evaluated(
        f"{grid([*rows, 'average'], columns)}\n{NOTE}",
        {name: _figures(of_one) for name, of_one in results.items()},
    )


def _scored(results: list[Association]) -> int:
    return sum(result.effect is not None for result in results)


def _cell(result: Association) -> str:
    share = "none" if result.p is None else f"{result.p:.5f}"
    drawn = " " if result.exact else "~"
    return f"{number(result.effect):>6} p{drawn}{share:<7} ({result.covered}/{result.total})"


def _figures(results: list[Association]) -> dict[str, Any]:
    """Return the figures of a set of vectors; `score` is the effect size."""
    return {
        "tasks": {
            result.task: {
                "score": result.effect,
                "p": result.p,
                "exact": result.exact,
                "covered": result.covered,
                "total": result.total,
                "known": result.known,
            }
            for result in results
        },
        "average": average(results),
    }
