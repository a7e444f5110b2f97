"""Bias: effect sizes of association tests (WEAT) with their p-values."""

from functools import partial

from x2static.evaluation.bias import ENOUGH, Association, associate, read_tests
from x2static.evaluation.draws import PARTITIONS, Draws
from x2static.evaluation.measures import figures_of, score_all
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import marked, over_some, score_table
from x2static.report.table import figure
from x2static.schemas.vectors import WordVectors

NOTE = (
    "effect size d of WEAT and p of a one-sided permutation test, ~ where partitions were drawn "
    "(words known/in the four lists)"
)


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Run association tests on sets of word vectors; `score` is the effect size."""
    tests, draws = read_tests(config.data), Draws(config.resamples or PARTITIONS, config.seed)
    results = for_each(vectors, lambda _, one: score_all(one, tests, partial(associate, draws=draws), "words"))
    figures = {name: figures_of(of_one) for name, of_one in results.items()}
    columns = {}
    for name, of_one in results.items():
        scored = sum(result.score is not None and not result.too_few for result in of_one)
        columns[name] = [*map(_cell, of_one), over_some(figure(figures[name]["average"]), scored, len(of_one))]
    return Results([score_table([*tests, "average"], columns, NOTE, few=f"{ENOUGH} known words of a list")], figures)


def _cell(result: Association) -> str:
    drawn = " " if result.exact else "~"
    return f"{marked(result):>6} p{drawn}{figure(result.p, 5):<7} ({result.covered}/{result.total})"
