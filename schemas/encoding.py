"""The configuration of stage one, and the part of it that can change a vector."""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from x2static.durable.storage import canonical_json, shown

Context = Literal["paragraph", "sentence"]
Precision = Literal["float32", "bfloat16", "float16", "int8"]
Backend = Literal["torch", "openvino"]  # what computes the teacher's states
OnBadText = Literal["fail", "replace", "skip"]
TextFormat = Literal["auto", "lines", "blank-lines", "wikiextractor", "jsonl", "parquet", "csv", "tsv"]
Layer = Literal["last"] | int
Pooling = Literal["mean", "max", "sif", "content", "no-sinks"]  # stage1_encode/pools/contexts.py says what each is
COUNTED: tuple[Pooling, ...] = ("sif", "content")  # those by which words weigh as often as they occur
LAST: Literal["last"] = "last"
LAYERS = "layers are last, or numbers, 0 the embeddings, joined by commas or plus signs, such as 0,3"
Dtype = Literal["float16", "int8"]


def split_layers(text: str) -> list[Layer]:
    """Return the layers of a list, "0,3" or "0+last", each once. Raises ValueError: it is none."""
    try:
        layers = [LAST if part == LAST else int(part) for part in re.split(r"\s*[,+]\s*", text.strip())]
    except ValueError as error:
        raise ValueError(LAYERS) from error
    return list(dict.fromkeys(layers))


def _one_or_mean(layers: object) -> object:
    """Return the layer that a text names, or several, whose mean is taken, joined by plus signs: "0+last"."""
    if not isinstance(layers, str):
        return layers
    several = split_layers(layers)
    return several[0] if len(several) == 1 else "+".join(map(str, several))


