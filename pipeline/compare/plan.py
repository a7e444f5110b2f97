"""The steps of a comparison: one for each set of vectors that is made, with its folder and what it is made by."""

from dataclasses import dataclass
from pathlib import Path

from x2static.durable.errors import X2StaticError
from x2static.pipeline.baselines import READ_TEXT
from x2static.pipeline.compare.methods import MANY_SEEDS, Method, methods
from x2static.pipeline.compare.settings import CompareConfig
from x2static.schemas.baseline import READS, BaselineConfig
from x2static.schemas.training import TrainConfig

VECTORS = "vectors"  # the folder, in that of the comparison


@dataclass(frozen=True)
class Step:
    """One set of vectors.

    Attributes:
        name: unique; of its folder and of its record.
        method: how it is made.
        seed: of every draw.
        folder: where the vectors are, or will be.
        cache: what it is made from; None for a finished run.
    """

    name: str
    method: Method
    seed: int
    folder: Path
    cache: Path | None = None

    @property
    def label(self) -> str:
        """What people read; the seed is told where there are several."""
        return f"{self.method.label}, seed {self.seed}" if self.method.seeds > 1 else self.method.label

    def training(self, config: CompareConfig) -> TrainConfig:
        """Return what `x2static train` is asked for."""
        shared = config.model_dump(include={"min_count", "max_vocab", "device"})
        asked = {"cache": self.cache, "out": self.folder, "seed": self.seed, **shared, **self.method.settings}
        return TrainConfig.model_validate(asked)

    def baseline(self, config: CompareConfig) -> BaselineConfig:
        """Return what `x2static baseline` is asked for."""
        name = self.method.settings["name"]
        names = {"min_count", "max_vocab", "device", "model", "threads", "precision", "trust_remote_code"}
        if name not in READ_TEXT:  # which would read it instead of the cache's words
            names |= {"corpus"}
        shared = config.model_dump(include=names & READS[name])
        asked = {"cache": self.cache, "out": self.folder, "seed": self.seed, **shared, **self.method.settings}
        return BaselineConfig.model_validate(asked)


def steps(config: CompareConfig) -> list[Step]:
    """Return the steps of the tables: every method, with every seed it gets.

    Raises:
        X2StaticError: there is nothing to compare, or two runs cannot be told apart.
    """
    found = [step for method in methods(config) for step in steps_of(method, config)]
    if not found:
        raise X2StaticError("nothing to compare: give finished runs, or --cache")
    return found


def steps_of(method: Method, config: CompareConfig) -> list[Step]:
    """Return the steps of a method, seed 0 first."""
    if method.folder is not None:
        return [Step(method.name, method, 0, method.folder)]
    if method.name not in MANY_SEEDS:
        return [Step(method.name, method, 0, config.out / VECTORS / method.name, config.cache)]
    names = [f"{method.name}-seed{seed}" for seed in range(method.seeds)]  # also of one seed: there may be more later
    return [Step(name, method, seed, config.out / VECTORS / name, config.cache) for seed, name in enumerate(names)]
