"""Occurrences (`--occurrences`): of each word a bounded sample of its occurrences, with the state of each, for senses.

`schemas/occurrences.py` has their form in a shard. Every occurrence has a draw, a number that is a hash of its unit,
its context and its place there; the occurrences of a word with the N lowest draws are its sample, and a draw is the
same whatever was killed, grown or merged. A unit does not know what others will hold, so that it keeps more than what
is left in the end. In unit u of a plan (the first is 1) a word keeps the occurrences of the lowest draws, as many as

    min(N, MARGIN N / u), rounded up or down by a hash of the word and u,

if it has LEAST / u occurrences there or more: a word that has as many in each unit does not come to LEAST before. Of a
word that is spread evenly, unit u has N / u of the N lowest draws in the mean, so that hardly one is missed; and late
units keep ever less: U units keep MARGIN N (1 + ln U) of a word at most. A word that late units alone have often is
sampled less than its due. States are held in float16 until the unit is written: some 300 MB of 8,192 paragraphs of a
teacher of 384 dimensions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash

from x2static.durable.errors import X2StaticError
from x2static.machine.device import Fetched, ResultStream, to_device
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.occurrences import NAME, occurrence_bytes, pool_of, ranks, write_occurrences
from x2static.schemas.word_states import STEP
from x2static.stage1_encode.pools.draws import mixed
from x2static.stage1_encode.pools.pool import Pool, Shape, States, UnitPool
from x2static.stage1_encode.pools.spans import Spans
from x2static.stage1_encode.text.windows import Ids, PreparedText, Window

MARGIN = 1.5  # of the N / u that a unit has of the lowest draws in the mean
LEAST = 20  # occurrences; senses of a rarer word are not looked for
HIGHEST = 2**32 - 1  # draw


@dataclass(frozen=True)
class Occurrences(Pool):
    """A sample of n occurrences of each word, at the layer that the cache is of."""

    name = option = NAME
    occurrences = True
    n: int = 64

    def __post_init__(self) -> None:
        """Take the name of the number: all that is asked of the pool."""
        object.__setattr__(self, "name", pool_of(self.n))

    @classmethod
    def of(cls, config: EncodeConfig, value: Any) -> "Occurrences":
        """Return the pool. Raises X2StaticError: the mode is one in which words and pieces do not meet."""
        cls.check(config)
        return cls(int(value))

    def asked(self) -> list[Any]:
        """Return what decides which occurrences are kept, and how finely."""
        return [self.n, MARGIN, LEAST, STEP]

    def bytes_of_text(self, shape: Shape, n_words: float, n_distinct: float, number: int) -> float:
        """Return what a unit's rows take, if its words are as frequent as Zipf's law has it."""
        ranks = np.arange(1, int(n_distinct) + 1)
        counts = n_words / (1 / ranks).sum() / ranks if len(ranks) else ranks
        kept = np.minimum(counts, min(self.n, MARGIN * self.n / (number + 1)))
        return float(kept[counts * (number + 1) >= LEAST].sum()) * occurrence_bytes(shape.dim)

    def begin(self, shape: Shape, number: int) -> "UnitOccurrences":
        """Begin a unit."""
        return UnitOccurrences(self.name, self.n, shape, number + 1)


class UnitOccurrences(UnitPool):
    """The sample of a unit. An occurrence is chosen before it is read, by what the unit has of its word until then."""

    def __init__(self, pool: str, n: int, shape: Shape, number: int) -> None:
        self._pool, self._n, self._number = pool, n, number
        self._most: Ids = np.zeros(0, np.int64)  # (n_words,), occurrences that are kept of each word
        self._counts: Ids = np.zeros(0, np.int64)  # (n_words,), those that the unit has, so far
        # (n_words,), the highest draw with which one of them is read. It falls from portion to portion: what is taken
        # by an older one, in a lane, is too much, and dropped in the end.
        self._limits: Ids = np.zeros(0, np.int64)
        self._lowest: Ids = np.zeros(0, np.int64)  # word * 2^32 + draw of those that are kept so far, ascending
        empty = np.zeros(0, np.int64)
        self._parts = [(empty, empty, torch.zeros((0, shape.dim), dtype=torch.float16, device=shape.device))]
        self._rows: tuple[Ids, Ids]  # once the unit has ended: keys and contexts of what is kept
        self._ended: Fetched  # likewise: their states

    def extend(self, text: PreparedText, numbers: Ids) -> None:
        """Choose among the occurrences of a portion; what `take` looks at is replaced, not changed."""
        new = int(numbers.max(initial=-1)) + 1 - len(self._counts)
        counts = np.concatenate([self._counts, np.zeros(max(new, 0), np.int64)])
        most = np.concatenate([self._most, np.zeros(max(new, 0), np.int64)])
        most[numbers] = kept(list(text.lexicon), self._n, self._number)
        words, draws, _ = drawn(list(text.packed), self._number)
        counts += np.bincount(words, minlength=len(counts))
        limits = np.full(len(counts), HIGHEST)
        limits[: len(self._limits)] = self._limits
        keys = np.sort(np.concatenate([self._lowest, (words << 32 | draws)[draws <= limits[words]]]))
        words = keys >> 32
        rank = ranks(words)
        full = rank == most[words] - 1
        limits[words[full]] = keys[full] & HIGHEST
        limits[most == 0] = -1
        self._counts, self._most, self._limits, self._lowest = counts, most, limits, keys[rank < most[words]]

    def take(self, batch: list[Window], states: States) -> tuple[Ids, Ids, torch.Tensor]:
        """Return word and draw, context, and state, float16, of the chosen occurrences of a batch."""
        words, draws, contexts = drawn(batch, self._number)
        chosen = draws <= self._limits[words]
        ends = np.cumsum([len(window.occurrences) for window in batch])[:-1]
        listed = [window.occurrences[some] for window, some in zip(batch, np.split(chosen, ends), strict=True)]
        means = Spans(listed, states.chosen, averaged=True).sums(states.chosen)
        return (words << 32 | draws)[chosen], contexts[chosen], means.half()

    def add(self, part: tuple[Ids, Ids, torch.Tensor]) -> None:
        """Add those of a batch."""
        self._parts.append(part)

    def end(self, results: ResultStream) -> None:
        """Drop what others have displaced, and words that are rare; begin to bring the rest to the host."""
        keys, contexts = (np.concatenate([part[column] for part in self._parts]) for column in (0, 1))
        often = self._lowest[self._counts[self._lowest >> 32] * self._number >= LEAST]
        rows = np.argsort(keys, kind="stable")
        rows = rows[np.isin(keys[rows], often)]
        states = torch.cat([part[2] for part in self._parts])
        self._rows = keys[rows], contexts[rows]
        self._ended = results.fetch(states[to_device(rows, states.device)])
        del self._parts

    def write(self, folder: Path, unit: str) -> None:
        """Write them into a shard's folder. Raises X2StaticError: states are not finite."""
        states = np.asarray(self._ended.numpy(), np.float32)
        if not np.isfinite(states).all():
            raise X2StaticError(f"{unit}: the states of occurrences are not finite; try --precision float32")
        keys, contexts = self._rows
        write_occurrences(folder, self._pool, (keys >> 32, contexts, keys & HIGHEST), states)


