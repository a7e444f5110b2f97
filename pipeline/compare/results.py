"""What a comparison came to, as the rows of its tables: methods with the results of all their seeds."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import pandas as pd

from x2static.evaluation.word_similarity import SimilarityScore
from x2static.pipeline.compare import scores
from x2static.pipeline.compare.comparison import Comparison
from x2static.pipeline.compare.plan import Step
from x2static.pipeline.compare.records import Scored, TaskScore
from x2static.pipeline.compare.reference import heads_of
from x2static.pipeline.compare.tables import CURVE_SETS, Row

TEACHER_ROW = "the teacher itself, linear classifier"


class Results:
    """What a comparison came to, on the data that is there now, as the lines of its tables."""

    def __init__(self, comparison: Comparison) -> None:
        """Gather the records, and score what is there on the pairs that all cover."""
        self.comparison = comparison
        self.records = comparison.records()
        self.steps = [step for step in comparison.steps if step.name in self.records]
        self.common: Mapping[str, Sequence[TaskScore]] = {}
        self.differences: Mapping[str, list[SimilarityScore]] = {}
        self.first = ""  # label of the step that the differences are from
        scored = [step for step in self.steps if self.pairs(step)]
        if len(scored) > 1:
            comparison.attempt("the pairs that all cover", partial(self._score_together, scored))

    def _score_together(self, scored: Sequence[Step]) -> None:
        """Score all, and compare those of seed 0 with the first of them."""
        config = self.comparison.config
        vectors = scores.vectors_of_pairs(scored, config)
        self.common = scores.common_scores(vectors, config)
        firsts = [step for step in scored if step.seed == 0]
        some = {step.name: vectors[step.name] for step in firsts}
        labels = {step.name: step.label for step in firsts}
        sets = [score.task for score in next(iter(self.common.values()))]
        found = scores.differences_from_first(some, config, sets)
        self.differences = {labels[name]: differences for name, differences in found.items()}
        self.first = firsts[0].label if firsts else ""

    def pairs(self, step: Step) -> Sequence[TaskScore]:
        """Return a step's word similarity; nothing where it was not scored on the data that is there now."""
        record = self.records.get(step.name)
        scored = record.similarity if record is not None else None
        return scored.pairs if scored is not None and scored.data == self.comparison.data.pairs else ()

    def classes(self, name: str) -> Scored | None:
        """Return a step's classification; None where it was not scored on the data that is there now."""
        record = self.records.get(name)
        scored = record.classification if record is not None else None
        return scored if scored is not None and scored.classes and scored.data == self.comparison.data.classes else None

    def methods(self) -> Iterator[list[Step]]:
        """Yield the steps of each method whose vectors are there."""
        for _, steps in groupby(self.steps, key=lambda step: step.method.name):
            yield list(steps)

    def seconds(self, steps: Sequence[Step]) -> float | None:
        """Return the seconds that one seed's vectors took; the teacher's reading is told at the first layer of ASE.

        None where the teacher had read some units before, in an earlier call or for other vectors, in unknown time.
        """
        there = [self.records[step.name] for step in steps]
        first = next((step.method for step in self.comparison.steps if step.method.is_ase), None)
        before, units = self.comparison.sums.read_before() if steps[0].method == first else (0.0, 0)
        if any(record.units_found > units for record in there):
            return None
        return before + sum(record.seconds for record in there) / len(there)

    def similarity_rows(self, common: bool = False) -> list[Row]:
        """Return the rows of table 3.

        Args:
            common: on the pairs that all cover, not on those that each covers.
        """
        rows = []
        for steps in self.methods():
            seeds = [self.common.get(step.name, ()) if common else self.pairs(step) for step in steps]
            if seeds := [seed for seed in seeds if seed]:
                method, record = steps[0].method, self.records[steps[0].name]
                label, seconds = method.label_over(len(seeds)), self.seconds(steps)
                rows.append(Row(method.name, label, seeds, seconds, record.dim, record.vocabulary))
        return rows

    def class_rows(self) -> list[Row]:
        """Return the rows of table 4, the teacher's last."""
        rows = []
        for steps in self.methods():
            scored = [one for step in steps if (one := self.classes(step.name)) is not None]
            if scored:
                method, seconds = steps[0].method, sum(one.seconds for one in scored) / len(scored)
                rows.append(Row(method.name, method.label_over(len(scored)), [one.classes for one in scored], seconds))
        if (one := self.classes(scores.TEACHER)) is not None:
            rows.append(Row(scores.TEACHER, TEACHER_ROW, [one.classes], one.seconds, source="teacher"))
        return rows

    def curve(self) -> pd.DataFrame:
        """Return the points of figure 1: a line a point and data set, with `score` and, on common pairs, `common`."""
        there = [point for point in self.comparison.points if self.pairs(point.step)]
        config = self.comparison.config

        def on_common_pairs() -> dict[str, Any]:
            vectors = scores.vectors_of_pairs([point.step for point in there], config)
            return dict(scores.common_scores(vectors, config)) if len(vectors) > 1 else {}

        common = self.comparison.attempt("the curve's common pairs", on_common_pairs) or {}
        shared = {(name, one.task): one.score for name, results in common.items() for one in results}
        heads = heads_of(one.task for point in there for one in self.pairs(point.step))
        lines = [
            {
                "key": point.step.name,
                "method": point.step.method.label,
                **{name: getattr(point.size, name) for name in ("units", "paragraphs", "words")},
                "set": heads[one.task],
                **{name: getattr(one, name) for name in ("score", "covered", "total")},
                "common": shared.get((point.step.name, one.task)),
            }
            for point in there
            for one in self.pairs(point.step)
            if heads[one.task] in CURVE_SETS
        ]
        columns = "key method units paragraphs words set score covered total common".split()
        return pd.DataFrame(lines, columns=columns).astype({"score": float, "common": float})
