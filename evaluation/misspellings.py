"""Misspellings: is the frequent word nearest to a misspelt one the one that was meant?

Without a list, frequent words are misspelt by rule: one letter after the first is left out, doubled, another one, or
changes places with the next, as in four of five misspellings (Damerau, *A technique for computer detection and
correction of spelling errors*, 1964).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import MISSPELLINGS, find_files, numbered_lines
from x2static.evaluation.measures import Score
from x2static.schemas.vectors import WordVectors

MADE, N_MADE = "misspellings", 200  # name and size of the set that is made
SHORTEST = 6  # letters of the words that they are made of
AMONG = 5_000  # most frequent words that they are made of, ...
CANDIDATES = 10_000  # ... and that one of is the answer


class Misspelling(NamedTuple):
    """A word as it should not be written, and as it should."""

    written: str
    meant: str


def read_misspellings(data: Path | None, vectors: Sequence[WordVectors], seed: int) -> dict[str, list[Misspelling]]:
    """Return the misspellings of every file by its name; without data, those made of words that all vectors know.

    Raises X2StaticError: a file is damaged, or there is no data, and no vectors have subwords.
    """
    if data is None:
        if all(one.subwords is None for one in vectors):
            what = "misspellings are made by rule of words, so that no vectors know them"
            raise X2StaticError(f"{what}; give --unknown subwords, or --data with {MISSPELLINGS.expected}")
        return {MADE: make_misspellings(vectors, seed)}
    sets = {}
    for path in find_files(MISSPELLINGS, data):
        sets[path.stem] = pairs = list[Misspelling]()
        for where, line in numbered_lines(path):
            columns = line.split("\t")
            if len(columns) != 2 or not all(columns):
                raise X2StaticError(f"{where}: expected misspelling<TAB>word, got {line[:80]!r}; mend or remove it")
            pairs.append(Misspelling(*columns))
    return sets


def make_misspellings(vectors: Sequence[WordVectors], seed: int) -> list[Misspelling]:
    """Misspell frequent words of the first set that all sets know, so that none knows the result; each kind in turn."""
    first, *others = vectors
    words = [word for word in first.words[:AMONG] if len(word) >= SHORTEST and word.isalpha()]
    words = [word for word in words if all(word in other.index for other in others)]
    letters, random = sorted(set("".join(words))), np.random.default_rng(seed)
    made: list[Misspelling] = []
    for row in random.permutation(len(words)):
        word, place = words[row], int(random.integers(1, len(words[row]) - 1))
        begin, letter, after, end = word[:place], word[place], word[place + 1], word[place + 2 :]
        other = letters[int(random.integers(len(letters)))]
        kinds = (after, letter + letter + after, other + after, after + letter)
        written = begin + kinds[len(made) % len(kinds)] + end
        if written != word and not any(written in one.index for one in vectors):
            made.append(Misspelling(written, word))
        if len(made) == N_MADE:
            break
    return made


def score_misspellings(vectors: WordVectors, task: str, misspellings: list[Misspelling]) -> Score:
    """Return the share of misspellings to which, of the CANDIDATES most frequent words, the meant one is nearest.

    One that has no vector counts as wrong, and is not covered; what is meant is a candidate, and a misspelling never.
    """
    vectors = vectors.knowing(written for written, _ in misspellings)
    known = [one for one in misspellings if one.meant in vectors.index]
    covered = [one for one in known if one.written in vectors.index]
    candidates = {*range(min(CANDIDATES, len(vectors)))} - {vectors.index[one.written] for one in covered}
    rows = np.array(sorted(candidates | {vectors.index[one.meant] for one in known}), np.int64)
    cosines = vectors.unit_matrix[[vectors.index[one.written] for one in covered]] @ vectors.unit_matrix[rows].T
    right = sum(vectors.words[rows[row]] == one.meant for row, one in zip(cosines.argmax(axis=1), covered, strict=True))
    return Score(task, right / len(known) if known else None, len(covered), len(known))
