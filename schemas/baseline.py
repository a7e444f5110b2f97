"""The configuration of a baseline."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from x2static.schemas.encoding import Layer, Precision, Record


class Method(NamedTuple):
    """A method, as the registry knows it."""

    module: str  # of `baselines/`, whose `make` runs it
    reads: frozenset[str]  # the options that it reads
    reads_text: bool = False  # whether --corpus is the text it is trained on, and not where the cache's corpus is now


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
    "ppmi": Method("ppmi", _ALL | {"corpus", "dim", "window", "seed"}, reads_text=True),
    "load": Method("pretrained", _ALL | {"vectors"}),
}
Pooling = Literal["mean", "max", "min"]


class BaselineConfig(Record):
    """What a user asks of `x2static baseline`; the defaults stand here and nowhere else."""

    name: str  # the method
    out: Path  # folder of the vectors
    cache: Path | None = None  # whose vocabulary, words and, where the method has them, teacher and corpus are used
    corpus: tuple[str, ...] = ()  # files to read instead of the cache's words; or where those are that the teacher read
    model: str | None = None  # where the teacher is now; None for where the cache says
    layer: Layer = "last"  # which of the teacher's hidden states: "last", or a number, 0 the embeddings
    pooling: Pooling = "mean"  # how a word's contextual vectors become one (`ase`)
    dim: int | None = Field(default=None, ge=1)  # of the vectors, where the method can choose; None for the teacher's
    min_count: int = Field(default=10, ge=1)  # words that are rarer are not in the vocabulary
    max_vocab: int = Field(default=750_000, ge=1)  # at most so many words, the most frequent ones
    vocab: Path | None = None  # a file of words, one a line: only these are in the vocabulary
    epochs: int = Field(default=5, ge=1)  # passes over the text (gensim's methods)
    window: int = Field(default=5, ge=1)  # words on either side of the target (gensim's methods, `ppmi`)
    negatives: int = Field(default=10, ge=1)  # words drawn for each target (gensim's methods)
    subsample: float = Field(default=1e-4, ge=0, allow_inf_nan=False)  # threshold for frequent words (gensim's)
    vectors: Path | None = None  # the file of word vectors to read (`load`)
    seed: int = Field(default=0, ge=0, lt=2**31)  # of every draw
    threads: int | None = Field(default=None, ge=1)  # None: as many as torch uses; gensim needs 1 to be reproducible
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where the teacher runs
    precision: Precision | Literal["auto"] = "auto"  # number format of the teacher
    trust_remote_code: bool = False  # let a model run Python code of its own

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
