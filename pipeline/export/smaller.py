"""Vectors that take less room: fewer words, fewer dimensions, fewer bits."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.machine.packages import require_modules
from x2static.schemas.vectors import WordVectors

LARGEST = 127  # of codes: what is symmetric needs no zero point
CODEBOOK_PASSES = 10


@dataclass(frozen=True)
class Smaller:
    """What is left of vectors, and how numbers are held; by default all, as float32."""

    top: int | None = None  # the most frequent words
    dim: int | None = None  # principal axes, largest first
    dtype: str = "float32"  # "float16"; "int8" with a scale a word
    codebook: int | None = None  # rows that words share, each with a length of its own

    def reduced(self, vectors: WordVectors) -> WordVectors:
        """Return fewer words and dimensions, of which the first n serve by themselves.

        The axes are those of the second moments, not centred: cosines and means of what is left are those of a
        projection, the nearest to the vectors that there is. Raises X2StaticError: there are no more than so many.
        """
        if self.dim is not None and self.dim >= vectors.dim:
            raise X2StaticError(f"--dim {self.dim}: the vectors have {vectors.dim} dimensions; ask for fewer")
        if self.top is not None and self.top < len(vectors):
            vectors = vectors.rows(slice(self.top))
        if self.dim is None:
            return vectors
        matrix = vectors.matrix.astype(np.float64)
        axes = np.linalg.eigh(matrix.T @ matrix)[1][:, ::-1][:, : self.dim]
        axes *= np.where(axes[np.abs(axes).argmax(axis=0), np.arange(self.dim)] < 0, -1, 1)  # a sign that repeats
        return replace(vectors, matrix=(matrix @ axes).astype(np.float32), subwords=None, senses_file=None)

    def arrays(self, matrix: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
        """Return what holds a matrix, (n, dim), under the names of model2vec.

        Row i is embeddings[mapping[i]] * weights[i]; mapping and weights are there only where they are needed. Raises
        X2StaticError: a value is beyond float16, or there are no more words than rows of a codebook.
        """
        arrays: dict[str, npt.NDArray[Any]] = {"embeddings": matrix}
        if self.codebook:
            arrays = _codebook(matrix, self.codebook)
        if self.dtype == "float16":
            with np.errstate(over="ignore"):
                arrays["embeddings"] = arrays["embeddings"].astype(np.float16)
            if not np.isfinite(arrays["embeddings"]).all():
                raise X2StaticError("--dtype float16: a value is beyond 65,504; leave the option out")
        elif self.dtype == "int8":
            rows = arrays["embeddings"]
            scales = np.abs(rows).max(axis=1, initial=0) / np.float32(LARGEST)
            arrays["embeddings"] = np.rint(rows / np.where(scales > 0, scales, np.float32(1))[:, None]).astype(np.int8)
            of_words = scales[arrays["mapping"]] if "mapping" in arrays else scales
            arrays["weights"] = of_words * arrays.get("weights", np.float32(1))
        return arrays


def _codebook(matrix: npt.NDArray[np.float32], size: int) -> dict[str, npt.NDArray[Any]]:
    """Return the k-means of the directions of rows, the place of each row's, and the lengths of rows."""
    if size >= len(matrix):
        raise X2StaticError(f"--codebook {size}: there are {len(matrix)} words; a codebook has fewer rows")
    require_modules("export", "sklearn")
    from sklearn.cluster import MiniBatchKMeans

    lengths = np.linalg.norm(matrix, axis=1)
    units = matrix / np.where(lengths > 0, lengths, np.float32(1))[:, None]
    settings: dict[str, Any] = {"max_iter": CODEBOOK_PASSES, "random_state": 0, "n_init": 1, "batch_size": 4096}
    means = MiniBatchKMeans(size, **settings).fit(units)
    centres = means.cluster_centers_.astype(np.float32)
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    mapping = means.labels_.astype(np.int32)
    # A length that keeps the word's own component along the shared direction is the nearest multiple of it.
    along = np.einsum("ij,ij->i", matrix, centres[mapping])
    return {"embeddings": centres, "mapping": mapping, "weights": along.astype(np.float32)}
