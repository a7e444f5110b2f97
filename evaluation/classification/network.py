"""The paper's classifier (§4.3): a convolution over frozen word vectors, the maximum over the text, a linear layer."""

import math
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from x2static.durable.errors import X2StaticError
from x2static.evaluation.classification.data import ClassificationTask
from x2static.schemas.vectors import WordVectors

Rows = npt.NDArray[np.int64]

FILTERS, WIDTH, DROPOUT = 100, 3, 0.5
BATCH = 32
PREDICTED_AT_ONCE = 256  # texts, where nothing is learned
UNKNOWN = 0  # the row of zeros: a word without a vector, and what stands before and after a text

# The lengths that methods give their vectors differ by orders of magnitude, and the learning rates are fixed: without a
# scale they would measure the lengths. Chosen by measuring (docs/LOG.md, 2026-11-21).
MEAN_LENGTH = 4.4


class Batch(NamedTuple):
    """Some texts side by side."""

    words: Tensor  # (n_distinct,) int64, the rows of the matrix that occur
    ids: Tensor  # (n, longest + 2) int64, positions in `words`; UNKNOWN's before the text, and from its end on
    inside: Tensor  # (n, longest) bool, whether a position belongs to the text
    rows: Rows  # (n,) int64, which examples these are


class Examples(NamedTuple):
    """Texts as rows of the matrix."""

    ids: Rows  # (n_tokens,) int64, the texts one after the other
    lengths: Rows  # (n,) int64, tokens of each text
    labels: Rows  # (n,) int64, classes from 0

    def batches(self, size: int, random: np.random.Generator) -> Iterator[Batch]:
        """Yield every text once, in batches of `size` texts of about one length; both in random order."""
        starts = np.cumsum(self.lengths) - self.lengths
        order = random.permutation(len(self.lengths))
        order = order[np.argsort(self.lengths[order], kind="stable")]
        for first in random.permutation(np.arange(0, len(order), size)):
            rows = order[first : first + size]
            lengths = self.lengths[rows, None]
            positions = np.arange(-1, max(1, int(lengths.max())) + 1)
            inside = (positions >= 0) & (positions < lengths)
            ids = np.full(inside.shape, UNKNOWN)
            ids[inside] = self.ids[(starts[rows, None] + positions)[inside]]
            # A batch has half as many distinct words as words, and each is multiplied by the filters once.
            words, places = np.unique(ids, return_inverse=True)
            of = torch.from_numpy
            yield Batch(of(words), of(places.reshape(ids.shape)), of(inside[:, 1:-1]), rows)


class Inputs(NamedTuple):
    """A task as a classifier on given word vectors reads it."""

    matrix: Tensor  # (n_words + 1, dim) float32: UNKNOWN's zeros, and vectors of mean length MEAN_LENGTH over `train`
    train: Examples  # to train on
    validation: Examples  # to choose by
    test: Examples  # for the score alone
    covered: int  # tokens of the texts that have a vector
    total: int  # all tokens

    @classmethod
    def of(cls, vectors: WordVectors, task: ClassificationTask) -> "Inputs":
        """Look a task's words up: as they are written, else lower-cased; and scale their vectors.

        Raises X2StaticError: no word of the task is known, or none of its training part with a vector that is not zero.
        """
        vectors = vectors.knowing(word for part in task.parts for text in part.texts for word in text.split())
        numbers: dict[int, int] = {}  # row of the vectors -> row of the matrix
        parts = []
        for part in task.parts:
            ids = []
            texts = [text.split() for text in part.texts]
            for word in chain.from_iterable(texts):
                row = vectors.index.get(word, vectors.index.get(word.lower()))
                ids.append(UNKNOWN if row is None else numbers.setdefault(row, len(numbers) + 1))
            labels = np.searchsorted(task.classes, part.labels).astype(np.int64)
            parts.append(Examples(np.array(ids, np.int64), np.array(list(map(len, texts)), np.int64), labels))
        matrix = np.zeros((len(numbers) + 1, vectors.dim), np.float32)
        matrix[1:] = vectors.matrix[list(numbers)]
        total = sum(len(part.ids) for part in parts)
        covered = sum(int((part.ids != UNKNOWN).sum()) for part in parts)
        known = parts[0].ids[parts[0].ids != UNKNOWN]
        length = float(np.linalg.norm(matrix, axis=1)[known].mean(dtype=np.float64)) if len(known) else 0.0
        if length == 0:
            raise X2StaticError(
                f"{task.name}: {covered} of its {total} words are among the {len(vectors)} of the vectors, none in "
                "the training part with a vector that is not zero; check that vectors and data are of one language"
            )
        train, validation, test = parts
        return cls(torch.from_numpy(matrix * (MEAN_LENGTH / length)), train, validation, test, covered, total)


