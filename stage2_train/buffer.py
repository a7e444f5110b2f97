"""The part of the cache that is in memory: some blocks of shards, with the words of the vocabulary only."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.durable.errors import REMEDY, X2StaticError
from x2static.machine.device import to_device
from x2static.schemas.encoding import Context
from x2static.schemas.shard import CHUNK_ROWS, Shard, ranges
from x2static.stage2_train import sampling
from x2static.stage2_train.transform import IDENTITY, Transform
from x2static.stage2_train.vocabulary import Vocabulary

CPU = torch.device("cpu")
FLOAT16_EXPONENT = 0x7C00  # all of these bits set: infinite or not a number
ROWS_AT_ONCE = 4096  # contexts that are held in float32 at a time, beside the buffer


@dataclass(frozen=True)
class Block:
    """Rows [start, stop) of a shard, cut at a group's boundary."""

    shard: Shard
    start: int
    stop: int

    def __len__(self) -> int:
        """Return the number of contexts."""
        return self.stop - self.start


@dataclass(frozen=True)
class Batch:
    """Some paragraphs (sentences) with all their words of the vocabulary, before subsampling."""

    contexts: Tensor  # (n_contexts, width) float16, transformed
    context_of: Tensor  # (n_words,) int64, the context of each word
    words: Tensor  # (n_words,) int32, rows of the vocabulary


@dataclass(frozen=True)
class Buffer:
    """Contexts and their targets, in the cache's order, on the device that trains.

    A *group* is what batches are counted in: a paragraph, or a sentence where the context is the sentence.
    """

    contexts: Tensor  # (n_contexts, width) float16, transformed
    group_starts: Tensor  # (n_groups + 1,) int64; group g is the contexts group_starts[g] ... group_starts[g + 1] - 1.
    word_starts: Tensor  # (n_contexts + 1,) int64, likewise the words of a context
    words: Tensor  # (n_words,) int32, rows of the vocabulary; words outside it are gone
    # (n_groups,) int64, the contexts of each group; on the host, which need not wait for sizes then
    group_contexts: npt.NDArray[np.int64]
    group_words: npt.NDArray[np.int64]  # (n_groups,) int64, the words of each group, on the host

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.group_contexts)

    def gather(self, groups: npt.NDArray[np.int64]) -> Batch:
        """Copy some groups, in the given order: numbers of groups, (n,)."""
        if not sampling.drawn_on_device(self.words.device):
            return self._gather_on_host(groups)
        rows, _ = _runs(self.group_starts, to_device(groups, self.words.device), int(self.group_contexts[groups].sum()))
        words, context_of = _runs(self.word_starts, rows, int(self.group_words[groups].sum()))
        return Batch(self.contexts[rows], context_of, self.words[words])

    def _gather_on_host(self, groups: npt.NDArray[np.int64]) -> Batch:
        """Do so by NumPy: for each of its operations, PyTorch would wait for threads that are busy with training."""
        starts, word_starts = self.group_starts.numpy(), self.word_starts.numpy()
        rows = ranges(starts[groups], starts[groups + 1] - starts[groups])
        lengths = word_starts[rows + 1] - word_starts[rows]
        words = ranges(word_starts[rows], lengths)
        return Batch(
            contexts=torch.from_numpy(self.contexts.numpy()[rows]),
            context_of=torch.from_numpy(np.repeat(np.arange(len(rows)), lengths)),
            words=torch.from_numpy(self.words.numpy()[words]),
        )


