"""The report of a comparison: what it came to, in the order in which it is read, as HTML, Markdown and CSV."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import fmean

import numpy as np

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import write_atomically
from x2static.evaluation.word_similarity import SimilarityScore
from x2static.pipeline.compare import scores
from x2static.pipeline.compare.comparison import Comparison
from x2static.pipeline.compare.curve import read_before
from x2static.pipeline.compare.plan import Step
from x2static.pipeline.compare.tables import (
    CLASSIFICATION,
    SIMILARITY,
    Entry,
    Figure,
    Figures,
    Row,
    classification_figures,
    csv_of,
    difference_figures,
    heads_of,
    similarity_figures,
)
from x2static.pipeline.compare.words import words_section
from x2static.report.page import Page, Picture, Section
from x2static.report.pictures import losses, size_curves

CURVE_SETS = ("SL-999", "RW-2034")  # of figure 1
FEW = 5  # points, with fewer a curve says little
OF_THE_PAPER = "The paper's rows are of another corpus (all of English Wikipedia) and other teachers: no rivals here."


class Results:
    """What a comparison came to, on the data that is there now."""

    def __init__(self, comparison: Comparison) -> None:
        """Gather the records, and score what is there on the pairs that all cover."""
        self.comparison, data = comparison, comparison.data
        self.records = comparison.records()
        similarity = {name: record.on("similarity", data.pairs) for name, record in self.records.items()}
        classification = {name: record.on("classification", data.classes) for name, record in self.records.items()}
        # by the names of the steps
        self.pairs = {name: scored.pairs for name, scored in similarity.items() if scored is not None}
        self.classes = {name: scored for name, scored in classification.items() if scored is not None}
        self.steps = [step for step in comparison.steps if step.name in self.records]
        # the steps of each method whose vectors are there
        self.methods = [list(steps) for _, steps in groupby(self.steps, key=lambda step: step.method.name)]
        self.common: Mapping[str, Sequence[SimilarityScore]] = {}
        self.differences: Mapping[str, list[SimilarityScore]] = {}
        self.first = ""  # label of the step that the differences are from
        scored = [step for step in self.steps if step.name in self.pairs]
        if len(scored) > 1:
            comparison.attempt("the pairs that all cover", partial(self._score_together, scored))

    def _score_together(self, scored: Sequence[Step]) -> None:
        """Score all, and compare those of seed 0 with the first of them."""
        config = self.comparison.config
        vectors = scores.vectors_of_pairs(scored, config)
        self.common = scores.on_common_pairs(vectors, config)
        labels = {step.name: step.label for step in scored if step.seed == 0}
        if len(labels) > 1:
            self.first = next(iter(labels.values()))
            compared = {name: vectors[name] for name in labels}
            differences = scores.on_common_pairs(compared, config, differences=True)
            self.differences = {labels[name]: of_one for name, of_one in differences.items()}

    def _seconds(self, steps: Sequence[Step]) -> float | None:
        """Return the seconds of one seed's vectors, ASE's at its first layer; None where earlier work was used."""
        records = [self.records[step.name] for step in steps]
        first = next((step.method for step in self.comparison.steps if step.method.is_ase), None)
        before, units = read_before(self.comparison.sizes) if steps[0].method == first else (0.0, 0)
        if any(record.units_found > units for record in records):
            return None
        return before + fmean(record.seconds for record in records)

    def similarity(self, pairs: Mapping[str, Sequence[SimilarityScore]]) -> list[Entry]:
        """Return the rows of table 3, from scores by the names of the steps."""
        entries = []
        for steps in self.methods:
            if seeds := [pairs[step.name] for step in steps if step.name in pairs]:
                label, record = steps[0].method.label_over(len(seeds)), self.records[steps[0].name]
                entries.append(Entry(label, seeds, self._seconds(steps), record.dim, record.vocabulary))
        return entries

    def classification(self) -> list[Entry]:
        """Return the rows of table 4, the teacher's last."""
        entries = []
        for steps in self.methods:
            if scored := [self.classes[step.name] for step in steps if step.name in self.classes]:
                label, seconds = steps[0].method.label_over(len(scored)), fmean(one.seconds for one in scored)
                entries.append(Entry(label, [one.classes for one in scored], seconds))
        if (teacher := self.classes.get(scores.TEACHER)) is not None:
            label = "the teacher itself, linear classifier"
            entries.append(Entry(label, [teacher.classes], teacher.seconds, source="teacher"))
        return entries


