"""Positive pointwise mutual information of words in windows, factorised: what GloVe factorises, in closed form.

No package of GloVe (Pennington, Socher and Manning, EMNLP 2014) builds with this Python (docs/LOG.md, 2026-11-30), and
this is not GloVe: counts are made as its program makes them, a pair of words d apart counting 1 / d, and what is
factorised is log X less a term of each word, as in its equation 7, but with the terms of both words fixed at their
logarithmic frequencies, pairs below chance at zero, and all pairs of one weight, which a truncated singular value
decomposition solves exactly (Levy and Goldberg, NIPS 2014). As Levy, Goldberg and Dagan (TACL 2015) found best,
contexts count by their frequency to the power 0.75, and vectors are U S^(1/2). Vectors of the authors' program are
compared by `x2static baseline load`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from x2static.baselines.request import Request, Result
from x2static.baselines.text import write_text
from x2static.durable.errors import X2StaticError
from x2static.machine.packages import require_modules
from x2static.machine.progress import Progress

WORDS_AT_ONCE = 1 << 20  # in whole lines; their pairs are added to the sum: 100 MB for a window of 5
SMOOTHING = 0.75


def make(request: Request) -> Result:
    """Factorise the text of a request. Raises X2StaticError: the vocabulary has too few words."""
    require_modules("evaluate", "scipy")
    from scipy import sparse
    from scipy.sparse.linalg import svds

    text, config = write_text(request), request.config
    n_words = len(text.words)
    asked = config.dim or request.needed_cache().manifest.encoding.dim
    if n_words < 3:
        raise X2StaticError(
            f"{config.name}: {n_words} words in the vocabulary, nothing to factorise; lower --min-count"
        )
    number = {word: row for row, word in enumerate(text.words)}
    counts, n_read = sparse.csr_array((n_words, n_words)), 0
    for words, lines in _portions(text.file, number):
        counts += sum(_pairs(words, lines, distance, n_words) for distance in range(1, config.window + 1))
        n_read += len(words)
        request.report(Progress(min(n_read, text.n_words), text.n_words, "words counted"))
    counts = (counts + counts.T).tocoo()  # neighbours on either side
    if not counts.nnz:
        raise X2StaticError(f"{config.name}: no two words of the vocabulary stand in one sentence; give more text")
    totals = np.asarray(counts.sum(axis=1)).ravel()
    chances = totals**SMOOTHING / (totals**SMOOTHING).sum()
    information = np.log(counts.data) - np.log(totals[counts.row]) - np.log(chances[counts.col])
    above = information > 0
    matrix = sparse.csr_array((information[above], (counts.row[above], counts.col[above])), shape=counts.shape)
    dim = min(asked, n_words - 1)  # as many as the method of Lanczos gives
    start = np.random.default_rng(config.seed).standard_normal(n_words)
    left, values, _ = svds(matrix, k=dim, v0=start)
    left = left[:, ::-1] * np.sign(left[np.abs(left).argmax(axis=0), np.arange(dim)])[::-1]  # signs are arbitrary
    vectors = np.zeros((n_words, asked), np.float32)  # of fewer words than dimensions, the rest is zero
    vectors[:, :dim] = left * np.sqrt(np.maximum(values[::-1], 0))
    origin = text.origin | {"library": "scipy", "pairs": int(above.sum()), "smoothing": SMOOTHING}
    return Result(text.words, text.counts, vectors, origin, text.segmentation)


def _portions(file: Path, number: dict[str, int]) -> "Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]":
    """Yield the words of some lines of a text, those of the vocabulary, (n,), and the number of the line of each."""
    words, lengths = list[int](), list[int]()
    with file.open(encoding="utf-8", newline="\n") as text:
        for line in text:
            known = [number[word] for word in line.rstrip("\n").split(" ") if word in number]
            words += known
            lengths.append(len(known))
            if len(words) >= WORDS_AT_ONCE:
                yield np.array(words), np.repeat(np.arange(len(lengths)), lengths)
                words, lengths = [], []
    yield np.array(words, np.int64), np.repeat(np.arange(len(lengths)), lengths)


def _pairs(words: npt.NDArray[np.int64], lines: npt.NDArray[np.int64], distance: int, n_words: int) -> Any:
    """Return how often the second word stands so far behind the first, over the distance, sparse (n_words, n_words)."""
    from scipy import sparse

    near = np.flatnonzero(lines[distance:] == lines[:-distance])
    weights = np.full(len(near), 1 / distance)
    return sparse.csr_array((weights, (words[near], words[near + distance])), shape=(n_words, n_words))