class Network:
    """100 filters over every word and its neighbours or zeros, ReLU, the maximum of them, dropout, a linear layer."""

    def __init__(self, dim: int, n_classes: int, random: torch.Generator) -> None:
        """Draw the parameters, uniform within 1 / sqrt(inputs), as PyTorch's layers do."""

        def draw(inputs: int, *shape: int) -> Tensor:
            bound = 1 / math.sqrt(inputs)
            return torch.empty(shape).uniform_(-bound, bound, generator=random).requires_grad_()

        self.filters = draw(WIDTH * dim, dim, WIDTH * FILTERS)  # (dim, WIDTH * FILTERS) float32, the word before first
        self.bias = draw(WIDTH * dim, FILTERS)  # (FILTERS,) float32
        self.weights = draw(FILTERS, FILTERS, n_classes)  # (FILTERS, n_classes) float32
        self.offsets = draw(FILTERS, n_classes)  # (n_classes,) float32
        self.parameters = [self.filters, self.bias, self.weights, self.offsets]

    def scores(self, matrix: Tensor, batch: Batch, dropout: torch.Generator | None = None) -> Tensor:
        """Return the classes' scores, (n, n_classes) float32, before the softmax.

        The matrix is that of the word vectors, (n_words + 1, dim) float32; without a generator nothing is dropped.
        """
        # Each distinct word times each filter once, then gathered and added up (docs/LOG.md, 2026-11-21: faster).
        products = (F.embedding(batch.words, matrix) @ self.filters).view(-1, WIDTH, FILTERS)
        longest = batch.inside.shape[1]
        parts = [F.embedding(batch.ids[:, at : at + longest], products[:, at]) for at in range(WIDTH)]
        # A position past the end becomes 0, which changes no maximum: ReLU would cut it off there anyway.
        values = (sum(parts[1:], parts[0]) + self.bias) * batch.inside[:, :, None]
        features = torch.relu(values.amax(dim=1))  # (n, FILTERS); ReLU before the maximum is the same, and slower
        if dropout is not None:
            mask = torch.empty_like(features).bernoulli_(1 - DROPOUT, generator=dropout)
            features = features * mask / (1 - DROPOUT)
        return features @ self.weights + self.offsets


def train(matrix: Tensor, examples: Examples, n_classes: int, lr: float, seed: int) -> Iterator[Network]:
    """Train a new network by Adam on the cross-entropy; yield it after every epoch, without end.

    On the CPU, where so small a network is quick, and a seed always gives the same one. The vectors do not change.
    """
    order, draws = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    network = Network(matrix.shape[1], n_classes, draws)
    optimizer = torch.optim.Adam(network.parameters, lr=lr, fused=True)
    while True:
        for batch in examples.batches(BATCH, order):
            optimizer.zero_grad()
            labels = torch.from_numpy(examples.labels[batch.rows])
            loss = F.cross_entropy(network.scores(matrix, batch, dropout=draws), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        yield network


def predict(network: Network, matrix: Tensor, examples: Examples) -> Rows:
    """Return the class of each text, (n,) int64."""
    predicted = np.empty_like(examples.labels)
    with torch.no_grad():
        for batch in examples.batches(PREDICTED_AT_ONCE, np.random.default_rng(0)):
            predicted[batch.rows] = network.scores(matrix, batch).argmax(dim=1).numpy()
    return predicted
