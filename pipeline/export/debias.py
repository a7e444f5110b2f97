"""A bias, such as that of gender, taken out of word vectors by projection.

    hard  Bolukbasi et al., NIPS 2016. The direction of the bias is the first principal component of pairs such as she
          and he, each pair centred. Words that are not specific lose it (neutralised); the two words of a pair get one
          common part outside it, and the same part of it with opposite signs (equalised).
    inlp  Ravfogel et al., ACL 2020. A linear classifier learns to tell the words that lie farthest to either side of
          that direction, all vectors lose what it looks at, and so on until it does no better than chance.

What neither takes out: words that were biased alike stay each other's neighbours (Gonen and Goldberg, NAACL 2019; how
much of it in docs/LOG.md, 2026-11-30).
"""

import json
import tomllib
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError, model_validator

from x2static.durable.errors import X2StaticError
from x2static.evaluation.measures import Floats, rows_of, unit
from x2static.machine.packages import require_modules
from x2static.schemas.vectors import WordVectors

Method = Literal["hard", "inlp"]
RECORD = "debias"  # what run.json and the card have of it

GENDER = "gender.toml"
MOST_BIASED = 7500  # words of either side that INLP's classifier is shown, as in the paper, and
SHARE = 0.1  # at most this share of all words, which the paper's 7,500 of 150,000 are not
MOST_DIRECTIONS = 35  # that INLP takes out; the paper's number
HELD_OUT = 3  # every third word shown is held out, to see whether the classifier does better than chance
FEWEST = 30  # words shown of either side


class BiasWords(BaseModel, extra="forbid", frozen=True):
    """The words that say what the bias is."""

    pairs: list[tuple[str, str]] = Field(min_length=1)  # she, he: they define the direction, and are equalised
    specific: list[str] = []  # words that mean what the bias is of, such as queen: hard leaves them as they are

    @model_validator(mode="after")
    def _check(self) -> "BiasWords":
        times = Counter(word for pair in self.pairs for word in pair)
        if twice := [word for word, n in times.items() if n > 1]:
            raise ValueError(f"{twice[0]!r} stands in pairs more than once; a word is equalised with one other")
        return self


def read_words(path: Path | None = None) -> tuple[BiasWords, dict[str, str]]:
    """Return the words of a .toml or .json file, and its name and hash; None is for English words of gender.

    Raises X2StaticError: the file does not say them.
    """
    try:
        content = (files(__package__) / GENDER).read_bytes() if path is None else path.read_bytes()
        text = content.decode("utf-8-sig")
        values: Any = json.loads(text) if path and path.suffix == ".json" else tomllib.loads(text)
        words = BiasWords.model_validate(values)
    except (OSError, json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ") if isinstance(error, ValidationError) else error
        expected = 'a .toml or .json file of pairs, such as pairs = [["she", "he"]], and perhaps specific = ["queen"]'
        raise X2StaticError(f"--bias-words {path}: {why}; expected {expected}") from error
    return words, {"words": GENDER if path is None else path.name, "words_sha256": sha256(content).hexdigest()}


def debiased(vectors: WordVectors, method: Method, bias_words: Path | None = None) -> WordVectors:
    """Return vectors without the bias, without subwords and senses; `run` says what was done.

    Lengths stay, but for the two words of a pair, which get their mean, and for what INLP takes away. Raises
    X2StaticError: none of the pairs is known, or there are too few words.
    """
    words, named = read_words(bias_words)
    pairs = np.array([rows for pair in words.pairs if len(rows := rows_of(vectors, pair)) == 2]).reshape(-1, 2)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    if not len(pairs):
        what = f"--debias {method}: the vectors know both words of none of {len(words.pairs)} pairs"
        raise X2StaticError(f"{what}, such as {' and '.join(words.pairs[0])}; name others by --bias-words FILE")
    specific = np.unique(np.array([*pairs.flat, *rows_of(vectors, words.specific)]))
    others = np.setdiff1d(np.arange(len(vectors)), specific)
    lengths, units = np.linalg.norm(vectors.matrix.astype(np.float64), axis=1), unit(vectors.matrix.astype(np.float64))
    direction = bias_direction(units[pairs])
    record: dict[str, Any] = {"method": method, **named, "pairs": len(pairs), "specific": len(specific)}
    if method == "hard":
        units[others] = unit(without(units[others], direction[None]))
        units[pairs], lengths[pairs] = equalised(units[pairs], direction), lengths[pairs].mean(axis=1, keepdims=True)
    else:
        directions, accuracies = null_space(units[others], direction)
        units = without(units, directions)
        record |= {"directions": len(directions), "accuracy_before": accuracies[0], "accuracy_after": accuracies[-1]}
    matrix = (units * lengths[:, None]).astype(np.float32)
    return replace(vectors, matrix=matrix, subwords=None, senses_file=None, run={**vectors.run, RECORD: record})


def bias_direction(pairs: Floats) -> Floats:
    """Return the first principal component of pairs, (n, 2, dim), each centred; (dim,), of length 1."""
    centred = pairs - pairs.mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.svd(centred.reshape(-1, pairs.shape[2]), full_matrices=False)[2][0])


def without(rows: Floats, directions: Floats) -> Floats:
    """Return rows, (n, dim), less what they have of orthonormal directions, (k, dim)."""
    return rows - (rows @ directions.T) @ directions


def equalised(pairs: Floats, direction: Floats) -> Floats:
    """Return pairs, (n, 2, dim) unit vectors, that differ in the direction alone, and are unit vectors again.

    Every vector without the direction is then equally far from both words of a pair.
    """
    outside = without(pairs.mean(axis=1), direction[None])
    along = pairs @ direction
    sides = np.sign(
        along - along.mean(axis=1, keepdims=True)
    )  # the length of a difference in one dimension is its size
    inside = np.sqrt(np.maximum(0, 1 - np.square(outside).sum(axis=1)))
    return np.asarray(outside[:, None] + (sides * inside[:, None])[:, :, None] * direction)


def null_space(rows: Floats, direction: Floats) -> tuple[Floats, list[float]]:
    """Return the directions that INLP takes out, (k, dim) orthonormal, and the accuracy on held-out words before each.

    The last accuracy is that without all of them. Rows are unit vectors, (n, dim). Raises X2StaticError: too few rows.
    """
    require_modules("export", "sklearn")
    from sklearn.svm import LinearSVC

    n = min(MOST_BIASED, int(SHARE * len(rows)))
    if n < FEWEST:
        what = f"--debias inlp: a tenth of {len(rows)} words is too few to learn a bias from"
        raise X2StaticError(f"{what}; it takes {int(FEWEST / SHARE)} that are not specific, or --debias hard")
    order = np.argsort(rows @ direction, kind="stable")
    shown, sides = rows[np.concatenate([order[:n], order[-n:]])], np.repeat([0, 1], n)
    held_out = np.arange(2 * n) % HELD_OUT == 0
    chance = 0.5 + np.sqrt(0.25 / held_out.sum())  # and a standard deviation
    directions, accuracies = np.empty((0, rows.shape[1])), list[float]()
    while True:
        classifier = LinearSVC(dual=False).fit(shown[~held_out], sides[~held_out])
        accuracies.append(round(float(classifier.score(shown[held_out], sides[held_out])), 4))
        if accuracies[-1] <= chance or len(directions) == min(MOST_DIRECTIONS, rows.shape[1] - 1):
            return directions, accuracies
        looked_at = unit(without(classifier.coef_.astype(np.float64), directions))  # orthogonal but for rounding
        directions, shown = np.concatenate([directions, looked_at]), without(shown, looked_at)