def _runs(starts: Tensor, chosen: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Return starts[c] ... starts[c + 1] - 1 for each chosen c, one after the other, and which of the chosen it was.

    Args:
        starts: (n + 1,) int64, ascending.
        chosen: (n_chosen,) int64.
        total: length of what is returned.
    """
    first = starts[chosen]
    lengths = starts[chosen + 1] - first
    numbers = torch.arange(len(chosen), device=chosen.device)
    owner = torch.repeat_interleave(numbers, lengths, output_size=total)
    before = torch.cumsum(lengths, 0) - lengths
    return (first - before)[owner] + torch.arange(total, device=chosen.device), owner


@dataclass(frozen=True)
class BufferReader:
    """Reads blocks and checks what it reads."""

    vocabulary: Vocabulary  # the words to keep
    context: Context  # what a group is
    dim: int  # length of a context vector in the cache
    transform: Transform = IDENTITY  # what becomes of it; on the device
    device: torch.device = CPU  # where buffers lie

    def load(self, blocks: list[Block]) -> Buffer:
        """Read blocks into one buffer.

        Raises X2StaticError: a shard is damaged (a context is not finite, its files do not fit together), or a context
        is too far from the mean for float16.
        """
        n_contexts = sum(map(len, blocks))
        contexts = torch.empty((n_contexts, self.transform.width(self.dim)), dtype=torch.float16, device=self.device)
        groups, lengths, words = [], [], []
        row = 0
        for block in blocks:
            self._read_contexts(block, contexts[row : row + len(block)])
            groups.append(row + group_starts(block.shard, self.context, block.start, block.stop)[:-1])
            block_lengths, block_words = self._read_words(block)
            lengths.append(block_lengths)
            words.append(block_words)
            row += len(block)
        starts = np.append(np.concatenate(groups), n_contexts)
        word_starts = np.append(0, np.cumsum(np.concatenate(lengths)))
        return Buffer(
            contexts=contexts,
            group_starts=to_device(starts, self.device),
            word_starts=to_device(word_starts, self.device),
            words=to_device(np.concatenate(words), self.device),
            group_contexts=np.diff(starts),
            group_words=np.diff(word_starts[starts]),
        )

    def _read_contexts(self, block: Block, into: Tensor) -> None:
        folder, rows = block.shard.folder, block.shard.contexts(block.start, block.stop)
        if rows.shape != (len(into), self.dim):
            raise X2StaticError(
                f"{folder}: contexts {block.start} to {block.stop} have shape {rows.shape} instead of "
                f"{(len(into), self.dim)}; {REMEDY}"
            )
        row = first_not_finite(torch.from_numpy(rows))
        if row is not None:
            raise X2StaticError(
                f"{folder}: context {block.start + row} holds values that are not finite (NaN or infinite); {REMEDY}"
            )
        for start in range(0, len(rows), ROWS_AT_ONCE):
            piece = slice(start, start + ROWS_AT_ONCE)
            into[piece] = self.transform.apply(to_device(rows[piece], self.device))
        row = first_not_finite(into)
        if row is not None:
            raise X2StaticError(
                f"{folder}: context {block.start + row} is too far from the mean for float16; give --transform none, "
                "or look at its text"
            )

    def _read_words(self, block: Block) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Return how many words of the vocabulary each context of a block has, and these words."""
        lists = block.shard.words()["word_ids"].chunk(0).slice(block.start, len(block))
        offsets = lists.offsets.to_numpy().astype(np.int64)
        ids = lists.values.to_numpy()[offsets[0] : offsets[-1]]
        rows = self.vocabulary.id_map(block.shard.lexicon())
        if len(ids) and not 0 <= ids.min() <= ids.max() < len(rows):
            raise X2StaticError(
                f"{block.shard.folder}: words.arrow names word {ids.max()} of a lexicon of {len(rows)}; {REMEDY}"
            )
        words = rows[ids]
        known = words >= 0
        before = np.append(0, np.cumsum(known))  # known words before each word of the block
        return np.diff(before[offsets - offsets[0]]), words[known]


def first_not_finite(contexts: Tensor) -> int | None:
    """Return the first row of float16 contexts that holds a value that is not finite, if there is one."""
    for start in range(0, len(contexts), CHUNK_ROWS):
        piece = contexts[start : start + CHUNK_ROWS]
        if piece.device.type == "cpu":  # a look at the bits is the quickest
            bits = piece.numpy().view(np.uint16) & FLOAT16_EXPONENT
            if bits.max() < FLOAT16_EXPONENT:
                continue
        finite = torch.isfinite(piece).all(1)
        if not finite.all():
            return start + int(finite.int().argmin())
    return None


def group_starts(shard: Shard, context: Context, start: int, stop: int) -> npt.NDArray[np.int64]:
    """Return where the groups of rows [start, stop) begin, counted from `start`, and the end; (n_groups + 1,) int64.

    Raises X2StaticError: words.arrow has another number of rows than the marker says.
    """
    if context == "sentence":
        return np.arange(stop - start + 1)
    paragraphs = shard.words()["paragraph"].to_numpy()
    if len(paragraphs) != shard.marker.n_contexts:
        raise X2StaticError(
            f"{shard.folder}: words.arrow has {len(paragraphs)} rows for {shard.marker.n_contexts} contexts; {REMEDY}"
        )
    changes = np.flatnonzero(np.diff(paragraphs[start:stop])) + 1
    return np.concatenate([[0], changes, [stop - start]])
