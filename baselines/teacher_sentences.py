"""Sentence vectors of the teacher itself: the mean of a layer over the pieces of each text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.machine.device import pick_device
from x2static.machine.progress import Progress, Report, silent
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import LAST, Precision
from x2static.stage1_encode.encoder import Encoder
from x2static.stage1_encode.plan.origin import Origin, find_teacher, recorded_config
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.teacher.teacher import Teacher, pick_precision
from x2static.stage1_encode.text.default import DefaultPreparer
from x2static.stage1_encode.text.segmentation import SentenceSplitter, default_words
from x2static.stage1_encode.text.windows import PreparedText, Window

TEXTS_AT_ONCE = 2048  # sorted by length together


def windows_of(teacher: Teacher, texts: Sequence[str], special: bool = False) -> list[Window]:
    """Return each text as the teacher reads it, its pieces behind the window cut off.

    The one span of each is its pieces, and with `special` the special tokens around them; its context is the text's
    number.
    """
    room = teacher.window - teacher.tokenizer.n_special
    windows = []
    for number, (pieces, _) in enumerate(teacher.tokenizer.encode(list(texts))):
        pieces = teacher.tokenizer.with_special(text_pieces := pieces[:room])
        start, stop = len(teacher.tokenizer.prefix), len(teacher.tokenizer.prefix) + len(text_pieces)
        if special and len(text_pieces):
            start, stop = 0, len(pieces)
        # Something has to be read; of a text without pieces nothing is averaged.
        windows.append(Window(pieces if len(pieces) else np.zeros(1, np.int64), np.array([[number, start, stop]])))
    return windows


def read_texts(
    encoder: Encoder, texts: Sequence[str], unit: str, report: Report = silent, special: bool = False
) -> npt.NDArray[np.float32]:
    """Return the mean of the teacher's layer over the span of each text, (len(texts), dim) float32.

    Zeros for a text without pieces. `unit` is what the texts are called in progress and errors, in the plural. Raises
    X2StaticError: the states are not finite, or the device has not the memory for one text.
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
        raise X2StaticError(f"{unit}: the teacher's states are not finite; try --precision float32, check its weights")
    return vectors


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
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> "TeacherSentences":
        """Load a teacher.

        The model is a folder, "demo", or an id on the hub, of which `revision` is a commit, tag or branch. "auto" is
        bfloat16 where the device computes with it, else float32. Raises X2StaticError: the teacher is not there or
        cannot be loaded, or there is no such device.
        """
        where = pick_device(device)
        precision, _ = pick_precision(precision, None, where)
        files = TeacherFiles.find(model, revision)
        teacher = Teacher(files, precision, where, trust_remote_code)
        # What cuts sentences and words has nothing to do here: a text is one context.
        words = default_words()
        preparer = DefaultPreparer(teacher.tokenizer, SentenceSplitter("en"), words, "sentence", teacher.window, 0, 0)
        encoder = Encoder(preparer, teacher)
        return cls(files, precision, encoder, trust_remote_code)

    @classmethod
    def of_cache(
        cls, cache: Cache, origin: Origin, precision: Precision | Literal["auto"] = "auto"
    ) -> "TeacherSentences":
        """Load the teacher that a cache was made with, from where it is now; "auto" is the cache's precision.

        Raises X2StaticError: it is not found, or what is found is another.
        """
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
        """Return the vector of each text, (len(texts), dim) float32; zeros for a text without pieces.

        What is longer than the teacher's window is cut. Raises X2StaticError: the teacher's states are not finite, or
        the device has not the memory for one text.
        """
        return read_texts(self.encoder, texts, "texts", report)
