"""Word vectors that learn from batches: targets drawn, gradient taken, rows moved."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from schemas.training import TrainConfig
from stage2_train.adam import RowAdam
from stage2_train.draws import Draw, Position, generator
from stage2_train.negatives import NoiseDistribution
from stage2_train.objective import Targets, loss_and_gradient
from stage2_train.stream import Batch
from stage2_train.subsampling import Subsampling
from stage2_train.vocabulary import Vocabulary


@dataclass(frozen=True)
class TargetSampler:
    """Decides which words of a batch are targets, and draws their negatives.

    Attributes:
        seed: of the run.
        negatives: words drawn for each target.
        subsampling: which occurrences stay.
        noise: where negatives are drawn from.
    """

    seed: int
    negatives: int
    subsampling: Subsampling
    noise: NoiseDistribution

    @classmethod
    def of(cls, vocabulary: Vocabulary, config: TrainConfig) -> "TargetSampler":
        """Set up the draws of a run."""
        subsampling = Subsampling(vocabulary.counts, config.subsample)
        return cls(config.seed, config.negatives, subsampling, NoiseDistribution(vocabulary.counts, config.noise_power))

    def sample(self, batch: Batch, position: Position, like: Tensor) -> Targets:
        """Return the targets of a batch; there may be none.

        Args:
            batch: all words of the vocabulary in some paragraphs.
            position: which batch this is.
            like: dtype and device of what is returned.
        """
        kept = self.subsampling.keep(batch.words, generator(self.seed, Draw.SUBSAMPLING, position))
        positives = batch.words[kept].astype(np.int64)
        numbers = generator(self.seed, Draw.NEGATIVES, position)
        negatives = self.noise.draw((len(positives), self.negatives), numbers)
        words = np.concatenate([positives[:, None], negatives], axis=1)
        return Targets(
            contexts=torch.from_numpy(batch.contexts).to(like.device, like.dtype),
            context_of=torch.from_numpy(batch.context_of[kept]).to(like.device),
            words=torch.from_numpy(words).to(like.device),
        )


@dataclass
class Learner:
    """The word vectors in training.

    Attributes:
        vectors: (vocabulary, dim).
        adam: the optimiser.
    """

    vectors: Tensor
    adam: RowAdam

    @classmethod
    def from_seed(cls, shape: tuple[int, int], lr: float, seed: int, device: torch.device) -> "Learner":
        """Begin with U ~ uniform(-1/dim, 1/dim), float32.

        Args:
            shape: (vocabulary, dim).
            lr: learning rate.
            seed: of the run.
            device: where the vectors live.
        """
        # Drawn on the CPU and in place: equal on every device, and without a second matrix.
        drawn = np.empty(shape, np.float32)
        generator(seed, Draw.INITIAL, Position(0)).random(dtype=np.float32, out=drawn)
        drawn *= np.float32(2 / shape[1])
        drawn -= np.float32(1 / shape[1])
        vectors = torch.from_numpy(drawn).to(device)
        return cls(vectors, RowAdam(lr, torch.zeros_like(vectors), torch.zeros_like(vectors)))

    def learn(self, targets: Targets) -> float:
        """Take one step.

        Args:
            targets: at least one.

        Returns:
            The loss before the step, summed over the targets; not finite where a score is not, and then nothing moved.
        """
        loss, gradient = loss_and_gradient(self.vectors, targets)
        if np.isfinite(loss):
            self.adam.update(self.vectors, gradient)
        return loss
