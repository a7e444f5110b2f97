"""Targets and negatives drawn on an accelerator: by the rules of the host's, from the device's own numbers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from x2static.schemas.training import TrainConfig
from x2static.stage2_train.device_buffer import DeviceBatch
from x2static.stage2_train.draws import Draw, Position, generator
from x2static.stage2_train.learner import TargetSampler, product_type
from x2static.stage2_train.objectives.objective import Targets
from x2static.stage2_train.objectives.shared import SharedTargets
from x2static.stage2_train.vocabulary import Vocabulary


@dataclass(frozen=True)
class DeviceSampler:
    """What `TargetSampler` is, on an accelerator.

    A host would take as long to draw a batch as to launch what draws it here and what learns from it (docs/SCALE.md).
    The same position gives the same draws on the same kind of device, and others than on a CPU. Negatives are found by
    a binary search in the cumulative weights, exactly as on the host: an alias table would save a few of its twenty
    reads, and be a second way to say the same.

    Attributes:
        seed: of the run.
        negatives: words drawn for each target, or that a shared pool stands for.
        keep: (vocabulary,) float64, the probability to stay of an occurrence of each word.
        cumulative: (vocabulary,) float64, weights of the noise distribution, added up.
        pool: words drawn for a whole batch; None draws fresh ones for each target.
        numbers: the device's generator, set anew for every draw.
    """

    seed: int
    negatives: int
    keep: Tensor
    cumulative: Tensor
    pool: int | None
    numbers: torch.Generator

    @classmethod
    def of(cls, vocabulary: Vocabulary, config: TrainConfig, device: torch.device) -> "DeviceSampler":
        """Set up the draws of a run."""
        host = TargetSampler.of(vocabulary, config)
        return cls(
            seed=host.seed,
            negatives=host.negatives,
            keep=torch.from_numpy(host.subsampling.keep_probabilities).to(device),
            cumulative=torch.from_numpy(host.noise.cumulative).to(device),
            pool=host.pool,
            numbers=torch.Generator(device),
        )

    def sample(self, batch: DeviceBatch, position: Position, like: Tensor) -> Targets | SharedTargets:
        """Return the targets of a batch; there may be none.

        Args:
            batch: all words of the vocabulary in some paragraphs.
            position: which batch this is.
            like: dtype of what is returned.
        """
        words = batch.words.long()
        stays = self._uniform((len(words),), Draw.SUBSAMPLING, position) < self.keep[words]
        kept = stays.nonzero()[:, 0]  # a mask would make the host wait at each use
        positives, context_of = words[kept], batch.context_of[kept]
        contexts = batch.contexts.to(like.dtype)
        if self.pool is not None:
            drawn = self._noise((self.pool,), position)
            pool, times = drawn.unique(return_counts=True)  # type: ignore[no-untyped-call]
            weights = (times.double() * (self.negatives / self.pool)).to(like.dtype)
            return SharedTargets(contexts, context_of, positives, pool, weights, product_type(like))
        negatives = self._noise((len(positives), self.negatives), position)
        return Targets(contexts, context_of, torch.cat([positives[:, None], negatives], dim=1))

    def _noise(self, shape: tuple[int, ...], position: Position) -> Tensor:
        points = self._uniform(shape, Draw.NEGATIVES, position) * self.cumulative[-1]
        rows = torch.searchsorted(self.cumulative, points, right=True)
        return rows.clamp_(max=len(self.cumulative) - 1)  # a point just below the end may be rounded up to it

    def _uniform(self, shape: tuple[int, ...], draw: Draw, position: Position) -> Tensor:
        self.numbers.manual_seed(int(generator(self.seed, draw, position).integers(2**63)))
        return torch.rand(shape, dtype=torch.float64, device=self.numbers.device, generator=self.numbers)
