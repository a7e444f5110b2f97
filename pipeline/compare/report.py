"""The report of a comparison: what was found, in the order in which it is read."""

from pipeline.compare import curve, neighbours, reference
from pipeline.compare.classes import classification_table
from pipeline.compare.figure1 import figure1
from pipeline.compare.kept import TEACHER_ROW, Kept, label_of
from pipeline.compare.plots import loss_curves, word_map
from pipeline.compare.sections import Picture, Report, Section
from pipeline.compare.similarity import average_of, similarity_table
from pipeline.compare.tables import Table
from pipeline.compare.together import difference_table
from pipeline.compare.vectors import common_words
from schemas.vectors import WordVectors

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
    means = {}
    for row in kept.similarity_rows():
        known = [average for seed in row.seeds if (average := average_of(seed)) is not None]
        if known:
            means[row.label] = sum(known) / len(known)
    if not means:
        return None
    best = max(means, key=lambda label: means[label])
    listed = [f"Word similarity: {best} has the best average, {means[best]:.3f}."]
    labels = {step.name: step.label for step in kept.there()}
    differences = kept.together.differences if kept.together is not None else {}
    clear = {name: found.average for name, found in differences.items() if found.average.is_clear}
    first = labels[next(iter(kept.together.scores))] if kept.together is not None else ""
    for what, sign in (("better", 1), ("worse", -1)):
        some = [labels[name] for name, one in clear.items() if one.difference is not None and one.difference * sign > 0]
        if some:
            listed.append(f"Beyond chance {what} than {first} (average, paired bootstrap): {'; '.join(some)}.")
    if unclear := [labels[name] for name in differences if name not in clear]:
        listed.append(f"Not told apart from {first}: {'; '.join(unclear)}.")
    if rows := [row for row in kept.class_rows() if row.label != TEACHER_ROW]:
        averages = {row.label: _mean([_mean([one.f1 for one in seed.values()]) for seed in row.seeds]) for row in rows}
        leader = max(averages, key=lambda label: averages[label])
        listed.append(f"Classification: {leader} has the best average F1, {100 * averages[leader]:.1f}.")
    return Section("What wins", (), tuple(listed))


def _mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))


def _table3(kept: Kept) -> Section | None:
    ours = kept.similarity_rows()
    if not ours:
        return None
    published = _published(kept, reference.SIMILARITY)
    caption = (
        "Spearman's rho; pairs with an unknown word are left out. Mean and standard deviation over seeds; the average "
        "is over the paper's data sets. Bold: the best of a column."
    )
    tables = [similarity_table("table3", caption, ours, published)]
    if kept.together is not None:
        same = "The same on the pairs that all methods cover, so that nobody gains by a small vocabulary."
        tables.append(similarity_table("table3-common", same, kept.similarity_rows(common=True), []))
        labels = {step.name: step.label for step in kept.there()}
        named = {labels[name]: found for name, found in kept.together.differences.items()}
        if named:
            tables.append(difference_table(named, labels[next(iter(kept.together.scores))]))
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
