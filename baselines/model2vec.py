"""Model2Vec: the vocabulary through the teacher, reduced by PCA, weighted by smooth inverse frequency.

As the library of that name does it (model2vec 0.10, `distill`), which wants an older transformers than this project,
cuts words by a tokenizer of its own, and keeps the teacher's own pieces in the vocabulary. In one point this is better:
the library estimates the frequency of a word from its rank (Zipf), here the counts of the corpus are known.
"""

import logging

import numpy as np
import numpy.typing as npt

from x2static.baselines.request import Request, Result
from x2static.baselines.teacher import load_teacher, result_of
from x2static.machine.screen import quantity
from x2static.schemas.vectors import sif_weights
from x2static.stage1_encode.texts import read_texts

SIF = 1e-4

logger = logging.getLogger(__name__)


def make(request: Request) -> Result:
    """Return, for each word, the weighted principal components of the teacher's states for the word alone.

    The states are averaged over the word's pieces and the special tokens, as in the library.
    """
    states = read_texts(load_teacher(request), request.bare_words(), "words", request.report, special=True)
    known = states.any(axis=1)
    reduced = principal_components(states[known], request.config.dim or 256)
    matrix = np.zeros((len(states), reduced.shape[1]), np.float32)
    matrix[known] = reduced * sif_weights(request.counts, SIF)[known, None].astype(np.float32)
    origin = {"pooling": "mean over word and special tokens", "sif": SIF, "frequencies": "counts of the cache"}
    return result_of(request, matrix, origin)


def principal_components(vectors: npt.NDArray[np.float32], dim: int) -> npt.NDArray[np.float32]:
    """Return centred vectors in the coordinates of their largest variance, (n, min(dim, width)) float32.

    Each coordinate has the sign that makes its largest value positive. Too few vectors stay as they are, with a
    warning, as in the library.
    """
    if dim > vectors.shape[1]:
        logger.warning("model2vec: --dim %d, and the teacher's vectors have %d", dim, vectors.shape[1])
        dim = vectors.shape[1]
    if dim >= len(vectors):
        logger.warning("model2vec: no PCA of %s to %d dimensions", quantity(len(vectors), "word"), dim)
        return vectors
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))[1][:, ::-1][:, :dim]
    scores: npt.NDArray[np.float32] = centred @ axes.astype(np.float32)
    scores *= np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(dim)])
    return scores
