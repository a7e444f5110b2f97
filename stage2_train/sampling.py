"""The batches of a training with their targets and negatives, drawn where the vectors are."""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from x2static.schemas.training import TrainConfig
from x2static.stage2_train.buffer import Batch
from x2static.stage2_train.device_buffer import DeviceBatch
from x2static.stage2_train.device_sampler import DeviceSampler
from x2static.stage2_train.draws import Position
from x2static.stage2_train.learner import TargetSampler
from x2static.stage2_train.objectives.objective import Targets
from x2static.stage2_train.objectives.shared import SharedTargets
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.vocabulary import Vocabulary

# Of a batch: its position, how many words it has, its targets, and the position behind it.
Drawn = tuple[Position, int, Targets | SharedTargets, Position]
AnyBatch = TypeVar("AnyBatch", Batch, DeviceBatch)
AnyBatchIn = TypeVar("AnyBatchIn", Batch, DeviceBatch, contravariant=True)


class Sampler(Protocol[AnyBatchIn]):
    """What draws the targets of a batch, and their negatives."""

    def sample(self, batch: AnyBatchIn, position: Position, like: Tensor) -> Targets | SharedTargets:
        """Return the targets of a batch; there may be none."""
        ...


def sampling(
    config: TrainConfig, stream: Stream, vocabulary: Vocabulary, vectors: Tensor
) -> Callable[[Position], Iterator[Drawn]]:
    """Return what begins to draw the batches of a training, from a position on.

    Args:
        config: what was asked for.
        stream: the cache as batches.
        vocabulary: the words.
        vectors: those in training; targets are of their dtype, and on their device.
    """
    epochs, device = config.epochs, vectors.device
    if draws_itself(device):
        on_device = DeviceSampler.of(vocabulary, config, device)
        return lambda start: _sampled(stream.batches_on(device, start, epochs), on_device, vectors)
    on_host = TargetSampler.of(vocabulary, config)
    return lambda start: _sampled(stream.batches(start, epochs), on_host, vectors)


def draws_itself(device: torch.device) -> bool:
    """Return whether batches are drawn on the device itself: an accelerator is kept waiting by the host otherwise."""
    return device.type != "cpu"


def _sampled(
    batches: Iterator[tuple[Position, AnyBatch, Position]], sampler: Sampler[AnyBatch], vectors: Tensor
) -> Iterator[Drawn]:
    for position, batch, after in batches:
        yield position, len(batch.words), sampler.sample(batch, position, vectors), after
