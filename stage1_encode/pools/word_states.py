"""Word states: the mean of every word's own states; in every shard (`--word-states`), of further layers if asked for.

`schemas/word_states.py` has their form in a shard. Not every unit keeps every word: of a frequent one a few units say
all, and ten million words in every unit would be many times the contexts. A unit decides by what it alone knows, so
that resumed, grown and shared encodes hold the same rows. In unit u of a plan (the first is 1) a word with n
occurrences is kept with probability

    min(1, ENOUGH n / u),

drawn by a hash of the word and u: the first ENOUGH units keep all, later ones fewer and fewer of their rare words. A
word with n in each unit is so in ENOUGH n (1 + ln(u / (ENOUGH n))) of u units in the mean, or in all; a unit of N words
keeps ENOUGH N / u rows in the mean at most, those of its words with n >= u / ENOUGH included. A word that a late unit
has often, and no other, is likely in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xxhash

from x2static.durable.errors import X2StaticError
from x2static.machine.device import Fetched, ResultStream, to_device
from x2static.schemas.encoding import LAST, EncodeConfig, Layer
from x2static.schemas.word_states import NAME, STEP, pool_of, row_bytes, write_word_states
from x2static.stage1_encode.pools.pool import Pool, Shape, States, UnitPool
from x2static.stage1_encode.pools.word_sums import BatchWordSums, batch_sums
from x2static.stage1_encode.teacher.files import resolve_model, transformer_folder
from x2static.stage1_encode.teacher.model import canonical_layer, canonical_layers, claimed_layers, read_config
from x2static.stage1_encode.text.windows import Ids, PreparedText, Window

ENOUGH = 6  # units that keep all; what that costs and loses is in docs/LOG.md, 2026-11-29


@dataclass(frozen=True)
class WordStates(Pool):
    """The states of all words, at the layer that the cache is of."""

    name = option = NAME
    occurrences = of_itself = True

    def asked(self) -> list[Any]:
        """Return what decides which words are kept, and how finely."""
        return [ENOUGH, STEP]

    def bytes_of_text(self, shape: Shape, n_words: float, n_distinct: float, number: int) -> float:
        """Return what a unit's rows take: as many as there are words, or as the rule lets through at most."""
        return min(n_distinct, ENOUGH * n_words / (number + 1)) * row_bytes(shape.dim)

    def begin(self, shape: Shape, number: int) -> "UnitWordStates":
        """Begin a unit."""
        return UnitWordStates(shape, number)


@dataclass(frozen=True)
class LayerStates(WordStates):
    """The states of all words at a further layer: a pool of its own, so that layers can be added one by one."""

    all_layers = True
    layer: Layer = LAST  # by its one name (`canonical_layer`), and not the one that the cache is of

    def __post_init__(self) -> None:
        """Take the name of the layer: all that is asked of the pool."""
        object.__setattr__(self, "name", pool_of(self.layer))

    def begin(self, shape: Shape, number: int) -> "UnitWordStates":
        """Begin a unit. Raises X2StaticError: the teacher has not as many layers as its config.json says."""
        if self.layer != LAST and self.layer >= shape.n_layers - 1:
            problem = f"the model has states of {shape.n_layers - 1} layers, config.json names more"
            raise X2StaticError(f"--state-layers {self.layer}: {problem}; leave it out")
        return UnitWordStates(shape, number, self.name, -1 if self.layer == LAST else self.layer)


def further_layers(config: EncodeConfig, layers: Sequence[Layer]) -> list[Pool]:
    """Return the pools of some layers, without that which the cache is of. Raises X2StaticError: there is none such."""
    folder = transformer_folder(resolve_model(config.model, config.revision)[0])
    n_layers = claimed_layers(read_config(folder, config.trust_remote_code))
    names = dict.fromkeys(canonical_layer(layer, n_layers, "--state-layers") for layer in layers)
    own = canonical_layers(config.layer, n_layers)
    return [LayerStates(layer) for layer in names if layer != own]


class UnitWordStates(UnitPool):
    """The states of the words of a unit, added up in float32."""

    def __init__(self, shape: Shape, number: int, pool: str = NAME, layer: int | None = None) -> None:
        self._pool, self._layer = pool, layer  # None for the layer that the cache is of
        self._sums = torch.zeros((0, shape.dim), device=shape.device)  # (n_words, dim), with rows to spare
        self._counts: Ids = np.zeros(0, np.int64)  # (n_words,)
        self._words: dict[int, str] = {}  # by their numbers in the unit
        self._number = number
        self._rows: Ids  # once the unit has ended: the words that are kept
        self._ended: Fetched  # likewise: their sums

    def extend(self, text: PreparedText, numbers: Ids) -> None:
        """Make room for the words of a portion."""
        self._words.update(zip(numbers.tolist(), text.lexicon, strict=True))
        self._counts = np.concatenate([self._counts, np.zeros(len(self._words) - len(self._counts), np.int64)])
        if len(self._words) > len(self._sums):
            larger = self._sums.new_zeros((max(len(self._words), 3 * len(self._sums) // 2), self._sums.shape[1]))
            larger[: len(self._sums)] = self._sums
            self._sums = larger

    def take(self, batch: list[Window], states: States) -> BatchWordSums:
        """Add up the states of each word in a batch."""
        of_layer = states.chosen if self._layer is None else states.layers[self._layer]
        return batch_sums(batch, (of_layer,), dtype=torch.float32)

    def add(self, part: BatchWordSums) -> None:
        """Add the sums of a batch."""
        words, counts, (sums,) = part
        self._sums.index_add_(0, to_device(words, sums.device), sums)
        self._counts[words] += counts

    def end(self, results: ResultStream) -> None:
        """Choose the words that are kept, and begin to bring their sums to the host."""
        there = np.flatnonzero(self._counts)
        words = [self._words[number] for number in there.tolist()]
        self._rows = there[kept(words, self._counts[there], self._number + 1)]
        self._ended = results.fetch(self._sums[to_device(self._rows, self._sums.device)])
        del self._sums

    def write(self, folder: Path, unit: str) -> None:
        """Write them into a shard's folder. Raises X2StaticError: states are not finite."""
        counts = self._counts[self._rows]
        means = np.asarray(self._ended.numpy() / counts[:, None], np.float32)
        if not np.isfinite(means).all():
            raise X2StaticError(f"{unit}: the states of words are not finite; try --precision float32")
        write_word_states(folder, self._rows, counts, means, self._pool)


def kept(words: list[str], counts: Ids, number: int) -> npt.NDArray[np.bool_]:
    """Return whether each word, with its occurrences in a unit, (n_words,), is kept there; the first unit is 1."""
    draws = np.array([xxhash.xxh3_64_intdigest(word.encode(), seed=number) for word in words], np.uint64)
    return np.asarray(draws.astype(np.float64) / 2**64 * number < ENOUGH * counts)