def kept(words: list[str], n: int, number: int) -> Ids:
    """Return how many occurrences of each word a unit keeps at most, (n_words,); the first unit is 1."""
    draws = np.array([xxhash.xxh3_64_intdigest(word.encode(), seed=number) for word in words], np.uint64)
    return np.minimum(n, MARGIN * n / number + draws.astype(np.float64) / 2**64).astype(np.int64)


def drawn(windows: list[Window], number: int) -> tuple[Ids, Ids, Ids]:
    """Return the word, the draw, from 0 to HIGHEST, and the context of each occurrence in some windows of a unit."""
    contexts = [
        one.spans[np.maximum(np.searchsorted(one.spans[:, 1], one.occurrences[:, 1], side="right") - 1, 0), 0]
        for one in windows
    ]
    of_occurrences = np.concatenate([np.zeros(0, np.int64), *contexts])
    listed = np.concatenate([np.zeros((0, 3), np.int64), *(one.occurrences for one in windows)])
    return listed[:, 0], draws_of(of_occurrences << 20 ^ listed[:, 1], number), of_occurrences


def draws_of(places: Ids, number: int) -> Ids:
    """Return the draws of places in a unit, (n,), from 0 to HIGHEST."""
    of_unit = np.uint64(xxhash.xxh3_64_intdigest(b"", seed=number))
    return (mixed(places.astype(np.uint64) + of_unit) >> np.uint64(32)).astype(np.int64)
