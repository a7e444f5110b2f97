"""A buffer on an accelerator: there its contexts are transformed and its batches gathered."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.machine.device import to_device
from x2static.stage2_train.buffer import Block, Buffer, BufferReader, too_far
from x2static.stage2_train.transform import ROWS_AT_ONCE, Transform


@dataclass(frozen=True)
class DeviceBatch:
    """What `buffer.Batch` is, on an accelerator.

    Attributes:
        contexts: (n_contexts, width) float16, transformed.
        context_of: (n_words,) int64, the context of each word.
        words: (n_words,) int32, rows of the vocabulary.
    """

    contexts: Tensor
    context_of: Tensor
    words: Tensor


@dataclass(frozen=True)
class DeviceBuffer:
    """What `Buffer` is, on an accelerator; sizes are also known to the host, which then need not wait for it.

    Attributes:
        contexts: (n_contexts, width) float16, transformed.
        group_starts: (n_groups + 1,) int64.
        word_starts: (n_contexts + 1,) int64.
        words: (n_words,) int32.
        n_contexts: (n_groups,) int64 on the host, the contexts of each group.
        n_words: (n_groups,) int64 on the host, the words of each group.
    """

    contexts: Tensor
    group_starts: Tensor
    word_starts: Tensor
    words: Tensor
    n_contexts: npt.NDArray[np.int64]
    n_words: npt.NDArray[np.int64]

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.n_contexts)

    def gather(self, groups: npt.NDArray[np.int64]) -> DeviceBatch:
        """Copy some groups, in the given order.

        Args:
            groups: (n_groups,) numbers of groups.
        """
        n_contexts, n_words = int(self.n_contexts[groups].sum()), int(self.n_words[groups].sum())
        chosen = to_device(groups, self.words.device)
        rows, _ = _runs(self.group_starts, chosen, n_contexts)
        words, context_of = _runs(self.word_starts, rows, n_words)
        return DeviceBatch(self.contexts[rows], context_of, self.words[words])


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
class DeviceBufferReader:
    """Reads blocks, and makes of them a buffer on an accelerator.

    Attributes:
        reader: reads and checks them, and leaves them as they are.
        transform: what becomes of the contexts, on the device.
        device: the accelerator.
    """

    reader: BufferReader
    transform: Transform
    device: torch.device

    @classmethod
    def of(cls, reader: BufferReader, device: torch.device) -> "DeviceBufferReader":
        """Return what reads for an accelerator as a reader does for the host."""
        return cls(replace(reader, transform=Transform()), reader.transform.to(device), device)

    def load(self, blocks: list[Block]) -> DeviceBuffer:
        """Read blocks into one buffer.

        Raises:
            X2StaticError: a shard is damaged, or a context is too far from the mean for float16.
        """
        read = self.reader.load(blocks)
        shape = read.contexts.shape[0], self.transform.width(read.contexts.shape[1])
        contexts = torch.empty(shape, dtype=torch.float16, device=self.device)
        finite = torch.empty(len(contexts), dtype=torch.bool, device=self.device)
        for start in range(0, len(contexts), ROWS_AT_ONCE):  # nothing beside the buffer itself is as large as it
            piece = slice(start, start + ROWS_AT_ONCE)
            contexts[piece] = self.transform.applied(to_device(read.contexts[piece], self.device))
            finite[piece] = torch.isfinite(contexts[piece]).all(1)
        if not finite.all():
            row = int(finite.int().argmin())
            sizes = np.cumsum([block.stop - block.start for block in blocks])
            number = int(np.searchsorted(sizes, row, side="right"))
            raise too_far(blocks[number], row - int(sizes[number]) + blocks[number].stop)
        return _on_device(read, contexts)


def _on_device(read: Buffer, contexts: Tensor) -> DeviceBuffer:
    device = contexts.device
    return DeviceBuffer(
        contexts=contexts,
        group_starts=to_device(read.group_starts, device),
        word_starts=to_device(read.word_starts, device),
        words=to_device(read.words, device),
        n_contexts=np.diff(read.group_starts),
        n_words=np.diff(read.word_starts[read.group_starts]),
    )
