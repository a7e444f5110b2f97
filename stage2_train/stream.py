"""The cache as a stream of batches: shards in seeded order, a bounded buffer, paragraphs shuffled inside it."""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from x2static.machine.background import ahead
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import Context
from x2static.schemas.shard import Shard
from x2static.schemas.training import TrainConfig
from x2static.stage2_train.buffer import Batch, Block, Buffer, BufferReader, group_starts
from x2static.stage2_train.device_buffer import DeviceBatch, DeviceBufferReader
from x2static.stage2_train.draws import Draw, Position, generator, permutation
from x2static.stage2_train.transform import Transform
from x2static.stage2_train.vocabulary import Vocabulary

Item = TypeVar("Item")
Gathered = TypeVar("Gathered", covariant=True)
Loaded = TypeVar("Loaded")

FLOAT16_BYTES = 2
BUFFERS = 2  # one that is trained on, one that is being read
# A larger shard is read in pieces: so a buffer mixes several shards, and what is being read is a part of it.
BLOCKS_IN_BUFFER = 4


class Gathers(Protocol[Gathered]):
    """A buffer, wherever it lies, that copies some of its groups into a batch."""

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        ...

    def gather(self, groups: npt.NDArray[np.int64]) -> Gathered:
        """Copy some groups, in the given order."""
        ...


class Stream:
    """All batches of all epochs; it can begin at any position, which depends on nothing but the seed.

    Attributes:
        dim: length of a context vector.
        seconds_waited: time in which training had no data: reading runs ahead in a thread.
    """

    def __init__(self, cache: Cache, shards: list[Shard], vocabulary: Vocabulary, config: TrainConfig) -> None:
        """Cut the shards into blocks.

        Args:
            cache: where the shards are from.
            shards: all of them, in order.
            vocabulary: words outside it are dropped.
            config: `seed`, `batch_size` and `buffer_megabytes` are used.
        """
        encoding = cache.manifest.encoding
        self.dim = encoding.dim
        self._config = config
        self._reader = BufferReader(vocabulary, encoding.context, encoding.dim)
        self._rows = max(1, config.buffer_megabytes * 10**6 // (BUFFERS * encoding.dim * FLOAT16_BYTES))
        longest = max(1, self._rows // BLOCKS_IN_BUFFER)
        self._blocks = [cut(shard, encoding.context, longest) for shard in shards]
        self.seconds_waited = 0.0

    def transformed(self, transform: Transform) -> "Stream":
        """Return the same batches with their contexts transformed.

        Blocks are cut, and buffers filled, by the length of the cache's contexts, which are in memory while a block is
        read: batches hold the same paragraphs in every space.
        """
        stream = copy.copy(self)
        stream._reader = replace(self._reader, transform=transform)
        return stream

    def batches(self, start: Position, epochs: int) -> Iterator[tuple[Position, Batch, Position]]:
        """Begin to read, and return the batches from a position on, each with its own position and the one behind it.

        The position behind an epoch's last batch is the first of the next epoch.

        Args:
            start: where to begin.
            epochs: where to end, counted from the beginning of the training.

        Raises:
            X2StaticError: a shard is damaged.
        """
        return self._batches(ahead(self._load(self._reader.load, start, epochs)))

    def batches_on(
        self, device: torch.device, start: Position, epochs: int
    ) -> Iterator[tuple[Position, DeviceBatch, Position]]:
        """Do what `batches` does, with buffers that lie on an accelerator."""
        return self._batches(ahead(self._load(DeviceBufferReader.of(self._reader, device).load, start, epochs)))

    def _batches(
        self, loaded: Iterator[tuple[Position, int, Gathers[Gathered]]]
    ) -> Iterator[tuple[Position, Gathered, Position]]:
        for first, n_buffers, buffer in loaded:
            batches = self._split(buffer.n_groups, first._replace(batch=0))
            for batch in range(first.batch, len(batches)):
                here = first._replace(batch=batch)
                yield here, buffer.gather(batches[batch]), _after(here, len(batches), n_buffers)
            del buffer  # before the next but one is read, or there would be three

    def _load(
        self, load: Callable[[list[Block]], Loaded], start: Position, epochs: int
    ) -> Iterator[tuple[Position, int, Loaded]]:
        """Yield, for each buffer, its first batch's position, how many buffers its epoch has, and the buffer."""
        for epoch in range(start.epoch, epochs):
            plan = self.plan(epoch)
            first = start if epoch == start.epoch else Position(epoch)
            for number in range(first.buffer, len(plan)):
                here = first if number == first.buffer else Position(epoch, number)
                yield here, len(plan), load(plan[number])

    def waited(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield what is read ahead, and note how long that took beyond what training hid."""
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
        numbers = generator(self._config.seed, Draw.SHARDS, Position(epoch))
        return self._pack(permutation(len(self._blocks), numbers).tolist())

    def in_order(self) -> Iterator[Buffer]:
        """Yield the whole cache once, unshuffled.

        Raises:
            X2StaticError: a shard is damaged.
        """
        buffers = self._pack(list(range(len(self._blocks))))
        yield from self.waited(ahead(map(self._reader.load, buffers)))

    def _pack(self, shards: list[int]) -> list[list[Block]]:
        """Fill buffers with the blocks of the shards, in this order."""
        buffers: list[list[Block]] = []
        rows = self._rows + 1  # so that the first block opens a buffer
        for block in (block for shard in shards for block in self._blocks[shard]):
            size = block.stop - block.start
            if rows + size > self._rows:
                buffers.append([])
                rows = 0
            buffers[-1].append(block)
            rows += size
        return buffers

    def _split(self, n_groups: int, position: Position) -> list[npt.NDArray[np.int64]]:
        """Return the groups of each batch of a buffer; the last may have fewer."""
        order = permutation(n_groups, generator(self._config.seed, Draw.PARAGRAPHS, position))
        size = self._config.batch_size
        return [order[first : first + size] for first in range(0, len(order), size)]


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
