"""The methods of a comparison: what each is called, and how its vectors are asked for."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from x2static.durable.errors import X2StaticError
from x2static.pipeline.compare.settings import CompareConfig
from x2static.schemas.baseline import BASELINES

# A file of vectors of its own is compared as a RUN: `x2static baseline load` makes one.
COMPARED: tuple[str, ...] = tuple(name for name in BASELINES if name != "load")
LABELS = {
    "decontextualized": "word alone",
    "pca": "principal component",
    "model2vec": "Model2Vec",
    "skipgram": "skip-gram",
    "cbow": "CBOW",
    "fasttext": "fastText",
    "sent2vec": "Sent2vec",
}
MANY_SEEDS = ("x2static", "skipgram")
NO_DRAWS = ("closed-form", "ase", "decontextualized", "pca", "model2vec")
OURS = {
    "x2static": ("X2Static", {}),
    "closed-form": ("X2Static, closed form", {"objective": "closed-form"}),
    "x2static-paper": ("X2Static, paper's settings", {"compat": "paper"}),
}


@dataclass(frozen=True)
class Method:
    """A way to word vectors.

    Attributes:
        name: unique, and fit for a folder's name.
        label: what people read.
        kind: trained from the cache, a baseline, or a finished run.
        settings: of TrainConfig or BaselineConfig, beyond what all have in common.
        draws: whether a seed changes its vectors.
        seeds: how many times it is made.
        folder: of a finished run.
    """

    name: str
    label: str
    kind: Literal["train", "baseline", "run"]
    settings: dict[str, Any] = field(default_factory=dict)
    draws: bool = True
    seeds: int = 1
    folder: Path | None = None


def methods(config: CompareConfig) -> list[Method]:
    """Return the methods of a comparison, ours first.

    Raises:
        X2StaticError: two runs cannot be told apart.
    """
    found = [*(_runs(config.runs) if config.runs else ours(config.seeds)), *_baselines(config)]
    names = [method.name for method in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise X2StaticError(f"{', '.join(twice)}: two sets of vectors of one name; rename a folder")
    return found


def ours(seeds: int) -> list[Method]:
    """Return X2Static: by the default recipe, in closed form, and with the paper's settings."""
    return [
        Method(name, label, "train", settings, name not in NO_DRAWS, seeds if name in MANY_SEEDS else 1)
        for name, (label, settings) in OURS.items()
    ]


def _runs(folders: tuple[Path, ...]) -> list[Method]:
    return [Method(f"run-{path.resolve().name}", path.resolve().name, "run", folder=path) for path in folders]


def _baselines(config: CompareConfig) -> Iterator[Method]:
    for name in config.baselines:
        if name == "ase":
            for layer in dict.fromkeys("last" if layer == -1 else layer for layer in config.layers):
                label = f"ASE, {'last layer' if layer == 'last' else f'layer {layer}'}"
                yield Method(f"ase-{layer}", label, "baseline", {"name": name, "layer": layer}, draws=False)
        else:
            seeds = config.seeds if name in MANY_SEEDS else 1
            yield Method(name, LABELS[name], "baseline", {"name": name}, name not in NO_DRAWS, seeds)
