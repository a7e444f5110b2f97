"""What a comparison consists of: its configuration, its methods, and a step for each set of vectors that is made."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from x2static.durable.errors import X2StaticError
from x2static.schemas.baseline import METHODS, BaselineConfig
from x2static.schemas.encoding import Layer, Precision, Record
from x2static.schemas.training import PURPOSES, TrainConfig

Part = Literal["table3", "table4", "sentences", "retrieval", "unknown", "figure1"]


class CompareConfig(Record):
    """What a user asks of `x2static compare`; the defaults stand here and nowhere else."""

    out: Path
    runs: tuple[Path, ...] = ()  # folders of finished vectors; without any, X2Static is trained in the ways of `ours`
    cache: Path | None = None  # the cache that all methods learn from; None where only finished runs are compared
    baselines: tuple[str, ...] = ()  # names of competing methods
    seeds: int = Field(default=3, ge=1, le=100)  # how often X2Static and skip-gram, which draw at random, are made
    layers: tuple[Layer, ...] = ("last",)  # layers of the teacher whose mean contextual vectors are compared (`ase`)
    only: tuple[Part, ...] = ()  # the parts of the comparison to work on; all where there is none
    classification: bool = True  # whether vectors are scored by classification, which takes minutes for each
    sizes: tuple[Annotated[int, Field(ge=1)], ...] = ()  # of the curve, in units; n, n/2 ... n/32 where there is none
    words: tuple[str, ...] = ()  # whose nearest neighbours are shown; some frequent words where there is none
    data: Path | None = None  # the evaluation data; None for what comes with gensim
    reference: Path | None = None  # folder of the paper's figures, `word_similarity.csv` and `classification.csv`
    min_count: int = Field(default=10, ge=1)
    max_vocab: int = Field(default=750_000, ge=1)
    corpus: tuple[str, ...] = ()  # where the files of the cache's corpus are now
    model: str | None = None  # where the cache's teacher is now
    threads: int | None = Field(default=None, ge=1)  # of gensim's methods; None for as many as torch uses
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision | Literal["auto"] = "auto"
    trust_remote_code: bool = False

    def wants(self, part: Part) -> bool:
        """Return whether a part of the comparison is to be worked on."""
        return part in self.only if self.only else part != "table4" or self.classification


# A file of vectors of its own is compared as a RUN: `x2static baseline load` makes one.
COMPARED: tuple[str, ...] = tuple(name for name in METHODS if name != "load")
LABELS = {
    "decontextualized": "word alone",
    "pca": "principal component",
    "model2vec": "Model2Vec",
    "skipgram": "skip-gram",
    "cbow": "CBOW",
    "fasttext": "fastText",
    "sent2vec": "Sent2vec",
    "ppmi": "PPMI, factorised",
}
VECTORS = "vectors"  # the folder, in that of the comparison


class Method(NamedTuple):
    """A way to word vectors, under a name that is unique and fit for a folder."""

    name: str
    label: str
    kind: Literal["train", "baseline", "run"]  # trained from the cache, a baseline, or a finished run
    settings: dict[str, Any]  # of TrainConfig or BaselineConfig, beyond what all have in common
    seeds: int = 0  # how many times it is made, under the numbers of the seeds; 0: once, without one
    folder: Path | None = None  # of a finished run
    of_views: bool = False  # whether it needs the views that a cache may hold: word states, carrier phrases
    on_curve: bool = False  # whether figure 1 shows it

    @property
    def is_ase(self) -> bool:
        """Whether it is the mean of contextual vectors, for which the teacher reads the corpus."""
        return self.settings.get("name") == "ase"

    def label_over(self, n_seeds: int) -> str:
        """Return what people read: over how many seeds, or that a seed changes nothing."""
        if n_seeds > 1:
            return f"{self.label} ({n_seeds} seeds)"
        draws = True
        if self.kind == "baseline":
            draws = "seed" in METHODS[self.settings["name"]].reads
        elif self.kind == "train":
            from x2static.stage2_train.objectives.objective import load_objective  # torch

            default = TrainConfig.model_fields["objective"].default
            draws = load_objective(self.settings.get("objective", default)).draws
        return self.label if draws else f"{self.label} (deterministic)"


class Step(NamedTuple):
    """One set of vectors, under a unique name."""

    name: str
    method: Method
    seed: int
    folder: Path  # where the vectors are, or will be
    cache: Path | None = None  # what it is made from; None for a finished run

    @property
    def label(self) -> str:
        """What people read; the seed is told where there are several."""
        return f"{self.method.label}, seed {self.seed}" if self.method.seeds > 1 else self.method.label

    def training(self, config: CompareConfig) -> TrainConfig:
        """Return what `x2static train` is asked for."""
        shared = config.model_dump(include={"min_count", "max_vocab", "device"})
        own = {"cache": self.cache, "out": self.folder, "seed": self.seed}
        return TrainConfig.model_validate({**own, **shared, **self.method.settings})

    def baseline(self, config: CompareConfig) -> BaselineConfig:
        """Return what `x2static baseline` is asked for."""
        method = METHODS[self.method.settings["name"]]
        names = {"min_count", "max_vocab", "device", "model", "threads", "precision", "trust_remote_code"}
        if not method.reads_text:  # which would read it instead of the cache's words
            names |= {"corpus"}
        shared = config.model_dump(include=names & method.reads)
        own = {"cache": self.cache, "out": self.folder, "seed": self.seed}
        return BaselineConfig.model_validate({**own, **shared, **self.method.settings})


def our_methods(seeds: int) -> list[Method]:
    """Return X2Static in all its ways, the default recipe first: a line each."""
    return [
        Method("x2static", "X2Static", "train", {}, seeds, on_curve=True),
        Method("closed-form", "X2Static, closed form", "train", {"objective": "closed-form"}, on_curve=True),
        Method("views", "X2Static, views", "train", {"objective": "views"}, of_views=True, on_curve=True),
        Method("sentence", "X2Static, for sentences", "train", PURPOSES["sentences"], of_views=True),
        Method("x2static-paper", "X2Static, paper's settings", "train", {"compat": "paper"}),
    ]


def ours(config: CompareConfig, views: bool) -> list[Method]:
    """Return those of our methods that can be made; `views`: whether the cache has them."""
    return [method for method in our_methods(config.seeds) if views or not method.of_views]


def methods(config: CompareConfig, views: bool) -> list[Method]:
    """Return the methods of a comparison, ours (or the finished runs) first. Raises X2StaticError: of one name."""
    runs = [Method(f"run-{path.resolve().name}", path.resolve().name, "run", {}, folder=path) for path in config.runs]
    listed = runs or ours(config, views)
    for name in config.baselines:
        if name == "ase":
            for layer in dict.fromkeys("last" if layer == -1 else layer for layer in config.layers):
                label = f"ASE, {'last layer' if layer == 'last' else f'layer {layer}'}"
                listed.append(Method(f"ase-{layer}", label, "baseline", {"name": name, "layer": layer}))
        else:
            seeds = config.seeds if name == "skipgram" else 0
            listed.append(Method(name, LABELS[name], "baseline", {"name": name}, seeds))
    names = [method.name for method in listed]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise X2StaticError(f"{', '.join(twice)}: two sets of vectors of one name; rename a folder")
    return listed


def steps_of(method: Method, config: CompareConfig) -> list[Step]:
    """Return the steps of a method, seed 0 first."""
    if method.folder is not None:
        return [Step(method.name, method, 0, method.folder)]
    # also where it is one seed: there may be more later
    names = [f"{method.name}-seed{seed}" for seed in range(method.seeds)] or [method.name]
    return [Step(name, method, seed, config.out / VECTORS / name, config.cache) for seed, name in enumerate(names)]
