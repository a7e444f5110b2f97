"""The teacher itself: one vector a text, and the teacher of a cache found again for a baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from x2static.baselines.request import Request, Result
from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Report, silent
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import LAST, EncodeConfig, Precision
from x2static.stage1_encode.encoder import ChosenTeacher, Encoder
from x2static.stage1_encode.plan.origin import Origin, find_teacher, recorded_config
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.teacher.teacher import Teacher
from x2static.stage1_encode.texts import read_texts


@dataclass(frozen=True)
class TeacherSentences:
    """A teacher that gives one vector a text."""

    files: TeacherFiles  # the teacher on disk
    precision: Precision  # number format that it computes with
    encoder: Encoder  # stage one's loop over batches
    trust_remote_code: bool = False  # whether the model may run Python code of its own

    @classmethod
    def load(
        cls,
        model: str,
        device: str = "auto",
        precision: Precision | Literal["auto"] = "auto",
        trust_remote_code: bool = False,
    ) -> "TeacherSentences":
        """Load a teacher: a folder, "demo", or an id on the hub. Raises X2StaticError: there is none, or no device."""
        settings = {"device": device, "precision": precision, "trust_remote_code": trust_remote_code}
        # A text is one context here; the settings of corpus and cache have nothing to do.
        config = EncodeConfig.model_validate({"model": model, "corpus": ("",), "cache": Path(), **settings})
        chosen = ChosenTeacher(config)
        return cls(chosen.files, chosen.precision, chosen.load(), trust_remote_code)

    @classmethod
    def of_cache(
        cls, cache: Cache, origin: Origin, precision: Precision | Literal["auto"] = "auto"
    ) -> "TeacherSentences":
        """Load the teacher that a cache was made with; refuse another one. "auto" is the cache's precision."""
        if precision == "auto":
            precision = cache.manifest.encoding.precision
        plan = cache.plans()[0]
        encoder = find_teacher(cache, plan, origin, layer=LAST, precision=precision)
        config = recorded_config(cache, plan, **origin.changes())
        return cls(TeacherFiles.find(config.model, config.revision), precision, encoder, origin.trust_remote_code)

    @property
    def teacher(self) -> Teacher:
        """The loaded teacher."""
        return self.encoder.teacher

    def encode(self, texts: Sequence[str], report: Report = silent) -> npt.NDArray[np.float32]:
        """Return the vector of each text, as `read_texts` does; what is longer than the teacher's window is cut."""
        return read_texts(self.encoder, texts, "texts", report)


def origin_of(request: Request) -> Origin:
    """Return where teacher and text of the cache are now, as far as the request says."""
    config = request.config
    return Origin(config.model, config.corpus, config.device, config.trust_remote_code)


def load_teacher(request: Request, occurrences: bool = False) -> Encoder:
    """Load the teacher of the cache in the layer and precision of the request; `occurrences`: for looking at words.

    Raises X2StaticError: it is not found, is another, or has no such layer.
    """
    cache = request.needed_cache()
    changes = {"layer": request.config.layer, "precision": precision_of(request)}
    return find_teacher(cache, cache.plans()[0], origin_of(request), occurrences, **changes)


def precision_of(request: Request) -> str:
    """Return the number format in which the teacher reads: the cache's, unless the request names another."""
    precision = request.config.precision
    return request.needed_cache().manifest.encoding.precision if precision == "auto" else precision


def result_of(request: Request, matrix: npt.NDArray[np.float32], origin: dict[str, Any]) -> Result:
    """Return the vectors of a vocabulary, (n_words, dim) float32; words whose vector is zero are left out.

    `origin` is what run.json is to say beyond teacher, layer, precision and `words_left_out`. Raises X2StaticError: no
    word has a vector.
    """
    cache = request.needed_cache()
    rows = np.flatnonzero(matrix.any(axis=1))
    if not len(rows):
        raise X2StaticError(f"{cache.path}: none of the {len(request.words)} words of the vocabulary has a vector")
    read = {"teacher": cache.manifest.teacher, "layer": request.config.layer, "precision": precision_of(request)}
    origin = {**read, "words_left_out": len(matrix) - len(rows), **origin}
    chosen = matrix if len(rows) == len(matrix) else matrix[rows]
    return Result([request.words[row] for row in rows], request.counts[rows], chosen, origin)
