"""The configuration of stage two."""

import math
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from x2static.schemas.encoding import LAST, Record, split_layers

# The file of each is stage2_train/objectives/NAME.py, with underscores for dashes.
ObjectiveName = Literal["negative-sampling", "closed-form", "views", "sentence"]

# Table 1 of the paper, and what its text and code say beside it: these stay, whatever the defaults become.
_SPACE = {"transform": "none", "dim": None, "init": "uniform"}
_STEPS = {"epochs": 1, "lr": 1e-3, "schedule": "constant", "warmup": 0.0, "batch_size": 128}
_SAMPLING = {"negatives": 10, "negatives_mode": "target", "noise_power": 0.5, "subsample": 5e-6}
_WORDS = {"min_count": 10, "max_vocab": 750_000}
PAPER = MappingProxyType({"objective": "negative-sampling", **_SPACE, **_STEPS, **_SAMPLING, **_WORDS})
# Settings of views alone, as an objective or to begin with.
VIEWS = frozenset({"phrases", "dictionary", "synonyms", "test_pairs", "components", "neighbours", "neighbour_weight"})
VIEWS |= {"state_layers", "regression", "closed_form", "masked", "sif"}
# Younger than runs and sweeps that lack them; they count only where they are set, so that those go on.
YOUNGER = ("state_layers", "regression", "closed_form", "masked", "contexts", "context_map", "centre_languages")
# What `train --for` chooses beside the defaults (docs/LOG.md, 2026-11-29).
PURPOSES: dict[str, dict[str, Any]] = {"words": {}, "sentences": {"objective": "sentence", "transform": "center"}}
PRIOR = 1000.0  # of negative sampling that begins at views (docs/LOG.md, 2026-11-29)


def _joined_layers(text: str | None) -> str | None:
    """Return the one form of a list of layers, "0+3+last". Raises ValueError: it is none, or counts from the end."""
    if text is None:
        return None
    layers = sorted(split_layers(text), key=lambda layer: math.inf if layer == LAST else layer)
    if layers[0] != LAST and layers[0] < 0:
        raise ValueError("a cache names its layers by last, or by numbers from 0")
    return "+".join(map(str, layers))


class TrainConfig(Record):
    """What a user asks of `x2static train`; the defaults stand here and nowhere else.

    They are the best of a sweep over ten million words (docs/LOG.md, 2026-11-21).
    """

    model_config = ConfigDict(populate_by_name=True)

    cache: Path  # the cache to read
    out: Path  # the folder of the run: vectors, run.json, checkpoints
    objective: ObjectiveName = "negative-sampling"  # the paper's (eq. 1), what it ends at for Gaussian contexts, ...
    transform: Literal["none", "center", "whiten"] = "whiten"  # c, c - m or S^-1/2 (c - m): m mean, S covariance
    dim: int | None = Field(default=None, ge=1)  # principal components that contexts are projected on; None: no such
    # in +-1/dim, 0, the closed form of the trained space, the views, or the better one that the cache has
    init: Literal["auto", "uniform", "zeros", "closed-form", "views"] = "auto"
    # pseudo-count of the views that vectors begin at and are drawn to; without end it is the objective "views". None:
    # PRIOR where they begin at views
    prior: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    epochs: int = Field(default=1, ge=1)  # passes over the cache
    lr: float = Field(default=3e-4, gt=0, allow_inf_nan=False)  # learning rate of Adam; with a schedule, the highest
    schedule: Literal["constant", "linear", "cosine"] = "constant"  # how the rate falls to 0, if at all
    warmup: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # epochs in which the rate rises linearly from 0
    negatives: int = Field(default=10, ge=1)  # words drawn from the noise distribution for each target
    negatives_mode: Literal["target", "shared"] = "shared"  # fresh for each target (paper), or from a pool a batch
    pool: int = Field(default=1024, ge=1)  # words in a shared pool
    noise_power: float = Field(default=0.5, ge=0, le=1)  # negatives are drawn by count to this power
    subsample: float = Field(default=5e-6, ge=0, allow_inf_nan=False)  # threshold t for frequent targets; 0 keeps all
    # of negative sampling: a linear map of the contexts is learned, too, at so many times the rate; 0: none
    context_map: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    # of views: layers whose own states are added up, "0+last"; None: that which the cache is of
    state_layers: Annotated[str | None, AfterValidator(_joined_layers)] = None
    phrases: float = Field(default=1.0, ge=0, allow_inf_nan=False)  # of views: weight of phrases beside own states
    dictionary: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # of views: weight of the dictionary, if used
    synonyms: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # of views: that of the mean of its synonyms
    test_pairs: Path | None = None  # of views: file or folder of word pairs, none of which counts as synonyms
    regression: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # of views: weight of sentences' regression
    closed_form: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # of views: that of the whitened closed form
    masked: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # of views: that of masked contexts
    components: int = Field(default=3, ge=0)  # of views: principal components of the own states that are taken out
    neighbours: int = Field(default=10, ge=0)  # of views: words that each is drawn to; 0 for none
    neighbour_weight: float = Field(default=0.2, ge=0, allow_inf_nan=False)  # of views: that of the neighbours' mean
    sif: float = Field(default=1e-3, ge=0, allow_inf_nan=False)  # of views: a of the length a / (a + p); 0: all 1
    centre_languages: bool = False  # take the mean direction of each language out of its words' vectors
    means_of: Literal["sentences", "paragraphs"] = "paragraphs"  # of the objective "sentence": what a text is
    # what is learnt from: every sentence, or masked contexts alone, which are few: no target is subsampled away
    contexts: Literal["all", "masked"] = "all"
    min_count: int = Field(default=10, ge=1)  # words that are rarer are not in the vocabulary
    max_vocab: int = Field(default=750_000, ge=1)  # at most so many words, the most frequent ones
    vocab: Path | None = None  # a file of words, one a line: only these are in the vocabulary
    multiword: Path | None = None  # a file of several words a line: each such line is a word of its own
    batch_size: int = Field(default=128, ge=1)  # paragraphs in a batch, or sentences, whichever is the cache's context
    seed: int = Field(default=0, ge=0, lt=2**63)  # of every draw
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where training runs
    compat: Literal["paper"] | None = None  # "paper" gives every setting that is not asked for the paper's value
    # the folder of a finished run on this cache, grown since or not, whose vectors and moments are carried over by word
    continue_run: Path | None = Field(default=None, alias="continue")
    partial: bool = False  # train on what is committed of a cache that is not finished
    checkpoint_minutes: float = Field(default=10.0, ge=0)  # time between checkpoints; 0 saves after every batch
    buffer_megabytes: int = Field(default=512, ge=1)  # contexts held in memory, the device's, and shuffled together

    @model_validator(mode="before")
    @classmethod
    def _keep_to_the_paper(cls, values: Any) -> Any:
        return {**PAPER, **values} if isinstance(values, dict) and values.get("compat") == "paper" else values


def identifying(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the settings that identify a run or sweep of these objectives and inits; the others count for none."""
    without = set() if "views" in names else set(VIEWS)
    if "sentence" in names:
        without.discard("sif")
    else:
        without.add("means_of")
    if not {"negative-sampling", "views"} <= set(names):
        without.add("prior")
    without |= {name for name in YOUNGER if settings.get(name) == TrainConfig.model_fields[name].default}
    return {name: value for name, value in settings.items() if name not in without}
