"""The learning rate over a training: how it rises in the warm-up, and how it falls to the end."""

import math
from dataclasses import dataclass
from typing import Literal

from x2static.durable.errors import X2StaticError
from x2static.schemas.training import TrainConfig


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of the words seen, which a checkpoint holds exactly.

    The words are those of the vocabulary, those subsampled away included: so the rate does not depend on draws.

    Attributes:
        peak: the rate after the warm-up; that of a constant schedule to the end.
        kind: how it falls after the warm-up.
        warmup: words in which it rises from 0.
        total: words of the whole training, after which it is 0 unless it is constant.
    """

    peak: float
    kind: Literal["constant", "linear", "cosine"]
    warmup: float
    total: int

    @classmethod
    def of(cls, config: TrainConfig, words: int) -> "Schedule":
        """Set up the schedule of a run.

        Args:
            config: `lr`, `schedule`, `warmup` and `epochs` are used.
            words: words in an epoch.
        """
        return cls(config.lr, config.schedule, config.warmup * words, config.epochs * words)

    def at(self, words: float) -> float:
        """Return the rate at a position.

        A batch is taken at its middle: at its beginning the first step of a warm-up would have rate 0, at its end the
        last step of a rate that falls to 0, and both would be wasted.

        Args:
            words: words seen.
        """
        if words < self.warmup:
            return self.peak * words / self.warmup
        if self.kind == "constant":
            return self.peak
        done = min(1.0, (words - self.warmup) / (self.total - self.warmup))
        if self.kind == "linear":
            return self.peak * (1 - done)
        return self.peak * (1 + math.cos(math.pi * done)) / 2


def depends_on_end(config: TrainConfig) -> bool:
    """Return whether the rates of a run are others where it has more epochs."""
    return config.objective == "negative-sampling" and config.schedule != "constant"


def check_warmup(config: TrainConfig) -> None:
    """Refuse a warm-up that leaves nothing of the training; the closed form has no steps, and none of its settings.

    Raises:
        X2StaticError: the warm-up takes all epochs.
    """
    if config.objective == "negative-sampling" and config.warmup >= config.epochs:
        raise X2StaticError(
            f"--warmup {config.warmup:g} is not shorter than the training (--epochs {config.epochs}), so --lr would "
            "never be reached; it counts epochs: ask for less warm-up (0.1 is a tenth of an epoch) or more epochs"
        )
