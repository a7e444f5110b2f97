"""The report of a comparison: what it came to, in the order in which it is read, as HTML, Markdown and CSV.

Of words it shows their nearest neighbours by every method, and a map of frequent ones.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import end_of_links, write_atomically
from x2static.evaluation.measures import MIN_PAIRS
from x2static.evaluation.misspellings import CANDIDATES, N_MADE
from x2static.evaluation.word_similarity import SimilarityScore
from x2static.machine.screen import quantity
from x2static.pipeline.compare import scores, tables
from x2static.pipeline.compare.comparison import Comparison
from x2static.pipeline.compare.plan import Step
from x2static.pipeline.compare.tables import Entry, Figure, Figures, Row
from x2static.report.page import Page, Picture, Section
from x2static.report.pictures import losses, size_curves, word_map
from x2static.report.table import Column, Table, figure
from x2static.schemas.vectors import WordVectors, read_vocabulary

logger = logging.getLogger(__name__)

AMONG = 20_000  # most frequent common words, among which neighbours are looked for
NEIGHBOURS = 8
MAPPED = 200  # words
EXAMPLES = ("king", "water", "good", "quickly", "run", "three", "london", "music")
N_WORDS = 6
TOO_FREQUENT = 100  # words, most of them function words, are passed over where content words are meant
CURVE_SETS = ("SL-999", "RW-2034")  # of figure 1
CURVE_CAPTION = "The points of figure 1: Spearman's rho, the pairs covered, and rho on the pairs that all points cover."
FEW = 5  # points, with fewer a curve says little
TEACHER = "the teacher itself"
SENTENCES: tables.Measures = {"": lambda one: one.score, ", SIF": lambda one: one.sif and one.sif.spearman}
RETRIEVAL: tables.Measures = {
    " nDCG@10": lambda one: one.score,
    " recall@100": lambda one: one.recall,
    " nDCG@10, SIF": lambda one: one.sif and one.sif.ndcg,
    " recall@100, SIF": lambda one: one.sif and one.sif.recall,
}
AVERAGED = (
    "by the cosine of averaged word vectors, plain and with SIF weights (a / (a + share), a = 0.001); the teacher's, "
    "of its own vector for each text. Mean and standard deviation over seeds. Bold: the best of a column."
)
# title, caption, what is covered, and the measures
TEXTS: dict[scores.TextPart, tuple[str, str, str, tables.Measures]] = {
    "sentences": (
        "Sentence similarity",
        f"Spearman's rho, {AVERAGED} SIF takes out the first component too. Pairs with a sentence without a known word "
        "are left out; the average is without sets called -dev, on which settings are chosen.",
        "pairs",
        SENTENCES,
    ),
    "retrieval": (
        "Retrieval",
        f"Documents found for queries, {AVERAGED} A query without a known word counts as 0.",
        "queries",
        RETRIEVAL,
    ),
}
UNKNOWN = (
    "Words outside the vocabulary have vectors of character n-grams: fitted to the vectors, but for fastText's own. "
    f"Spearman's rho over all pairs, seed 0; misspellings: share of {N_MADE} misspelt frequent words, made by rule and "
    f"in no vocabulary, to which of the {CANDIDATES:,} most frequent words the meant one is nearest; in no average. "
    "Time is that of fit and scores. Bold: the best of a column."
)
OF_THE_PAPER = "The paper's rows are of another corpus (all of English Wikipedia) and other teachers: no rivals here."


class Report:
    """A comparison on the data that is there now: its page, its tables of figures, and the neighbours of words."""

    def __init__(self, comparison: Comparison, facts: Mapping[str, str]) -> None:
        """Gather the records, and score what is there on the pairs that all cover; the facts are for a reader."""
        self._comparison, config, data = comparison, comparison.config, comparison.data
        self._records = records = comparison.records()
        similarity = {name: record.on("similarity", data.pairs) for name, record in records.items()}
        classes = {name: record.on("classification", data.classes) for name, record in records.items()}
        # by the names of the steps
        self._pairs = {name: part.pairs for name, part in similarity.items() if part is not None}
        self._classes = {name: part for name, part in classes.items() if part is not None}
        steps = [step for step in comparison.steps if step.name in records]
        labels = {step.name: step.method.label + records[step.name].outside for step in steps}
        self._steps = [step._replace(method=step.method._replace(label=labels[step.name])) for step in steps]
        # the steps of each method whose vectors are there
        self._methods = [list(steps) for _, steps in groupby(self._steps, key=lambda step: step.method.name)]
        scored = [step for step in self._steps if step.name in self._pairs]
        score = partial(scores.on_common_pairs, scored, config, differences=True)
        common = comparison.attempt("the pairs that all cover", score) if len(scored) > 1 else None
        self._common, differences = common or ({}, {})
        labels = {step.name: step.label for step in scored}
        self._first = next((step.label for step in scored if step.seed == 0), "")  # what the differences are from
        self._differences = {labels[name]: of_one for name, of_one in differences.items()}

        about_similarity, of_similarity = self._similarity()
        of_classes = self._classification()
        of_texts = {part: self._texts(part) for part in TEXTS}
        of_unknown = self._unknown()
        curve = comparison.attempt("figure1", self._curve)
        section_of_curve, curve_figures = curve or (Section(""), [])
        of_losses = comparison.attempt("losses", self._losses)
        of_words = partial(words_section, [steps[0] for steps in self._methods], config.words)
        words = (comparison.attempt("words", of_words) if self._methods else None) or Section("")
        about_classes = [OF_THE_PAPER] if comparison.published.get(tables.CLASSIFICATION) else []
        sections = [
            Section("What wins", listed=self._what_wins(of_similarity, of_classes, of_texts, of_unknown)),
            Section("Word similarity (table 3)", about_similarity, (), [one.table() for one in of_similarity]),
            Section("Classification (table 4)", about_classes, (), [one.table() for one in of_classes]),
            *(Section(TEXTS[part][0], (), (), [one.table() for one in found]) for part, found in of_texts.items()),
            Section("Unknown words", (), (), [one.table() for one in of_unknown]),
            section_of_curve,
            of_losses or Section(""),
            words,
            Section("What failed", listed=[f"{name}: {error}" for name, error in comparison.failures.items()]),
        ]
        self.page = Page("Static word vectors compared", facts, sections)
        self.figures = [*of_similarity, *of_classes, *chain(*of_texts.values()), *of_unknown, *curve_figures]
        self.neighbours = words.tables

    def write(self, out: Path, results: Path | None) -> None:
        """Write all files of the report."""
        write_atomically(out / "compare.html", self.page.html().encode())
        write_atomically(out / "compare.csv", tables.csv_of(self.figures, self.neighbours).encode())
        for file in [out / "compare.md", *([end_of_links(results)] if results is not None else [])]:
            self.page.write_markdown(file)

    def _similarity(self) -> tuple[list[str], list[Figures]]:
        """Return what is to be known of word similarity, and its tables."""
        caption = (
            "Spearman's rho; pairs with an unknown word are left out. Mean and standard deviation over seeds; the "
            "average is over the paper's data sets, and none where one that others have lacks a score over "
            f"{MIN_PAIRS} pairs at least: fewer say little. Bold: "
            'the best of a column. Time is "reused" where a part of the work was found done.'
        )
        same = "The same on the pairs that all methods cover, so that nobody gains by a small vocabulary."
        differences = (
            f"How much better or worse than {self._first} (seed 0 of each, the same pairs): difference of Spearman's "
            "rho and its 95 % interval by paired bootstrap over the pairs. Bold: 0 lies outside the interval."
        )
        published = self._comparison.published.get(tables.SIMILARITY, [])
        made = []
        if entries := self._entries(self._pairs):
            made.append(tables.similarity_figures("table3", caption, entries, published))
        if entries := self._entries(self._common):
            made.append(tables.similarity_figures("table3-common", same, entries, []))
        if self._differences:
            made.append(tables.difference_figures(differences, self._differences))
        cache = "the making of the cache, which all methods but gensim's need, is not in it"
        about = [f"Time is that of one seed's vectors, on the machine above; {cache}."]
        about += [OF_THE_PAPER] if published else []
        once = "ASE reads the corpus with the teacher once for all layers: that time stands at the first of them."
        about += [once] if any(step.method.is_ase for step in self._steps) else []
        return about, made

    def _entries(self, pairs: Mapping[str, Sequence[SimilarityScore]]) -> list[Entry]:
        """Return the rows of table 3, from scores by the names of the steps."""
        entries = []
        for steps in self._methods:
            if seeds := [pairs[step.name] for step in steps if step.name in pairs]:
                label, record = steps[0].method.label_over(len(seeds)), self._records[steps[0].name]
                entries.append(Entry(label, seeds, self._seconds(steps), record.dim, record.vocabulary))
        return entries

    def _seconds(self, steps: Sequence[Step]) -> float | None:
        """Return the seconds of one seed's vectors, ASE's at its first layer; None where earlier work was used."""
        records, sizes = [self._records[step.name] for step in steps], self._comparison.sizes
        first = next((step.method for step in self._comparison.steps if step.method.is_ase), None)
        # what the whole cache took over of ASE's sums of smaller sizes
        before = sizes[-1].seconds() if sizes and steps[0].method == first else 0.0
        units = max((size.units for size in sizes[:-1]), default=0) if before else 0
        if any(record.units_found > units for record in records):
            return None
        return before + fmean(record.seconds for record in records)

    def _classification(self) -> list[Figures]:
        """Return table 4, if there is any classification, the teacher's row behind those of the methods."""
        caption = (
            "Macro-F1 and accuracy in per cent, a convolution over frozen vectors. Mean and standard deviation over "
            "seeds of vectors and classifiers. Time is that of all tasks. Bold: the best of a column."
        )
        entries = []
        for steps in self._methods:
            if scored := [self._classes[step.name] for step in steps if step.name in self._classes]:
                label, seconds = steps[0].method.label_over(len(scored)), fmean(one.seconds for one in scored)
                entries.append(Entry(label, [one.classes for one in scored], seconds))
        if (teacher := self._classes.get(scores.TEACHER)) is not None:
            label = f"{TEACHER}, linear classifier"
            entries.append(Entry(label, [teacher.classes], teacher.seconds, source="teacher"))
        published = self._comparison.published.get(tables.CLASSIFICATION, [])
        return [tables.classification_figures(caption, entries, published)] if entries else []

    def _texts(self, part: scores.TextPart) -> list[Figures]:
        """Return the table of sentence similarity or retrieval, if there is any, the teacher's row last."""
        _, caption, items, measures = TEXTS[part]
        digest = self._comparison.data.texts[part]
        scored = {name: record.on(part, digest) for name, record in self._records.items()}
        of_names = {name: getattr(one, part) for name, one in scored.items() if one is not None}
        entries = []
        for steps in self._methods:
            if seeds := [of_names[step.name] for step in steps if step.name in of_names]:
                entries.append(Entry(steps[0].method.label_over(len(seeds)), seeds, None))
        if scores.TEACHER in of_names:
            entries.append(Entry(TEACHER, [of_names[scores.TEACHER]], None, source="teacher"))
        return [tables.text_figures(part, caption, entries, measures, items)] if entries else []

    def _unknown(self) -> list[Figures]:
        """Return the table of scores with vectors for unknown words, if there is any."""
        digest, entries = self._comparison.data.pairs, []
        for step, *_ in self._methods:
            record = self._records[step.name]
            if (scored := record.on("unknown", digest)) is not None:
                label = step.method.label_over(1)
                entries.append(Entry(label, [scored.unknown], scored.seconds, record.dim, record.vocabulary))
        return [tables.similarity_figures("unknown", UNKNOWN, entries, [])] if entries else []

    def _what_wins(
        self,
        similarity: Sequence[Figures],
        classification: Sequence[Figures],
        texts: Mapping[scores.TextPart, Sequence[Figures]],
        unknown: Sequence[Figures],
    ) -> list[str]:
        """Say which method is best, if possible on the same pairs (few easy pairs are no merit), and what is chance."""
        points = []
        by_name = {figures.name: figures for figures in similarity}
        common = by_name.get("table3-common")
        deciding = common or by_name.get("table3")
        if deciding is not None and (best := deciding.best("average")):
            which = "on the pairs that all cover" if common else "each on the pairs that it covers"
            points.append(f"Word similarity: {best[0]} has the best average, {best[1]:.3f} ({which}).")
        kinds: dict[str, list[str]] = {}
        for label, differences in self._differences.items():
            kinds.setdefault(_kind(differences[-1], self._first), []).append(label)
        # Sorted, what is beyond chance comes first, and what was not tested last.
        points += [f"{kind}: {'; '.join(labels)}." for kind, labels in sorted(kinds.items())]
        if classification and (best := classification[0].best("average F1")):
            points.append(f"Classification: {best[0]} has the best average F1, {best[1]:.1f}.")
        for part, tables_of_part in texts.items():
            for table in tables_of_part:
                first = next(iter(TEXTS[part][3]))  # the plain measure
                head = f"average{first}" if f"average{first}" in table.heads else table.heads[0]
                if best := table.best(head):
                    points.append(f"{TEXTS[part][0]}: {best[0]} has the best {head}, {best[1]:.3f}.")
        for table in unknown:
            if best := table.best("average"):
                points.append(f"With vectors for unknown words: {best[0]} has the best average, {best[1]:.3f}.")
        return points

    def _curve(self) -> tuple[Section, list[Figures]] | None:
        """Return quality against the size of the corpus; None where only points of the whole corpus are there."""
        comparison, config = self._comparison, self._comparison.config
        points = [point for point in comparison.points if point.step.name in self._pairs]
        if all(point.size.whole for point in points):  # the tables have the whole corpus too
            return None
        heads = tables.heads_of(one.task for point in points for one in self._pairs[point.step.name])
        sets = [name for name in CURVE_SETS if name in heads.values()]
        if not sets and "figure1" in config.only:
            wanted = " and ".join(CURVE_SETS)
            raise X2StaticError(f"figure 1 is of {wanted}, and the data has none of them; give --data")
        if not sets:
            return None
        score = partial(scores.on_common_pairs, [point.step for point in points], config)
        common = comparison.attempt("the curve's common pairs", score) if len(points) > 1 else None
        rows = []
        lines: dict[str, dict[str, list[tuple[float | None, ...]]]] = {name: {} for name in sets}
        for point in points:
            size, label = point.size, point.step.method.label
            counts = {"paragraphs": size.paragraphs, "words": size.words}
            figures = {head: Figure(count, figure(count)) for head, count in counts.items()}
            shared = {one.task: one.score for one in common[0][point.step.name]} if common else {}
            for one in self._pairs[point.step.name]:
                if (name := heads[one.task]) in sets:
                    same = shared.get(one.task)
                    figures[name] = Figure(one.score, figure(one.score), covered=one.covered, total=one.total)
                    figures[f"{name} pairs"] = Figure(one.covered, f"{one.covered:,} of {one.total:,}")
                    figures[f"{name}, same pairs"] = Figure(same, figure(same))
                    lines[name].setdefault(label, []).append((size.words, one.score, same))
            # A label of its own for each row: CSV and JSON tell rows apart by nothing else.
            rows.append(Row(f"{size.units} unit{'s' if size.units > 1 else ''}, {label}", figures))
        columns = [head for name in sets for head in (name, f"{name} pairs", f"{name}, same pairs")]
        table = Figures("figure1", CURVE_CAPTION, ["paragraphs", "words", *columns], rows, corner="size and method")
        dotted = "the pairs that every method covers at every size."
        first = "Nested samples of the cache: the first units of each size."
        text = [f"{first} Solid: all pairs that the vectors cover at that size. Dotted: {dotted}"]
        if (n_sizes := len({point.size for point in points})) < FEW:
            text.append(
                f"The cache has {quantity(comparison.sizes[-1].units, 'unit')}, which gives {n_sizes} sizes only."
            )
        of_figure = "Word similarity (Spearman's rho) against the size of the corpus in words, seed 0 of each method."
        panels = {
            f"{name} (Spearman's rho)": {label: np.array(line, np.float64) for label, line in of_set.items()}
            for name, of_set in lines.items()
        }
        drawn = [size_curves(panels, narrow) for narrow in (False, True)]
        picture = Picture("figure1", f"{of_figure} Dotted: on {dotted}", *drawn)
        return Section("Quality against corpus size (figure 1)", text, (), [table.table()], [picture]), [table]

    def _losses(self) -> Section | None:
        curves = [(step.label, values) for step in self._steps if (values := self._records[step.name].losses)]
        if not curves:
            return None
        caption = "Mean loss of a target in each epoch; losses of different settings are not of one scale."
        return Section("Losses", pictures=[Picture("losses", caption, losses(curves))])


