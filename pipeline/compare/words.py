"""What vectors say of words: their nearest neighbours by every method, and a map of frequent words."""

import logging
from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from x2static.pipeline.compare.plan import Step
from x2static.pipeline.compare.scores import only
from x2static.report.page import Picture, Section
from x2static.report.table import Column, Table
from x2static.schemas.vectors import WordVectors, read_vocabulary

logger = logging.getLogger(__name__)

AMONG = 20_000  # most frequent common words, among which neighbours are looked for
NEIGHBOURS = 8
MAPPED = 200  # words
EXAMPLES = ("king", "water", "good", "quickly", "run", "three", "london", "music")
N_WORDS = 6
TOO_FREQUENT = 100  # words, most of them function words, are passed over where content words are meant


def words_section(steps: Sequence[Step], chosen: Sequence[str]) -> Section:
    """Show neighbours of the chosen words by every method, and a map of the first one's frequent words."""
    vocabularies = [read_vocabulary(step.folder)["word"].to_pylist() for step in steps]  # without the matrices
    known_by_all = set(vocabularies[0]).intersection(*vocabularies[1:])
    common = [word for word in vocabularies[0] if word in known_by_all][:AMONG]
    words, mapped = words_to_show(chosen, common), content_words(common)[:MAPPED]
    columns: dict[str, dict[str, list[str]]] = {}
    pictures: list[Picture] = []
    for step in steps:
        vectors = WordVectors.load(step.folder)
        columns[step.method.label_over(1)] = nearest(vectors, common, words)
        if not pictures and len(mapped) > 2:
            from x2static.report.pictures import word_map  # matplotlib, an extra

            caption = (
                f"The {len(mapped)} most frequent words of {step.label} (function words, the very most frequent, "
                "passed over): unit vectors on their first two principal components; names where there is room."
            )
            points, shares = principal_plane(vectors, mapped)
            pictures.append(Picture("map", caption, word_map(points, mapped, shares), wide=True))
    among = f"the {len(common):,} most frequent words that all methods have"
    text = f"Nearest neighbours by cosine among {among}, seed 0 of each."
    tables = [neighbour_table(word, {method: near[word] for method, near in columns.items()}) for word in words]
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
    among = only(vectors, common)
    return {word: [near for near, _ in among.most_similar(word, NEIGHBOURS)] for word in words}


def neighbour_table(word: str, neighbours: Mapping[str, Sequence[str]]) -> Table:
    """Return the neighbours of a word: a column a method, a row a neighbour."""
    rows = [[str(place), *cells] for place, cells in enumerate(zip_longest(*neighbours.values(), fillvalue=""), 1)]
    return Table([Column(head, "left") for head in ("", *neighbours)], rows, word)


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
