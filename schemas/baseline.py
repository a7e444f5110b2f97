"""The configuration of a baseline."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from x2static.schemas.encoding import Layer, Precision


class Method(NamedTuple):
    """A method, as the registry knows it.

    Attributes:
        module: of `baselines/`, whose `make` runs it.
        reads: the options that it reads.
        reads_text: whether --corpus is the text that it is trained on; for others, where the cache's corpus is now.
    """

    module: str
    reads: frozenset[str]
    reads_text: bool = False


_ALL = frozenset({"name", "out", "cache", "min_count", "max_vocab", "vocab"})
_TEACHER = _ALL | {"model", "layer", "device", "precision", "trust_remote_code"}
_GENSIM = _ALL | {"corpus", "dim", "epochs", "negatives", "subsample", "seed", "threads"}
# A new baseline is a file in `baselines/` and a line here.
METHODS = {
    "ase": Method("ase", _TEACHER | {"corpus", "pooling"}),
    "decontextualized": Method("decontextualized", _TEACHER),
    "pca": Method("principal_component", _TEACHER | {"corpus"}),
    "model2vec": Method("model2vec", _TEACHER | {"dim"}),
    "skipgram": Method("word2vec", _GENSIM | {"window"}, reads_text=True),
    "cbow": Method("word2vec", _GENSIM | {"window"}, reads_text=True),
    "fasttext": Method("word2vec", _GENSIM | {"window"}, reads_text=True),
    "sent2vec": Method("word2vec", _GENSIM, reads_text=True),
    "load": Method("pretrained", _ALL | {"vectors"}),
}
Pooling = Literal["mean", "max", "min"]


class BaselineConfig(BaseModel):
    """What a user asks of `x2static baseline`; the defaults stand here and nowhere else.

    Attributes:
        name: the method.
        out: folder of the vectors.
        cache: the cache whose vocabulary, words and (where the method has one) teacher and corpus are used.
        corpus: text files to read instead of the words in the cache; or, where the teacher reads the corpus again,
            where its files are now.
        model: where the teacher is now; None for where the cache says.
        layer: which of the teacher's hidden states: "last", or a number, 0 the embeddings.
        pooling: how a word's contextual vectors become one (`ase`).
        dim: length of the vectors, where the method can choose it; None for the teacher's.
        min_count: words that are rarer are not in the vocabulary.
        max_vocab: at most so many words, the most frequent ones.
        vocab: a file of words, one a line: only these are in the vocabulary.
        epochs: passes over the text (gensim's methods).
        window: words on either side of the target (gensim's methods).
        negatives: words drawn for each target (gensim's methods).
        subsample: threshold of the subsampling of frequent words (gensim's methods).
        vectors: the file of word vectors to read (`load`).
        seed: of every draw.
        threads: of the methods that take a number; None for as many as torch uses. gensim is reproducible with 1 alone.
        device: where the teacher runs.
        precision: number format of the teacher.
        trust_remote_code: let a model run Python code of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    out: Path
    cache: Path | None = None
    corpus: tuple[str, ...] = ()
    model: str | None = None
    layer: Layer = "last"
    pooling: Pooling = "mean"
    dim: int | None = Field(default=None, ge=1)
    min_count: int = Field(default=10, ge=1)
    max_vocab: int = Field(default=750_000, ge=1)
    vocab: Path | None = None
    epochs: int = Field(default=5, ge=1)
    window: int = Field(default=5, ge=1)
    negatives: int = Field(default=10, ge=1)
    subsample: float = Field(default=1e-4, ge=0, allow_inf_nan=False)
    vectors: Path | None = None
    seed: int = Field(default=0, ge=0, lt=2**31)
    threads: int | None = Field(default=None, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision | Literal["auto"] = "auto"
    trust_remote_code: bool = False

    @field_validator("*")
    @classmethod
    def _is_read(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what the method would not look at; a default that is given does no harm."""
        name, field = info.data.get("name"), str(info.field_name)
        if field == "name" and value not in METHODS:
            raise ValueError(f"no baseline is called so; there are {', '.join(METHODS)}")
        if name is not None and field not in METHODS[name].reads and value != cls.model_fields[field].default:
            raise ValueError(f"{name} does not read it; leave it out")
        return value
