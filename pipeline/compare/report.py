"""The report of a comparison: what it came to, in the order in which it is read, as HTML, Markdown and CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import write_atomically
from x2static.evaluation.word_similarity import SimilarityScore
from x2static.pipeline.compare import reference
from x2static.pipeline.compare.comparison import Comparison
from x2static.pipeline.compare.results import Results
from x2static.pipeline.compare.tables import (
    CURVE_SETS,
    Figures,
    classification_figures,
    csv_of,
    curve_figures,
    difference_figures,
    similarity_figures,
)
from x2static.pipeline.compare.words import words_section
from x2static.report.page import Page, Picture, Section
from x2static.report.pictures import Line, losses, size_curves
from x2static.report.table import Table

FEW = 5  # points, with fewer a curve says little
OF_THE_PAPER = "The paper's rows are of another corpus (all of English Wikipedia) and other teachers: no rivals here."


@dataclass(frozen=True)
class Report:
    """A comparison, ready to be written: its page, its tables of figures, and the neighbours of words."""

    page: Page
    figures: Sequence[Figures]
    neighbours: Sequence[Table]

    @classmethod
    def of(cls, comparison: Comparison, facts: Mapping[str, str]) -> "Report":
        """Make the report."""
        results = Results(comparison)
        similarity, classification = _table3(results), _table4(results)
        curve = comparison.attempt("figure1", partial(_figure1, results))
        words = comparison.attempt("words", partial(_words, results))
        sections = [
            _what_wins(results, similarity, classification),
            _section_of_table3(results, similarity),
            Section(
                "Classification (table 4)",
                [OF_THE_PAPER] if comparison.published.get(reference.CLASSIFICATION) else [],
                tables=[figures.table() for figures in classification],
            ),
            curve[0] if curve is not None else Section(""),
            comparison.attempt("losses", partial(_losses, results)) or Section(""),
            words or Section(""),
            Section("What failed", listed=[f"{name}: {error}" for name, error in comparison.failures.items()]),
        ]
        there = [section for section in sections if section.listed or section.tables or section.pictures]
        figures = [*similarity, *classification, *([curve[1]] if curve is not None else [])]
        page = Page("Static word vectors compared", facts, there)
        return cls(page, figures, words.tables if words is not None else ())

    def write(self, out: Path, results: Path | None) -> None:
        """Write all files of the report. Raises OSError: they cannot be written."""
        write_atomically(out / "compare.html", self.page.html().encode())
        write_atomically(out / "compare.csv", csv_of(self.figures, self.neighbours).encode())
        for file in [out / "compare.md", *([results] if results is not None else [])]:
            self.page.write_markdown(file)


def _table3(results: Results) -> list[Figures]:
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
    published = results.comparison.published.get(reference.SIMILARITY, [])
    tables = []
    if rows := results.similarity_rows():
        tables.append(similarity_figures("table3", caption, rows, published))
    if rows := results.similarity_rows(common=True):
        tables.append(similarity_figures("table3-common", same, rows, []))
    if results.differences:
        tables.append(difference_figures(differences, results.differences))
    return tables


def _section_of_table3(results: Results, tables: Sequence[Figures]) -> Section:
    text = [
        "Time is that of one seed's vectors, on the machine above; the making of the cache, which all methods but "
        "gensim's need, is not in it."
    ]
    if results.comparison.published.get(reference.SIMILARITY):
        text.append(OF_THE_PAPER)
    if any(steps[0].method.is_ase for steps in results.methods()):
        text.append("ASE reads the corpus with the teacher once for all layers: that time stands at the first of them.")
    return Section("Word similarity (table 3)", text, tables=[figures.table() for figures in tables])


def _table4(results: Results) -> list[Figures]:
    caption = (
        "Macro-F1 and accuracy in per cent, a convolution over frozen vectors. Mean and standard deviation over seeds "
        "of vectors and classifiers. Time is that of all tasks. Bold: the best of a column."
    )
    published = results.comparison.published.get(reference.CLASSIFICATION, [])
    rows = results.class_rows()
    return [classification_figures(caption, rows, published)] if rows else []


def _what_wins(results: Results, similarity: Sequence[Figures], classification: Sequence[Figures]) -> Section:
    """Say which method has the best average, and which differences are beyond chance.

    Where all are scored on the same pairs these decide: few and easy pairs are no merit.
    """
    listed = []
    by_name = {figures.name: figures for figures in similarity}
    common = by_name.get("table3-common")
    deciding = common or by_name.get("table3")
    if deciding is not None and (best := deciding.best("average")) is not None:
        which = "on the pairs that all cover" if common else "each on the pairs that it covers"
        listed.append(f"Word similarity: {best[0]} has the best average, {best[1]:.3f} ({which}).")
    kinds: dict[str, list[str]] = {}
    for label, differences in results.differences.items():
        kinds.setdefault(_kind(differences[-1], results.first), []).append(label)
    # Sorted, what is beyond chance comes first, and what was not tested last.
    listed += [f"{kind}: {'; '.join(labels)}." for kind, labels in sorted(kinds.items())]
    if classification and (best := classification[0].best("average F1")) is not None:
        listed.append(f"Classification: {best[0]} has the best average F1, {best[1]:.1f}.")
    return Section("What wins", listed=listed)


def _kind(average: SimilarityScore, first: str) -> str:
    if average.score is None or average.interval is None:
        return f"Too few pairs for an interval of the difference from {first}"
    if not average.is_clear:
        return f"Not told apart from {first}"
    what = "better" if average.score > 0 else "worse"
    return f"Beyond chance {what} than {first} (average, paired bootstrap)"


def _figure1(results: Results) -> tuple[Section, Figures] | None:
    """Return quality against the size of the corpus; None where no point beyond the whole corpus is there.

    Raises X2StaticError: the figure was asked for, and the data has none of its sets.
    """
    comparison = results.comparison
    # The tables have the whole corpus too.
    if not any(results.pairs(point.step) for point in comparison.points if not point.size.whole):
        return None
    curve = results.curve()
    if curve.empty:
        if "figure1" not in comparison.config.only:
            return None
        raise X2StaticError(f"figure 1 is of {' and '.join(CURVE_SETS)}, and the data has none of them; give --data")
    text = [
        "Nested samples of the cache: the first units of each size. Solid: all pairs that the vectors cover at that "
        "size. Dotted: the pairs that every method covers at every size."
    ]
    if (n_sizes := curve["units"].nunique()) < FEW:
        text.append(f"The cache has {comparison.sizes[-1].units} units, which gives {n_sizes} sizes only.")
    panels = {
        f"{name} (Spearman's rho)": _lines(curve[curve["set"] == name])
        for name in CURVE_SETS
        if name in set(curve["set"])
    }
    caption = (
        "Word similarity (Spearman's rho) against the size of the corpus in words, seed 0 of each method. Dotted: on "
        "the pairs that every method covers at every size."
    )
    of_table = "The points of figure 1: Spearman's rho, the pairs covered, and rho on the pairs that all points cover."
    picture = Picture("figure1", caption, size_curves(panels), wide=True)
    figures = curve_figures(of_table, curve)
    return Section("Quality against corpus size (figure 1)", text, (), [figures.table()], [picture]), figures


def _lines(points: pd.DataFrame) -> list[Line]:
    by_method = points.groupby("method", sort=False)
    return [
        Line(str(method), one["words"].tolist(), one["score"].tolist(), one["common"].tolist())
        for method, one in by_method
    ]


def _losses(results: Results) -> Section | None:
    curves = [(step.label, results.records[step.name].losses) for step in results.steps]
    curves = [(label, values) for label, values in curves if values]
    if not curves:
        return None
    caption = "Mean loss of a target in each epoch; losses of different settings are not of one scale."
    return Section("Losses", pictures=[Picture("losses", caption, losses(curves), wide=True)])


def _words(results: Results) -> Section | None:
    firsts = [steps[0] for steps in results.methods()]
    return words_section(firsts, results.comparison.config.words) if firsts else None
