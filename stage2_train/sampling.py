"""Random draws that can be recomputed at any position, so that a checkpoint needs no random state but its position."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.stage2_train.vocabulary import WHOLE, Part


class Draw(IntEnum):
    """What is drawn; each has a stream of numbers of its own. The values are part of what a seed means."""

    INITIAL = 0
    SHARDS = 1
    PARAGRAPHS = 2
    SUBSAMPLING = 3
    NEGATIVES = 4


class Position(NamedTuple):
    """A place in training, in order: the batch of this number, in this buffer, of this epoch (all from 0)."""

    epoch: int
    buffer: int = 0
    batch: int = 0


def generator(seed: int, draw: Draw, position: Position) -> np.random.Generator:
    """Return the generator of one kind of draw at one position, whose parts are 0 where they do not matter.

    Philox is counter-based: key and counter name the numbers, none depends on those drawn before. The lowest word of
    the counter is left to the numbers themselves, 2^64 blocks of them.
    """
    key = np.array([seed, draw], np.uint64)
    counter = np.array([0, position.batch, position.buffer, position.epoch], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def permutation(n: int, numbers: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return 0 ... n - 1 in random order, (n,) int64."""
    # `random` is the simplest of NumPy's draws, the least likely to change with its version.
    return np.argsort(numbers.random(n), kind="stable")


def keep_probabilities(counts: npt.NDArray[np.int64], threshold: float) -> npt.NDArray[np.float64]:
    """Return the probability that subsampling keeps an occurrence of each word, (vocabulary,) float64.

    It is min(1, sqrt(t/f) + t/f), f being the word's share of all occurrences, as in fastText; 1 where t is 0.
    """
    if threshold == 0:
        return np.ones(len(counts))
    ratios = threshold / (counts / counts.sum())  # t / f
    return np.asarray(np.minimum(1.0, np.sqrt(ratios) + ratios))


def drawn_on_device(device: torch.device) -> bool:
    """Return whether batches are drawn and gathered on the device: the host would keep an accelerator waiting."""
    return device.type != "cpu"


@dataclass(frozen=True)
class Draws:
    """The draws of a training, for a batch at a time; equal positions give equal draws.

    On the host by NumPy, in one thread: PyTorch would wait for its threads, which are busy with training. The 22,000
    draws of a batch take 2 ms there, as long as it takes to launch what draws them on an accelerator and what learns
    from them (docs/SCALE.md); an accelerator therefore draws by the same rules, from numbers of its own kind of device.
    Words are drawn by an exact inverse transform: `torch.multinomial` is limited to 2^24 categories and biased on large
    vocabularies.
    """

    seed: int  # of the run
    keep: Tensor  # (vocabulary,) float64, probability to stay of an occurrence of each word
    cumulative: Tensor  # (vocabulary,) float64, weights of the noise distribution, added up
    part: Part = WHOLE  # the words that are learned; all parts draw the same, for all words

    @classmethod
    def of(
        cls,
        seed: int,
        counts: npt.NDArray[np.int64],
        threshold: float,
        power: float,
        device: torch.device,
        part: Part = WHOLE,
    ) -> "Draws":
        """Return the draws of a run that trains on a device, its words having these counts, (vocabulary,), positive.

        Targets are subsampled by the threshold; negatives are drawn in proportion to count to the `power`.
        """
        arrays = keep_probabilities(counts, threshold), np.cumsum(counts.astype(np.float64) ** power)
        keep, cumulative = (torch.from_numpy(array).to(device) for array in arrays)
        return cls(seed, keep, cumulative, part)

    def subsample(self, words: Tensor, position: Position) -> Tensor:
        """Return the places of the occurrences that stay, ascending, (n_kept,) int64, out of words (n,) int32."""
        if drawn_on_device(self.keep.device):  # places, too: a mask would make the host wait at each use
            stays = self._device_numbers((len(words),), Draw.SUBSAMPLING, position) < self.keep[words.long()]
            return stays.nonzero()[:, 0]
        numbers = generator(self.seed, Draw.SUBSAMPLING, position).random(len(words))
        return torch.from_numpy(np.flatnonzero(numbers < self.keep.numpy()[words.numpy()]))

    def noise(self, shape: tuple[int, ...], position: Position) -> Tensor:
        """Return words drawn from the noise distribution, int64 rows of the vocabulary."""
        last = len(self.cumulative) - 1  # a point just below the end may be rounded up to it
        if drawn_on_device(self.keep.device):
            points = self._device_numbers(shape, Draw.NEGATIVES, position) * self.cumulative[-1]
            return torch.searchsorted(self.cumulative, points, right=True).clamp_(max=last)
        cumulative = self.cumulative.numpy()
        points = generator(self.seed, Draw.NEGATIVES, position).random(shape) * cumulative[-1]
        rows = np.searchsorted(cumulative, points, side="right")
        return torch.from_numpy(np.minimum(rows, last, out=rows))

    def _device_numbers(self, shape: tuple[int, ...], draw: Draw, position: Position) -> Tensor:
        numbers = torch.Generator(self.keep.device)
        numbers.manual_seed(int(generator(self.seed, draw, position).integers(2**63)))
        return torch.rand(shape, dtype=torch.float64, device=numbers.device, generator=numbers)
