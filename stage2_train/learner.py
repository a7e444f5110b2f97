"""Word vectors that learn from batches: targets drawn, gradient taken, rows moved."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from x2static.machine.device import has_bfloat16
from x2static.schemas.training import TrainConfig
from x2static.stage2_train import compiled
from x2static.stage2_train.adam import RowAdam
from x2static.stage2_train.buffer import Batch
from x2static.stage2_train.draws import Draw, Position, generator
from x2static.stage2_train.negatives import NoiseDistribution
from x2static.stage2_train.objectives.objective import Targets
from x2static.stage2_train.objectives.shared import SharedTargets
from x2static.stage2_train.subsampling import Subsampling
from x2static.stage2_train.vocabulary import Vocabulary


@dataclass(frozen=True)
class TargetSampler:
    """Decides which words of a batch are targets, and draws their negatives.

    Attributes:
        seed: of the run.
        negatives: words drawn for each target, or that a shared pool stands for.
        subsampling: which occurrences stay.
        noise: where negatives are drawn from.
        pool: words drawn for a whole batch; None draws fresh ones for each target.
    """

    seed: int
    negatives: int
    subsampling: Subsampling
    noise: NoiseDistribution
    pool: int | None = None

    @classmethod
    def of(cls, vocabulary: Vocabulary, config: TrainConfig) -> "TargetSampler":
        """Set up the draws of a run."""
        subsampling = Subsampling(vocabulary.counts, config.subsample)
        pool = config.pool if config.negatives_mode == "shared" else None
        noise = NoiseDistribution(vocabulary.counts, config.noise_power)
        return cls(config.seed, config.negatives, subsampling, noise, pool)

    def sample(self, batch: Batch, position: Position, like: Tensor) -> Targets | SharedTargets:
        """Return the targets of a batch; there may be none.

        Args:
            batch: all words of the vocabulary in some paragraphs.
            position: which batch this is.
            like: dtype and device of what is returned.
        """
        kept = self.subsampling.keep(batch.words, generator(self.seed, Draw.SUBSAMPLING, position))
        positives = batch.words[kept].astype(np.int64)
        numbers = generator(self.seed, Draw.NEGATIVES, position)
        contexts = torch.from_numpy(batch.contexts).to(like.device, like.dtype)
        context_of = torch.from_numpy(batch.context_of[kept]).to(like.device)
        if self.pool is not None:
            pool, times = np.unique(self.noise.draw((self.pool,), numbers), return_counts=True)
            return SharedTargets(
                contexts=contexts,
                context_of=context_of,
                words=torch.from_numpy(positives).to(like.device),
                pool=torch.from_numpy(pool).to(like.device),
                weights=torch.from_numpy(times * (self.negatives / self.pool)).to(like.device, like.dtype),
                product_type=product_type(like),
            )
        negatives = self.noise.draw((len(positives), self.negatives), numbers)
        words = np.concatenate([positives[:, None], negatives], axis=1)
        return Targets(
            contexts=contexts,
            context_of=context_of,
            words=torch.from_numpy(words).to(like.device),
        )


def product_type(like: Tensor) -> torch.dtype:
    """Return the number format of the products with a shared pool: bfloat16 where it is fast, for vectors in float32.

    A score is off by less than 1 % then, a gradient's value by less than half a percent, of which Adam keeps the sign.
    """
    return torch.bfloat16 if like.dtype == torch.float32 and has_bfloat16(like.device) else like.dtype


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

    @classmethod
    def zeros(cls, shape: tuple[int, int], lr: float, device: torch.device) -> "Learner":
        """Begin with zeros, float32; arguments as those of `from_seed`.

        NumPy's zeros take no memory before they are written to, PyTorch's do: on a CPU the moments are not there while
        the vectors are computed from sums that are larger than they.
        """
        vectors, first, second = (torch.from_numpy(np.zeros(shape, np.float32)).to(device) for _ in range(3))
        return cls(vectors, RowAdam(lr, first, second))

    def learn(self, targets: Targets | SharedTargets) -> float:
        """Take one step.

        Args:
            targets: at least one.

        Returns:
            The loss before the step, summed over the targets; not finite where a score is not, and then nothing moved.
        """
        fast = compiled.pays(self.vectors)
        loss, gradient = targets.loss_and_gradient(self.vectors, compiled.score_pairs if fast else None)
        if not np.isfinite(loss):
            return loss
        if fast:
            compiled.update(self.adam, self.vectors, gradient)
        else:
            self.adam.update(self.vectors, gradient)
        return loss
