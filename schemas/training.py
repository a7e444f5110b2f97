"""The configuration of stage two."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainConfig(BaseModel):
    """What a user asks of `x2static train`; the defaults are the paper's table 1 and stand here and nowhere else.

    Attributes:
        cache: the cache to read.
        out: the folder of the run: vectors, run.json, checkpoints.
        objective: "negative-sampling" is the paper's (eq. 1); "closed-form" the Gaussian solution, in one pass.
        transform: space of the contexts; "whiten" is for the closed form, which then gives S^-1/2 (m_w - m).
        epochs: passes over the cache.
        lr: learning rate of Adam.
        negatives: words drawn from the noise distribution for each target.
        subsample: threshold t of the subsampling of frequent targets; 0 keeps every target.
        min_count: words that are rarer are not in the vocabulary.
        max_vocab: at most so many words, the most frequent ones.
        vocab: a file of words, one a line: only these are in the vocabulary.
        batch_size: paragraphs in a batch (sentences, where the cache's context is the sentence).
        seed: of every draw.
        device: where training runs.
        compat: "paper" keeps the paper's settings, whatever the defaults become.
        checkpoint_minutes: time between checkpoints; 0 saves after every batch.
        buffer_megabytes: contexts that are held in memory and shuffled together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cache: Path
    out: Path
    objective: Literal["negative-sampling", "closed-form"] = "negative-sampling"
    transform: Literal["none", "whiten"] = "none"
    epochs: int = Field(default=1, ge=1)
    lr: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    negatives: int = Field(default=10, ge=1)
    subsample: float = Field(default=5e-6, ge=0, allow_inf_nan=False)
    min_count: int = Field(default=10, ge=1)
    max_vocab: int = Field(default=750_000, ge=1)
    vocab: Path | None = None
    batch_size: int = Field(default=128, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compat: Literal["paper"] | None = None
    checkpoint_minutes: float = Field(default=10.0, ge=0)
    buffer_megabytes: int = Field(default=512, ge=1)
