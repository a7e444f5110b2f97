"""The space of a training: an affine map of the contexts, fitted once for a run and kept in its folder.

It is solved from sums over the targets of the cache, like the closed forms: float64, added up in one pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from x2static.durable.arrays import write_arrays
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically
from x2static.schemas.segmentation import MARK
from x2static.stage2_train.learner import runs

# Share of the covariance that is replaced by a multiple of the identity of equal trace, as Ledoit and Wolf do. Their
# share falls with the number of contexts per dimension; a constant keeps vectors of different corpora comparable. At
# 1 % it floors only directions with less than a hundredth of the average variance, which small corpora cannot estimate.
SHRINKAGE = 0.01
ROWS_AT_ONCE = 4096  # contexts, or words, that are held in float64 at a time


class Moments:
    """Sums over the targets of a cache, in float64. All in PyTorch: so its number of threads is the one that counts.

    The sums of the words take 8 bytes x vocabulary x dim (4.6 GB for 750,000 words of 768 dimensions), all else little;
    a transform alone does not need them.
    """

    def __init__(self, vocabulary: int, dim: int, of_words: bool) -> None:
        """Begin with nothing; `of_words`: whether to add up the contexts of each word."""
        self.n_targets = 0
        self.contexts = torch.zeros(dim, dtype=torch.float64)  # sum of each target's context
        self.squares = self.contexts.new_zeros(dim, dim)  # sum of their outer products with themselves
        self.words = self.contexts.new_zeros(vocabulary, dim) if of_words else None  # sums of each word's contexts
        self.counts = torch.zeros(vocabulary, dtype=torch.int64)  # occurrences

    def add(self, contexts: Tensor, lengths: Tensor, words: Tensor) -> None:
        """Add contexts, (n, dim) float64, with their targets: rows of the vocabulary, lengths[i] of context i."""
        if not len(words):
            return
        weighted = contexts * lengths[:, None]
        self.n_targets += len(words)
        self.contexts += weighted.sum(0)
        self.squares += weighted.T @ contexts
        ordered, order = torch.sort(words.long(), stable=True)
        rows, starts = runs(ordered)
        self.counts[rows] += starts.diff()
        if self.words is not None:
            context_of = torch.repeat_interleave(lengths).index_select(0, order)
            self.words[rows] += functional.embedding_bag(context_of, contexts, starts[:-1], mode="sum")

    @property
    def mean(self) -> Tensor:
        """m, the mean of the contexts weighted by their numbers of targets; (dim,)."""
        return self.contexts / self.n_targets

    @property
    def second_moment(self) -> Tensor:
        """Mean of c c^T, not centred, weighted likewise; (dim, dim)."""
        return self.squares / self.n_targets

    def covariance(self) -> Tensor:
        """Return S, the covariance of the contexts, weighted likewise and shrunk; (dim, dim).

        It is (1 - SHRINKAGE) S' + SHRINKAGE (trace S' / dim) I, which has an inverse whatever the number of contexts.
        Raises X2StaticError: all contexts are equal.
        """
        second = self.second_moment
        covariance = second - torch.outer(self.mean, self.mean)
        # What float64 leaves of a difference of equal numbers is no variance.
        if float(covariance.trace()) <= 1e-12 * float(second.trace()):
            raise X2StaticError("all contexts of the cache are equal; nothing can be learned, check the teacher")
        identity = torch.eye(len(covariance), dtype=covariance.dtype)
        return (1 - SHRINKAGE) * covariance + SHRINKAGE * covariance.trace() / len(covariance) * identity

    def differences(self, rows: slice) -> Tensor:
        """Return m_w - m for some words, m_w being the mean over the contexts of w, an occurrence each; (n, dim)."""
        if self.words is None:
            raise ValueError("the contexts of each word were not added up")
        return self.words[rows] / self.counts[rows, None] - self.mean


def pieces(n_rows: int) -> Iterator[slice]:
    """Yield the rows of a matrix, some at a time."""
    for start in range(0, n_rows, ROWS_AT_ONCE):
        yield slice(start, start + ROWS_AT_ONCE)


@dataclass(frozen=True, eq=False)
class Transform:
    """c' = (c - shift) matrix, and a last coordinate of 1 where the vectors have a bias.

    With S the shrunk covariance of the contexts, V_d its first d principal axes and L_d their variances:

        kind      shift   matrix, all dimensions   matrix, d dimensions   bias
        none      0       I                        first d axes of E c c^T   no
        center    m       I                        V_d                    yes
        whiten    m       S^-1/2 (symmetric)       V_d L_d^-1/2           yes

    Fewer dimensions of contexts as they are keep the axes of the second moment, not of the covariance: these hold on to
    the contexts' mean, which takes a bias's place. The symmetric root is the one that moves contexts least. Centred
    contexts have lost their mean, so each word gets a bias, its coordinate on the ones. It is trained and kept in
    checkpoints like the others, and not exported.
    """

    shift: Tensor | None = None  # (teacher's dim,) float64; None for 0
    matrix: Tensor | None = None  # (teacher's dim, dim) float64; None for I
    bias: bool = False  # whether there is a coordinate of ones
    fitted_on: str = ""  # content of the cache whose contexts these are the moments of; empty for the identity

    @classmethod
    def load(cls, file: Path) -> "Transform":
        """Read the transform of a run. Raises X2StaticError: it is damaged."""
        try:
            with safe_open(file, "pt") as opened:
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
                metadata = opened.metadata()
            return cls(tensors.get("shift"), tensors.get("matrix"), metadata["bias"] == "yes", metadata["fitted_on"])
        except (SafetensorError, KeyError, TypeError) as error:
            raise X2StaticError(f"{file}: the transform of this run is damaged ({error}); give a new --out") from error

    def save(self, file: Path) -> None:
        """Write the transform, whole or not at all."""
        parts = {"shift": self.shift, "matrix": self.matrix}
        arrays = {name: tensor.numpy() for name, tensor in parts.items() if tensor is not None}
        with open_atomically(file) as opened:
            write_arrays(opened, arrays, {"bias": "yes" if self.bias else "no", "fitted_on": self.fitted_on})

    def dim(self, contexts: int) -> int:
        """Return the length of the vectors that are exported, for contexts of a length."""
        return contexts if self.matrix is None else self.matrix.shape[1]

    def width(self, contexts: int) -> int:
        """Return the length of the vectors in training, which includes the bias, for contexts of a length."""
        return self.dim(contexts) + self.bias

    def map_contexts(self, contexts: Tensor) -> Tensor:
        """Return (c - shift) matrix of contexts (n, teacher's dim) float64, without the ones."""
        return self.map_differences(contexts if self.shift is None else contexts - self.shift)

    def map_differences(self, differences: Tensor) -> Tensor:
        """Return what becomes of differences between contexts, (n, dim) float64: the shift cancels out."""
        return differences if self.matrix is None else differences @ self.matrix

    def apply(self, contexts: Tensor) -> Tensor:
        """Transform some thousand contexts, (n, teacher's dim) float16, to (n, width) float16 or infinity."""
        if self.shift is None and self.matrix is None:
            return contexts
        into = contexts.new_ones((len(contexts), self.width(contexts.shape[1])))
        into[:, : self.dim(contexts.shape[1])] = self.map_contexts(contexts.float())
        return into

    def in_float32(self, device: torch.device) -> "Transform":
        """Return the same transform, in float32 on a device, where it can be applied."""
        shift, matrix = (None if part is None else part.to(device).float() for part in (self.shift, self.matrix))
        return replace(self, shift=shift, matrix=matrix)


IDENTITY = Transform()  # of contexts as they are


def fit_transform(kind: str, dim: int | None, moments: Moments, content: str) -> Transform:
    """Solve for a transform of a kind to `dim` dimensions (None for all), of the cache with this content."""
    second = moments.second_moment if kind == "none" else moments.covariance()
    matrix = None
    if dim is not None:
        variances, axes = torch.linalg.eigh(second)  # ascending
        matrix = axes.flip(1)[:, :dim].contiguous()
        if kind == "whiten":
            matrix = matrix / variances.flip(0)[:dim].sqrt()
    elif kind == "whiten":
        matrix = symmetric_power(second, -0.5)
    if kind == "none":
        return Transform(matrix=matrix, fitted_on=content)
    return Transform(moments.mean, matrix, bias=True, fitted_on=content)


def symmetric_power(matrix: Tensor, power: float) -> Tensor:
    """Return a power of a symmetric, positive definite matrix, (dim, dim)."""
    values, vectors = torch.linalg.eigh(matrix)
    return torch.mm(vectors * values**power, vectors.T)


def centred_by_language(words: list[str], vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return vectors, (n_words, dim), less the mean direction of their language, which the mark of each word says.

    Directions, since lengths say how much a word weighs in a text: the mean of the vectors themselves is one of rare
    words. Every word counts the same, and keeps its length.
    """
    marks, result = np.array([word.partition(MARK)[0] for word in words]), np.empty_like(vectors)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    for mark in np.unique(marks):
        rows = marks == mark
        centred = units[rows] - units[rows].mean(axis=0)
        norms = np.linalg.norm(centred, axis=1, keepdims=True)
        result[rows] = lengths[rows] * centred / np.where(norms > 0, norms, 1)
    return result
