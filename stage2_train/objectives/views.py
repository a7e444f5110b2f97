"""Views: what the teacher itself makes of a word, from several sides, put together; no step, no draw.

    A   own states: the mean of the states of a word's own pieces over its occurrences, centred over the vocabulary,
        without the first principal components
    T   carrier phrases: the mean over all states of "a definition of w" and its like, each phrase centred over the
        vocabulary and made unit length, added up
    v   unit(A) + weight unit(T), made unit length; then drawn to its nearest neighbours: a multiple of their mean,
        weighted by the softmax of their cosines at TEMPERATURE, is added
    length  a / (a + p) for a word that is the share p of all (SIF; Arora, Liang and Ma, ICLR 2017), so that the plain
        mean of vectors is good for a sentence; cosines of words do not change

The own states alone are ASE's mean (Bommasani, Davis and Cardie, ACL 2020); what each part adds is in docs/LOG.md,
2026-11-28.
"""

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from x2static.durable.errors import X2StaticError
from x2static.schemas.phrases import PHRASES, open_blocks
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import sif_weights
from x2static.schemas.word_states import word_means
from x2static.stage2_train.objectives.objective import BaseObjective
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.transform import Moments, Transform

TEMPERATURE = 0.05
ROWS_AT_ONCE = 1024  # words whose cosines to all others are held at a time
# Words are drawn to frequent ones alone: among 750,000 it would take fifteen times as long.
AMONG = 50_000

logger = logging.getLogger(__name__)


class Objective(BaseObjective):
    """The views that a cache holds, and their weights."""

    takes_steps = draws = in_space = False

    def __init__(self, config: TrainConfig) -> None:
        self.phrases, self.components, self.sif = config.phrases, config.components, config.sif
        self.neighbours, self.neighbour_weight = config.neighbours, config.neighbour_weight

    def begin(self, vectors: Tensor, stream: Stream, transform: Transform, moments: Callable[[], Moments]) -> None:
        """Write the vectors. Raises X2StaticError: the cache lacks a view."""
        if self.components >= stream.dim:
            raise X2StaticError(
                f"--components {self.components}: the states have but {stream.dim} dimensions; ask for fewer"
            )
        means, counts = word_means(stream.shards, stream.vocabulary.words.to_pylist())
        known = torch.from_numpy(counts > 0)
        if missing := int((~known).sum()):
            logger.warning("%s: %d of %d words have no states of their own", stream.cache, missing, len(known))
        result = unit(without_components(torch.from_numpy(means), known, self.components))
        if self.phrases:
            result += self.phrases * unit(self._phrases(stream))
        result = unit(result)
        if min(self.neighbours, len(result) - 1) and self.neighbour_weight:
            result = drawn_to_neighbours(result, self.neighbours, self.neighbour_weight)
        if self.sif:
            result *= torch.from_numpy(sif_weights(stream.vocabulary.counts, self.sif))[:, None]
        vectors.copy_(result)

    def _phrases(self, stream: Stream) -> Tensor:
        """Return T of each word, (n_words, dim) float32; zeros for a word that was not read."""
        vocabulary = stream.vocabulary
        hint = f"run `x2static cache phrases {stream.cache}`, or give --phrases 0"
        blocks = list(open_blocks(stream.cache))
        if not blocks:
            raise X2StaticError(f"{stream.cache}: no {PHRASES} here, in which its words are read alone; {hint}")
        marker = blocks[-1].marker  # blocks of other phrases, which an earlier version read, are passed over
        read = np.zeros((len(vocabulary), len(marker.phrases), marker.dim), np.float32)
        there = np.zeros(len(vocabulary), bool)
        for block in blocks:
            if block.marker.phrases == marker.phrases:
                rows = vocabulary.id_map(block.table)
                here = np.flatnonzero(rows >= 0)
                read[rows[here]], there[rows[here]] = block.vectors()[here], True
        if missing := int((~there).sum()):
            logger.warning("%s: %d of %d words are not read in phrases; %s", stream.cache, missing, len(there), hint)
        known, total = torch.from_numpy(there), torch.zeros(len(there), marker.dim)
        for number in range(len(marker.phrases)):
            total += unit(without_components(torch.from_numpy(read[:, number]), known, 0))
        return total


def unit(vectors: Tensor) -> Tensor:
    """Return rows of length 1, (n, dim); zeros stay."""
    return functional.normalize(vectors, eps=torch.finfo(torch.float32).tiny)


def without_components(vectors: Tensor, known: Tensor, n: int) -> Tensor:
    """Return vectors, (n_words, dim), centred over the known ones, (n_words,) bool, without n principal components.

    Others are zeros. All but the top (Mu and Viswanath, ICLR 2018).
    """
    some = vectors[known].double()
    centred = some - some.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, vectors.shape[1] - n :]
    result = torch.zeros_like(vectors)
    result[known] = (centred - (centred @ axes) @ axes.T).to(vectors.dtype)
    return result


def drawn_to_neighbours(vectors: Tensor, n: int, weight: float) -> Tensor:
    """Return each v + weight * (mean of its n nearest neighbours), unit rows in and out, (n_words, dim) float32.

    A neighbour is one of the AMONG most frequent words, which come first, and has the softmax of its cosine as weight.
    """
    among = vectors[:AMONG]
    result = torch.empty_like(vectors)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        cosines = vectors[rows] @ among.T
        own = torch.arange(start, min(start + ROWS_AT_ONCE, len(vectors)))
        inside = own < len(among)
        cosines[inside.nonzero()[:, 0], own[inside]] = -2  # no word is its own neighbour
        nearest, places = cosines.topk(min(n, len(among) - 1), dim=1)
        shares = torch.softmax(nearest / TEMPERATURE, 1)
        mean = functional.embedding_bag(places, among, per_sample_weights=shares, mode="sum")
        result[rows] = unit(vectors[rows] + weight * mean)
    return result