class Report:
    """A comparison, ready to be written: its page, its tables of figures, and the neighbours of words."""

    def __init__(self, comparison: Comparison, facts: Mapping[str, str]) -> None:
        """Make the report, after a reader's facts about the comparison."""
        results = Results(comparison)
        similarity, classification = _similarity(results), _classification(results)
        curve = comparison.attempt("figure1", partial(_curve, results))
        section_of_curve, curve_figures = curve or (Section(""), [])
        of_words = partial(words_section, [steps[0] for steps in results.methods], comparison.config.words)
        words = (comparison.attempt("words", of_words) if results.methods else None) or Section("")
        about_classes = [OF_THE_PAPER] if comparison.published.get(CLASSIFICATION) else []
        sections = [
            Section("What wins", listed=_what_wins(results, similarity, classification)),
            Section("Word similarity (table 3)", _about_similarity(results), (), [one.table() for one in similarity]),
            Section("Classification (table 4)", about_classes, (), [one.table() for one in classification]),
            section_of_curve,
            comparison.attempt("losses", partial(_losses, results)) or Section(""),
            words,
            Section("What failed", listed=[f"{name}: {error}" for name, error in comparison.failures.items()]),
        ]
        self.page = Page("Static word vectors compared", facts, sections)
        self.figures = [*similarity, *classification, *curve_figures]
        self.neighbours = words.tables

    def write(self, out: Path, results: Path | None) -> None:
        """Write all files of the report."""
        write_atomically(out / "compare.html", self.page.html().encode())
        write_atomically(out / "compare.csv", csv_of(self.figures, self.neighbours).encode())
        for file in [out / "compare.md", *([results] if results is not None else [])]:
            self.page.write_markdown(file)


def _similarity(results: Results) -> list[Figures]:
    caption = (
        "Spearman's rho; pairs with an unknown word are left out. Mean and standard deviation over seeds; the average "
        "is over the paper's data sets, and none where there is no score on one that others have. Bold: the best of a "
        'column. Time is "reused" where a part of the work was found done.'
    )
    same = "The same on the pairs that all methods cover, so that nobody gains by a small vocabulary."
    differences = (
        f"How much better or worse than {results.first} (seed 0 of each, the same pairs): difference of Spearman's rho "
        "and its 95 % interval by paired bootstrap over the pairs. Bold: 0 lies outside the interval."
    )
    tables = []
    if entries := results.similarity(results.pairs):
        published = results.comparison.published.get(SIMILARITY, [])
        tables.append(similarity_figures("table3", caption, entries, published))
    if entries := results.similarity(results.common):
        tables.append(similarity_figures("table3-common", same, entries, []))
    if results.differences:
        tables.append(difference_figures(differences, results.differences))
    return tables


def _about_similarity(results: Results) -> list[str]:
    text = [
        "Time is that of one seed's vectors, on the machine above; the making of the cache, which all methods but "
        "gensim's need, is not in it."
    ]
    if results.comparison.published.get(SIMILARITY):
        text.append(OF_THE_PAPER)
    if any(step.method.is_ase for step in results.steps):
        text.append("ASE reads the corpus with the teacher once for all layers: that time stands at the first of them.")
    return text


def _classification(results: Results) -> list[Figures]:
    caption = (
        "Macro-F1 and accuracy in per cent, a convolution over frozen vectors. Mean and standard deviation over seeds "
        "of vectors and classifiers. Time is that of all tasks. Bold: the best of a column."
    )
    published = results.comparison.published.get(CLASSIFICATION, [])
    entries = results.classification()
    return [classification_figures(caption, entries, published)] if entries else []


def _what_wins(results: Results, similarity: Sequence[Figures], classification: Sequence[Figures]) -> list[str]:
    """Say which method is best, on the same pairs if it can be (few, easy pairs are no merit), and what is chance."""
    points = []
    tables = {figures.name: figures for figures in similarity}
    common = tables.get("table3-common")
    deciding = common or tables.get("table3")
    if deciding is not None and (best := deciding.best("average")):
        which = "on the pairs that all cover" if common else "each on the pairs that it covers"
        points.append(f"Word similarity: {best[0]} has the best average, {best[1]:.3f} ({which}).")
    kinds: dict[str, list[str]] = {}
    for label, differences in results.differences.items():
        kinds.setdefault(_kind(differences[-1], results.first), []).append(label)
    # Sorted, what is beyond chance comes first, and what was not tested last.
    points += [f"{kind}: {'; '.join(labels)}." for kind, labels in sorted(kinds.items())]
    if classification and (best := classification[0].best("average F1")):
        points.append(f"Classification: {best[0]} has the best average F1, {best[1]:.1f}.")
    return points


