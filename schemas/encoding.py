"""The configuration of stage one, and the part of it that can change a vector."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from x2static.durable.storage import canonical_json

Context = Literal["paragraph", "sentence"]
Precision = Literal["float32", "bfloat16", "float16"]
OnBadText = Literal["fail", "replace", "skip"]
TextFormat = Literal["auto", "lines", "blank-lines", "wikiextractor", "jsonl", "parquet"]
Layer = Literal["last"] | int
LAST: Literal["last"] = "last"
Dtype = Literal["float16", "int8"]


class PlanOptions(BaseModel):
    """How a corpus is read and cut, as far as its plan records it.

    Attributes:
        unit: paragraphs in a unit, and so in a shard.
        sample: share of the paragraphs to take, each decided by its place in the corpus; None takes all.
        seed: another seed takes another sample.
        on_bad_text: what to do about text that cannot be read: no valid UTF-8, too long, or a row of JSON without
            text. "replace" mends what is no valid UTF-8 and fails for the rest.
        max_paragraph_bytes: a longer line is not a paragraph, but a file in another format.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: int = Field(default=8192, ge=1)
    sample: float | None = Field(default=None, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    on_bad_text: OnBadText = "fail"
    max_paragraph_bytes: int = Field(default=10_000_000, ge=1)


class ReadingOptions(PlanOptions):
    """How corpora are read and cut.

    Attributes:
        format: how paragraphs stand in local files; "auto" goes by their endings and first lines.
        limit: at most so many paragraphs of each corpus, counted after the sample and before the filter; None for all.
    """

    format: TextFormat = "auto"
    limit: int | None = Field(default=None, ge=1)


class ContextOptions(BaseModel):
    """What a context vector is, as far as the user says it and the encoding records it by the same name.

    Attributes:
        context: what the teacher reads at once, a paragraph (eq. 4) or a sentence (eq. 3).
        compat: "paper" reproduces the reference implementation's peculiarities (docs/COMPAT.md).
        dtype: number format of the stored context vectors; "int8" halves the cache, with a scale a row.
        compile: let torch compile the teacher, which rounds otherwise.
        language: ISO 639-1 code, for the sentence splitter's abbreviations and marks, and for the words of zh, ja, th.
        min_sentences: paragraphs with fewer sentences are dropped (paper: 3).
        min_characters: paragraphs with fewer characters are dropped (paper: 140).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    context: Context = "paragraph"
    compat: Literal["paper"] | None = None
    dtype: Dtype = "float16"
    compile: bool = False
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}$")
    min_sentences: int = Field(default=3, ge=0)
    min_characters: int = Field(default=140, ge=0)


class EncodeConfig(ReadingOptions, ContextOptions):
    """What a user asks of `x2static encode`; the defaults of its options stand here and nowhere else.

    Attributes:
        model: a Hugging Face model id, a local model folder, or "demo".
        corpus: files, folders, patterns, "-" (standard input), `hf://` data sets or "demo", read in this order.
        cache: the folder that the cache is written to.
        append: add the corpora to a finished cache, whose shards stay as they are.
        layer: which of the teacher's hidden states are averaged: "last", or a number: 0 the embeddings, n what block n
            gives, negative ones from the end.
        part: "3/16" encodes every 16th unit, the third first; None all of them.
        precision: number format of the teacher; "auto" picks by hardware.
        device: where the teacher runs.
        encoders: processes that a teacher is loaded in, on one machine.
        workers: processes that prepare text for the teacher; None: one thread on a CPU, several processes otherwise.
        revision: commit, tag or branch of a model on the hub.
        trust_remote_code: let a model on the hub run its own Python code.
    """

    model: str = Field(min_length=1)
    corpus: tuple[str, ...] = Field(min_length=1)
    cache: Path
    append: bool = False
    layer: Layer = LAST
    part: str | None = Field(default=None, pattern=r"^[1-9][0-9]*/[1-9][0-9]*$")
    precision: Precision | Literal["auto"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    encoders: int = Field(default=1, ge=1)
    workers: int | None = Field(default=None, ge=1)
    revision: str | None = None
    trust_remote_code: bool = False

    @field_validator("part")
    @classmethod
    def _is_a_part(cls, part: str | None) -> str | None:
        if part and int(part.split("/")[0]) > int(part.split("/")[1]):
            raise ValueError(f"there are only {part.split('/')[1]} parts")
        return part


class Encoding(ContextOptions):
    """All that can change a context vector, given a text. Caches of equal encoding can be resumed, grown and merged.

    The teacher's name is not among it, because its weights are: a model that moved to another folder is the same.

    Attributes:
        weights: sha256 of the teacher's weight files, in the order of their names.
        teacher_config: sha256 of its config.json.
        tokenizer: sha256 of its tokenizer files.
        layer: which hidden states are averaged: "last", or a number from 0 to below the last one's.
        window: pieces that the teacher reads at once, special tokens included.
        words: sha256 of the word segmentation rules, which name the segmenter where there is one.
        sentences: the sentence splitter and its version, or the rule that stands for one.
        precision: number format of the teacher.
        attention: the teacher's attention implementation.
        dim: length of a context vector.
    """

    weights: str
    teacher_config: str
    tokenizer: str
    layer: str
    window: int
    words: str
    sentences: str
    precision: Precision
    attention: str
    dim: int

    @property
    def fingerprint(self) -> str:
        """sha256 over every field: equal fingerprints, equal vectors for equal text.

        `compile` is younger than caches that lack it, and counts only where it is set.
        """
        later = set() if self.compile else {"compile"}
        return hashlib.sha256(canonical_json(self.model_dump(exclude=later))).hexdigest()


def differences(ours: BaseModel, theirs: BaseModel) -> list[str]:
    """Return, for each field in which two configurations differ, "name: first value, second value"."""
    first, second = ours.model_dump(mode="json"), theirs.model_dump(mode="json")
    return [f"{name}: {first[name]!r} != {second[name]!r}" for name in first if first[name] != second[name]]