def _kind(average: SimilarityScore, first: str) -> str:
    if average.score is None or average.interval is None:
        return f"Too few pairs for an interval of the difference from {first}"
    if not average.is_clear:
        return f"Not told apart from {first}"
    what = "better" if average.score > 0 else "worse"
    return f"Beyond chance {what} than {first} (average, paired bootstrap)"


def words_section(steps: Sequence[Step], chosen: Sequence[str]) -> Section:
    """Show neighbours of the chosen words by every method, and a map of the first one's frequent words."""
    vocabularies = [read_vocabulary(step.folder)["word"].to_pylist() for step in steps]  # without the matrices
    known_by_all = set(vocabularies[0]).intersection(*vocabularies[1:])
    common = [word for word in vocabularies[0] if word in known_by_all][:AMONG]
    words, mapped = words_to_show(chosen, common), content_words(common)[:MAPPED]
    by_method: dict[str, dict[str, list[str]]] = {}
    pictures: list[Picture] = []
    for step in steps:
        vectors = WordVectors.load(step.folder)
        by_method[step.method.label] = nearest(vectors, common, words)
        if not pictures and len(mapped) > 2:
            passed = "(function words, the very most frequent, passed over)"
            axes = "unit vectors on their first two principal components; names where there is room."
            caption = f"The {len(mapped)} most frequent words of {step.label} {passed}: {axes}"
            points, shares = principal_plane(vectors, mapped)
            drawn = [word_map(points, mapped, shares, narrow) for narrow in (False, True)]
            pictures.append(Picture("map", caption, *drawn))
    among = f"the {len(common):,} most frequent words that all methods have"
    text = f"Nearest neighbours by cosine among {among}, seed 0 of each."
    tables = [neighbour_table(word, {method: near[word] for method, near in by_method.items()}) for word in words]
    return Section("Words and their neighbours", [text], (), tables, pictures)


