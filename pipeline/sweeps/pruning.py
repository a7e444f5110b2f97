"""Which trials are hopeless: by their loss after an epoch, beside that of trials whose losses mean the same."""

import math
from collections.abc import Iterable
from statistics import median
from typing import Any

from x2static.schemas.training import TrainConfig

# What the loss depends on besides how much was learned. Losses of different learning rates, schedules, batches, and
# numbers of epochs can be compared.
LOSS_DEPENDS_ON = (
    "objective",
    "transform",
    "dim",
    "negatives",
    "noise_power",
    "subsample",
    "min_count",
    "max_vocab",
    "vocab",
)
ENOUGH = 4  # other trials that have come as far; the median of fewer says little
SHARE = 0.5  # of what the median trial has learned


def comparable(config: TrainConfig) -> tuple[Any, ...]:
    """Return what two trials have in common whose losses can be compared."""
    return tuple(getattr(config, name) for name in LOSS_DEPENDS_ON)


def hopeless(losses: list[float], others: Iterable[list[float]], negatives: int) -> bool:
    """Return whether a trial has learned less than half of what the median trial has learned by the same epoch.

    What is learned is the fall of the loss from (1 + negatives) log 2, that of vectors of zeros. A loss that is a
    little worse than the median is no reason to stop: it can go with a better score.

    Args:
        losses: mean loss of each epoch of the trial so far, one at least.
        others: the same of comparable trials, as far as they have come.
        negatives: of all of them.
    """
    there = [other[len(losses) - 1] for other in others if len(other) >= len(losses)]
    if len(there) < ENOUGH:
        return False
    begin = (1 + negatives) * math.log(2)
    typical = median(there)
    return losses[-1] > typical and begin - losses[-1] < SHARE * (begin - typical)
