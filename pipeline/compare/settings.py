"""The configuration of a comparison."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from x2static.schemas.encoding import Layer, Precision

Part = Literal["table3", "table4", "figure1"]
PARTS: tuple[Part, ...] = ("table3", "table4", "figure1")


class CompareConfig(BaseModel):
    """What a user asks of `x2static compare`; the defaults stand here and nowhere else.

    Attributes:
        runs: folders of finished vectors to compare; without one, X2Static is trained from the cache in three ways.
        out: folder of the comparison.
        cache: the cache that all methods learn from; None where only finished runs are compared.
        baselines: names of competing methods.
        seeds: how many times the methods that draw are made, each with a seed of its own: X2Static and skip-gram.
        layers: layers of the teacher whose mean contextual vectors are compared (`ase`).
        only: the parts of the comparison to work on; all where there is none.
        classification: whether vectors are scored by classification, which takes minutes for each.
        sizes: corpus sizes of the curve, in units of the cache; n, n/2, n/4 ... n/32 where there is none.
        words: whose nearest neighbours are shown; some frequent words where there is none.
        data: the evaluation data; None for what comes with gensim.
        reference: folder of the paper's figures, `word_similarity.csv` and `classification.csv`.
        min_count: words that are rarer are in no vocabulary.
        max_vocab: at most so many words, the most frequent ones.
        corpus: where the files of the cache's corpus are now.
        model: where the cache's teacher is now.
        threads: of gensim's methods; None for as many as torch uses.
        device: where teacher and training run.
        precision: number format of the teacher.
        trust_remote_code: let a model run Python code of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Path
    runs: tuple[Path, ...] = ()
    cache: Path | None = None
    baselines: tuple[str, ...] = ()
    seeds: int = Field(default=3, ge=1, le=100)
    layers: tuple[Layer, ...] = ("last",)
    only: tuple[Part, ...] = ()
    classification: bool = True
    sizes: tuple[Annotated[int, Field(ge=1)], ...] = ()
    words: tuple[str, ...] = ()
    data: Path | None = None
    reference: Path | None = None
    min_count: int = Field(default=10, ge=1)
    max_vocab: int = Field(default=750_000, ge=1)
    corpus: tuple[str, ...] = ()
    model: str | None = None
    threads: int | None = Field(default=None, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision | Literal["auto"] = "auto"
    trust_remote_code: bool = False

    def wants(self, part: Part) -> bool:
        """Return whether a part of the comparison is to be worked on."""
        return part in self.only if self.only else part != "table4" or self.classification

    @property
    def wants_pairs(self) -> bool:
        """Whether anything that is to be worked on needs word similarity data."""
        return self.wants("table3") or self.wants("figure1")
