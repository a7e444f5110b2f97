"""What an objective is: a way from a cache to word vectors.

A new one is a file in this folder, with a class `Objective` that extends `BaseObjective`, and its name in
`schemas/training.py`, dashes for the underscores of the file's name; `closed_form.py` is a short one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import numpy.typing as npt
from torch import Tensor

from x2static.durable.errors import X2StaticError
from x2static.schemas.training import ObjectiveName, TrainConfig
from x2static.stage2_train.learner import Targets
from x2static.stage2_train.sampling import Draws, Position
from x2static.stage2_train.stream import Batch, Stream
from x2static.stage2_train.transform import Moments, Transform


class BaseObjective(ABC):
    """A way from a cache to word vectors, set up for a run."""

    # whether it learns in epochs of steps: then a run goes on from its checkpoints and by more epochs, begins from
    # another one (--continue), and can be pruned by its losses; otherwise `begin` gives the result
    takes_steps: ClassVar[bool] = True
    draws: ClassVar[bool] = True  # whether its vectors depend on the seed
    in_space: ClassVar[bool] = True  # whether its vectors are of the space of the transform, or of the teacher's states
    # whether the gradient of a word's vector does not depend on other words' vectors, so that parts of a vocabulary can
    # be trained each for itself
    by_word: ClassVar[bool] = False
    needs_words: bool = False  # whether `begin` uses the sums of each word's contexts, which the pass then adds up
    # names of its own settings on which its loss depends; losses of trainings that differ in one cannot be compared
    loss_settings: ClassVar[tuple[str, ...]] = ()
    # mean loss of vectors of zeros, below which it falls with what is learned; None where the losses do not tell that
    loss_of_zeros: float | None = None
    views: "BaseObjective | None" = None  # the views that its vectors begin at, if they do

    def __init__(self, config: TrainConfig) -> None:  # noqa: B027 - an objective may have no settings
        """Take from the configuration what the objective depends on; here nothing."""

    def sources(self, cache: Path) -> dict[str, Any]:
        """Return what it learns from beside a cache's shards, as JSON has it: it identifies a run, and is recorded."""
        return {} if self.views is None else self.views.sources(cache)

    def words_read(self, cache: Path) -> int | None:
        """Return how many words it takes that the teacher has read alone; None where it takes none. They may grow."""
        return None if self.views is None else self.views.words_read(cache)

    @abstractmethod
    def begin(self, vectors: Tensor, stream: Stream, transform: Transform, moments: Callable[[], Moments]) -> None:
        """Write the vectors to begin with; not called where a run goes on from a checkpoint.

        `vectors` are (vocabulary, width) float32 zeros on any device, changed in place. If the transform has a bias, it
        is the last column, which is not exported. `stream` has the vocabulary and the shards. `moments` returns sums
        over the cache, whose contexts are as they are; for the first time, by a pass over it.
        """

    def pulls(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
        """Return how strongly a target draws its word to the vector that this began with, or None for not at all.

        `counts` are (vocabulary,); what is returned likewise, in units of the loss of a target over squared distance.
        """
        return None

    def draw(self, batch: Batch, position: Position, draws: Draws, like: Tensor) -> Targets:
        """Return what is learned from a batch in one step, in the dtype and on the device of the vectors, `like`."""
        raise NotImplementedError(f"{type(self).__module__} takes no steps")


def load_objective(name: str) -> type[BaseObjective]:
    """Return the objective of a name. Raises X2StaticError: there is none."""
    if name not in get_args(ObjectiveName):
        raise X2StaticError(f"no objective {name!r}; there are {', '.join(get_args(ObjectiveName))}")
    objective: type[BaseObjective] = import_module(f"{__package__}.{name.replace('-', '_')}").Objective
    return objective