def content_words(common: Sequence[str]) -> list[str]:
    """Return words that mean something: letters alone, two at least, the most frequent ones passed over."""
    rest = common[TOO_FREQUENT if len(common) > 2 * TOO_FREQUENT else 0 :]
    return [word for word in rest if word.isalpha() and len(word) > 1] or list(rest)


def words_to_show(chosen: Sequence[str], common: Sequence[str]) -> list[str]:
    """Return the chosen words that every method knows, with a warning of others; or examples of several frequencies."""
    known = set(common)
    if missing := [word for word in chosen if word not in known]:
        among = f"not among the {len(common):,} most frequent words that all methods have"
        logger.warning("--words %s: left out, %s", ", ".join(missing), among)
    if chosen:
        return [word for word in chosen if word in known]
    examples = [word for word in EXAMPLES if word in known]
    rest = [word for word in content_words(common) if word not in examples]
    if rest:
        rest = [rest[place] for place in np.unique(np.geomspace(1, len(rest), N_WORDS).astype(int) - 1)]
    return [*examples, *rest][: max(N_WORDS, len(examples))]


def nearest(vectors: WordVectors, common: Sequence[str], words: Sequence[str]) -> dict[str, list[str]]:
    """Return the nearest neighbours of words by cosine, nearest first."""
    among = scores.only(vectors, common)
    return {word: [near for near, _ in among.most_similar(word, topn=NEIGHBOURS)] for word in words}


