"""What vectors say of words: their nearest neighbours by every method, and a map of frequent words."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
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


def check_words(asked: Sequence[str], vocabulary: Collection[str]) -> None:
    """See that words are in the vocabulary that all methods start from, before anything is made.

    Raises X2StaticError: one is not.
    """
    known = set(vocabulary)
    if missing := [word for word in asked if word not in known]:
        raise X2StaticError(
            f"--words {', '.join(missing)}: not in the cache's vocabulary of {len(known):,} words; see their spelling, "
            "and --min-count"
        )


def words_section(steps: Sequence[Step], asked: Sequence[str]) -> Section:
    """Show neighbours by every method, and a map of the first one's frequent words.

    Raises X2StaticError: vectors are damaged.
    """
    common = common_words([step.folder for step in steps], AMONG)
    words = chosen_words(asked, common)
    mapped = content_words(common, MAPPED)
    neighbours: dict[str, dict[str, list[str]]] = {}
    pictures: list[Picture] = []
    for step in steps:
        vectors = WordVectors.load(step.folder)
        neighbours[step.method.label_over(1)] = nearest(vectors, common, words)
        if not pictures and len(mapped) > 2:
            from x2static.report.pictures import word_map  # matplotlib, an extra

            caption = (
                f"The {len(mapped)} most frequent words of {step.label} (function words, the very most frequent, "
                "passed over): unit vectors on their first two principal components; names where there is room."
            )
            points, shares = principal_plane(vectors, mapped)
            pictures.append(Picture("map", caption, word_map(points, mapped, shares), wide=True))
    text = (
        f"Nearest neighbours by cosine among the {len(common):,} most frequent words that all methods have, seed 0 of "
        "each."
    )
    tables = [neighbour_table(word, {method: near[word] for method, near in neighbours.items()}) for word in words]
    return Section("Words and their neighbours", [text], (), tables, pictures)


def common_words(folders: Iterable[Path], most: int) -> list[str]:
    """Return the most frequent words that all sets of vectors have, in the order of the first; without their matrices.

    Raises X2StaticError: vectors are damaged.
    """
    vocabularies = [read_vocabulary(folder)["word"].to_pylist() for folder in folders]
    shared = set(vocabularies[0]).intersection(*vocabularies[1:])
    return [word for word in vocabularies[0] if word in shared][:most]


def content_words(common: Sequence[str], most: int) -> list[str]:
    """Return frequent words that mean something: letters alone, two at least, the most frequent ones passed over."""
    rest = common[TOO_FREQUENT if len(common) > 2 * TOO_FREQUENT else 0 :]
    letters = [word for word in rest if word.isalpha() and len(word) > 1]
    return (letters or list(rest))[:most]


def chosen_words(asked: Sequence[str], common: Sequence[str]) -> list[str]:
    """Return the words whose neighbours are shown: those asked for, or examples of several kinds, or frequent ones.

    Of those asked for, what one of the methods does not know is left out with a warning.
    """
    known = set(common)
    if missing := [word for word in asked if word not in known]:
        logger.warning(
            "--words %s: left out, not among the %s most frequent words that all methods have",
            ", ".join(missing),
            f"{len(common):,}",
        )
    if asked:
        return [word for word in asked if word in known]
    examples = [word for word in EXAMPLES if word in known]
    rest = [word for word in content_words(common, AMONG) if word not in examples]
    if rest:
        places = np.unique(np.geomspace(1, len(rest), N_WORDS).astype(int) - 1)
        rest = [rest[place] for place in places]
    return [*examples, *rest][: max(N_WORDS, len(examples))]


def nearest(vectors: WordVectors, common: Sequence[str], words: Sequence[str]) -> dict[str, list[str]]:
    """Return the nearest neighbours of words by cosine, nearest first."""
    among = only(vectors, common)
    return {word: [near for near, _ in among.most_similar(word, NEIGHBOURS)] for word in words}


def neighbour_table(word: str, neighbours: Mapping[str, Sequence[str]]) -> Table:
    """Return the neighbours of a word: a column a method, a row a neighbour."""
    depth = max(map(len, neighbours.values()), default=0)
    columns = [[*near, *[""] * (depth - len(near))] for near in neighbours.values()]
    rows = [[str(place), *cells] for place, cells in enumerate(zip(*columns, strict=True), start=1)]
    return Table([Column("", "left"), *(Column(method, "left") for method in neighbours)], rows, word)


def principal_plane(vectors: WordVectors, words: Sequence[str]) -> tuple[npt.NDArray[np.float64], tuple[float, float]]:
    """Project the unit vectors of words on their first two principal components.

    Args:
        vectors: of at least these words.
        words: at least two.

    Returns:
        (len(words), 2), and the share of the variance that each axis has. The coordinate of the largest size on each
        axis is positive, so that a map is not mirrored from one call to the next.
    """
    matrix = vectors.unit_matrix[[vectors.index[word] for word in words]].astype(np.float64)
    matrix -= matrix.mean(axis=0)
    left, sizes, _ = np.linalg.svd(matrix, full_matrices=False)
    points, shares = np.zeros((len(words), 2)), np.zeros(2)
    n_axes = min(2, len(sizes))
    points[:, :n_axes] = (left * sizes)[:, :2]
    shares[:n_axes] = (sizes**2)[:2] / max(float((sizes**2).sum()), 1e-300)
    largest = points[np.abs(points).argmax(axis=0), [0, 1]]
    return points * np.where(largest < 0, -1, 1), (float(shares[0]), float(shares[1]))
