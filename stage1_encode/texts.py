"""Texts and single words read by the teacher alone: one vector each."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Progress, Report, silent
from x2static.stage1_encode.encoder import Encoder
from x2static.stage1_encode.teacher.teacher import Teacher
from x2static.stage1_encode.text.windows import PreparedText, Window

TEXTS_AT_ONCE = 2048  # sorted by length together


def windows_of(teacher: Teacher, texts: Sequence[str], special: bool = False) -> list[Window]:
    """Return each text as the teacher reads it, cut at the window.

    The one span of each, of the context with the text's number, is its pieces, with `special` the special tokens, too.
    """
    tokenizer, room = teacher.tokenizer, teacher.window - teacher.tokenizer.n_special
    start, windows = len(tokenizer.prefix), []
    for number, (whole, _) in enumerate(tokenizer.encode(list(texts))):
        pieces = tokenizer.with_special(whole[:room])
        span = (0, len(pieces)) if special and len(whole) else (start, start + min(len(whole), room))
        # Something has to be read; of a text without pieces nothing is averaged.
        read = pieces if len(pieces) else np.zeros(1, np.int64)
        windows.append(Window(read, np.array([[number, *span]], np.int64)))
    return windows


def read_texts(
    encoder: Encoder, texts: Sequence[str], unit: str, report: Report = silent, special: bool = False
) -> npt.NDArray[np.float32]:
    """Return the mean of the teacher's layer over the span of each text, (n, dim) float32; zeros where it has no piece.

    `unit` is what the texts are called in progress and errors, in the plural. Raises X2StaticError: the states are not
    finite, or the device has not the memory for one text.
    """
    vectors = np.zeros((len(texts), encoder.teacher.dim), np.float32)
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        report(Progress(start, len(texts), unit))
        part = texts[start : start + TEXTS_AT_ONCE]
        prepared = PreparedText(windows=windows_of(encoder.teacher, part, special))
        for _ in part:
            prepared.add_context([])
        encoded = encoder.encode([prepared], f"{unit} from {start + 1} on")
        vectors[start : start + len(part)] = encoded.contexts()
    report(Progress(len(texts), len(texts), unit))
    if not np.isfinite(vectors).all():
        where = f"model {encoder.teacher.name}, {unit}"
        raise X2StaticError(f"{where}: the teacher's states are not finite; try --precision float32, check its weights")
    return vectors