def neighbour_table(word: str, neighbours: Mapping[str, Sequence[str]]) -> Table:
    """Return the neighbours of a word: a row a method, of which there are many, a column a neighbour."""
    most = max(map(len, neighbours.values()), default=0)
    rows = [[method, *near, *[""] * (most - len(near))] for method, near in neighbours.items()]
    return Table([Column("method", "left"), *(Column(str(place + 1), "left") for place in range(most))], rows, word)


def principal_plane(vectors: WordVectors, words: Sequence[str]) -> tuple[npt.NDArray[np.float64], tuple[float, float]]:
    """Project the unit vectors of words, two at least, on their first two principal components.

    Returns:
        (len(words), 2), and the share of the variance that each axis has. The coordinate of the largest size on each
        axis is positive, so that a map is not mirrored from one call to the next.
    """
    matrix = vectors.unit_matrix[[vectors.index[word] for word in words]].astype(np.float64)
    matrix = np.pad(matrix - matrix.mean(axis=0), ((0, 0), (0, 1)))  # a second axis, also of vectors of one number
    left, sizes, _ = np.linalg.svd(matrix, full_matrices=False)
    points, shares = (left * sizes)[:, :2], sizes[:2] ** 2 / max(float((sizes**2).sum()), 1e-300)
    largest = points[np.abs(points).argmax(axis=0), [0, 1]]
    return points * np.where(largest < 0, -1, 1), (float(shares[0]), float(shares[1]))
