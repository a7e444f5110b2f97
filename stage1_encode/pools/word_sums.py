"""Word sums (`--ase`): chosen words' contextual vectors, added up at every layer of the teacher while it reads.

The ASE baseline (Bommasani, Davis and Cardie, ACL 2020) needs the mean of a word's contextual vectors; it falls out of
the pass that makes the cache. In a shard, `word_sums/` holds what its unit has of them:

    words.arrow    word, count: the chosen words among the shard's, and their occurrences that the teacher reads
    sums/          zarr array (n_layers, n_words, dim) float64, layer 0 the embeddings

Sums are float64 throughout: a mean over shards is the one that a pass of its own would give.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from x2static.durable.errors import X2StaticError
from x2static.machine.device import Fetched, ResultStream, to_device
from x2static.machine.screen import quantity
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.shard import LEXICON_SCHEMA, Shard, create_array, write_table, zarrs_errors
from x2static.stage1_encode.pools.pool import Pool, Shape, States, UnitPool
from x2static.stage1_encode.pools.spans import ChosenWords, occurrences
from x2static.stage1_encode.text.segmentation import words_of
from x2static.stage1_encode.text.windows import Ids, PreparedText, Window

NAME = "word_sums"
CHUNK_WORDS = 4096

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WordSums(Pool):
    """The sums of chosen words: as the word segmentation rules write them, each once, sorted."""

    name = NAME
    option = "ase"
    all_layers = occurrences = True
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: EncodeConfig, listed: Sequence[str]) -> "WordSums":
        """Choose the single words of a list, and log what else is in it.

        Raises X2StaticError: there are none, or the mode is one in which words and pieces do not meet.
        """
        cls.check(config)
        rules = words_of(config)
        if rules.languages:
            what = f"words that are looked for are of one language, here are {', '.join(rules.languages)}"
            raise X2StaticError(f"--ase: {what}; leave it out, or make a cache of each language")
        cut = [(word, rules.split(word)) for word in listed]
        others = [word for word, words in cut if len(words) != 1]
        chosen = sorted({words[0] for _, words in cut if len(words) == 1})
        if not chosen:
            raise X2StaticError(f"--ase: none of the {len(listed)} entries is a single word; list one word a line")
        if others:
            some = ", ".join(others[:3])
            logger.warning("--ase: left out, as no single words: %d (%s)", len(others), some)
        return cls(tuple(chosen))

    def asked(self) -> list[Any]:
        """Return the words."""
        return list(self.words)

    def begin(self, shape: Shape, number: int) -> "UnitWordSums":
        """Begin a unit."""
        return UnitWordSums(self.words, shape)

    def n_bytes(self, shape: Shape) -> int:
        """Return what the sums of a unit take, and those of a shard in which all words occur: float64."""
        return 8 * shape.n_layers * len(self.words) * shape.dim


# What a batch has of some words: (n,) int64, each once; (n,) int64, their occurrences; and (n_layers, n, dim) float64,
# unless asked for otherwise, on the teacher's device, the sums of these.
BatchWordSums = tuple[Ids, Ids, torch.Tensor]


def batch_sums(
    batch: list[Window],
    layers: tuple[torch.Tensor, ...],
    chosen: ChosenWords | None = None,
    dtype: torch.dtype = torch.float64,
) -> BatchWordSums:
    """Add up the vectors of the occurrences of all words, or of some of them, in a batch, in each of some layers."""
    spans = occurrences(batch, layers[0], chosen)
    words, place, counts = np.unique(spans.numbers, return_inverse=True, return_counts=True)
    owners = spans.of_pieces(place)
    sums = layers[0].new_zeros((len(layers), len(words), layers[0].shape[2]), dtype=dtype)
    for layer, of_layer in zip(layers, sums, strict=True):
        of_layer.index_add_(0, owners, spans.pieces(layer).to(dtype))
    return words, counts, sums


def add_sums(sums: torch.Tensor, counts: torch.Tensor, part: BatchWordSums) -> None:
    """Add what a batch has to sums, (n_layers, n_words, dim) float64, and counts, (n_words,) int64, in place."""
    words, occurring, more = part
    sums.index_add_(1, to_device(words, sums.device), more)
    counts.index_add_(0, to_device(words, counts.device), to_device(occurring, counts.device))


class UnitWordSums(UnitPool):
    """The sums of a unit."""

    def __init__(self, words: tuple[str, ...], shape: Shape) -> None:
        # (n_layers, n_words, dim) float64 on the teacher's device
        self.sums = torch.zeros(shape.n_layers, len(words), shape.dim, dtype=torch.float64, device=shape.device)
        self.counts = torch.zeros(len(words), dtype=torch.int64)  # (n_words,) int64 on the host
        self._words, self._chosen = words, ChosenWords(words)
        self._ended: Fetched  # once the unit has: the sums of the words that are in it

    def extend(self, text: PreparedText, numbers: Ids) -> None:
        """Note which of the words are in a portion."""
        self._chosen.extend(text, numbers)

    def take(self, batch: list[Window], states: States) -> BatchWordSums:
        """Return the sums of a batch."""
        return batch_sums(batch, states.layers, self._chosen)

    def add(self, part: BatchWordSums) -> None:
        """Add the sums of a batch."""
        add_sums(self.sums, self.counts, part)

    def end(self, results: ResultStream) -> None:
        """Begin to bring the sums of the words that are in the unit to the host."""
        rows = to_device(self._here(), self.sums.device)
        self._ended = results.fetch(self.sums[:, rows])
        del self.sums

    def _here(self) -> Ids:
        """Return the rows of the words that are in the unit, ascending."""
        return np.sort(self._chosen.rows[self._chosen.rows >= 0])

    def write(self, folder: Path, unit: str) -> None:
        """Write them into a shard's folder. Raises X2StaticError: a layer gave values that are not finite."""
        sums, rows = self._ended.numpy(), self._here().tolist()
        if not all(np.isfinite(layer).all() for layer in sums):
            raise X2StaticError(f"{unit}: a layer's states are not finite; try --precision float32")
        (folder / NAME).mkdir()
        words = pa.array([self._words[row] for row in rows], pa.string())
        write_table(folder / NAME / "words.arrow", pa.table([words, self.counts.numpy()[rows]], schema=LEXICON_SCHEMA))
        chunks = (1, min(CHUNK_WORDS, max(len(rows), 1)), sums.shape[2])
        stored = create_array(folder / NAME, "sums", sums.shape, "float64", chunks)
        with zarrs_errors(folder / NAME / "sums"):
            for layer, values in enumerate(sums):
                stored[layer] = values


