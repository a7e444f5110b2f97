"""The teacher of a cache, asked by a baseline: found again, its layer named, single words read, vectors handed back."""

import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from x2static.baselines.request import Request, Result
from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Progress
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import LAST, Layer
from x2static.stage1_encode.cache_folder import check_teacher
from x2static.stage1_encode.corpora.sources import Source
from x2static.stage1_encode.encode import probed
from x2static.stage1_encode.encoder import Encoder
from x2static.stage1_encode.plan.origin import Origin, find_sources, find_teacher
from x2static.stage1_encode.teacher.model import canonical_layer
from x2static.stage1_encode.text.tokenizer import TeacherTokenizer
from x2static.stage1_encode.text.windows import PreparedText, Window

WORDS_AT_ONCE = 8192
MOST_MEMORY = 0.8  # the rest is for the teacher, its batches and the system


def load_teacher(request: Request, wanted: Sequence[str] = (), layer: Layer | None = None) -> Encoder:
    """Load the teacher that the cache was made with, in the precision and on the device that are asked for.

    Args:
        request: for the cache, and where its teacher is now.
        wanted: the words whose occurrences are looked at, in every layer.
        layer: the layer whose states it gives; None for the cache's.

    Raises:
        X2StaticError: it is not found, or is another.
    """
    cache, config = request.needed_cache(), request.config
    otherwise: dict[str, Any] = {} if layer is None else {"layer": layer}
    if config.precision != "auto":
        otherwise["precision"] = config.precision
    return find_teacher(cache, cache.plans()[0], _origin(request), wanted, **otherwise)


@contextmanager
def opened(request: Request, wanted: Sequence[str], shards: set[int]) -> Iterator[tuple[Encoder, list[Source]]]:
    """Find teacher and text of a cache, to read some of its units again.

    Args:
        request: for the cache, and where things are now.
        wanted: the words whose occurrences are looked at.
        shards: the units that are read.

    Raises:
        X2StaticError: teacher or text are not found as they were, or in this cache words and pieces do not meet.
    """
    cache = request.needed_cache()
    if compat := cache.manifest.encoding.compat:
        raise X2StaticError(
            f"{cache.path}: made with --compat {compat}, which joins words anew before the teacher reads them; "
            f"{request.config.name} needs a cache without it"
        )
    markers = cache.committed()[0]
    with ExitStack() as stack:
        plans = {markers[shard].plan for shard in shards}
        sources = find_sources(cache, cache.plans(), plans, _origin(request), stack)
        encoder = load_teacher(request, wanted)
        check_teacher(cache, probed(encoder))
        yield encoder, sources


def _origin(request: Request) -> Origin:
    config = request.config
    return Origin(config.model, config.corpus, config.device, config.trust_remote_code)


def layer_number(layer: Layer, n_layers: int) -> int:
    """Return the number of a layer, 0 for the embeddings.

    Args:
        layer: "last", or a number; negative ones count from the end.
        n_layers: layers above the embeddings.

    Raises:
        X2StaticError: there is no such layer.
    """
    found = canonical_layer(layer, n_layers)
    return n_layers if found == LAST else found


def precision_of(request: Request, cache: Cache) -> str:
    """Return the number format in which the teacher reads: the cache's, unless another is asked for."""
    asked = request.config.precision
    return cache.manifest.encoding.precision if asked == "auto" else asked


def read_words(request: Request, special: bool) -> npt.NDArray[np.float32]:
    """Give each word of the vocabulary to the teacher alone, as "[CLS] word [SEP]".

    A word without pieces has zeros; of one that is longer than the teacher's window, the beginning is read.

    Args:
        request: for the words and `layer`.
        special: whether the states of the special tokens are in the mean.

    Returns:
        (n_words, dim) float32, the mean of the layer's states over the pieces of each word.

    Raises:
        X2StaticError: the teacher is not found, has no such layer, or gives values that are not finite.
    """
    encoder, words = load_teacher(request, layer=request.config.layer), request.words
    matrix = np.zeros((len(words), encoder.teacher.dim), np.float32)
    for start in range(0, len(words), WORDS_AT_ONCE):
        request.report(Progress(start, len(words), "words"))
        stop = min(start + WORDS_AT_ONCE, len(words))
        unit = _unit(encoder.teacher.tokenizer, words[start:stop], encoder.teacher.window, special)
        matrix[start:stop] = encoder.encode([unit], f"words {start} to {stop}").contexts()
    request.report(Progress(len(words), len(words), "words"))
    if not np.isfinite(matrix).all():
        raise X2StaticError("the teacher's states of single words are not finite; try --precision float32")
    return matrix


def _unit(tokenizer: TeacherTokenizer, words: list[str], window: int, special: bool) -> PreparedText:
    """Return a unit of one window and one context a word."""
    unit = PreparedText(ends=array("i", [0]) * len(words))
    n_prefix, room = len(tokenizer.prefix), window - tokenizer.n_special
    for number, (pieces, _) in enumerate(tokenizer.encode(words)):
        if not len(pieces):
            continue
        read = tokenizer.with_special(pieces[:room])
        span = (0, len(read)) if special else (n_prefix, n_prefix + min(len(pieces), room))
        unit.windows.append(Window(read, np.array([[number, *span]], np.int64)))
    return unit


def result_of(request: Request, matrix: npt.NDArray[np.float32], origin: dict[str, Any]) -> Result:
    """Return the vectors of a vocabulary, words whose vector is zero left out.

    Args:
        request: for the words.
        matrix: (n_words, dim) float32.
        origin: what run.json is to say; teacher, layer, precision and `words_left_out` are added.

    Raises:
        X2StaticError: no word has a vector.
    """
    cache, config = request.needed_cache(), request.config
    rows = np.flatnonzero(matrix.any(axis=1))
    if not len(rows):
        raise X2StaticError(f"{cache.path}: none of the {len(request.words)} words of the vocabulary has a vector")
    whole = len(rows) == len(matrix)
    return Result(
        [request.words[row] for row in rows],
        request.counts[rows],
        matrix if whole else matrix[rows],
        {
            "teacher": cache.manifest.teacher,
            "layer": config.layer,
            "precision": precision_of(request, cache),
            "words_left_out": len(matrix) - len(rows),
            **origin,
        },
    )


def check_memory(n_bytes: int, device: torch.device, what: str) -> None:
    """Refuse what does not fit into the device's memory, before the teacher has read for hours.

    Raises X2StaticError: with both numbers.
    """
    total = memory_of(device)
    if n_bytes > MOST_MEMORY * total:
        raise X2StaticError(
            f"{what} take {n_bytes / 1e9:,.1f} GB, and of the {total / 1e9:,.1f} GB of memory here "
            f"{MOST_MEMORY:.0%} are for them; make the vocabulary smaller with --max-vocab or --min-count"
        )


def memory_of(device: torch.device) -> int:
    """Return the bytes of memory that a device has."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
