"""What is asked of word vectors, under the names that users of gensim's KeyedVectors know."""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cached_property
from itertools import islice
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from x2static.machine.packages import require_modules
from x2static.machine.screen import quantity

Vector = npt.NDArray[np.float32]
Asked = str | Vector | tuple[str | Vector, float]  # a word or a vector (dim,), perhaps with its weight
LETTERS = 100  # those that words are respelt with: the alphabet of the frequent words, two or three where scripts mix
LONGEST_RESPELT = 60  # characters; of a longer word no near misses are looked for
COMPARED = 300  # words of the same beginning whose spelling is compared with an unknown one


class UnknownWord(KeyError):  # noqa: N818
    """A word without a vector; the message names words that are spelt like it."""

    def __init__(self, word: str, index: Mapping[str, int]) -> None:
        """Take the word and the rows of the vocabulary, which are only looked through if somebody reads the message."""
        super().__init__(word)
        self._word, self._index = word, index

    def __str__(self) -> str:
        near = near_misses(self._word, self._index, 3)
        hint = f"; near it are {', '.join(map(repr, near))}" if near else ""
        return f"{self._word!r} is not among the {quantity(len(self._index), 'word')}{hint}"


def near_misses(typed: str, index: Mapping[str, int], n: int = 8) -> list[str]:
    """Return known words that an unknown one may have been meant for: one slip away, then of the same beginning.

    `index` has the row of each word, the most frequent first; words are taken to be in lower case.
    """
    typed = typed.strip().lower()
    if not 0 < len(typed) <= LONGEST_RESPELT:
        return []
    common = Counter("".join(islice(index, 10_000))).most_common(LETTERS)
    slips = {
        row: word for word in _slips(typed, [letter for letter, _ in common]) if (row := index.get(word)) is not None
    }
    near = [slips[row] for row in sorted(slips)][:n]
    begin = typed[:2]  # one pass over all words, 50 ms for 750,000; few are left
    alike = [word for word in index if word[:2] == begin] if len(typed) > 2 and len(near) < n else []
    for stop in range(len(typed) - 1, 1, -1):
        beginning = list(islice((word for word in alike if word.startswith(typed[:stop])), COMPARED))
        if others := [word for word in beginning if word not in near]:
            likeness = SequenceMatcher(None, "", typed)
            scores = []
            for word in others:
                likeness.set_seq1(word)
                scores.append(likeness.ratio())
            near += [others[i] for i in np.argsort(-np.array(scores), kind="stable")]
            break
    return near[:n]


def _slips(word: str, letters: Sequence[str]) -> Iterator[str]:
    """Yield what a word becomes by one letter less, two that change places, another letter, or one more."""
    for i in range(len(word) + 1):
        head, tail = word[:i], word[i:]
        yield head + tail[1:]
        yield head + tail[1:2] + tail[:1] + tail[2:]
        for letter in letters:
            yield head + letter + tail[1:]
            yield head + letter + tail


