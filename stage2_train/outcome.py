"""What a training came to, and how it is told: the figures for the caller, and run.json for everyone after."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from x2static.machine.packages import package_version
from x2static.schemas.cache import Cache
from x2static.schemas.training import TrainConfig
from x2static.stage2_train.vocabulary import Vocabulary

FIGURES = ("vocabulary", "dim", "epochs", "steps", "targets", "loss", "seconds", "words_per_second", "data_wait")


@dataclass(frozen=True)
class Outcome:
    """What an objective came to.

    Attributes:
        vectors: (vocabulary, dim) float32.
        epochs: passes over the cache.
        steps: steps of the optimiser.
        targets: targets learned from, all epochs together.
        seconds: time spent, that before interruptions included.
        seconds_waited: of these, the time in which no data was there.
        losses: mean loss of each epoch; none for the closed form.
        resumed: whether it went on from a checkpoint.
    """

    vectors: npt.NDArray[np.float32]
    epochs: int
    steps: int
    targets: int
    seconds: float
    seconds_waited: float
    losses: list[float] = field(default_factory=list)
    resumed: bool = False

    def figures(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """Return the figures by name.

        `words_per_second` counts words of the vocabulary, those subsampled away too; `data_wait` is the share of the
        seconds in which no data was there.
        """
        return {
            "vocabulary": len(vocabulary),
            "dim": int(self.vectors.shape[1]),
            "epochs": self.epochs,
            "steps": self.steps,
            "targets": self.targets,
            "loss": self.losses[-1] if self.losses else None,
            "seconds": round(self.seconds, 3),
            "words_per_second": round(vocabulary.total * self.epochs / max(self.seconds, 1e-9)),
            "data_wait": round(self.seconds_waited / max(self.seconds, 1e-9), 4),
        }


def record(outcome: Outcome, vocabulary: Vocabulary, cache: Cache, content: str, config: TrainConfig) -> dict[str, Any]:
    """Return what run.json says.

    Args:
        outcome: what the training came to.
        vocabulary: its words.
        cache: what it read.
        content: hash of the cache's markers.
        config: what was asked for.
    """
    return {
        **outcome.figures(vocabulary),
        "losses": outcome.losses,
        "words": vocabulary.total,
        "configuration": config.model_dump(mode="json"),
        "cache": cache.origin(content),
        "versions": {name: package_version(name) for name in ("x2static", "torch", "numpy")},
        "threads": torch.get_num_threads(),
    }
