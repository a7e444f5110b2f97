"""All sets of vectors on the pairs that all of them cover, and how sure their differences are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from x2static.evaluation.intervals import Bootstrap
from x2static.evaluation.word_similarity import Difference, Differences, Score, paired_differences, score_together
from x2static.pipeline.compare.plan import Step
from x2static.pipeline.compare.scores import rows_of_pairs, said_before
from x2static.pipeline.compare.settings import CompareConfig
from x2static.pipeline.compare.similarity import averaged, columns_of
from x2static.pipeline.compare.tables import Cell, Row, Table


@dataclass(frozen=True)
class Together:
    """Scores on the pairs that all cover.

    Attributes:
        scores: by the names of the steps, one a data set.
        reference: name of the step that the others of seed 0 are compared with: the first of that seed.
        differences: from it, by the names of the others.
    """

    reference: str
    scores: dict[str, list[Score]]
    differences: dict[str, Differences]


def compare_together(some: Sequence[Step], config: CompareConfig) -> Together:
    """Score all sets of vectors on the pairs that all cover, and compare those of seed 0 with the first of them.

    Args:
        some: steps whose vectors are there, the one that others are compared with first.
        config: where the data is.

    Raises:
        X2StaticError: no pair of any data set is covered by all.
    """
    rows = rows_of_pairs({step.name: step for step in some}, config)
    first = {step.name: rows[step.name] for step in some if step.seed == 0}
    with said_before():
        scores = score_together(rows, config.data)
        over = averaged([score.task for score in next(iter(scores.values()))])
        differences = (
            paired_differences(first, config.data, Bootstrap(), common=True, averaged=over) if len(first) > 1 else {}
        )
    return Together(next(iter(first), ""), scores, differences)


def difference_table(found: Mapping[str, Differences], than: str) -> Table:
    """Return a table of differences with their intervals; bold are those that are beyond chance.

    Args:
        found: by label.
        than: label of what the others are compared with.
    """
    names = [difference.task for difference in next(iter(found.values())).tasks] if found else []
    columns = columns_of(names)
    rows = []
    for label, differences in found.items():
        by_name = {difference.task: difference for difference in differences.tasks}
        cells = [by_name[name] for name, _, _ in columns] + [differences.average]
        rows.append(Row(label, tuple(_cell(difference) for difference in cells)))
    caption = (
        f"How much better or worse than {than} (seed 0 of each, the same pairs): difference of Spearman's rho and its "
        "95 % interval by paired bootstrap over the pairs. Bold: 0 lies outside the interval."
    )
    heads = ("method", *(head for _, head, _ in columns), "average")
    return Table("differences", caption, heads, tuple(rows))


def _cell(difference: Difference) -> Cell:
    if difference.difference is None:
        return Cell("none")
    text = f"{difference.difference:+.3f}"
    if difference.interval is not None:
        text += f" [{difference.interval.low:+.3f}, {difference.interval.high:+.3f}]"
    return Cell(text, difference.difference, best=difference.is_clear)
