"""Random draws that can be recomputed at any position, so that a checkpoint needs no random state but its position."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


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
    probabilities: npt.NDArray[np.float64] = np.minimum(1.0, np.sqrt(ratios) + ratios)
    return probabilities


def drawn_on_device(device: torch.device) -> bool:
    """Return whether batches are drawn and gathered on the device: the host would keep an accelerator waiting."""
    return device.type != "cpu"


@dataclass(frozen=True)
class HostDraws:
    """The draws of a training, for a batch at a time; equal positions give equal draws.

    By NumPy, in one thread: PyTorch would wait for its threads, which are busy with training. Words are drawn by an
    exact inverse transform: `torch.multinomial` is limited to 2^24 categories and biased on large vocabularies. The
    22,000 draws of a batch take 2 ms.
    """

    seed: int  # of the run
    keep: npt.NDArray[np.float64]  # (vocabulary,) float64, probability to stay of an occurrence of each word
    cumulative: npt.NDArray[np.float64]  # (vocabulary,) float64, weights of the noise distribution, added up

    def subsample(self, words: Tensor, position: Position) -> Tensor:
        """Return the places of the occurrences that stay, ascending, (n_kept,) int64, out of words (n,) int32."""
        numbers = generator(self.seed, Draw.SUBSAMPLING, position)
        return torch.from_numpy(np.flatnonzero(numbers.random(len(words)) < self.keep[words.numpy()]))

    def noise(self, shape: tuple[int, ...], position: Position) -> Tensor:
        """Return words drawn from the noise distribution, int64 rows of the vocabulary."""
        points = generator(self.seed, Draw.NEGATIVES, position).random(shape) * self.cumulative[-1]
        rows: npt.NDArray[np.int64] = np.searchsorted(self.cumulative, points, side="right")
        # A point just below the end may be rounded up to it.
        return torch.from_numpy(np.minimum(rows, len(self.cumulative) - 1, out=rows))


@dataclass(frozen=True)
class DeviceDraws:
    """Draws on an accelerator, by the rules of the host's, from numbers of its own kind of device.

    A host would take as long to draw a batch as to launch what draws it here and what learns from it (docs/SCALE.md).
    """

    seed: int  # of the run
    keep: Tensor  # as on the host, but on the device
    cumulative: Tensor

    def subsample(self, words: Tensor, position: Position) -> Tensor:
        """Return the places of the occurrences that stay; a mask would make the host wait at each use."""
        stays = self._uniform((len(words),), Draw.SUBSAMPLING, position) < self.keep[words.long()]
        return stays.nonzero()[:, 0]

    def noise(self, shape: tuple[int, ...], position: Position) -> Tensor:
        """Return words drawn from the noise distribution."""
        points = self._uniform(shape, Draw.NEGATIVES, position) * self.cumulative[-1]
        rows = torch.searchsorted(self.cumulative, points, right=True)
        return rows.clamp_(max=len(self.cumulative) - 1)

    def _uniform(self, shape: tuple[int, ...], draw: Draw, position: Position) -> Tensor:
        numbers = torch.Generator(self.keep.device)
        numbers.manual_seed(int(generator(self.seed, draw, position).integers(2**63)))
        return torch.rand(shape, dtype=torch.float64, device=numbers.device, generator=numbers)


Draws = HostDraws | DeviceDraws


def draws_of(seed: int, counts: npt.NDArray[np.int64], threshold: float, power: float, device: torch.device) -> Draws:
    """Return the draws of a run that trains on a device, its words having these counts, (vocabulary,), all positive.

    Targets are subsampled by the threshold; negatives are drawn in proportion to count to the `power`.
    """
    keep, cumulative = keep_probabilities(counts, threshold), np.cumsum(counts.astype(np.float64) ** power)
    if not drawn_on_device(device):
        return HostDraws(seed, keep, cumulative)
    return DeviceDraws(seed, torch.from_numpy(keep).to(device), torch.from_numpy(cumulative).to(device))
