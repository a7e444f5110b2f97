"""The first principal component of a word's contextual vectors (Ethayarajh, EMNLP 2019, section 4.3), streaming.

"First principal component" is taken as the paper defines it in section 3.3: by the singular values of the matrix whose
rows are the word's contextual vectors, which is not centred. (Of the code that was published with the paper, an early
version does so, a later one centres first.) What is not centred points along what a word's vectors have in common; what
is centred, along what differs most between them. A right singular vector has length 1 and no sign; the sign here is
that of its product with the mean of the word's vectors.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.baselines.occurrences import StateFile, WordState, gather
from x2static.baselines.request import Request, Result
from x2static.baselines.teacher import result_of
from x2static.stage1_encode.pools.pool import Shape, States
from x2static.stage1_encode.pools.spans import occurrences
from x2static.stage1_encode.text.windows import Window

ROWS = 8
BUFFERED = 16_384  # occurrences before they are folded in; of 384 numbers they are 25 MB
MOST_AT_ONCE = 64  # occurrences of a word in one step: the work on an eigenproblem grows with the cube of its size


def make(request: Request) -> Result:
    """Return the first principal component of each word's contextual vectors at a layer, of length 1."""
    sketches = Sketches()
    n_before = gather(request, request.words, sketches, StateFile(request.folder / "sketches.safetensors"))
    origin = {"units_found": n_before, "pooling": "first principal component, not centred"}
    origin |= {"occurrences": int(sketches.tensors["counts"].sum()), "rows_per_word": ROWS}
    return result_of(request, sketches.components(), origin)


class Sketches(WordState):
    """A few rows for each word that stand for all its contextual vectors (Frequent Directions, Liberty, KDD 2013).

    The rows B of a word stand for the matrix A of its vectors. They are these vectors themselves while there are at
    most `ROWS`. When more come, rows and new vectors are turned into their singular directions, of which the first
    `ROWS` stay, with their squared singular values made smaller by that of the first that goes. For every unit x

        0 <= |A x|^2 - |B x|^2 <= D,      D <= (|A|_F^2 - s1^2) / ROWS,

    with s1 and s2 the first singular values of A (Ghashami et al., SIAM J. Comput. 2016, with `ROWS` + 1 in place of
    their l). So the sine of the angle between the first directions of A and B is at most sqrt(D / (s1^2 - s2^2)).
    """

    def __init__(self) -> None:
        super().__init__()
        self._buffer: list[tuple[Tensor, Tensor]] = []  # words, (n,) int64, and their vectors, (n, dim) float32

    def empty(self, shape: Shape, n_words: int) -> dict[str, Tensor]:
        """Return zeros; `sums`, of the vectors, are for the sign, and `held` are the rows in use."""
        dim, device = shape.dim, shape.device
        return {
            "rows": torch.zeros((n_words, ROWS, dim), device=device),
            "held": torch.zeros(n_words, dtype=torch.int64, device=device),
            "sums": torch.zeros((n_words, dim), device=device),
            "counts": torch.zeros(n_words, dtype=torch.int64, device=device),
        }

    def take(self, batch: list[Window], states: States) -> tuple[Tensor, Tensor]:
        """Return the words of the occurrences of a batch, and their vectors."""
        spans = occurrences(batch, states.chosen, self.words)
        return torch.from_numpy(spans.numbers).to(states.chosen.device), spans.sums(states.chosen)

    def add(self, part: tuple[Tensor, Tensor]) -> None:
        """Take in words and their vectors; most of them wait in a buffer for others of the same word."""
        self._buffer.append(part)
        if sum(len(words) for words, _ in self._buffer) >= BUFFERED:
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
        components = torch.zeros(sums.shape)
        for start in range(0, len(rows), 1024):
            some = slice(start, start + 1024)
            part = rows[some].double()
            inner = torch.linalg.eigh(part @ part.mT).eigenvectors[:, :, -1:]
            first = (inner.mT @ part)[:, 0]
            first /= first.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
            backward = (first * sums[some]).sum(dim=1, keepdim=True) < 0
            components[some] = torch.where(backward, -first, first).float().cpu()
        result: npt.NDArray[np.float32] = components.numpy()
        return result

    def _fold(self, words: Tensor, vectors: Tensor) -> None:
        """Bring vectors into their words' rows, at most `MOST_AT_ONCE` of a word in a step."""
        held = self.tensors["held"]
        order = torch.argsort(words, stable=True)
        distinct, left = torch.unique_consecutive(words[order], return_counts=True)
        first = left.cumsum(0) - left
        while len(distinct):
            taken = left.clamp(max=MOST_AT_ONCE)
            # Steps are padded to few widths, so that many words share one.
            widths = (2 ** taken.double().log2().ceil()).long()
            widths[held[distinct] + taken <= ROWS] = 0  # free rows, which need no step
            for width in widths.unique().tolist():
                # (n, width) int64, the vectors of each word; which of these places are used
                steps = torch.arange(width or ROWS, device=order.device)
                for some in (widths == width).nonzero()[:, 0].split(max(1, BUFFERED // (ROWS + width))):
                    places = order[(first[some, None] + steps).clamp(max=len(order) - 1)]
                    used = steps < taken[some, None]
                    bring = self._shrink if width else self._append
                    bring(distinct[some], vectors, places, used)
            more = left > taken
            distinct, first, left = distinct[more], (first + taken)[more], (left - taken)[more]

    def _append(self, words: Tensor, vectors: Tensor, places: Tensor, used: Tensor) -> None:
        """Put vectors into free rows of words, each of which is there once."""
        held = self.tensors["held"]
        word, number = used.nonzero(as_tuple=True)
        self.tensors["rows"][words[word], held[words][word] + number] = vectors[places[used]]
        held[words] += used.sum(dim=1)

    def _shrink(self, words: Tensor, vectors: Tensor, places: Tensor, used: Tensor) -> None:
        """Turn rows and vectors into the first singular directions of both together."""
        rows = self.tensors["rows"]
        both = torch.cat([rows[words], vectors[places] * used[:, :, None]], dim=1)  # (n, ROWS + width, dim)
        squares, directions = torch.linalg.eigh((both @ both.mT).double())  # ascending
        squares = squares.clamp_min(0)  # rounding makes some negative, and a ratio of two such is any number
        first, cut = squares[:, -ROWS:], squares[:, -ROWS - 1, None]
        scale = ((first - cut) / first.clamp_min(torch.finfo(torch.float64).tiny)).sqrt()
        rows[words] = (directions[:, :, -ROWS:] * scale[:, None, :]).mT.float() @ both
        self.tensors["held"][words] = ROWS
