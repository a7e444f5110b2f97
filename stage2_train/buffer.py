"""The part of the cache that is in memory: some blocks of shards, with the words of the vocabulary only."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import REMEDY, X2StaticError
from x2static.machine.ragged import ranges
from x2static.schemas.encoding import Context
from x2static.schemas.shard import CHUNK_ROWS, Shard
from x2static.stage2_train.transform import Transform
from x2static.stage2_train.vocabulary import Vocabulary

FLOAT16_EXPONENT = 0x7C00  # all of these bits set: infinite or not a number


@dataclass(frozen=True)
class Block:
    """Rows [start, stop) of a shard, cut at a group's boundary.

    Attributes:
        shard: the shard.
        start: its first row.
        stop: the row behind its last.
    """

    shard: Shard
    start: int
    stop: int


@dataclass(frozen=True)
class Batch:
    """Some paragraphs (sentences) with all their words of the vocabulary, before subsampling.

    Attributes:
        contexts: (n_contexts, width) float16, transformed.
        context_of: (n_words,) int64, the context of each word.
        words: (n_words,) int32, rows of the vocabulary.
    """

    contexts: npt.NDArray[np.float16]
    context_of: npt.NDArray[np.int64]
    words: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Buffer:
    """Contexts and their targets, in the cache's order.

    A *group* is what batches are counted in: a paragraph, or a sentence where the context is the sentence.

    Attributes:
        contexts: (n_contexts, width) float16, transformed; see Transform.
        group_starts: (n_groups + 1,) int64; group g is the contexts group_starts[g] ... group_starts[g + 1] - 1.
        word_starts: (n_contexts + 1,) int64, likewise the words of a context.
        words: (n_words,) int32, rows of the vocabulary; words outside it are gone.
    """

    contexts: npt.NDArray[np.float16]
    group_starts: npt.NDArray[np.int64]
    word_starts: npt.NDArray[np.int64]
    words: npt.NDArray[np.int32]

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.group_starts) - 1

    def gather(self, groups: npt.NDArray[np.int64]) -> Batch:
        """Copy some groups, in the given order.

        Args:
            groups: (n_groups,) numbers of groups.
        """
        starts = self.group_starts
        rows = ranges(starts[groups], starts[groups + 1] - starts[groups])
        lengths = self.word_starts[rows + 1] - self.word_starts[rows]
        words = ranges(self.word_starts[rows], lengths)
        return Batch(
            contexts=self.contexts[rows],
            context_of=np.repeat(np.arange(len(rows)), lengths),
            words=self.words[words],
        )


@dataclass(frozen=True)
class BufferReader:
    """Reads blocks and checks what it reads.

    Attributes:
        vocabulary: the words to keep.
        context: what a group is.
        dim: length of a context vector in the cache.
        transform: what becomes of it.
    """

    vocabulary: Vocabulary
    context: Context
    dim: int
    transform: Transform = field(default_factory=Transform)

    def load(self, blocks: list[Block]) -> Buffer:
        """Read blocks into one buffer.

        Raises:
            X2StaticError: a shard is damaged: a context is not finite, or its files do not fit together.
        """
        n_contexts = sum(block.stop - block.start for block in blocks)
        contexts = np.empty((n_contexts, self.transform.width(self.dim)), np.float16)
        groups, lengths, words = [], [], []
        row = 0
        for block in blocks:
            size = block.stop - block.start
            self._read_contexts(block, contexts[row : row + size])
            groups.append(row + group_starts(block.shard, self.context, block.start, block.stop)[:-1])
            block_lengths, block_words = self._read_words(block)
            lengths.append(block_lengths)
            words.append(block_words)
            row += size
        return Buffer(
            contexts=contexts,
            group_starts=np.append(np.concatenate(groups), n_contexts),
            word_starts=np.append(0, np.cumsum(np.concatenate(lengths))),
            words=np.concatenate(words),
        )

    def _read_contexts(self, block: Block, into: npt.NDArray[np.float16]) -> None:
        rows = block.shard.contexts(block.start, block.stop)
        if rows.shape != (len(into), self.dim):
            raise X2StaticError(
                f"{block.shard.folder}: contexts {block.start} to {block.stop} have shape {rows.shape} instead of "
                f"{(len(into), self.dim)}; {REMEDY}"
            )
        row = first_not_finite(rows)
        if row is not None:
            raise X2StaticError(
                f"{block.shard.folder}: context {block.start + row} holds values that are not finite (NaN or infinite);"
                f" {REMEDY}"
            )
        self.transform.apply(rows, into)
        row = first_not_finite(into)
        if row is not None:
            raise too_far(block, block.start + row)

    def _read_words(self, block: Block) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Return how many words of the vocabulary each context of a block has, and these words."""
        lists = block.shard.words()["word_ids"].chunk(0).slice(block.start, block.stop - block.start)
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


def too_far(block: Block, row: int) -> X2StaticError:
    """Return the error for a context, by its row in the shard, that float16 cannot hold once it is transformed."""
    return X2StaticError(
        f"{block.shard.folder}: context {row} is too far from the mean for float16; give --transform none, or look at "
        "its text"
    )


def first_not_finite(contexts: npt.NDArray[np.float16]) -> int | None:
    """Return the first row that holds a value that is not finite, if there is one."""
    for start in range(0, len(contexts), CHUNK_ROWS):
        bits = contexts[start : start + CHUNK_ROWS].view(np.uint16) & FLOAT16_EXPONENT
        if bits.max() == FLOAT16_EXPONENT:
            return start + int(np.argmax((bits == FLOAT16_EXPONENT).any(axis=1)))
    return None


def group_starts(shard: Shard, context: Context, start: int, stop: int) -> npt.NDArray[np.int64]:
    """Return where the groups of rows [start, stop) begin, counted from `start`, and the end; (n_groups + 1,) int64.

    Raises:
        X2StaticError: words.arrow has another number of rows than the marker says.
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
