"""Subwords for vectors that are finished: vectors of character n-grams, fitted to those of the words.

Those whose sums come nearest to the words' vectors: with v_w the vector of a word and A_w the n-grams of it, each as
often as it occurs over the square root of their number,

    minimise over Z   sum over w of |v_w - A_w Z|^2  +  RIDGE |Z|^2

It is solved by conjugate gradients with the diagonal as preconditioner, for some dimensions at a time. Words that are
left out come out nearest to themselves where all words count alike, rare ones too (docs/LOG.md, 2026-11-29).
"""

import logging
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer, remove_leftovers
from x2static.machine.progress import Progress, Report, silent
from x2static.schemas.subwords import SUBWORDS, Subwords, ngrams_of
from x2static.schemas.vectors import SUBWORDS_RECORD, WordVectors, add_subwords, load_subwords, require_finished

LEAST_WORDS = 2  # an n-gram of fewer words has no vector: it says nothing of another word
RIDGE = 0.2
POWER = 0.5  # of the number of n-grams
TOLERANCE, MOST_ITERATIONS = 0.05, 50  # of the residual's length beside the right-hand side's
DIMENSIONS_AT_ONCE = 128

logger = logging.getLogger(__name__)


class Spellings:
    """Which n-grams words consist of, as a sparse matrix A (n_words, n_ngrams), applied from either side."""

    def __init__(self, words: list[str]) -> None:
        """Take the n-grams that LEAST_WORDS of the words share, in alphabetical order."""
        of_words = [ngrams_of(word) for word in words]
        often = Counter(ngram for ngrams in of_words for ngram in set(ngrams))
        self.ngrams = sorted(ngram for ngram, n_words in often.items() if n_words >= LEAST_WORDS)
        index = {ngram: row for row, ngram in enumerate(self.ngrams)}
        rows = [[index[ngram] for ngram in ngrams if ngram in index] for ngrams in of_words]
        lengths = torch.tensor([len(of_word) for of_word in rows])
        self.columns = torch.tensor([row for of_word in rows for row in of_word], dtype=torch.int64)
        self.begins = lengths.cumsum(0) - lengths
        owners = torch.repeat_interleave(torch.arange(len(words)), lengths)
        self.weights = lengths[owners].float() ** -POWER
        order = torch.argsort(self.columns, stable=True)
        self.owners, self.owners_weights = owners[order], self.weights[order]
        lengths = torch.bincount(self.columns, minlength=len(self.ngrams))
        self.owners_begins = lengths.cumsum(0) - lengths

    def sums(self, of_ngrams: Tensor) -> Tensor:
        """Return A Z, (n_words, dim), for Z (n_ngrams, dim)."""
        return functional.embedding_bag(
            self.columns, of_ngrams, self.begins, mode="sum", per_sample_weights=self.weights
        )

    def gathered(self, of_words: Tensor, squared: bool = False) -> Tensor:
        """Return A^T V, (n_ngrams, dim), for V (n_words, dim); or with A's values squared."""
        weights = self.owners_weights.square() if squared else self.owners_weights
        return functional.embedding_bag(
            self.owners, of_words, self.owners_begins, mode="sum", per_sample_weights=weights
        )


def fit_subwords(vectors: WordVectors, report: Report = silent) -> Subwords:
    """Return n-grams' vectors fitted to word vectors.

    Raises X2StaticError: no two words share an n-gram, or a value is beyond float16.
    """
    spellings = Spellings(list(vectors.words))
    if not spellings.ngrams:
        raise X2StaticError(f"no two of the {len(vectors):,} words share an n-gram, so there is nothing to fit")
    matrix = np.empty((len(spellings.ngrams), vectors.dim), np.float16)
    for start in range(0, vectors.dim, DIMENSIONS_AT_ONCE):
        report(Progress(start, vectors.dim, "dimensions"))
        some = slice(start, start + DIMENSIONS_AT_ONCE)
        matrix[:, some] = solve(spellings, torch.from_numpy(vectors.matrix[:, some].copy())).numpy()
    report(Progress(vectors.dim, vectors.dim, "dimensions"))
    if not np.isfinite(matrix).all():
        raise X2StaticError("n-grams are kept as float16, up to 65,504, and these vectors need more; scale them down")
    return Subwords(spellings.ngrams, matrix, POWER)


def solve(spellings: Spellings, targets: Tensor) -> Tensor:
    """Return Z, (n_ngrams, dim), of words' vectors, (n_words, dim); both float32."""
    diagonal = spellings.gathered(torch.ones(len(targets), 1), squared=True) + RIDGE
    residual = spellings.gathered(targets)
    most = TOLERANCE * residual.norm(dim=0)
    solution, direction = torch.zeros_like(residual), residual / diagonal
    length = (residual * direction).sum(0)
    for _ in range(MOST_ITERATIONS):
        image = spellings.gathered(spellings.sums(direction)) + RIDGE * direction
        step = length / (direction * image).sum(0).clamp(min=torch.finfo(torch.float32).tiny)
        solution += step * direction
        residual -= step * image
        if (residual.norm(dim=0) <= most).all():
            break
        preconditioned = residual / diagonal
        before, length = length, (residual * preconditioned).sum(0)
        direction = preconditioned + length / before.clamp(min=torch.finfo(torch.float32).tiny) * direction
    return solution


def make_subwords(folder: Path, report: Report = silent) -> dict[str, Any]:
    """Fit subwords to the vectors in a folder and add them, unless they are there.

    Returns ngrams, seconds, and `finished_before`, whether they were there. Raises X2StaticError: there are no vectors,
    they are damaged, or none of their words share an n-gram.
    """
    require_finished(folder)
    began = time.monotonic()
    with only_writer(folder, "run"):
        remove_leftovers(folder)
        vectors = WordVectors.load(folder)
        if SUBWORDS_RECORD in vectors.run:
            try:
                load_subwords(folder)
            except X2StaticError as error:
                logger.warning("%s: made again, for they are damaged (%s)", folder / SUBWORDS, error)
            else:
                return {**vectors.run[SUBWORDS_RECORD], "finished_before": True}
        subwords = fit_subwords(vectors, report)
        facts = {"seconds": round(time.monotonic() - began, 3)}
        add_subwords(folder, subwords, **facts)
    return {"ngrams": len(subwords.ngrams), **facts, "finished_before": False}
