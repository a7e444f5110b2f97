"""ASE: a word's contextual vectors pooled over its occurrences (Bommasani, Davis and Cardie, ACL 2020).

Every layer is pooled in one pass of the teacher. The mean comes from the cache's word sums (`x2static encode --ase`)
where these hold every word; otherwise what a pass of its own gives stays in the cache's folder `baselines`, so that
further layers take seconds: sums for the mean, extremes for max and min, each under a name that says of what.
"""

import hashlib
import logging
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.baselines.occurrences import StateFile, WordState, gather
from x2static.baselines.request import Request, Result
from x2static.baselines.teacher import layer_number, precision_of, result_of
from x2static.durable.storage import canonical_json, only_writer
from x2static.schemas.encoding import Layer
from x2static.stage1_encode.pools.occurrences import Occurrences
from x2static.stage1_encode.pools.pool import Shape, States
from x2static.stage1_encode.pools.word_sums import BatchWordSums, StoredSums, add_sums, batch_sums
from x2static.stage1_encode.text.windows import Window

FOLDER = "baselines"  # in the cache's folder
STATE = {"mean": "sums", "max": "extremes", "min": "extremes"}  # array, and name of the file

logger = logging.getLogger(__name__)


class Pooled(NamedTuple):
    """Pooled vectors (n_words, dim), occurrences (n_words,), and units that the teacher had read in earlier calls."""

    vectors: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int64]
    units_found: int


def make(request: Request) -> Result:
    """Return the mean, or the largest or smallest value in each dimension, of each word's contextual vectors.

    A word without an occurrence that the teacher reads is left out. Raises X2StaticError: teacher or text are not found
    as they were; there is no such layer; the words are too many for the machine's memory.
    """
    words = sorted(request.words)
    pooled = _stored(request, words) or _gathered(request, words)
    matrix = np.where(pooled.counts[:, None] > 0, pooled.vectors, np.float32(0))
    row = {word: number for number, word in enumerate(words)}
    order = np.array([row[word] for word in request.words], np.int64)
    origin = {
        "pooling": request.config.pooling,
        "occurrences": int(pooled.counts.sum()),
        "units_found": pooled.units_found,
    }
    return result_of(request, matrix[order], origin)


def _stored(request: Request, words: list[str]) -> Pooled | None:
    """Return the means that the cache's own word sums give; None where these are not of every word and unit."""
    cache = request.needed_cache()
    if request.config.pooling != "mean" or precision_of(request, cache) != cache.manifest.encoding.precision:
        return None
    sums = StoredSums.open(cache, words)
    if sums is None:
        return None
    vectors, counts = sums.means(layer_number(request.config.layer, sums.n_layers() - 1))
    return Pooled(vectors, counts, len(sums.shards))


def _gathered(request: Request, words: list[str]) -> Pooled:
    """Return what the occurrences give, gathered now or in earlier calls."""
    file, units_found = gathered(request, words)
    pooling, array = request.config.pooling, STATE[request.config.pooling]
    layer = layer_number(request.config.layer, file.length(array) - 1)
    row = {word: number for number, word in enumerate(file.words())}
    order = np.array([row[word] for word in words], np.int64)
    vectors, counts = file.part(array, layer)[order], file.array("counts")[order]
    if pooling == "mean":
        vectors = (vectors / np.maximum(counts, 1)[:, None]).astype(np.float32)
    return Pooled(vectors, counts, units_found)


def file_of(request: Request, words: list[str]) -> StateFile:
    """Return where in the cache the pooled vectors of some words are kept, for every layer."""
    cache, pooling = request.needed_cache(), request.config.pooling
    what = canonical_json([cache.manifest.fingerprint, words])
    name = f"{pooling}-{precision_of(request, cache)}-{hashlib.sha256(what).hexdigest()[:16]}"
    return StateFile(cache.path / FOLDER / name / f"{STATE[pooling]}.safetensors")


