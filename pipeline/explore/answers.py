"""What the page of `x2static explore` asks of word vectors: every answer is a function of one set, ready as JSON.

The vocabulary may have 750,000 words and an answer is wanted at each key: whatever goes over all words is one product
and a partial sort (`WordVectors.most_similar`), or a binary search.
"""

import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from x2static.schemas.queries import near_misses
from x2static.schemas.vectors import WordVectors

Vector = npt.NDArray[np.float32]  # (dim,)

LAST = "\U0010ffff"  # the character that sorts behind all others


class Place(NamedTuple):
    """A word that has a vector."""

    word: str  # as the vocabulary has it
    row: int | None  # None outside the vocabulary: the vector is that of its subwords
    unit: Vector  # of length 1, or zeros


@dataclass(frozen=True)
class Searchable:
    """A set of word vectors under its name, made ready to be searched."""

    name: str
    vectors: WordVectors

    @cached_property
    def sorted_rows(self) -> npt.NDArray[np.int64]:
        """(len(words),) int64, the rows in the order of `sorted_words`."""
        words = self.vectors.words
        return np.array(sorted(range(len(words)), key=words.__getitem__), np.int64)

    @cached_property
    def sorted_words(self) -> list[str]:
        """The words by their characters, so that those of one beginning stand together."""
        return [self.vectors.words[row] for row in self.sorted_rows]

    def prepare(self) -> "Searchable":
        """Compute all that the first answer would wait for."""
        _ = self.sorted_words
        self.nearest(self.vectors.words[:1], [], 1)  # computes lengths, wakes the threads of the matrix product
        return self

    def place(self, typed: str) -> Place | None:
        """Return the word that was typed: as it is, without spaces around it, or in lower case; None: it is unknown."""
        stripped = typed.strip()
        spellings = (typed, stripped, stripped.lower())
        for word in spellings:
            if (row := self.vectors.row_of(word)) is not None:
                return Place(self.vectors.words[row], row, _unit(self.vectors.matrix[row]))
        if self.vectors.subwords is None or not stripped:
            return None
        word = stripped.lower()
        vector = self.vectors.subwords.vector(word)
        return None if vector is None else Place(word, None, _unit(vector))

    def nearest(self, plus: Sequence[str], minus: Sequence[str], n: int) -> list[dict[str, Any]]:
        """Return the n words nearest to a sum of known words' unit vectors, nearest first, these words left out."""
        near = self.vectors.most_similar(plus, minus, topn=n)
        return [{"word": word, "cosine": _rounded(cosine)} for word, cosine in near]

    def complete(self, prefix: str, n: int = 8) -> list[str]:
        """Return the n most frequent words that begin so, most frequent first."""
        if not prefix:
            return list(self.vectors.words[:n])
        start = bisect_left(self.sorted_words, prefix)
        rows = self.sorted_rows[start : bisect_left(self.sorted_words, prefix + LAST, start)]
        if len(rows) > n:  # rows are by descending count
            rows = np.partition(rows, n)[:n]
        return [self.vectors.words[row] for row in np.sort(rows)]


def _unit(vector: Vector) -> Vector:
    return np.asarray(vector / (np.linalg.norm(vector) or 1), np.float32)


def _rounded(value: float) -> float:
    return round(float(value), 4)


def _unknown(one: Searchable, typed: str) -> dict[str, Any]:
    return {"word": typed, "near": near_misses(typed, one.vectors.index)}


def _known(one: Searchable, place: Place) -> dict[str, Any]:
    """Return what is said of a word: its rank by frequency, from 1, and its count; null outside the vocabulary."""
    count = None if place.row is None else int(one.vectors.counts[place.row])
    return {"word": place.word, "rank": None if place.row is None else place.row + 1, "count": count}


def complete(sets: Sequence[Searchable], prefix: str, n: int = 8) -> list[str]:
    """Return how a word may go on, by the sets in turn; in lower case too, where it is typed with capitals."""
    prefix = prefix.lstrip()
    lists = [one.complete(spelling, n) for spelling in dict.fromkeys((prefix, prefix.lower())) for one in sets]
    ranked = [words[i] for i in range(n) for words in lists if i < len(words)]
    return list(dict.fromkeys(ranked))[:n]


