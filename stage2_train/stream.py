"""The cache as a stream of batches: shards in seeded order, a bounded buffer, paragraphs shuffled inside it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from x2static.machine.processes import ahead
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import Context
from x2static.schemas.shard import Shard
from x2static.stage2_train.buffer import CPU, Batch, Block, Buffer, BufferReader, group_starts
from x2static.stage2_train.sampling import Draw, Position, generator, permutation
from x2static.stage2_train.transform import IDENTITY, Transform
from x2static.stage2_train.vocabulary import Vocabulary

Item = TypeVar("Item")

FLOAT16_BYTES = 2
BUFFERS = 2  # one that is trained on, one that is being read
# A larger shard is read in pieces: so a buffer mixes several shards, and what is being read is a part of it.
BLOCKS_IN_BUFFER = 4


class Stream:
    """All batches of all epochs; it can begin at any position, which depends on nothing but the seed."""

    def __init__(
        self,
        cache: Cache,
        shards: list[Shard],
        vocabulary: Vocabulary,
        *,
        seed: int,
        batch_size: int,
        buffer_megabytes: int,
        device: torch.device = CPU,
    ) -> None:
        """Cut the shards into blocks.

        Blocks are cut, and buffers filled, by the length of the cache's contexts, which are in memory while a block is
        read: batches hold the same paragraphs in every space.

        Args:
            cache: of the shards.
            shards: all that are read, in order.
            vocabulary: words outside it are dropped.
            seed: of the order.
            batch_size: groups in a batch.
            buffer_megabytes: memory of the contexts that are shuffled together, and of those being read.
            device: where batches lie.
        """
        encoding = cache.manifest.encoding
        self.cache = cache.path  # where the shards are from
        self.dim = encoding.dim  # length of a context vector in the cache
        self.device = device  # where batches lie; what is read in order lies on the CPU
        # time in which there was no data, of training or a pass in order: reading runs ahead in a thread
        self.seconds_waited = 0.0
        self._seed, self._batch_size = seed, batch_size
        self._reader = BufferReader(vocabulary, encoding.context, encoding.dim)
        self._rows = max(1, buffer_megabytes * 10**6 // (BUFFERS * encoding.dim * FLOAT16_BYTES))
        longest = max(1, self._rows // BLOCKS_IN_BUFFER)
        self._blocks = [cut(shard, encoding.context, longest) for shard in shards]

    def batches(
        self, start: Position, epochs: int, transform: Transform = IDENTITY
    ) -> Iterator[tuple[Position, Batch, Position]]:
        """Begin to read, and return the batches from a position on, each with its own position and the one behind it.

        The position behind an epoch's last batch is the first of the next epoch.

        Args:
            start: where to begin.
            epochs: where to end, counted from the beginning of the training.
            transform: what becomes of the contexts.

        Raises:
            X2StaticError: a shard is damaged.
        """
        reader = replace(self._reader, transform=transform.to(self.device), device=self.device)
        return self._batches(ahead(self._load(reader.load, start, epochs)))

    def _batches(self, loaded: Iterator[tuple[Position, int, Buffer]]) -> Iterator[tuple[Position, Batch, Position]]:
        for first, n_buffers, buffer in loaded:
            batches = self._split(buffer.n_groups, first._replace(batch=0))
            for batch in range(first.batch, len(batches)):
                here = first._replace(batch=batch)
                yield here, buffer.gather(batches[batch]), _after(here, len(batches), n_buffers)
            del buffer  # before the next but one is read, or there would be three

    def _load(
        self, load: Callable[[list[Block]], Buffer], start: Position, epochs: int
    ) -> Iterator[tuple[Position, int, Buffer]]:
        """Yield, for each buffer, its first batch's position, how many buffers its epoch has, and the buffer."""
        for epoch in range(start.epoch, epochs):
            plan = self.plan(epoch)
            first = start if epoch == start.epoch else Position(epoch)
            for number in range(first.buffer, len(plan)):
                here = first if number == first.buffer else Position(epoch, number)
                yield here, len(plan), load(plan[number])

    def in_order(self) -> Iterator[Buffer]:
        """Yield the whole cache once, unshuffled, its contexts as they are.

        Raises X2StaticError: a shard is damaged.
        """
        buffers = self._pack(list(range(len(self._blocks))))
        yield from self.waited(ahead(map(self._reader.load, buffers)))

    def waited(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield what is read ahead, and note how long that took beyond what was hidden behind other work."""
        while True:
            began = time.perf_counter()
            item = next(items, None)
            self.seconds_waited += time.perf_counter() - began
            if item is None:
                return
            yield item
            del item  # while the next one is waited for, nobody needs it

    def plan(self, epoch: int) -> list[list[Block]]:
        """Return the blocks of each buffer of an epoch."""
        numbers = generator(self._seed, Draw.SHARDS, Position(epoch))
        return self._pack(permutation(len(self._blocks), numbers).tolist())

    def _pack(self, shards: list[int]) -> list[list[Block]]:
        """Fill buffers with the blocks of the shards, in this order."""
        buffers: list[list[Block]] = []
        rows = self._rows + 1  # so that the first block opens a buffer
        for block in (block for shard in shards for block in self._blocks[shard]):
            if rows + len(block) > self._rows:
                buffers.append([])
                rows = 0
            buffers[-1].append(block)
            rows += len(block)
        return buffers

    def _split(self, n_groups: int, position: Position) -> list[npt.NDArray[np.int64]]:
        """Return the groups of each batch of a buffer; the last may have fewer."""
        order = permutation(n_groups, generator(self._seed, Draw.PARAGRAPHS, position))
        return [order[first : first + self._batch_size] for first in range(0, len(order), self._batch_size)]


def _after(here: Position, n_batches: int, n_buffers: int) -> Position:
    if here.batch + 1 < n_batches:
        return here._replace(batch=here.batch + 1)
    if here.buffer + 1 < n_buffers:
        return Position(here.epoch, here.buffer + 1)
    return Position(here.epoch + 1)


def cut(shard: Shard, context: Context, longest: int) -> list[Block]:
    """Cut a shard into blocks of at most so many rows, at the boundaries of its groups.

    A single group that is longer is a block all the same: batches hold whole paragraphs.
    """
    n_contexts = shard.marker.n_contexts
    if n_contexts <= longest:
        return [Block(shard, 0, n_contexts)] if n_contexts else []
    boundaries = group_starts(shard, context, 0, n_contexts)
    blocks = []
    begin = 0
    while begin < len(boundaries) - 1:
        end = int(np.searchsorted(boundaries, boundaries[begin] + longest, side="right")) - 1
        end = max(end, begin + 1)
        blocks.append(Block(shard, int(boundaries[begin]), int(boundaries[end])))
        begin = end
    return blocks
