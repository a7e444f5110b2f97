"""The configuration of stage one, and the part of it that can change a vector."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.storage import canonical_json

Context = Literal["paragraph", "sentence"]
Precision = Literal["float32", "bfloat16", "float16"]
OnBadText = Literal["fail", "replace", "skip"]
Dtype = Literal["float16", "int8"]


class EncodeConfig(BaseModel):
    """What a user asks of `x2static encode`; the defaults of its options stand here and nowhere else.

    Attributes:
        model: a Hugging Face model id, a local model folder, or "demo".
        corpus: text files, `hf://` data sets or "demo", read in this order.
        cache: the folder that the cache is written to.
        context: what the teacher reads at once, a paragraph (eq. 4) or a sentence (eq. 3).
        compat: "paper" reproduces the reference implementation's peculiarities (docs/COMPAT.md).
        limit: at most so many paragraphs, counted before the filter; None for all.
        unit: paragraphs in a unit, and so in a shard.
        dtype: number format of the stored context vectors; "int8" halves the cache, with a scale a row.
        precision: number format of the teacher; "auto" picks by hardware.
        device: where the teacher runs.
        language: ISO 639-1 code, for the sentence splitter's abbreviations and marks.
        min_sentences: paragraphs with fewer sentences are dropped (paper: 3).
        min_characters: paragraphs with fewer characters are dropped (paper: 140).
        on_bad_text: what to do about a paragraph that is no valid UTF-8, or too long.
        max_paragraph_bytes: a longer line is not a paragraph, but a file in another format.
        revision: commit, tag or branch of a model on the hub.
        trust_remote_code: let a model on the hub run its own Python code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1)
    corpus: tuple[str, ...] = Field(min_length=1)
    cache: Path
    context: Context = "paragraph"
    compat: Literal["paper"] | None = None
    limit: int | None = Field(default=None, ge=1)
    unit: int = Field(default=8192, ge=1)
    dtype: Dtype = "float16"
    precision: Precision | Literal["auto"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}$")
    min_sentences: int = Field(default=3, ge=0)
    min_characters: int = Field(default=140, ge=0)
    on_bad_text: OnBadText = "fail"
    max_paragraph_bytes: int = Field(default=10_000_000, ge=1)
    revision: str | None = None
    trust_remote_code: bool = False


class Encoding(BaseModel):
    """All that can change a context vector, given a text. Caches of equal encoding can be resumed, grown and merged.

    The teacher's name is not among it, because its weights are: a model that moved to another folder is the same.

    Attributes:
        weights: sha256 of the teacher's weight files, in the order of their names.
        teacher_config: sha256 of its config.json.
        tokenizer: sha256 of its tokenizer files.
        layer: which hidden states are averaged.
        context: "paragraph" or "sentence".
        compat: "paper" or None.
        window: pieces that the teacher reads at once, special tokens included.
        words: sha256 of the word segmentation rules.
        language: ISO 639-1 code of the text.
        sentences: the sentence splitter and its version.
        min_sentences: the filter on sentences.
        min_characters: the filter on characters.
        dtype: number format of the stored vectors.
        precision: number format of the teacher.
        attention: the teacher's attention implementation.
        dim: length of a context vector.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str
    teacher_config: str
    tokenizer: str
    layer: str
    context: Context
    compat: str | None
    window: int
    words: str
    language: str
    sentences: str
    min_sentences: int
    min_characters: int
    dtype: Dtype
    precision: Precision
    attention: str
    dim: int

    @property
    def fingerprint(self) -> str:
        """sha256 over every field: equal fingerprints, equal vectors for equal text."""
        return hashlib.sha256(canonical_json(self.model_dump())).hexdigest()


def differences(ours: BaseModel, theirs: BaseModel) -> list[str]:
    """Return, for each field in which two configurations differ, "name: first value, second value"."""
    first, second = ours.model_dump(mode="json"), theirs.model_dump(mode="json")
    return [f"{name}: {first[name]!r} != {second[name]!r}" for name in first if first[name] != second[name]]
