"""ASE: a word's contextual vectors pooled over its occurrences (Bommasani, Davis and Cardie, ACL 2020).

Every layer is pooled in one pass of the teacher. What the pass gives stays in the cache's folder `baselines`, so that
further layers take seconds: sums for the mean, extremes for max and min, each under a name that says of what.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.baselines.occurrences import Pool, StateFile, gather
from x2static.baselines.request import Made, Request
from x2static.baselines.teacher import check_memory, layer_number, made_of, opened, precision_of
from x2static.durable.storage import canonical_json, only_writer
from x2static.schemas.aggregated import Aggregated
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import Layer
from x2static.stage1_encode.encode import Done, encode_missing
from x2static.stage1_encode.plan.remaining import Part
from x2static.stage1_encode.pools.occurrences import Occurrences
from x2static.stage1_encode.text.preparation import pick_workers

FOLDER = "baselines"  # in the cache's folder
EXTREMES = "extremes.safetensors"

logger = logging.getLogger(__name__)


class Pooled(NamedTuple):
    """Pooled vectors (n_words, dim), occurrences (n_words,), and units that the teacher had read in earlier calls."""

    vectors: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int64]
    units_found: int


def make(request: Request) -> Made:
    """Return the mean, or the largest or smallest value in each dimension, of each word's contextual vectors.

    A word without an occurrence that the teacher reads is left out.

    Raises:
        X2StaticError: teacher or text are not found as they were; there is no such layer; the words are too many for
            the machine's memory.
    """
    words = sorted(request.words)
    mean = request.config.pooling == "mean"
    vectors, counts, units_found = _means(request, words) if mean else _extremes(request, words)
    matrix = np.where(counts[:, None] > 0, vectors, np.float32(0))
    row = {word: number for number, word in enumerate(words)}
    order = np.array([row[word] for word in request.words], np.int64)
    told = {"pooling": request.config.pooling, "occurrences": int(counts.sum()), "units_found": units_found}
    return made_of(request, matrix[order], told)


def place_of(request: Request, words: list[str]) -> Path:
    """Return where in the cache the pooled vectors of some words are kept."""
    cache = request.needed_cache()
    what = canonical_json([cache.manifest.fingerprint, words])
    name = f"{request.config.pooling}-{precision_of(request, cache)}-{hashlib.sha256(what).hexdigest()[:16]}"
    return cache.path / FOLDER / name


def _means(request: Request, words: list[str]) -> Pooled:
    found = _covering(request, words)
    units_found = len(request.needed_cache().indices())
    if found is None:
        place = place_of(request, words)
        with only_writer(place, "baseline's sums"):
            found, units_found = summed(request, words, place)
    layer = layer_number(request.config.layer, found.files()[0].n_layers() - 1)
    vectors, counts = found.means(layer)
    row = {word: number for number, word in enumerate(found.words)}
    order = np.array([row[word] for word in words], np.int64)
    return Pooled(vectors[order], counts[order], units_found)


def _covering(request: Request, words: list[str]) -> Aggregated | None:
    """Return the sums that `x2static encode --ase` made, if they are of all units and of all the words."""
    cache = request.needed_cache()
    found = Aggregated.open(cache.path)
    if found is None or precision_of(request, cache) != cache.manifest.encoding.precision:
        return None
    if lacking := set(words) - set(found.words):
        logger.info("%s lacks %d of %d words; they are added up beside it", found.folder, len(lacking), len(words))
        return None
    return found if found.units() >= cache.committed()[0].keys() else None


def summed(request: Request, words: list[str], place: Path) -> tuple[Aggregated, int]:
    """Return the sums of some words over all units of a cache, and how many units of them were there before.

    What is missing of them is read by the teacher.

    Args:
        request: for the cache, and where teacher and text are now.
        words: what is added up, in the order of the rows.
        place: folder in whose folder `ase` the sums are or will be; the caller is its only writer.

    Raises:
        X2StaticError: teacher or text are not found as they were, or the words are too many for the memory.
    """
    cache = request.needed_cache()
    found = Aggregated.open(place) or Aggregated.create(place, words, cache.manifest.fingerprint)
    found.sweep()
    units = cache.committed()[0]
    done = Done(units, Part(), found)
    missing = done.to_sum()
    if missing:
        with opened(request, words, missing) as (encoder, sources):
            teacher = encoder.teacher
            layer_number(request.config.layer, teacher.n_layers)  # before the teacher reads for hours
            # Sums and what they lose, of a unit that is folded in and of the one that the teacher reads.
            n_bytes = 2 * 2 * 4 * (teacher.n_layers + 1) * len(words) * teacher.dim
            check_memory(n_bytes, teacher.device, f"the sums of {len(words):,} words at every layer")
            workers = pick_workers(None, teacher.device)
            encode_missing(cache, encoder, cache.plans(), sources, done, workers, request.report)
        _say_kept(cache, place)
    return found, len(units) - len(missing)


def _extremes(request: Request, words: list[str]) -> Pooled:
    cache, pooling, layer = request.needed_cache(), request.config.pooling, request.config.layer
    place = place_of(request, words)
    state = StateFile(place / EXTREMES)
    with only_writer(place, "baseline's extremes"):
        units = cache.committed()[0].keys()
        units_found = len(units & state.units())
        if units_found < len(units):
            gather(request, words, Extremes(pooling == "max", layer), state)
            _say_kept(cache, place)
    number = layer_number(layer, state.length("extremes") - 1)
    return Pooled(state.part("extremes", number), state.array("counts"), units_found)


def _say_kept(cache: Cache, place: Path) -> None:
    logger.info("%s keeps every layer, for further layers of %s; remove it when none is wanted", place, cache.path)


class Extremes(Pool):
    """The largest, or the smallest, value in each dimension over the occurrences of each word, at every layer.

    Attributes:
        tensors: `extremes`, (n_layers, n_words, dim) float32, infinite for words without an occurrence, and `counts`,
            (n_words,) int64.
    """

    def __init__(self, largest: bool, layer: Layer) -> None:
        """Choose between the two.

        Args:
            largest: the largest, otherwise the smallest.
            layer: that will be asked for, so that a wrong one is refused at the beginning.
        """
        self._reduce, self._start = ("amax", -torch.inf) if largest else ("amin", torch.inf)
        self._layer = layer

    def n_bytes(self, n_layers: int, n_words: int, dim: int) -> int:
        """Return what the tensors will take."""
        return 4 * n_layers * n_words * dim + 8 * n_words

    def check_layer(self, n_layers: int) -> None:
        """See that the teacher has the layer.

        Raises:
            X2StaticError: there is no such layer.
        """
        layer_number(self._layer, n_layers - 1)

    def begin(self, n_layers: int, n_words: int, dim: int, device: torch.device) -> None:
        """Make the tensors of words without an occurrence."""
        self.tensors = {
            "extremes": torch.full((n_layers, n_words, dim), self._start, device=device),
            "counts": torch.zeros(n_words, dtype=torch.int64, device=device),
        }

    def add(self, found: Occurrences, layers: Sequence[Tensor]) -> None:
        """Take in the occurrences of a batch."""
        words = torch.from_numpy(found.words).to(layers[0].device)
        for extremes, states in zip(self.tensors["extremes"], layers, strict=True):
            vectors = found.vectors(states)
            extremes.scatter_reduce_(0, words[:, None].expand_as(vectors), vectors, self._reduce)
        self.tensors["counts"] += torch.bincount(words, minlength=len(self.tensors["counts"]))

    def end_unit(self) -> bool:
        """Return whether all words that occur have finite values."""
        occur = self.tensors["counts"] > 0
        return all(bool(layer[occur].isfinite().all()) for layer in self.tensors["extremes"])
