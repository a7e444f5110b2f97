"""What vectors say of words: their nearest neighbours by every method, and a map of frequent words."""

import logging
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.pipeline.compare.tables import Cell, Row, Table
from x2static.pipeline.compare.vectors import only
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

AMONG = 20_000  # most frequent common words, among which neighbours are looked for
SHOWN = 8  # neighbours
EXAMPLES = ("king", "water", "good", "quickly", "run", "three", "london", "music")
N_WORDS = 6
TOO_FREQUENT = 100  # words, most of them function words, are passed over where content words are meant


def content_words(common: Sequence[str], most: int) -> list[str]:
    """Return frequent words that mean something: letters alone, two at least, the most frequent ones passed over.

    Args:
        common: words by descending count.
        most: how many are asked for.
    """
    passed = TOO_FREQUENT if len(common) > 2 * TOO_FREQUENT else 0
    found = [word for word in common[passed:] if word.isalpha() and len(word) > 1]
    return (found or list(common[passed:]))[:most]


def check_words(asked: Sequence[str], vocabulary: Collection[str]) -> None:
    """See that words are in the vocabulary that all methods start from, before anything is made.

    Raises:
        X2StaticError: one is not.
    """
    known = set(vocabulary)
    if missing := [word for word in asked if word not in known]:
        raise X2StaticError(
            f"--words {', '.join(missing)}: not in the cache's vocabulary of {len(known):,} words; see their spelling, "
            "and --min-count"
        )


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
    found = [word for word in EXAMPLES if word in known]
    rest = [word for word in content_words(common, AMONG) if word not in found]
    spread = (
        [rest[place] for place in np.unique(np.geomspace(1, max(1, len(rest)), N_WORDS).astype(int) - 1)]
        if rest
        else []
    )
    return [*found, *spread][: max(N_WORDS, len(found))]


def nearest(vectors: WordVectors, common: Sequence[str], words: Sequence[str]) -> dict[str, list[str]]:
    """Return the nearest neighbours of words by cosine, nearest first.

    Args:
        vectors: of at least the common words.
        common: among which neighbours are looked for.
        words: some of them.
    """
    among = only(vectors, common)
    return {word: [near for near, _ in among.most_similar(word, SHOWN)] for word in words}


def neighbour_tables(found: Mapping[str, Mapping[str, Sequence[str]]], words: Sequence[str]) -> list[Table]:
    """Return a table for each word: a column a method, a row a neighbour.

    Args:
        found: the neighbours of each word, by method.
        words: in order.
    """
    tables = []
    for word in words:
        columns = [near[word] for near in found.values()]
        depth = max(map(len, columns), default=0)
        rows = tuple(
            Row(str(place + 1), tuple(Cell(column[place] if place < len(column) else "") for column in columns))
            for place in range(depth)
        )
        tables.append(Table("neighbours", word, ("", *found), rows, words=True))
    return tables


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
    points = np.zeros((len(words), 2))
    points[:, : min(2, len(sizes))] = (left * sizes)[:, :2]
    largest = points[np.abs(points).argmax(axis=0), [0, 1]]
    shares = np.zeros(2)
    shares[: min(2, len(sizes))] = (sizes**2)[:2] / max(float((sizes**2).sum()), 1e-300)
    return points * np.where(largest < 0, -1, 1), (float(shares[0]), float(shares[1]))
