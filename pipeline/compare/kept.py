"""What is kept of a comparison, as the rows of its tables: methods with the results of all their seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from x2static.pipeline.compare import classes, curve, scores, similarity
from x2static.pipeline.compare.comparison import Comparison
from x2static.pipeline.compare.methods import Method
from x2static.pipeline.compare.plan import Step
from x2static.pipeline.compare.records import Record
from x2static.pipeline.compare.together import Together, compare_together

TEACHER_ROW = "the teacher itself, linear classifier"


@dataclass
class Kept:
    """What a report is made from.

    Attributes:
        comparison: whose steps and sizes are told of.
        records: of the steps whose vectors are there, by name.
        similarity_data: hash of the data that is there now; results on other data are left out; None where there is
            none and none is needed.
        classification_data: likewise.
        together: on the pairs that all cover; None where fewer than two sets of vectors are scored.
    """

    comparison: Comparison
    records: dict[str, Record] = field(init=False)
    similarity_data: str | None = field(init=False)
    classification_data: str | None = field(init=False)
    together: Together | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Gather it."""
        config = self.comparison.config
        self.records = self.comparison.records()
        self.similarity_data = scores.similarity_data(config)
        self.classification_data = scores.classification_data(config)
        scored = [step for step in self.comparison.steps if self.pairs(step.name)]
        if len(scored) > 1:
            what = "the pairs that all cover"
            self.together = self.comparison.attempt(what, lambda: compare_together(scored, config))

    def there(self) -> list[Step]:
        """Return the tables' steps whose vectors are there."""
        return [step for step in self.comparison.steps if step.name in self.records]

    def pairs(self, name: str) -> similarity.Results:
        """Return a step's word similarity; nothing where it was not scored on the data that is there now."""
        record = self.records.get(name)
        if record is None or record.similarity is None or record.similarity.data != self.similarity_data:
            return {}
        found = record.similarity.pairs
        return {one.task: similarity.TaskResult(one.score, one.covered, one.total) for one in found}

    def accuracies(self, name: str) -> classes.Results:
        """Return a step's classification; nothing where it was not scored on the data that is there now."""
        record = self.records.get(name)
        if record is None or record.classification is None or record.classification.data != self.classification_data:
            return {}
        found = record.classification.classes
        return {classes.column_of(one.task): classes.Accuracy(one.macro_f1, one.accuracy) for one in found}

    def methods(self) -> Iterator[tuple[Method, list[Step]]]:
        """Yield each method with those of its steps whose vectors are there."""
        by_name: dict[str, list[Step]] = {}
        for step in self.there():
            by_name.setdefault(step.method.name, []).append(step)
        for some in by_name.values():
            yield some[0].method, some

    def similarity_rows(self, common: bool = False) -> list[similarity.Ours]:
        """Return the rows of table 3.

        Args:
            common: on the pairs that all cover, not on those that each covers.
        """
        rows = []
        for method, some in self.methods():
            found = [self._common(step.name) if common else self.pairs(step.name) for step in some]
            if known := [results for results in found if results]:
                first = self.records[some[0].name]
                label, seconds = label_of(method, len(known)), self.seconds(method, some)
                rows.append(similarity.Ours(label, known, seconds, first.dim, first.vocabulary))
        return rows

    def _common(self, name: str) -> similarity.Results:
        found = self.together.scores.get(name, []) if self.together is not None else []
        return {one.task: similarity.TaskResult(one.score, one.covered, one.total) for one in found}

    def class_rows(self) -> list[classes.Ours]:
        """Return the rows of table 4."""
        rows = []
        for method, some in self.methods():
            known = [step for step in some if self.accuracies(step.name)]
            if known:
                seconds = [self._seconds_to_classify(step.name) for step in known]
                results: Sequence[Mapping[str, classes.Accuracy]] = [self.accuracies(step.name) for step in known]
                rows.append(classes.Ours(label_of(method, len(known)), results, sum(seconds) / len(seconds)))
        if teacher := self.accuracies(scores.TEACHER):
            seconds_read = self._seconds_to_classify(scores.TEACHER)
            rows.append(classes.Ours(TEACHER_ROW, [teacher], seconds_read, "teacher"))
        return rows

    def _seconds_to_classify(self, name: str) -> float:
        found = self.records[name].classification
        return found.seconds if found is not None else 0.0

    def seconds(self, method: Method, some: Sequence[Step]) -> float | None:
        """Return the seconds that one seed's vectors took; the teacher's reading is told at the first layer of ASE.

        None where the teacher had read some units before, in an earlier call or for other vectors, in unknown time.
        """
        there = [self.records[step.name] for step in some]
        first = next((step.method for step in self.comparison.steps if curve.is_ase(step.method)), None)
        before, units = self.comparison.read_before() if method == first else (0.0, 0)
        if any(record.units_found > units for record in there):
            return None
        return before + sum(record.seconds for record in there) / len(there)


def label_of(method: Method, n_seeds: int) -> str:
    """Return what people read of a method: over how many seeds, or that a seed changes nothing."""
    if n_seeds > 1:
        return f"{method.label} ({n_seeds} seeds)"
    return method.label if method.draws or method.kind == "run" else f"{method.label} (deterministic)"