@dataclass(frozen=True)
class StoredSums:
    """The sums of some words over a cache, as its shards hold them."""

    shards: list[Shard]  # in order; each has the sums of all those of the words that are in it
    words: list[str]  # in the order of the rows

    @classmethod
    def open(cls, cache: Cache, words: list[str]) -> "StoredSums | None":
        """Return them, or None where a shard lacks those of a word in it. Raises X2StaticError: they are damaged."""
        shards, wanted = cache.shards(), set(words)
        n_with_sums = sum(shard.pool(NAME) is not None for shard in shards)
        if n_with_sums < len(shards) or not shards:
            if n_with_sums or (cache.path / "ase").is_dir():  # what 0.1.0 kept, in a form that is not read any more
                logger.warning(
                    f"{cache.path}: {n_with_sums} of {len(shards)} shards have word sums; run the `x2static encode "
                    "--ase` that made them again to complete them; until then the teacher reads the corpus again"
                )
            return None
        for shard in shards:
            if damage := shard.pool_damage().get(NAME):
                remedy = f"run `x2static cache repair {cache.path}`, which drops it, and `x2static encode --ase` again"
                raise X2StaticError(f"{shard.folder}: {', '.join(damage)}; {remedy}")
            summed = _summed(shard)["word"].to_pylist()
            if lacking := wanted.intersection(shard.lexicon()["word"].to_pylist()).difference(summed):
                logger.info("%s: no sums of %s there; added up beside it", shard.folder, quantity(len(lacking), "word"))
                return None
        return cls(shards, words)

    def n_layers(self) -> int:
        """Return how many layers there are, the embeddings included."""
        return int(self.shards[0].array(f"{NAME}/sums").shape[0])

    def means(self, layer: int) -> tuple[npt.NDArray[np.float32], Ids]:
        """Return the mean contextual vector of each word at a layer, (n_words, dim), and its occurrences.

        A word without an occurrence has zeros; layer 0 is the embeddings.
        """
        number = {word: row for row, word in enumerate(self.words)}
        dim = self.shards[0].array(f"{NAME}/sums").shape[2]
        sums, counts = np.zeros((len(self.words), dim)), np.zeros(len(self.words), np.int64)
        for shard in self.shards:
            listed = _summed(shard)
            places = np.array([number.get(word, -1) for word in listed["word"].to_pylist()], np.int64)
            here = np.flatnonzero(places >= 0)
            sums[places[here]] += np.asarray(shard.array(f"{NAME}/sums")[layer])[here]
            counts[places[here]] += listed["count"].to_numpy()[here]
        return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32), counts


def _summed(shard: Shard) -> pa.Table:
    """Return the words of a shard that have sums there, in the order of their rows, and their occurrences."""
    return shard.table(f"{NAME}/words.arrow", LEXICON_SCHEMA)
