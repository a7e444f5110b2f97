"""The learning rate over a training: how it rises in the warm-up, and how it falls to the end."""

import math
from dataclasses import dataclass
from typing import Literal

from x2static.durable.errors import X2StaticError


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of the words seen, which a checkpoint holds exactly.

    The words are those of the vocabulary, those subsampled away included: so the rate does not depend on draws.
    """

    peak: float  # the rate after the warm-up; that of a constant schedule to the end
    kind: Literal["constant", "linear", "cosine"]  # how it falls after the warm-up
    warmup: float  # words in which it rises from 0
    total: int  # words of the whole training, after which it is 0 unless it is constant

    def at(self, words: float) -> float:
        """Return the rate at a position, in words seen.

        A batch is taken at its middle: at its beginning the first step of a warm-up would have rate 0, at its end the
        last step of a rate that falls to 0, and both would be wasted.
        """
        if words < self.warmup:
            return self.peak * words / self.warmup
        if self.kind == "constant":
            return self.peak
        done = min(1.0, (words - self.warmup) / (self.total - self.warmup))
        if self.kind == "linear":
            return self.peak * (1 - done)
        return self.peak * (1 + math.cos(math.pi * done)) / 2


def check_warmup(warmup: float, epochs: int) -> None:
    """Refuse a warm-up, in epochs, that leaves nothing of the training. Raises X2StaticError: it takes all epochs."""
    if warmup >= epochs:
        raise X2StaticError(
            f"--warmup {warmup:g} is not shorter than the training (--epochs {epochs}), so --lr would never be "
            "reached; it counts epochs: ask for less warm-up (0.1 is a tenth of an epoch) or more epochs"
        )
