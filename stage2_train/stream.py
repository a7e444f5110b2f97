"""The cache as a stream of batches: shards in seeded order, a bounded buffer, paragraphs shuffled inside it.

A *group* is what batches are counted in: a paragraph, or a sentence where the context is the sentence.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.durable.errors import REMEDY, Interrupted, X2StaticError
from x2static.machine.device import to_device
from x2static.machine.processes import ahead
from x2static.machine.progress import Progress, Report, StopRequest
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import Context
from x2static.schemas.shard import Shard, fetch_ahead, ranges
from x2static.stage2_train import sampling
from x2static.stage2_train.sampling import Draw, Position, generator, permutation
from x2static.stage2_train.transform import IDENTITY, Moments, Transform, pieces
from x2static.stage2_train.vocabulary import Vocabulary

Item = TypeVar("Item")
Ints = npt.NDArray[np.int64]

CPU = torch.device("cpu")
FLOAT16_EXPONENT = 0x7C00  # all of these bits set: infinite or not a number
BUFFERS = 2  # one that is trained on, one that is being read
# A larger shard is read in pieces: so a buffer mixes several shards, and what is being read is a part of it.
BLOCKS_IN_BUFFER = 4
BUFFERS_FETCHED = 2  # before the one that is read next, where shards come from a bucket
ROWS_AT_ONCE = 4096  # contexts that are held in float32 at a time, beside the buffer


@dataclass(frozen=True)
class Block:
    """Rows [start, stop) of a shard, cut at a group's boundary."""

    shard: Shard
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Batch:
    """Some groups with all their words of the vocabulary, before subsampling."""

    contexts: Tensor  # (n_contexts, width) float16, transformed
    context_of: Tensor  # (n_words,) int64, the context of each word
    words: Tensor  # (n_words,) int32, rows of the vocabulary
    group_of: Tensor  # (n_contexts,) int64, the group of each context, counted from 0


@dataclass(frozen=True)
class Buffer:
    """Some blocks in memory: contexts and their targets, in the cache's order, on the device that trains."""

    contexts: Tensor  # (n_contexts, width) float16, transformed
    group_starts: Tensor  # (n_groups + 1,) int64; group g is the contexts group_starts[g] ... group_starts[g + 1] - 1.
    word_starts: Tensor  # (n_contexts + 1,) int64, likewise the words of a context
    words: Tensor  # (n_words,) int32, rows of the vocabulary; words outside it are gone
    group_contexts: Ints  # (n_groups,) int64, the contexts of each group, on the host: it need not wait for sizes then
    group_words: Ints  # (n_groups,) int64, the words of each group, likewise

    def gather(self, groups: Ints) -> Batch:
        """Copy the groups of these numbers, (n,), in this order.

        On the host by NumPy: for each of its operations, PyTorch would wait for threads that are busy with training.
        """
        if sampling.drawn_on_device(self.words.device):
            chosen = to_device(groups, self.words.device)
            rows, owner = _runs(self.group_starts, chosen, int(self.group_contexts[groups].sum()))
            words, context_of = _runs(self.word_starts, rows, int(self.group_words[groups].sum()))
            return Batch(self.contexts[rows], context_of, self.words[words], owner)
        starts, word_starts = self.group_starts.numpy(), self.word_starts.numpy()
        picked = ranges(starts[groups], self.group_contexts[groups])
        lengths = word_starts[picked + 1] - word_starts[picked]
        of_contexts = self.words.numpy()[ranges(word_starts[picked], lengths)]
        owners = [np.repeat(np.arange(len(n)), n) for n in (lengths, self.group_contexts[groups])]
        arrays = self.contexts.numpy()[picked], owners[0], of_contexts, owners[1]
        return Batch(*map(torch.from_numpy, arrays))