def neighbours(one: Searchable, word: str, n: int) -> dict[str, Any]:
    """Return the n nearest words of a word, none of one whose vector is zeros; of an unknown one the near misses."""
    if (place := one.place(word)) is None:
        return {"unknown": [_unknown(one, word)]}
    return {"known": [_known(one, place)], "nearest": one.nearest([place.word], [], n) if place.unit.any() else []}


def analogy(one: Searchable, words: tuple[str, str, str], n: int) -> dict[str, Any]:
    """Return the n words nearest to a - b + c of unit vectors, the three left out: 3CosAdd (Mikolov et al. 2013)."""
    places = [one.place(word) for word in words]
    if unknown := [_unknown(one, word) for word, place in zip(words, places, strict=True) if place is None]:
        return {"unknown": unknown}
    a, b, c = known = [place for place in places if place is not None]
    somewhere = (a.unit - b.unit + c.unit).any()
    nearest = one.nearest([a.word, c.word], [b.word], n) if somewhere else []
    return {"known": [_known(one, place) for place in known], "nearest": nearest}


def similarity(one: Searchable, first: str, second: str) -> dict[str, Any]:
    """Return the cosine of two words."""
    places = [one.place(first), one.place(second)]
    if unknown := [_unknown(one, w) for w, place in zip((first, second), places, strict=True) if place is None]:
        return {"unknown": unknown}
    a, b = (place for place in places if place is not None)
    return {"known": [_known(one, a), _known(one, b)], "cosine": _rounded(float(a.unit @ b.unit))}


def sentences(one: Searchable, texts: Sequence[str]) -> dict[str, Any]:
    """Return the words of each text, whether each is known, and the cosines of the mean vectors of all pairs of texts.

    A cosine is null where no word of a text is known. Vectors that came without rules have their texts cut at spaces.
    """
    cut = [one.vectors.split(t) if one.vectors.segmentation else t.lower().split() for t in texts]
    units = np.array([_unit(one.vectors.mean(words)) for words in cut])  # (n_texts, dim)
    cosines, empty = units @ units.T, np.logical_not(units.any(axis=1))
    rows = [
        [None if empty[i] or empty[j] else _rounded(cosine) for j, cosine in enumerate(row)]
        for i, row in enumerate(cosines)
    ]
    words = [[{"word": word, "known": word in one.vectors} for word in of_text] for of_text in cut]
    return {"words": words, "cosines": rows}


def word_map(one: Searchable, n: int) -> dict[str, Any]:
    """Return the n most frequent words on the plane of the two principal components of their unit vectors.

    `x` and `y` are in [-1, 1], on one scale; `share` is how much of the variance each of the two explains.
    """
    n = min(n, len(one.vectors))
    unit = (one.vectors.matrix[:n] / one.vectors.lengths[:n, None]).astype(np.float64)
    centred = unit - unit.mean(axis=0)
    variances, components = np.linalg.eigh(centred.T @ centred)  # ascending
    plane = np.zeros((n, 2))
    plane[:, : min(2, one.vectors.dim)] = centred @ components[:, ::-1][:, :2]
    # The sign of a component is arbitrary: the one that puts the most extreme word to the right, or the top.
    extreme = plane[np.abs(plane).argmax(axis=0), [0, 1]]
    plane *= np.where(extreme < 0, -1, 1) / (np.abs(plane).max() or 1)
    total = variances.sum() or 1
    return {
        "words": one.vectors.words[:n],
        "counts": one.vectors.counts[:n].tolist(),
        "x": plane[:, 0].round(4).tolist(),
        "y": plane[:, 1].round(4).tolist(),
        "share": [_rounded(variance / total) for variance in variances[::-1][:2]],
    }


def settings(sets: Sequence[Searchable]) -> list[dict[str, Any]]:
    """Return what run.json says of each set, a row a field: its name, a text a set (null where there is none)."""
    of_sets = [dict(_flat(one.vectors.run)) for one in sets]
    names = list(dict.fromkeys(name for of_one in of_sets for name in of_one))
    names.sort(key=lambda name: not name.startswith("configuration."))  # what was asked for, then what came of it
    return [{"name": name, "values": [of_one.get(name) for of_one in of_sets]} for name in names]


def _flat(values: dict[str, Any], above: str = "") -> Iterable[tuple[str, str | None]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            plain = value is None or isinstance(value, str)
            yield above + name, value if plain else json.dumps(value, ensure_ascii=False)
