"""Word translation: is the nearest word of another language the right one? By cosine, and by CSLS.

As MUSE does it (Conneau, Lample, Ranzato, Denoyer and Jegou, *Word translation without parallel data*, ICLR 2018): a
pair counts where both words have a vector, a source word once, and it is right where one of its translations is among
the k nearest of all words of the other language. CSLS takes from twice the cosine the mean cosine of each of the two
words to its NEIGHBOURS nearest of the other language (their equation 3), so that a hub is nobody's nearest.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import DICTIONARIES, find_files, numbered_lines
from x2static.evaluation.measures import Score, unit
from x2static.schemas.vectors import WordVectors

NEIGHBOURS = 10
AMONG = 200_000  # most frequent words of each language, as in MUSE
ROWS_AT_ONCE = 1024  # source words whose cosines to all target words are held at a time
NAME = re.compile(r"([a-z]+)-([a-z]+)")

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Dictionary:
    """Pairs of a word and a translation, of two languages."""

    source: str  # ISO 639-1
    target: str
    pairs: tuple[tuple[str, str], ...]  # lower-cased


@dataclass(frozen=True)
class TranslationScore(Score):
    """`score` is the precision at 1 by CSLS, over source words."""

    at_5: float | None  # precision at 5 by CSLS
    cosine_at_1: float | None  # by cosine alone
    cosine_at_5: float | None
    pairs_covered: int  # pairs of which both words have a vector
    pairs: int


def read_dictionaries(data: Path | None) -> dict[str, Dictionary]:
    """Return the dictionaries of a file or folder, by name. Raises X2StaticError: one is not named or written so."""
    dictionaries = {}
    for path in find_files(DICTIONARIES, data):
        if (named := NAME.match(path.stem)) is None:
            raise X2StaticError(f"{path}: its name does not say its languages; call it en-de.txt if it is so")
        pairs = dict[tuple[str, str], None]()
        for where, line in numbered_lines(path):
            words = line.lower().split()
            if len(words) != 2:
                raise X2StaticError(
                    f"{where}: expected a word and its translation, got {line[:80]!r}; mend or remove it"
                )
            pairs[words[0], words[1]] = None
        dictionaries[path.stem] = Dictionary(named[1], named[2], tuple(pairs))
    return dictionaries


def score_translation(vectors: WordVectors, task: str, dictionary: Dictionary) -> TranslationScore:
    """Score one dictionary; of equally near words the more frequent comes first.

    Raises X2StaticError: the vectors have no words of one of its languages.
    """
    source, target = (vectors.of_language(one).rows(slice(AMONG)) for one in (dictionary.source, dictionary.target))
    right: dict[int, list[int]] = {}  # of a source word's row, the rows of its translations
    for one, other in dictionary.pairs:
        if one in source.index and other in target.index:
            right.setdefault(source.index[one], []).append(target.index[other])
    n_pairs, n_words = sum(map(len, right.values())), len({one for one, _ in dictionary.pairs})
    if not right:
        return TranslationScore(task, None, 0, n_words, None, None, None, 0, len(dictionary.pairs))
    queries, sources, targets = sorted(right), unit(source.matrix), unit(target.matrix)
    hubness = neighbour_means(targets, sources)  # (n_targets,)
    ranks = {"cosine": list[int](), "csls": list[int]()}
    for start in range(0, len(queries), ROWS_AT_ONCE):
        some = queries[start : start + ROWS_AT_ONCE]
        cosines = sources[some] @ targets.T
        # The mean of the source word is the same for all targets, and changes no rank.
        for measure, values in (("cosine", cosines), ("csls", 2 * cosines - hubness)):
            ranks[measure] += [best_rank(row, right[query]) for row, query in zip(values, some, strict=True)]
    precision = {(name, k): float(np.mean(np.array(of) < k)) for name, of in ranks.items() for k in (1, 5)}
    cosine_1, cosine_5, csls_1, csls_5 = precision.values()
    return TranslationScore(
        task, csls_1, len(right), n_words, csls_5, cosine_1, cosine_5, n_pairs, len(dictionary.pairs)
    )


def neighbour_means(vectors: Floats, others: Floats) -> Floats:
    """Return the mean cosine of each vector to its nearest NEIGHBOURS of others, (n,), unit rows in."""
    n, means = min(NEIGHBOURS, len(others)), np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        cosines = vectors[start : start + ROWS_AT_ONCE] @ others.T
        means[start : start + ROWS_AT_ONCE] = np.partition(cosines, -n, axis=1)[:, -n:].mean(axis=1)
    return means


def best_rank(values: Floats, right: list[int]) -> int:
    """Return how many places stand before the first of the right ones, by descending value, equals in their order."""
    best = max(right, key=lambda place: (values[place], -place))
    return int((values > values[best]).sum() + (values[:best] == values[best]).sum())
