"""What a training needs before its first step: the space of its contexts, and the vectors it begins with."""

import logging

import torch
from torch import Tensor

from x2static.machine.progress import Report
from x2static.schemas.training import TrainConfig
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.objectives.closed_form import Solution, fit_transform, log_odds_of
from x2static.stage2_train.objectives.moments import Moments, gather
from x2static.stage2_train.run_folder import RunFolder
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.transform import TRANSFORM, Transform, is_identity
from x2static.stage2_train.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


class Preparation:
    """The transform and the first vectors of a run; one pass over the cache serves both.

    A run that goes on finds the transform in its folder, and its vectors in a checkpoint: then there is no pass.
    """

    def __init__(
        self, config: TrainConfig, run: RunFolder, stream: Stream, vocabulary: Vocabulary, report: Report
    ) -> None:
        """Find the transform of a run, or fit it and write it to the run's folder.

        Args:
            config: `transform`, `dim`, `init` and what the noise depends on are used.
            run: its folder, whose lock the caller holds.
            stream: the cache, its contexts as they are.
            vocabulary: the words.
            report: hears how many words were read.

        Raises:
            X2StaticError: the cache or the transform is damaged, or all contexts are equal.
            Interrupted: by a signal, in the pass over the cache.
            OSError: the transform cannot be written.
        """
        self._config, self._stream, self._vocabulary, self._report = config, stream, vocabulary, report
        self._moments: Moments | None = None
        self.transform = self._find_transform(run)

    def _find_transform(self, run: RunFolder) -> Transform:
        if is_identity(self._config):
            return Transform()
        if (run.path / TRANSFORM).is_file():
            return Transform.load(run.path)
        self._moments = self._gather()
        transform = fit_transform(self._config, self._moments, run.settings["cache_content"])
        transform.save(run.path)
        logger.info("%s: fitted on %s words", run.path / TRANSFORM, f"{self._moments.n_targets:,}")
        return transform

    def _gather(self) -> Moments:
        return gather(self._stream, self._vocabulary, self._report, of_words=self._config.init == "closed-form")

    def learner(self, device: torch.device) -> Learner:
        """Return vectors of the right shape; those of a closed form are zeros until `begin`.

        A bias begins at 0.

        Args:
            device: where the vectors live.
        """
        dim = self.transform.dim(self._stream.dim)
        shape = (len(self._vocabulary), self.transform.width(self._stream.dim))
        if self._config.init != "uniform":
            return Learner.zeros(shape, self._config.lr, device)
        learner = Learner.from_seed(shape, self._config.lr, self._config.seed, device)
        learner.vectors[:, dim:] = 0
        return learner

    def begin(self, vectors: Tensor) -> None:
        """Write what a new run begins with; not called where it goes on from a checkpoint.

        Memory: the sums of the words (8 bytes x vocabulary x dim) beside the vectors (4), together as much as training
        takes with the optimiser's moments, which are not touched yet. The sums are gone afterwards.

        Args:
            vectors: those of `learner`, changed in place.

        Raises:
            X2StaticError: the cache is damaged, or all contexts are equal.
            Interrupted: by a signal, in the pass over the cache.
        """
        if self._config.init == "closed-form":
            moments = self._moments if self._moments is not None else self._gather()
            Solution.of(moments, self.transform).write(log_odds_of(self._vocabulary, self._config), vectors)
        self._moments = None
