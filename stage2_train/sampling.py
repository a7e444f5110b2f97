"""Random draws that can be recomputed at any position, so that a checkpoint needs no random state but its position."""

from enum import IntEnum
from typing import NamedTuple, Protocol

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
    """Return the generator of one kind of draw at one position.

    Philox is counter-based: key and counter name the numbers, none depends on those drawn before. The lowest word of
    the counter is left to the numbers themselves, 2^64 blocks of them.

    Args:
        seed: of the run, below 2^63.
        draw: what is drawn.
        position: where; parts that do not matter for the draw are 0.
    """
    key = np.array([seed, draw], np.uint64)
    counter = np.array([0, position.batch, position.buffer, position.epoch], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def permutation(n: int, numbers: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return 0 ... n - 1 in random order, (n,) int64.

    By sorting uniform numbers: `random` is the simplest of NumPy's draws, the least likely to change with its version.
    """
    return np.argsort(numbers.random(n), kind="stable")


def keep_probabilities(counts: npt.NDArray[np.int64], threshold: float) -> npt.NDArray[np.float64]:
    """Return the probability that subsampling keeps an occurrence of each word, (vocabulary,) float64.

    It is min(1, sqrt(t/f) + t/f), f being the word's share of all occurrences, as in fastText and the reference
    implementation; ones where the threshold t is 0.
    """
    if threshold == 0:
        return np.ones(len(counts))
    ratios = threshold / (counts / counts.sum())  # t / f
    probabilities: npt.NDArray[np.float64] = np.minimum(1.0, np.sqrt(ratios) + ratios)
    return probabilities


class Draws(Protocol):
    """The draws of a training, for a batch at a time; equal positions give equal draws."""

    def subsample(self, words: Tensor, position: Position) -> Tensor:
        """Return the places of the occurrences that stay, ascending, (n_kept,) int64, out of words (n,) int32."""
        ...

    def noise(self, shape: tuple[int, ...], position: Position) -> Tensor:
        """Return words drawn from the noise distribution, int64 rows of the vocabulary."""
        ...


def drawn_on_device(device: torch.device) -> bool:
    """Return whether batches are drawn and gathered on the device: the host would keep an accelerator waiting."""
    return device.type != "cpu"


def draws_of(
    seed: int, counts: npt.NDArray[np.int64], threshold: float, noise_power: float, device: torch.device
) -> Draws:
    """Return the draws of a run.

    Args:
        seed: of the run.
        counts: (vocabulary,) int64, all positive.
        threshold: of subsampling.
        noise_power: words are drawn with probability proportional to count to this power; the paper's is 0.5.
        device: where training runs.
    """
    keep, cumulative = keep_probabilities(counts, threshold), np.cumsum(counts.astype(np.float64) ** noise_power)
    if not drawn_on_device(device):
        return HostDraws(seed, keep, cumulative)
    return DeviceDraws(seed, torch.from_numpy(keep).to(device), torch.from_numpy(cumulative).to(device))


class HostDraws:
    """Draws by NumPy, in one thread: PyTorch would wait for its threads, which are busy with training.

    Words are drawn by an exact inverse transform: `torch.multinomial` is limited to 2^24 categories and biased on large
    vocabularies. A binary search in the cumulative weights takes 2 ms for the 22,000 draws of a batch; an alias table
    would be no simpler.
    """

    def __init__(self, seed: int, keep: npt.NDArray[np.float64], cumulative: npt.NDArray[np.float64]) -> None:
        """Take what is drawn by.

        Args:
            seed: of the run.
            keep: (vocabulary,) float64, probability to stay of an occurrence of each word.
            cumulative: (vocabulary,) float64, weights of the noise distribution, added up.
        """
        self.seed, self.keep, self.cumulative = seed, keep, cumulative

    def subsample(self, words: Tensor, position: Position) -> Tensor:
        """Return the places of the occurrences that stay."""
        numbers = generator(self.seed, Draw.SUBSAMPLING, position)
        return torch.from_numpy(np.flatnonzero(numbers.random(len(words)) < self.keep[words.numpy()]))

    def noise(self, shape: tuple[int, ...], position: Position) -> Tensor:
        """Return words drawn from the noise distribution."""
        points = generator(self.seed, Draw.NEGATIVES, position).random(shape) * self.cumulative[-1]
        rows: npt.NDArray[np.int64] = np.searchsorted(self.cumulative, points, side="right")
        # A point just below the end may be rounded up to it.
        return torch.from_numpy(np.minimum(rows, len(self.cumulative) - 1, out=rows))


class DeviceDraws:
    """Draws on an accelerator, by the rules of the host's, from the device's own numbers.

    A host would take as long to draw a batch as to launch what draws it here and what learns from it (docs/SCALE.md).
    The same position gives the same draws on the same kind of device, and others than on a CPU.
    """

    def __init__(self, seed: int, keep: Tensor, cumulative: Tensor) -> None:
        """Take what is drawn by, as `HostDraws` does, on the device."""
        self.seed, self.keep, self.cumulative = seed, keep, cumulative
        self.numbers = torch.Generator(keep.device)  # set anew for every draw

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
        self.numbers.manual_seed(int(generator(self.seed, draw, position).integers(2**63)))
        return torch.rand(shape, dtype=torch.float64, device=self.numbers.device, generator=self.numbers)
