"""ASE: a word's contextual vectors pooled over its occurrences (Bommasani, Davis and Cardie, ACL 2020).

Every layer is pooled in one pass of the teacher. The mean comes from the cache's word sums (`x2static encode --ase`)
where these hold every word; otherwise what a pass of its own gives stays in the cache's folder `baselines`, so that
further layers take seconds: sums for the mean, extremes for max and min.
"""

import hashlib
import json
import logging

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.baselines.occurrences import StateFile, WordState, gather
from x2static.baselines.request import Request, Result
from x2static.baselines.teacher import precision_of, result_of
from x2static.durable.storage import canonical_json, only_writer
from x2static.schemas.cache import BASELINES
from x2static.schemas.encoding import LAST, Layer
from x2static.stage1_encode.pools.pool import Shape, States
from x2static.stage1_encode.pools.spans import occurrences
from x2static.stage1_encode.pools.word_sums import BatchWordSums, StoredSums, add_sums, batch_sums
from x2static.stage1_encode.teacher.model import canonical_layer
from x2static.stage1_encode.text.windows import Window

STATE = {"mean": "sums", "max": "extremes", "min": "extremes"}  # array, and name of the file

# Vectors (n_words, dim), occurrences (n_words,) int64, and the units that the teacher had read in earlier calls.
Pooled = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], int]

logger = logging.getLogger(__name__)


def make(request: Request) -> Result:
    """Return the mean, or the largest or smallest value in each dimension, of each word's contextual vectors."""
    vectors, counts, n_before = _stored_means(request) or _pooled_vectors(request)
    matrix = np.where(counts[:, None] > 0, vectors, np.float32(0))
    origin = {"pooling": request.config.pooling, "occurrences": int(counts.sum()), "units_found": n_before}
    return result_of(request, matrix, origin)


def _stored_means(request: Request) -> Pooled | None:
    """Return the means that the cache's own word sums give; None where these are not of every word and unit."""
    cache = request.needed_cache()
    if request.config.pooling != "mean" or precision_of(request) != cache.manifest.encoding.precision:
        return None
    if (sums := StoredSums.open(cache, request.words)) is None:
        return None
    return *sums.means(_number(request.config.layer, sums.n_layers())), len(sums.shards)


def _pooled_vectors(request: Request) -> Pooled:
    """Return what the occurrences give, gathered now or in earlier calls."""
    state, n_before = pool_layers(request)
    with state.opened() as file:
        layers = file.get_slice(STATE[request.config.pooling])
        number = _number(request.config.layer, layers.get_shape()[0])
        row = {word: number for number, word in enumerate(json.loads(file.metadata()["words"]))}
        rows = np.array([row[word] for word in request.words], np.int64)
        vectors, counts = layers[number : number + 1][0][rows], file.get_tensor("counts")[rows]
    if request.config.pooling == "mean":
        vectors = (vectors / np.maximum(counts, 1)[:, None]).astype(np.float32)
    return vectors, counts, n_before


def _number(layer: Layer, n_layers: int) -> int:
    """Return the number of a layer, of `n_layers` with the embeddings, which are 0; refuse one that is not there."""
    name = canonical_layer(layer, n_layers - 1)
    return n_layers - 1 if name == LAST else name


def file_of(request: Request) -> StateFile:
    """Return where in the cache the pooled vectors of the words are kept, for every layer."""
    cache, pooling = request.needed_cache(), request.config.pooling
    what = canonical_json([cache.manifest.fingerprint, sorted(request.words)])
    name = f"{pooling}-{precision_of(request)}-{hashlib.sha256(what).hexdigest()[:16]}"
    return StateFile(cache.path / BASELINES / name / f"{STATE[pooling]}.safetensors")


def pool_layers(request: Request) -> tuple[StateFile, int]:
    """Pool the words over all units of a cache; what is missing of that is read by the teacher.

    Returns the file of these words, or of more words, where there is a finished one; and how many units it held before.
    """
    state_file, units = file_of(request), request.needed_cache().committed()[0].keys()
    folder = state_file.path.parent
    for path in sorted(folder.parent.glob(f"{folder.name.rpartition('-')[0]}-*/{state_file.path.name}")):
        finished = StateFile(path)
        if finished.units() >= units:
            with finished.opened() as file:
                words = set(json.loads(file.metadata()["words"]))
            if words.issuperset(request.words):
                return finished, len(units)
    pooling = request.config.pooling
    with only_writer(folder, "baseline's state"):
        state = _Sums() if pooling == "mean" else _Extremes(pooling == "max")
        n_before = gather(request, sorted(request.words), state, state_file)
    logger.info("%s keeps every layer, for further layers; remove it when none is wanted", state_file.path)
    return state_file, n_before


class _Sums(WordState):
    """The sums of each word's vectors in each layer, (n_layers, n_words, dim) float64."""

    def empty(self, shape: Shape, n_words: int) -> dict[str, Tensor]:
        return {
            "sums": torch.zeros(shape.n_layers, n_words, shape.dim, dtype=torch.float64, device=shape.device),
            "counts": torch.zeros(n_words, dtype=torch.int64, device=shape.device),
        }

    def take(self, batch: list[Window], states: States) -> BatchWordSums:
        return batch_sums(batch, states.layers, self.words)

    def add(self, part: BatchWordSums) -> None:
        add_sums(self.tensors["sums"], self.tensors["counts"], part)

    def end_unit(self) -> bool:
        return all(bool(layer.isfinite().all()) for layer in self.tensors["sums"])


class _Extremes(WordState):
    """The largest or smallest values of each word's vectors, (n_layers, n_words, dim) float32; infinite for none."""

    def __init__(self, largest: bool) -> None:
        super().__init__()
        self._reduce, self._start = ("amax", -torch.inf) if largest else ("amin", torch.inf)

    def empty(self, shape: Shape, n_words: int) -> dict[str, Tensor]:
        return {
            "extremes": torch.full((shape.n_layers, n_words, shape.dim), self._start, device=shape.device),
            "counts": torch.zeros(n_words, dtype=torch.int64, device=shape.device),
        }

    def take(self, batch: list[Window], states: States) -> tuple[Tensor, list[Tensor]]:
        """Return the words of the occurrences of a batch, and their vectors in each layer."""
        spans = occurrences(batch, states.chosen, self.words)
        words = torch.from_numpy(spans.numbers).to(states.chosen.device)
        return words, [spans.sums(layer) for layer in states.layers]

    def add(self, part: tuple[Tensor, list[Tensor]]) -> None:
        words, layers = part
        for extremes, vectors in zip(self.tensors["extremes"], layers, strict=True):
            extremes.scatter_reduce_(0, words[:, None].expand_as(vectors), vectors, self._reduce)
        self.tensors["counts"] += torch.bincount(words, minlength=len(self.tensors["counts"]))

    def end_unit(self) -> bool:
        occur = self.tensors["counts"] > 0
        return all(bool(layer[occur].isfinite().all()) for layer in self.tensors["extremes"])