def gathered(request: Request, words: list[str]) -> tuple[StateFile, int]:
    """Pool words over all units of a cache; what is missing of that is read by the teacher.

    Returns:
        The file of these words, or of more words, where there is a finished one; and how many units it held before.

    Raises:
        X2StaticError: teacher or text are not found as they were, or the words are too many for the memory.
    """
    cache = request.needed_cache()
    file, units = file_of(request, words), cache.committed()[0].keys()
    pattern = f"{file.path.parent.name.rpartition('-')[0]}-*/{file.path.name}"
    for other in map(StateFile, sorted((cache.path / FOLDER).glob(pattern))):
        if other.units() >= units and set(other.words()) >= set(words):
            return other, len(units)
    pooling, layer = request.config.pooling, request.config.layer
    with only_writer(file.path.parent, "baseline's state"):
        state = Sums(layer) if pooling == "mean" else Extremes(pooling == "max", layer)
        units_found = gather(request, words, state, file)
    logger.info("%s keeps every layer, for further layers; remove it when none is wanted", file.path)
    return file, units_found


class Sums(WordState):
    """The sums of each word's vectors, in each layer.

    Attributes:
        tensors: `sums`, (n_layers, n_words, dim) float64; `counts`, (n_words,) int64.
    """

    def __init__(self, layer: Layer) -> None:
        """Remember the layer, to check it before hours of reading."""
        self._layer = layer

    def n_bytes(self, shape: Shape, n_words: int) -> int:
        """Return what the tensors will take."""
        return 8 * shape.n_layers * n_words * shape.dim + 8 * n_words

    def check_layer(self, n_layers: int) -> None:
        """See that the teacher has the layer. Raises X2StaticError: there is no such layer."""
        layer_number(self._layer, n_layers - 1)

    def begin(self, shape: Shape, n_words: int) -> None:
        """Make the tensors of words without an occurrence."""
        size = (shape.n_layers, n_words, shape.dim)
        self.tensors = {
            "sums": torch.zeros(size, dtype=torch.float64, device=shape.device),
            "counts": torch.zeros(n_words, dtype=torch.int64, device=shape.device),
        }

    def take(self, batch: list[Window], states: States) -> BatchWordSums:
        """Return the sums of a batch."""
        return batch_sums(batch, states.layers)

    def add(self, part: BatchWordSums) -> None:
        """Add the sums of a batch."""
        add_sums(self.tensors["sums"], self.tensors["counts"], part)

    def end_unit(self) -> bool:
        """Return whether all sums are finite."""
        return all(bool(layer.isfinite().all()) for layer in self.tensors["sums"])


class Extremes(WordState):
    """The largest, or the smallest, value of each word's vectors in each dimension, in each layer.

    Attributes:
        tensors: `extremes`, (n_layers, n_words, dim) float32; `counts`, (n_words,) int64.
    """

    def __init__(self, largest: bool, layer: Layer) -> None:
        """Choose between largest and smallest; remember the layer, to check it before hours of reading."""
        self._reduce, self._start = ("amax", -torch.inf) if largest else ("amin", torch.inf)
        self._layer = layer

    def n_bytes(self, shape: Shape, n_words: int) -> int:
        """Return what the tensors will take."""
        return 4 * shape.n_layers * n_words * shape.dim + 8 * n_words

    def check_layer(self, n_layers: int) -> None:
        """See that the teacher has the layer. Raises X2StaticError: there is no such layer."""
        layer_number(self._layer, n_layers - 1)

    def begin(self, shape: Shape, n_words: int) -> None:
        """Make the tensors of words without an occurrence."""
        self.tensors = {
            "extremes": torch.full((shape.n_layers, n_words, shape.dim), self._start, device=shape.device),
            "counts": torch.zeros(n_words, dtype=torch.int64, device=shape.device),
        }

    def take(self, batch: list[Window], states: States) -> tuple[Tensor, list[Tensor]]:
        """Return the words of the occurrences of a batch, and their vectors in each layer."""
        occurrences = Occurrences(batch, states.chosen.shape[1], states.chosen.device)
        words = torch.from_numpy(occurrences.words).to(states.chosen.device)
        return words, [occurrences.vectors(layer) for layer in states.layers]

    def add(self, part: tuple[Tensor, list[Tensor]]) -> None:
        """Take in the occurrences of a batch."""
        words, layers = part
        for extremes, vectors in zip(self.tensors["extremes"], layers, strict=True):
            extremes.scatter_reduce_(0, words[:, None].expand_as(vectors), vectors, self._reduce)
        self.tensors["counts"] += torch.bincount(words, minlength=len(self.tensors["counts"]))

    def end_unit(self) -> bool:
        """Return whether all words that occur have finite values."""
        occur = self.tensors["counts"] > 0
        return all(bool(layer[occur].isfinite().all()) for layer in self.tensors["extremes"])