class Record(BaseModel):
    """A record whose fields are checked when it is made, and never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PlanOptions(Record):
    """How a corpus is read and cut, as far as its plan records it."""

    # Paragraphs in a unit, and so in a shard. None leaves it to the corpus (`fitting_unit`); a plan has a number.
    unit: int | None = Field(default=None, ge=1)
    sample: float | None = Field(default=None, gt=0, lt=1)  # share of the paragraphs to take; None takes all
    seed: int = Field(default=0, ge=0, lt=2**63)  # another seed takes another sample
    on_bad_text: OnBadText = "fail"  # invalid UTF-8, which "replace" mends, too long, or a row of JSON without text
    max_paragraph_bytes: int = Field(default=10_000_000, ge=1)  # a longer line is a file in another format


class ReadingOptions(PlanOptions):
    """How corpora are read and cut."""

    format: TextFormat = "auto"  # how paragraphs stand in local files; "auto" goes by names and content
    limit: int | None = Field(default=None, ge=1)  # paragraphs of each corpus, after the sample and before the filter


class ContextOptions(Record):
    """What a context vector is, as far as the user says it and the encoding records it by the same name."""

    context: Context = "paragraph"  # what the teacher reads at once, a paragraph (eq. 4) or a sentence (eq. 3).
    compat: Literal["paper"] | None = None  # the reference implementation's peculiarities (docs/COMPAT.md)
    dtype: Dtype = "float16"  # number format of the stored context vectors; "int8" halves the cache, with a scale a row
    compile: bool = False  # let torch compile the teacher, which rounds otherwise
    # ISO 639-1: of sentences, and words of zh, ja, th; of several corpora all of theirs, sorted, "de+en"
    language: str = Field(default="en", pattern=r"^[a-z]+(\+[a-z]+)*$")
    mark_language: bool = False  # words are kept apart by language, de:gift
    pooling: Pooling = "mean"  # what is made of the states of a context
    context_words: int | None = Field(default=None, ge=1)  # that a context has, cut from a sentence; None: all of it
    # of `sif` and `content`: words that weigh less than 1; counted in the corpora that the cache is begun with
    word_weights: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}


TextRules = Literal[1, 2]  # which rules cut text into sentences and words: 1 are those of caches of 0.1.0


class Filter(Record):
    """Which paragraphs are read, and by what rules they are cut."""

    text_rules: TextRules = 2
    # Everything but blank paragraphs is kept: what a filter drops is missed (docs/LOG.md, 2026-11-28).
    min_sentences: int = 1
    min_characters: int = 0


FILTERS = {None: Filter(), "paper": Filter(text_rules=1, min_sentences=3, min_characters=140)}  # by --compat


def without_region(language: str) -> str:
    """Return en of en-GB, EN and en; what is no code stays."""
    region = re.fullmatch(r"([A-Za-z]+)(?:[-_][A-Za-z0-9]+)*", language)
    return region[1].lower() if region else language


class EncodeConfig(ReadingOptions, ContextOptions):
    """What a user asks of `x2static encode`; the defaults of its options stand here and nowhere else."""

    model: str = Field(min_length=1)  # a Hugging Face model id, a local model folder, or "demo"
    corpus: tuple[str, ...] = Field(min_length=1)  # files, folders, patterns, "-", `hf://` sets or "demo", in order
    cache: Path  # the folder that the cache is written to
    corpus_language: tuple[str, ...] = ()  # that of each corpus, where `language` is several
    append: bool = False  # add the corpora to a finished cache, whose shards stay as they are
    # Hidden states that are averaged: 0 the embeddings, n those of block n, negative from the end; 0+last: their mean.
    layer: Annotated[Layer | str, BeforeValidator(_one_or_mean)] = LAST
    part: str | None = Field(default=None, pattern=r"^[1-9][0-9]*/[1-9][0-9]*$")  # "3/16": every 16th unit from the 3rd
    precision: Precision | Literal["auto"] = "auto"  # number format of the teacher; "auto" picks by hardware
    # What computes its states; "auto" is the cache's, and for much text on a processor OpenVINO, where it is installed.
    backend: Backend | Literal["auto"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where the teacher runs
    encoders: int = Field(default=1, ge=1)  # processes that a teacher is loaded in
    workers: int | None = Field(default=None, ge=1)  # processes that prepare text; None: by the device
    revision: str | None = None  # commit, tag or branch of a model on the hub
    trust_remote_code: bool = False  # let a model on the hub run its own Python code

    # What is None is as in the cache that is there, and in a new one as in FILTERS.
    min_sentences: int | None = Field(default=None, ge=0)  # paragraphs with fewer sentences are dropped
    min_characters: int | None = Field(default=None, ge=0)  # paragraphs with fewer characters are dropped
    text_rules: TextRules | None = None

    @field_validator("language", mode="before")
    @classmethod
    def _without_region(cls, language: object) -> object:
        """Sentences and words are cut by the language, in en-GB as in en."""
        return without_region(language) if isinstance(language, str) else language

    def languages_of_corpora(self) -> tuple[str | None, ...]:
        """Return the language of each corpus, as its plan records it: None where no rule asks, for all are of one."""
        if "+" not in self.language:
            return (self.language if self.mark_language else None,) * len(self.corpus)
        if len(self.corpus_language) != len(self.corpus):  # `x2static encode` refuses it before
            raise ValueError(f"{len(self.corpus_language)} languages for {len(self.corpus)} corpora")
        return self.corpus_language

    @field_validator("pooling", "context_words")
    @classmethod
    def _keep_to_the_paper(cls, value: str | int | None, info: ValidationInfo) -> str | int | None:
        if info.data.get("compat") and value not in ("mean", None):
            raise ValueError(f"--compat {info.data['compat']} takes means over sentences; leave one of the two out")
        return value

    @field_validator("part")
    @classmethod
    def _is_a_part(cls, part: str | None) -> str | None:
        if part and int(part.split("/")[0]) > int(part.split("/")[1]):
            raise ValueError(f"there are only {part.split('/')[1]} parts")
        return part


class Encoding(ContextOptions):
    """All that can change a context vector, given a text. Caches of equal encoding can be resumed, grown and merged.

    The teacher's name is not among it, because its weights are: a model that moved to another folder is the same.
    """

    weights: str  # sha256 of the teacher's weight files, in the order of their names
    teacher_config: str  # sha256 of its config.json
    tokenizer: str  # sha256 of its tokenizer files
    tokenizer_changes: str = ""  # where its rules are not those that the transformers library makes of these files
    # which hidden states are averaged: "last", a number from 0 to below the last one's, or several with + between them
    layer: str
    window: int  # pieces that the teacher reads at once, special tokens included
    words: str  # sha256 of the word segmentation rules, which name the segmenter where there is one
    sentences: str  # the sentence splitter and its version, or the rule that stands for one
    min_sentences: int  # paragraphs with fewer sentences are dropped
    min_characters: int  # paragraphs with fewer characters are dropped
    # Which rules cut text. Caches of 0.1.0 do not name them; `words` and `sentences` have them for the fingerprint.
    text_rules: TextRules = 1
    precision: Precision  # number format of the teacher
    backend: Backend = "torch"  # what computed its states
    attention: str  # the teacher's attention implementation
    dim: int  # length of a context vector

    @property
    def computed(self) -> str:
        """How the teacher computed, for people to read: its number format, and OpenVINO where PyTorch did not."""
        return self.precision if self.backend == "torch" else f"{self.precision} (OpenVINO)"

    @property
    def pooled(self) -> str:
        """What a context vector is, for people to read: what the teacher read at once, and what is not the default."""
        pooling = "" if self.pooling == "mean" else f", pooling {self.pooling}"
        words = f", {self.context_words} words each" if self.context_words else ""
        return self.context + words + pooling + ("" if self.layer == LAST else f", layer {self.layer}")

    @property
    def fingerprint(self) -> str:
        """sha256 over every field: equal fingerprints, equal vectors for equal text.

        `YOUNGER` fields count only where they are set, since there are caches that lack them; `text_rules` never, since
        `words` and `sentences` say what came of them.
        """
        fields = type(self).model_fields
        later = {"text_rules"} | {name for name in YOUNGER if getattr(self, name) == fields[name].default}
        return hashlib.sha256(canonical_json(self.model_dump(exclude=later))).hexdigest()


# fields of an encoding that first caches do not have
YOUNGER = ("backend", "compile", "tokenizer_changes", "mark_language", "pooling", "context_words", "word_weights")


def differences(ours: BaseModel, theirs: BaseModel) -> list[str]:
    """Return, for each field in which two configurations differ, "name: first value, second value"."""
    first, second = ours.model_dump(mode="json"), theirs.model_dump(mode="json")
    return [f"{name}: {shown(first[name])} != {shown(second[name])}" for name in first if first[name] != second[name]]
