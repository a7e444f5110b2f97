"""The teacher of a cache for a baseline: found again, single words read by it, vectors handed back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from x2static.baselines.request import Request, Result
from x2static.baselines.teacher_sentences import read_texts
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.encoder import Encoder
from x2static.stage1_encode.plan.origin import Origin, find_teacher


def origin_of(request: Request) -> Origin:
    """Return where teacher and text of the cache are now, as far as the request says."""
    config = request.config
    return Origin(config.model, config.corpus, config.device, config.trust_remote_code)


def load_teacher(request: Request, wanted: Sequence[str] = ()) -> Encoder:
    """Load the teacher that the cache was made with, in the layer and precision of the request, to look at some words.

    Raises X2StaticError: it is not found, is another, or has no such layer.
    """
    cache = request.needed_cache()
    changes = {"layer": request.config.layer, "precision": precision_of(request)}
    return find_teacher(cache, cache.plans()[0], origin_of(request), wanted, **changes)


def precision_of(request: Request) -> str:
    """Return the number format in which the teacher reads: the cache's, unless the request names another."""
    precision = request.config.precision
    return request.needed_cache().manifest.encoding.precision if precision == "auto" else precision


def read_words(request: Request, special: bool) -> npt.NDArray[np.float32]:
    """Give each word of the vocabulary to the teacher alone, as "[CLS] word [SEP]"; return the means over its pieces.

    (n_words, dim) float32; `special` says whether the special tokens are in the mean. A word without pieces has zeros;
    of one that is longer than the teacher's window, the beginning is read. Raises X2StaticError: the teacher is not
    found, has no such layer, or gives values that are not finite.
    """
    return read_texts(load_teacher(request), request.words, "words", request.report, special)


def result_of(request: Request, matrix: npt.NDArray[np.float32], origin: dict[str, Any]) -> Result:
    """Return the vectors of a vocabulary, (n_words, dim) float32; words whose vector is zero are left out.

    `origin` is what run.json is to say beyond teacher, layer, precision and `words_left_out`. Raises X2StaticError: no
    word has a vector.
    """
    cache = request.needed_cache()
    rows = np.flatnonzero(matrix.any(axis=1))
    if not len(rows):
        raise X2StaticError(f"{cache.path}: none of the {len(request.words)} words of the vocabulary has a vector")
    common = {
        "teacher": cache.manifest.teacher,
        "layer": request.config.layer,
        "precision": precision_of(request),
        "words_left_out": len(matrix) - len(rows),
    }
    chosen = matrix if len(rows) == len(matrix) else matrix[rows]
    return Result([request.words[row] for row in rows], request.counts[rows], chosen, common | origin)