def _kind(average: SimilarityScore, first: str) -> str:
    if average.score is None or average.interval is None:
        return f"Too few pairs for an interval of the difference from {first}"
    if not average.is_clear:
        return f"Not told apart from {first}"
    what = "better" if average.score > 0 else "worse"
    return f"Beyond chance {what} than {first} (average, paired bootstrap)"


def _curve(results: Results) -> tuple[Section, list[Figures]] | None:
    """Return quality against the size of the corpus; None where only points of the whole corpus are there."""
    comparison, config = results.comparison, results.comparison.config
    points = [point for point in comparison.points if point.step.name in results.pairs]
    if all(point.size.whole for point in points):  # the tables have the whole corpus too
        return None
    heads = heads_of(one.task for point in points for one in results.pairs[point.step.name])
    sets = [name for name in CURVE_SETS if name in heads.values()]
    if not sets and "figure1" in config.only:
        raise X2StaticError(f"figure 1 is of {' and '.join(CURVE_SETS)}, and the data has none of them; give --data")
    if not sets:
        return None

    def on_common_pairs() -> Mapping[str, Sequence[SimilarityScore]]:
        return scores.on_common_pairs(scores.vectors_of_pairs([point.step for point in points], config), config)

    common = comparison.attempt("the curve's common pairs", on_common_pairs) if len(points) > 1 else None
    rows = []
    lines: dict[str, dict[str, list[tuple[float | None, ...]]]] = {name: {} for name in sets}
    for point in points:
        size, label = point.size, point.step.method.label
        figures = {"paragraphs": Figure.of(size.paragraphs), "words": Figure.of(size.words)}
        shared = {one.task: one.score for one in (common or {}).get(point.step.name, ())}
        for one in results.pairs[point.step.name]:
            if (name := heads[one.task]) in sets:
                same = shared.get(one.task)
                figures[name] = Figure.of(one.score)._replace(covered=one.covered, total=one.total)
                figures[f"{name} pairs"] = Figure(one.covered, f"{one.covered:,} of {one.total:,}")
                figures[f"{name}, same pairs"] = Figure.of(same)
                lines[name].setdefault(label, []).append((size.words, one.score, same))
        # A label of its own for each row: CSV and JSON tell rows apart by nothing else.
        rows.append(Row(f"{size.units} unit{'s' if size.units > 1 else ''}, {label}", figures))
    of_table = "The points of figure 1: Spearman's rho, the pairs covered, and rho on the pairs that all points cover."
    columns = [head for name in sets for head in (name, f"{name} pairs", f"{name}, same pairs")]
    table = Figures("figure1", of_table, ["paragraphs", "words", *columns], rows, corner="size and method")
    text = [
        "Nested samples of the cache: the first units of each size. Solid: all pairs that the vectors cover at that "
        "size. Dotted: the pairs that every method covers at every size."
    ]
    if (n_sizes := len({point.size for point in points})) < FEW:
        text.append(f"The cache has {comparison.sizes[-1].units} units, which gives {n_sizes} sizes only.")
    caption = (
        "Word similarity (Spearman's rho) against the size of the corpus in words, seed 0 of each method. Dotted: on "
        "the pairs that every method covers at every size."
    )
    panels = {
        f"{name} (Spearman's rho)": {label: np.array(line, np.float64) for label, line in of_set.items()}
        for name, of_set in lines.items()
    }
    picture = Picture("figure1", caption, size_curves(panels), wide=True)
    return Section("Quality against corpus size (figure 1)", text, (), [table.table()], [picture]), [table]


def _losses(results: Results) -> Section | None:
    curves = [(step.label, results.records[step.name].losses) for step in results.steps]
    curves = [(label, values) for label, values in curves if values]
    if not curves:
        return None
    caption = "Mean loss of a target in each epoch; losses of different settings are not of one scale."
    return Section("Losses", pictures=[Picture("losses", caption, losses(curves), wide=True)])
