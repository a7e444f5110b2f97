"""A few rows for each word that stand for all its contextual vectors, in bounded memory (Frequent Directions)."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.baselines.occurrences import WordState
from x2static.baselines.teacher import layer_number
from x2static.schemas.encoding import Layer
from x2static.stage1_encode.pools.occurrences import Occurrences
from x2static.stage1_encode.pools.pool import Shape, States
from x2static.stage1_encode.text.windows import Window

ROWS = 8
BUFFERED = 16_384  # occurrences before they are folded in; of 384 numbers they are 25 MB
MOST_AT_ONCE = 64  # occurrences of a word in one step: the work on an eigenproblem grows with the cube of its size
WORDS_AT_ONCE = 1024
FREE = 0  # the width of runs that need no step


class Sketches(WordState):
    """A few rows for each word that stand for all its contextual vectors (Frequent Directions, Liberty, KDD 2013).

    The rows B of a word stand for the matrix A of its vectors. They are these vectors themselves while there are at
    most `ROWS`. When more come, rows and new vectors are turned into their singular directions, of which the first
    `ROWS` stay, with their squared singular values made smaller by that of the first that goes. For every unit x

        0 <= |A x|^2 - |B x|^2 <= D,      D <= (|A|_F^2 - s1^2) / ROWS,

    with s1 and s2 the first singular values of A (Ghashami et al., SIAM J. Comput. 2016, with `ROWS` + 1 in place of
    their l). So the sine of the angle between the first directions of A and B is at most sqrt(D / (s1^2 - s2^2)).

    Attributes:
        tensors: `rows`, (n_words, ROWS, dim) float32; `held`, (n_words,) int64, rows in use; `sums`, (n_words, dim)
            float32, of the vectors, for the sign; `counts`, (n_words,) int64.
    """

    def __init__(self, layer: Layer) -> None:
        """Choose the layer."""
        self._asked = layer
        self._layer = 0
        self._buffer: list[tuple[Tensor, Tensor]] = []

    def n_bytes(self, shape: Shape, n_words: int) -> int:
        """Return what the tensors will take."""
        return 4 * (ROWS + 1) * n_words * shape.dim + 16 * n_words

    def check_layer(self, n_layers: int) -> None:
        """Find the layer's number. Raises X2StaticError: there is no such layer."""
        self._layer = layer_number(self._asked, n_layers - 1)

    def begin(self, shape: Shape, n_words: int) -> None:
        """Make the tensors of words without an occurrence."""
        dim, device = shape.dim, shape.device
        self.tensors = {
            "rows": torch.zeros((n_words, ROWS, dim), device=device),
            "held": torch.zeros(n_words, dtype=torch.int64, device=device),
            "sums": torch.zeros((n_words, dim), device=device),
            "counts": torch.zeros(n_words, dtype=torch.int64, device=device),
        }

    def take(self, batch: list[Window], states: States) -> tuple[Tensor, Tensor]:
        """Return the words of the occurrences of a batch, and their vectors."""
        layer = states.layers[self._layer]
        occurrences = Occurrences(batch, layer.shape[1], layer.device)
        return torch.from_numpy(occurrences.words).to(layer.device), occurrences.vectors(layer)

    def add(self, part: tuple[Tensor, Tensor]) -> None:
        """Take in the occurrences of a batch; most of them wait in a buffer for others of the same word."""
        self.add_vectors(*part)

    def add_vectors(self, words: Tensor, vectors: Tensor) -> None:
        """Take in contextual vectors.

        Args:
            words: (n,) int64, the word of each.
            vectors: (n, dim) float32.
        """
        self._buffer.append((words, vectors))
        if sum(len(waiting) for waiting, _ in self._buffer) >= BUFFERED:
            self.end_unit()

    def end_unit(self) -> bool:
        """Fold in what waits in the buffer; return whether all is finite."""
        if not self._buffer:
            return True
        words, vectors = (torch.cat(parts) for parts in zip(*self._buffer, strict=True))
        self._buffer.clear()
        if not vectors.isfinite().all():
            return False
        self.tensors["sums"].index_add_(0, words, vectors)
        self.tensors["counts"] += torch.bincount(words, minlength=len(self.tensors["counts"]))
        self._fold(words, vectors)
        return True

    def components(self) -> npt.NDArray[np.float32]:
        """Return the first component of each word, (n_words, dim) float32; zeros for a word without an occurrence."""
        rows, sums = self.tensors["rows"], self.tensors["sums"]
        found = np.zeros(tuple(sums.shape), np.float32)
        for start in range(0, len(rows), WORDS_AT_ONCE):
            part = rows[start : start + WORDS_AT_ONCE].double()
            inner = torch.linalg.eigh(part @ part.mT).eigenvectors[:, :, -1:]
            first = (inner.mT @ part)[:, 0]
            first /= first.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
            backward = (first * sums[start : start + WORDS_AT_ONCE]).sum(dim=1, keepdim=True) < 0
            found[start : start + WORDS_AT_ONCE] = torch.where(backward, -first, first).float().cpu().numpy()
        return found

    def _fold(self, words: Tensor, vectors: Tensor) -> None:
        """Bring vectors into their words' rows, at most `MOST_AT_ONCE` of a word in a step."""
        order = torch.argsort(words, stable=True)
        distinct, left = torch.unique_consecutive(words[order], return_counts=True)
        first = left.cumsum(0) - left
        while len(distinct):
            taken = left.clamp(max=MOST_AT_ONCE)
            # Steps are padded to few widths, so that many words share one.
            widths = (2 ** taken.double().log2().ceil()).long()
            widths[self.tensors["held"][distinct] + taken <= ROWS] = FREE
            for width in widths.unique().tolist():
                for some in (widths == width).nonzero()[:, 0].split(max(1, BUFFERED // (ROWS + width))):
                    run = order, first[some], taken[some]
                    if width == FREE:
                        self._append(distinct[some], vectors, *_grid(*run, ROWS))
                    else:
                        self._shrink(distinct[some], vectors, *_grid(*run, width))
            more = left > taken
            distinct, first, left = distinct[more], (first + taken)[more], (left - taken)[more]

    def _append(self, words: Tensor, vectors: Tensor, places: Tensor, used: Tensor) -> None:
        """Put vectors into free rows.

        Args:
            words: (n,) int64, each once.
            vectors: (n_vectors, dim).
            places: (n, width) int64, the vectors of each word.
            used: (n, width) bool, whether there is one.
        """
        held = self.tensors["held"]
        word, number = used.nonzero(as_tuple=True)
        self.tensors["rows"][words[word], held[words][word] + number] = vectors[places[used]]
        held[words] += used.sum(dim=1)

    def _shrink(self, words: Tensor, vectors: Tensor, places: Tensor, used: Tensor) -> None:
        """Turn rows and vectors into the first singular directions of both together; arguments as in `_append`."""
        rows = self.tensors["rows"]
        # (n, ROWS + width, dim)
        both = torch.cat([rows[words], vectors[places] * used[:, :, None]], dim=1)
        squares, directions = torch.linalg.eigh((both @ both.mT).double())  # ascending
        squares = squares.clamp_min(0)  # rounding makes some negative, and a ratio of two such is any number
        first, cut = squares[:, -ROWS:], squares[:, -ROWS - 1, None]
        scale = ((first - cut) / first.clamp_min(torch.finfo(torch.float64).tiny)).sqrt()
        rows[words] = (directions[:, :, -ROWS:] * scale[:, None, :]).mT.float() @ both
        self.tensors["held"][words] = ROWS


def _grid(order: Tensor, first: Tensor, taken: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the vectors of runs of different lengths as a grid, and which of its places are used.

    Args:
        order: (n_vectors,) int64, numbers of the vectors, those of a word one after the other.
        first: (n,) int64, where each run begins in that order.
        taken: (n,) int64, its length.
        width: of the grid; no run is longer.
    """
    steps = torch.arange(width, device=order.device)
    places = order[(first[:, None] + steps).clamp(max=len(order) - 1)]
    return places, steps < taken[:, None]
