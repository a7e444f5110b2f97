"""What an objective is: a way from a cache to word vectors.

A new one is a file in this folder, with a class `Objective` that extends `BaseObjective`, and its name in
`schemas/training.py`, dashes for the underscores of the file's name. For vectors that are the mean of a word's
contexts, in `stage2_train/objectives/mean.py`:

    class Objective(BaseObjective):
        takes_steps = draws = False
        needs_words = True

        def begin(self, vectors, counts, transform, moments):
            for rows in pieces(len(vectors)):
                means = transform.map_contexts(moments().words[rows] / moments().counts[rows, None])
                vectors[rows, : means.shape[1]] = means.float()
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import ClassVar, get_args

import numpy as np
import numpy.typing as npt
from torch import Tensor

from x2static.durable.errors import X2StaticError
from x2static.schemas.training import ObjectiveName, TrainConfig
from x2static.stage2_train.buffer import Batch
from x2static.stage2_train.learner import Targets
from x2static.stage2_train.moments import Moments
from x2static.stage2_train.sampling import Draws, Position
from x2static.stage2_train.transform import Transform


class BaseObjective(ABC):
    """A way from a cache to word vectors, set up for a run."""

    # whether it learns in epochs of steps. Then a run goes on from its checkpoints and by more epochs, begins from
    # another one (--continue), and can be pruned by its losses. Otherwise one pass over the cache is all, and `begin`
    # gives the result.
    takes_steps: ClassVar[bool] = True
    draws: ClassVar[bool] = True  # whether its vectors depend on the seed
    needs_words: bool = False  # whether `begin` uses the sums of each word's contexts, which the pass then adds up
    # names of its own settings on which its loss depends; losses of trainings that differ in one cannot be compared
    loss_settings: ClassVar[tuple[str, ...]] = ()
    # mean loss of vectors of zeros, below which it falls with what is learned; None where the losses do not tell that
    loss_of_zeros: float | None = None

    def __init__(self, config: TrainConfig) -> None:  # noqa: B027 - an objective may have no settings
        """Take from the configuration what the objective depends on; here nothing."""

    @abstractmethod
    def begin(
        self,
        vectors: Tensor,
        counts: npt.NDArray[np.int64],
        transform: Transform,
        moments: Callable[[], Moments],
    ) -> None:
        """Write the vectors to begin with; not called where a run goes on from a checkpoint.

        Args:
            vectors: (vocabulary, width) float32 zeros, changed in place; on any device. The last column is the bias,
                if the transform has one, and is not exported.
            counts: (vocabulary,) int64, occurrences of each word.
            transform: the space of the vectors.
            moments: returns sums over the cache, whose contexts are as they are; for the first time, by a pass over it.

        Raises:
            X2StaticError: the cache is damaged, or all contexts are equal.
            Interrupted: by a signal, in the pass over the cache.
        """

    def draw(self, batch: Batch, position: Position, draws: Draws, like: Tensor) -> Targets:
        """Return what is learned from a batch in one step.

        Args:
            batch: all words of the vocabulary in some paragraphs.
            position: which batch this is.
            draws: of the run.
            like: the vectors, whose dtype and device the targets have.
        """
        raise NotImplementedError(f"{type(self).__module__} takes no steps")


def load_objective(name: str) -> type[BaseObjective]:
    """Return the objective of a name. Raises X2StaticError: there is none."""
    if name not in get_args(ObjectiveName):
        raise X2StaticError(f"no objective {name!r}; there are {', '.join(get_args(ObjectiveName))}")
    module = import_module(f"{__package__}.{name.replace('-', '_')}")
    objective: type[BaseObjective] = module.Objective
    return objective
