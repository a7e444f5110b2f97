"""The report of a comparison: what was found, in the order in which it is read."""

from x2static.evaluation.measures import mean_of_known
from x2static.evaluation.word_similarity import Difference
from x2static.pipeline.compare import curve, neighbours, reference
from x2static.pipeline.compare.classes import classification_table
from x2static.pipeline.compare.figure1 import figure1
from x2static.pipeline.compare.kept import TEACHER_ROW, Kept, label_of
from x2static.pipeline.compare.plots import loss_curves, word_map
from x2static.pipeline.compare.sections import Picture, Report, Section
from x2static.pipeline.compare.similarity import average_of, sets_of_average, similarity_table
from x2static.pipeline.compare.tables import Table
from x2static.pipeline.compare.together import Together, difference_table
from x2static.pipeline.compare.vectors import common_words
from x2static.schemas.vectors import WordVectors

MAPPED = 200  # words
OF_THE_PAPER = "The paper's rows are of another corpus (all of English Wikipedia) and other teachers: no rivals here."


def report(kept: Kept, facts: dict[str, str]) -> Report:
    """Return the report.

    Args:
        kept: what is kept of a comparison.
        facts: what is told first, by what it is.
    """
    attempt = kept.comparison.attempt
    made = [
        _winners(kept),
        _table3(kept),
        _table4(kept),
        attempt("figure1", lambda: figure1(kept)),
        attempt("losses", lambda: _losses(kept)),
        attempt("words", lambda: _words(kept)),
    ]
    sections = [section for section in made if section is not None]
    if failures := kept.comparison.failures:
        sections.append(Section("What failed", (), tuple(f"{name}: {error}" for name, error in failures.items())))
    return Report("Static word vectors compared", facts, sections)


def _winners(kept: Kept) -> Section | None:
    """Say which method has the best average, and which differences are beyond chance."""
    listed = [*_best_average(kept), *(_told_apart(kept, kept.together) if kept.together is not None else [])]
    if rows := [row for row in kept.class_rows() if row.label != TEACHER_ROW]:
        averages = {
            row.label: mean_of_known([mean_of_known([one.f1 for one in seed.values()]) for seed in row.seeds]) or 0
            for row in rows
        }
        leader = max(averages, key=lambda label: averages[label])
        listed.append(f"Classification: {leader} has the best average F1, {100 * averages[leader]:.1f}.")
    return Section("What wins", (), tuple(listed)) if listed else None


def _best_average(kept: Kept) -> list[str]:
    """Say whose average is the best where all are scored on the same pairs; few and easy pairs are no merit."""
    common = kept.together is not None
    rows = kept.similarity_rows(common)
    over = sets_of_average(rows)
    found = {row.label: mean_of_known([average_of(seed, over) for seed in row.seeds]) for row in rows}
    means = {label: average for label, average in found.items() if average is not None}
    if not means:
        return []
    best = max(means, key=lambda label: means[label])
    which = "on the pairs that all cover" if common else "each on the pairs that it covers"
    return [f"Word similarity: {best} has the best average, {means[best]:.3f} ({which})."]


def _told_apart(kept: Kept, together: Together) -> list[str]:
    """Say which methods are better or worse than the first one beyond chance, and which could not be tested."""
    labels = {step.name: step.label for step in kept.there()}
    kinds: dict[str, list[str]] = {}
    for name, found in together.differences.items():
        kinds.setdefault(_kind(found.average, labels[together.reference]), []).append(labels[name])
    # Sorted, what is beyond chance comes first, and what was not tested last.
    return [f"{kind}: {'; '.join(some)}." for kind, some in sorted(kinds.items())]


def _kind(average: Difference, first: str) -> str:
    if average.difference is None or average.interval is None:
        return f"Too few pairs for an interval of the difference from {first}"
    if not average.is_clear:
        return f"Not told apart from {first}"
    what = "better" if average.difference > 0 else "worse"
    return f"Beyond chance {what} than {first} (average, paired bootstrap)"


def _table3(kept: Kept) -> Section | None:
    ours = kept.similarity_rows()
    if not ours:
        return None
    published = _published(kept, reference.SIMILARITY)
    caption = (
        "Spearman's rho; pairs with an unknown word are left out. Mean and standard deviation over seeds; the average "
        "is over the paper's data sets, and none where there is no score on one that others have. Bold: the best of a "
        'column. Time is "reused" where a part of the work was found done.'
    )
    tables = [similarity_table("table3", caption, ours, published)]
    if kept.together is not None:
        same = "The same on the pairs that all methods cover, so that nobody gains by a small vocabulary."
        tables.append(similarity_table("table3-common", same, kept.similarity_rows(common=True), []))
        labels = {step.name: step.label for step in kept.there()}
        named = {labels[name]: found for name, found in kept.together.differences.items()}
        if named:
            tables.append(difference_table(named, labels[kept.together.reference]))
    text = [
        "Time is that of one seed's vectors, on the machine above; the making of the cache, which all methods but "
        "gensim's need, is not in it.",
        *([OF_THE_PAPER] if published else []),
    ]
    if any(curve.is_ase(method) for method, _ in kept.methods()):
        text.append("ASE reads the corpus with the teacher once for all layers: that time stands at the first of them.")
    return Section("Word similarity (table 3)", tuple(text), (), tuple(tables))


def _table4(kept: Kept) -> Section | None:
    ours = kept.class_rows()
    if not ours:
        return None
    published = _published(kept, reference.CLASSIFICATION)
    caption = (
        "Macro-F1 and accuracy in per cent, a convolution over frozen vectors. Mean and standard deviation over seeds "
        "of vectors and classifiers. Time is that of all tasks. Bold: the best of a column."
    )
    table = classification_table("table4", caption, ours, published)
    return Section("Classification (table 4)", (OF_THE_PAPER,) if published else (), (), (table,))


def _published(kept: Kept, name: str) -> list[reference.Published]:
    return kept.comparison.published.get(name, [])


def _losses(kept: Kept) -> Section | None:
    losses = {step.label: kept.records[step.name].losses for step in kept.there() if kept.records[step.name].losses}
    if not losses:
        return None
    caption = "Mean loss of a target in each epoch; losses of different settings are not of one scale."
    return Section("Losses", pictures=(Picture("losses", caption, loss_curves(losses)),))


def _words(kept: Kept) -> Section | None:
    """Show neighbours by every method, and a map of the first one's frequent words."""
    some = [found[0] for _, found in kept.methods()]
    if not some:
        return None
    common = common_words([step.folder for step in some], neighbours.AMONG)
    words = neighbours.chosen_words(kept.comparison.config.words, common)
    found: dict[str, dict[str, list[str]]] = {}
    pictures: list[Picture] = []
    for step in some:
        vectors = WordVectors.load(step.folder)
        found[label_of(step.method, 0)] = neighbours.nearest(vectors, common, words)
        mapped = neighbours.content_words(common, MAPPED)
        if not pictures and len(mapped) > 2:
            points, shares = neighbours.principal_plane(vectors, mapped)
            caption = (
                f"The {len(mapped)} most frequent words of {step.label} (function words, the very most frequent, "
                "passed over): unit vectors on their first two principal components; names where there is room."
            )
            pictures.append(Picture("map", caption, word_map(points, mapped, shares)))
    tables: tuple[Table, ...] = tuple(neighbours.neighbour_tables(found, words))
    text = (
        f"Nearest neighbours by cosine among the {len(common):,} most frequent words that all methods have, seed 0 of "
        "each.",
    )
    return Section("Words and their neighbours", text, (), tables, tuple(pictures))
