"""Bias: effect sizes of association tests (WEAT) with their p-values."""

from x2static.evaluation.bias import (
    PARTITIONS,
    Association,
    Permutations,
    average,
    evaluate_bias,
    find_word_lists,
    read_word_lists,
)
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import over_some, score_table
from x2static.report.table import figure
from x2static.schemas.vectors import WordVectors

NOTE = (
    "effect size d of WEAT and p of a one-sided permutation test, ~ where partitions were drawn "
    "(words known/in the four lists)"
)


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Run association tests on sets of word vectors; of the configuration, `data`, `seed` and `resamples` are used.

    `score` is the effect size. Raises X2StaticError: the word lists are not there or cannot be read, scipy is missing,
    or nothing is covered.
    """
    permutations = Permutations(config.resamples or PARTITIONS, config.seed)
    for path in find_word_lists(config.data):
        read_word_lists(path)
    results = for_each(vectors, lambda _, one: evaluate_bias(one, config.data, permutations))
    rows = [result.task for result in next(iter(results.values()))]
    columns, figures = {}, {}
    for name, of_one in results.items():
        scored = sum(result.effect is not None for result in of_one)
        columns[name] = [*map(_cell, of_one), over_some(figure(average(of_one)), scored, len(of_one))]
        tasks = {
            result.task: {
                "score": result.effect,
                "p": result.p,
                "exact": result.exact,
                "covered": result.covered,
                "total": result.total,
                "known": result.known,
            }
            for result in of_one
        }
        figures[name] = {"tasks": tasks, "average": average(of_one)}
    return Results([score_table([*rows, "average"], columns, NOTE)], figures)


def _cell(result: Association) -> str:
    drawn = " " if result.exact else "~"
    return f"{figure(result.effect):>6} p{drawn}{figure(result.p, 5):<7} ({result.covered}/{result.total})"