class ColumnOfWords(Sequence[str]):
    """The words of a vocabulary as Arrow holds them, made when they are asked for: a list of 750,000 takes 55 ms."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            rows = range(len(self))[place]
            return [str(word) for word in self._column.take(pa.array(rows, pa.int64())).to_pylist()]
        return str(self._column[int(place)].as_py())

    def __iter__(self) -> Iterator[str]:
        return iter(self._column.to_pylist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class Queries(ABC):
    """Similarities and neighbours of words that have vectors."""

    words: Sequence[str]
    matrix: Vector  # (len(words), dim)

    @property
    @abstractmethod
    def index(self) -> dict[str, int]:
        """Row of each word."""

    @abstractmethod
    def row_of(self, word: str) -> int | None:
        """Return the row of a word, None where it has none; one of several words may be given with spaces."""

    @abstractmethod
    def __contains__(self, word: object) -> bool:
        """Return whether a word has a vector."""

    @abstractmethod
    def __getitem__(self, word: str) -> Vector:
        """Return the vector of a word, (dim,). Raises UnknownWord, a KeyError."""

    @property
    def key_to_index(self) -> dict[str, int]:
        """Row of each word, as in gensim."""
        return self.index

    @property
    def index_to_key(self) -> Sequence[str]:
        """The words, as in gensim."""
        return self.words

    @property
    def vector_size(self) -> int:
        """Length of a vector, as in gensim."""
        return int(self.matrix.shape[1])

    @cached_property
    def lengths(self) -> Vector:
        """(len(words),) float32; 1 for rows of zeros."""
        lengths = np.linalg.norm(self.matrix, axis=1)
        return np.where(lengths > 0, lengths, np.float32(1))

    @cached_property
    def unit_matrix(self) -> Vector:
        """(len(words), dim) float32, every row scaled to length 1; rows of zeros stay."""
        return np.divide(self.matrix, self.lengths[:, None], dtype=np.float32)

    def similarity(self, first: str, second: str) -> float:
        """Return the cosine of two words. Raises KeyError: a word is unknown.

        >>> round(vectors.similarity("apple", "pear"), 2)
        0.99
        """
        return float(self._unit(first) @ self._unit(second))

    def n_similarity(self, first: Iterable[str], second: Iterable[str]) -> float:
        """Return the cosine of the means of two lists of words. Raises KeyError; ValueError: a list is empty.

        >>> round(vectors.n_similarity(["king", "man"], ["queen", "woman"]), 2)
        0.33
        """
        means = [np.mean([self[word] for word in _several(words)], axis=0) for words in (first, second)]
        return float(_unit(means[0]) @ _unit(means[1]))

    def most_similar(
        self, positive: Asked | Sequence[Asked] = (), negative: Asked | Sequence[Asked] = (), topn: int = 10
    ) -> list[tuple[str, float]]:
        """Return the words nearest by cosine to the sum of unit vectors, those of `negative` subtracted; nearest first.

        Words that are asked about are left out; a vector counts as it is, as in gensim. Raises KeyError: a word is
        unknown; ValueError: nothing is asked about, or `topn` is negative.

        >>> vectors.most_similar("king", topn=2)
        [('man', 0.74...), ('queen', 0.55...)]
        >>> vectors.most_similar(["king", "woman"], ["man"], topn=1)
        [('queen', 0.97...)]
        """
        if isinstance(negative, int):
            raise TypeError(f"the second argument is what is subtracted; write most_similar(..., topn={negative})")
        if topn < 0:
            raise ValueError(f"topn is {topn}; ask for 0 words or more")
        asked = [
            (key, sign * weight) for sign, keys in ((1, positive), (-1, negative)) for key, weight in _listed(keys)
        ]
        if not asked:
            raise ValueError("nothing is asked about; give a word, or words")
        target = np.sum([weight * (k if isinstance(k, np.ndarray) else self._unit(k)) for k, weight in asked], 0)
        cosines = self.matrix @ _unit(np.asarray(target, np.float32)) / self.lengths
        own = [row for key, _ in asked if isinstance(key, str) and (row := self.row_of(key)) is not None]
        cosines[own] = -np.inf
        topn = min(topn, len(cosines) - len(set(own)))
        if not topn:
            return []
        least = np.partition(cosines, -topn)[-topn]  # a third of the time that sorting all takes
        rows = np.flatnonzero(cosines >= least)
        rows = rows[np.argsort(-cosines[rows], kind="stable")][:topn]
        return [(self.words[row], float(cosines[row])) for row in rows.tolist()]

    def wmdistance(self, first: Iterable[str], second: Iterable[str], norm: bool = True) -> float:
        """Return the Word Mover's Distance of two lists of words (Kusner et al., ICML 2015), by POT as in gensim.

        It is what the words of the one cost to be moved to those of the other, each by the distance of their vectors,
        which have length 1 if `norm`. Unknown words are left out; without a known one in both lists it is inf. Raises
        X2StaticError: POT is not installed; TypeError: a text is given.

        >>> round(vectors.wmdistance(["king", "apple"], ["queen", "pear"]), 2)
        0.55
        """
        require_modules("wmd", "ot")
        import ot

        counts = [Counter(word for word in _no_text(words) if word in self) for words in (first, second)]
        if not all(counts):
            return math.inf
        one, two = (np.array([self._unit(w) if norm else self[w] for w in words], np.float64) for words in counts)
        shares = [np.array(list(words.values())) / words.total() for words in counts]
        return float(ot.emd2(*shares, ot.dist(one, two, metric="euclidean")))

    def rank(self, first: str, second: str) -> int:
        """Return the place of a word among the neighbours of another; 1 for the nearest. Raises KeyError.

        >>> vectors.rank("king", "queen")
        2
        """
        cosines = self.matrix @ self._unit(first) / self.lengths
        own = self.row_of(first)
        others = np.arange(len(cosines)) != (-1 if own is None else own)
        return 1 + int((cosines[others] > self.similarity(first, second)).sum())

    def doesnt_match(self, words: Iterable[str]) -> str:
        """Return the word farthest from the mean of all. Raises KeyError; ValueError: there is no word.

        >>> vectors.doesnt_match(["king", "man", "apple"])
        'apple'
        """
        units = {word: self._unit(word) for word in _several(words)}
        mean = np.mean(list(units.values()), axis=0)
        return min(units, key=lambda word: float(units[word] @ mean))

    def _unit(self, word: str) -> Vector:
        return _unit(self[word])


def _no_text(words: Iterable[str]) -> list[str]:
    if isinstance(words, str):
        raise TypeError(f"expected a list of words, not the text {words!r}; split it first")
    return list(words)


def _several(words: Iterable[str]) -> list[str]:
    if not (listed := _no_text(words)):
        raise ValueError("there is no word in the list")
    return listed


def _listed(keys: Any) -> list[tuple[str | Vector, float]]:
    """Return one thing or several as a list of them with their weights."""
    if isinstance(keys, str | np.ndarray) or (isinstance(keys, tuple) and len(keys) == 2 and _is_number(keys[1])):
        keys = [keys]
    return [key if isinstance(key, tuple) else (key, 1.0) for key in keys]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number)


def _unit(vector: Vector) -> Vector:
    return np.asarray(vector / (np.linalg.norm(vector) or 1), np.float32)