def _runs(starts: Tensor, chosen: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Return starts[c] ... starts[c + 1] - 1 for each chosen c, `total` numbers in all, and which c it was."""
    first = starts[chosen]
    lengths = starts[chosen + 1] - first
    numbers = torch.arange(len(chosen), device=chosen.device)
    owner = torch.repeat_interleave(numbers, lengths, output_size=total)
    before = torch.cumsum(lengths, 0) - lengths
    return (first - before)[owner] + torch.arange(total, device=chosen.device), owner


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
        """Cut the shards that are read into blocks; words outside the vocabulary are dropped.

        Batches have `batch_size` groups and lie on the device. `buffer_megabytes` hold the contexts that are shuffled
        together, and those being read. Buffers are filled by the length of the cache's contexts, which are in memory
        while a block is read: batches hold the same paragraphs in every space.
        """
        encoding, self.cache = cache.manifest.encoding, cache.path  # where the shards are from
        self.shards = shards
        self.dim = encoding.dim  # length of a context vector in the cache
        self.device = device  # where batches lie; what is read in order lies on the CPU
        # time in which there was no data, of training or a pass in order: reading runs ahead in a thread
        self.seconds_waited = 0.0
        # contexts of a few words are counted in paragraphs, whatever the teacher read at once
        self.vocabulary, self._context = vocabulary, "paragraph" if encoding.context_words else encoding.context
        self._seed, self._batch_size = seed, batch_size
        self._rows = max(1, buffer_megabytes * 10**6 // (BUFFERS * encoding.dim * 2))  # of 2 bytes a value
        longest = max(1, self._rows // BLOCKS_IN_BUFFER)
        fetch_ahead((shard for shard in shards if shard.marker.n_contexts > longest), "words.arrow", "lexicon.arrow")
        self._blocks = [cut(shard, self._context, longest) for shard in shards]

    def batches(
        self, start: Position, epochs: int, transform: Transform = IDENTITY
    ) -> Iterator[tuple[Position, Batch, Position]]:
        """Yield the batches from a position to the end of the epochs, counted from 0.

        Each has its own position and the one behind it; behind an epoch's last batch that is the first of the next
        epoch. Raises X2StaticError: a shard is damaged.
        """
        for first, behind, buffer in ahead(self._buffers(start, epochs, transform.in_float32(self.device))):
            order = permutation(len(buffer.group_contexts), generator(self._seed, Draw.PARAGRAPHS, first))
            n_batches = -(-len(order) // self._batch_size)
            for number in range(max(start, first).batch, n_batches):
                after = first._replace(batch=number + 1) if number + 1 < n_batches else behind
                groups = order[number * self._batch_size : (number + 1) * self._batch_size]
                yield first._replace(batch=number), buffer.gather(groups), after
            del buffer  # before the next but one is read, or there would be three

    def _buffers(
        self, start: Position, epochs: int, transform: Transform
    ) -> Iterator[tuple[Position, Position, Buffer]]:
        """Yield each buffer from `start` on, with its position and the one behind it."""
        for epoch in range(start.epoch, epochs):
            plan, first = self.plan(epoch), start.buffer if epoch == start.epoch else 0
            for number, blocks in enumerate(_fetched(plan[first:]), first):
                behind = Position(epoch, number + 1) if number + 1 < len(plan) else Position(epoch + 1)
                yield Position(epoch, number), behind, self._read(blocks, transform, self.device)

    def in_order(self) -> Iterator[Buffer]:
        """Yield the whole cache once, unshuffled, contexts as they are. Raises X2StaticError: a shard is damaged."""
        read = partial(self._read, transform=IDENTITY, device=CPU)
        yield from self.waited(ahead(map(read, _fetched(self._pack(range(len(self._blocks)))))))

    def moments(self, report: Report, of_words: bool) -> Moments:
        """Add up the whole cache; `of_words`: also the contexts of each word. Raises Interrupted: by a signal."""
        moments = Moments(len(self.vocabulary), self.dim, of_words)
        with StopRequest() as stop:
            for buffer in self.in_order():
                for rows in pieces(len(buffer.contexts)):
                    starts = buffer.word_starts[rows.start : rows.stop + 1]
                    words = buffer.words[starts[0] : starts[-1]]
                    moments.add(buffer.contexts[rows].double(), starts.diff(), words)
                report(Progress(moments.n_targets, self.vocabulary.total, "words", "moments of the contexts"))
                if stop.signal is not None:
                    hint = "nothing of them is kept, run the same command again to start over"
                    raise Interrupted(f"stopped by {stop.signal.name} while the contexts were added up; {hint}")
        if not np.array_equal(moments.counts.numpy(), self.vocabulary.counts):
            raise self.miscount(moments.n_targets, self.vocabulary.total)
        return moments

    def miscount(self, words: int, counted: int) -> X2StaticError:
        """Return the error of a cache whose shards hold other words than their lexicons count."""
        what = f"the shards hold {words} words of the vocabulary, their lexicons count {counted}"
        return X2StaticError(f"{self.cache}: {what}; the cache is damaged, run `x2static cache verify`")

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
        return self._pack(permutation(len(self._blocks), generator(self._seed, Draw.SHARDS, Position(epoch))))

    def _pack(self, shards: Iterable[int]) -> list[list[Block]]:
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

    def _read(self, blocks: list[Block], transform: Transform, device: torch.device) -> Buffer:
        """Read blocks into one buffer; refuse damaged shards, and contexts too far from the mean for float16."""
        n_contexts = sum(map(len, blocks))
        contexts = torch.empty((n_contexts, transform.width(self.dim)), dtype=torch.float16, device=device)
        groups, of_words, row = [], [], 0
        for block in blocks:
            self._read_contexts(block, transform, contexts[row : row + len(block)])
            groups.append(row + group_starts(block, self._context)[:-1])
            of_words.append(self._read_words(block))
            row += len(block)
        lengths, words = zip(*of_words, strict=True)
        starts = np.append(np.concatenate(groups), n_contexts)
        word_starts = np.append(0, np.cumsum(np.concatenate(lengths)))
        group_contexts, group_words = np.diff(starts), np.diff(word_starts[starts])
        indices, word_indices, ids = (
            to_device(array, device) for array in (starts, word_starts, np.concatenate(words))
        )
        return Buffer(contexts, indices, word_indices, ids, group_contexts, group_words)

    def _read_contexts(self, block: Block, transform: Transform, into: Tensor) -> None:
        rows = block.shard.contexts(block.start, block.stop)
        if rows.shape != (len(block), self.dim):
            what = f"contexts {block.start} to {block.stop} have shape {rows.shape}, not {(len(block), self.dim)}"
            raise X2StaticError(f"{block.shard.folder}: {what}; {REMEDY}")
        for start in range(0, len(rows), ROWS_AT_ONCE):
            before, after = rows[start : start + ROWS_AT_ONCE], into[start : start + ROWS_AT_ONCE]
            row = _first_not_finite(torch.from_numpy(before))
            problem = f"holds values that are not finite (NaN or infinite); {REMEDY}"
            if row is None:
                after[:] = transform.apply(to_device(before, into.device))
                row = _first_not_finite(after)
                problem = "is too far from the mean for float16; give --transform none, or look at its text"
            if row is not None:
                raise X2StaticError(f"{block.shard.folder}: context {block.start + start + row} {problem}")

    def _read_words(self, block: Block) -> tuple[Ints, npt.NDArray[np.int32]]:
        """Return how many words of the vocabulary each context of a block has, and these words."""
        lists = block.shard.words()["word_ids"].chunk(0).slice(block.start, len(block))
        offsets = lists.offsets.to_numpy().astype(np.int64)
        ids = lists.values.to_numpy()[offsets[0] : offsets[-1]]
        rows = self.vocabulary.id_map(block.shard.lexicon())
        words = rows[ids]
        known = words >= 0
        before = np.append(0, np.cumsum(known))  # known words before each word of the block
        return np.diff(before[offsets - offsets[0]]), words[known]


def _fetched(plan: list[list[Block]]) -> Iterator[list[Block]]:
    """Yield the blocks of each buffer; of a bucket's cache, those of the next ones are fetched meanwhile."""
    for number, blocks in enumerate(plan):
        near = (block.shard for later in plan[number : number + 1 + BUFFERS_FETCHED] for block in later)
        fetch_ahead({shard.folder: shard for shard in near}.values())
        yield blocks


def _first_not_finite(contexts: Tensor) -> int | None:
    """Return the first row of float16 contexts that holds a value that is not finite, if there is one."""
    # A look at the bits by NumPy is the quickest, and most are finite; PyTorch would wait for training's threads.
    if contexts.is_cpu and (contexts.numpy().view(np.uint16) & FLOAT16_EXPONENT).max(initial=0) < FLOAT16_EXPONENT:
        return None
    bad = ((contexts.view(torch.int16) & FLOAT16_EXPONENT) == FLOAT16_EXPONENT).any(1)
    return int(bad.int().argmax()) if bad.any() else None


def group_starts(block: Block, context: Context) -> Ints:
    """Return where the groups of a block begin, counted from its start, and its end; (n_groups + 1,) int64."""
    if context == "sentence":
        return np.arange(len(block) + 1)
    paragraphs = block.shard.words()["paragraph"].to_numpy()
    changes = np.flatnonzero(np.diff(paragraphs[block.start : block.stop])) + 1
    return np.concatenate([[0], changes, [len(block)]])


def cut(shard: Shard, context: Context, longest: int) -> list[Block]:
    """Cut a shard into blocks of at most so many rows, or of a single group: batches hold whole groups."""
    whole = Block(shard, 0, shard.marker.n_contexts)
    if len(whole) <= longest:
        return [whole] if len(whole) else []
    boundaries = group_starts(whole, context)
    blocks, begin = [], 0
    while begin < len(boundaries) - 1:
        end = max(begin + 1, int(np.searchsorted(boundaries, boundaries[begin] + longest, side="right")) - 1)
        blocks.append(Block(shard, int(boundaries[begin]), int(boundaries[end])))
        begin = end
    return blocks
