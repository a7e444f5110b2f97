"""Sentence vectors of the teacher itself: the mean of its last layer over the pieces of each text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from x2static.durable.errors import X2StaticError
from x2static.machine.device import has_bfloat16, pick_device
from x2static.machine.progress import Progress, Report, silent
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import LAST, Precision
from x2static.stage1_encode.encoder import MAX_TOKENS, Encoder
from x2static.stage1_encode.plan.origin import Origin, find_teacher, recorded_config
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.teacher.lanes import count_lanes
from x2static.stage1_encode.teacher.teacher import Teacher
from x2static.stage1_encode.text.default import DefaultPreparer
from x2static.stage1_encode.text.segmentation import SentenceSplitter, default_words
from x2static.stage1_encode.text.windows import PreparedText, Window

TEXTS_AT_ONCE = 2048  # sorted by length together


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
        picked = teacher_precision(precision, where)
        files = TeacherFiles.find(model, revision)
        teacher = Teacher(files, picked, where, trust_remote_code)
        # What cuts sentences and words is never asked here, nor below: a text is one context.
        preparer = DefaultPreparer(
            teacher.tokenizer, SentenceSplitter("en"), default_words(), "sentence", teacher.window, 0, 0
        )
        encoder = Encoder(preparer, teacher, MAX_TOKENS[where.type], lanes=count_lanes(where))
        return cls(files, picked, encoder, trust_remote_code)

    @classmethod
    def of_cache(
        cls, cache: Cache, origin: Origin, precision: Precision | Literal["auto"] = "auto"
    ) -> "TeacherSentences":
        """Load the teacher that a cache was made with.

        Args:
            cache: the cache.
            origin: where the teacher is now.
            precision: number format; "auto" for the cache's.

        Raises:
            X2StaticError: it is not found, or what is found is another.
        """
        picked = cache.manifest.encoding.precision if precision == "auto" else precision
        plan = cache.plans()[0]
        encoder = find_teacher(cache, plan, origin, layer=LAST, precision=picked)
        config = recorded_config(cache, plan, **origin.changes())
        files = TeacherFiles.find(config.model, config.revision)
        return cls(files, picked, encoder, origin.trust_remote_code)

    @property
    def teacher(self) -> Teacher:
        """The loaded teacher."""
        return self.encoder.teacher

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.teacher.dim

    def windows(self, texts: Sequence[str]) -> list[Window]:
        """Return each text as the teacher reads it, its pieces behind the window cut off.

        The one span of each is its pieces, special tokens left out, with the text's number as context.
        """
        tokenizer, room = self.teacher.tokenizer, self.teacher.window - self.teacher.tokenizer.n_special
        begin = len(tokenizer.prefix)
        windows = []
        for number, (pieces, _) in enumerate(tokenizer.encode(list(texts))):
            read = tokenizer.with_special(pieces[:room])
            span = np.array([[number, begin, begin + min(len(pieces), room)]], np.int64)
            # Something has to be read; of a text without pieces nothing is averaged.
            windows.append(Window(read if len(read) else np.zeros(1, np.int64), span))
        return windows

    def encode(self, texts: Sequence[str], report: Report = silent) -> npt.NDArray[np.float32]:
        """Return the vector of each text, (len(texts), dim) float32; zeros for a text without pieces.

        Args:
            texts: any text; what is longer than the teacher's window is cut.
            report: hears of the progress.

        Raises:
            X2StaticError: the teacher's states are not finite, or the device has not the memory for one text.
        """
        vectors = np.zeros((len(texts), self.dim), np.float32)
        report(Progress(0, len(texts), "texts"))
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            part = texts[start : start + TEXTS_AT_ONCE]
            unit = PreparedText(windows=self.windows(part))
            for _ in part:
                unit.add_context([])
            encoded = self.encoder.encode([unit], f"texts from {start + 1} on")
            vectors[start : start + len(part)] = encoded.contexts()
            report(Progress(start + len(part), len(texts), "texts"))
        if not np.isfinite(vectors).all():
            raise X2StaticError(
                f"model {self.files.name}: its states are not finite; try --precision float32, and check its weights"
            )
        return vectors


def teacher_precision(asked: Precision | Literal["auto"], device: torch.device) -> Precision:
    """Return a teacher's number format; "auto" is bfloat16 where the device computes with it, else float32."""
    if asked != "auto":
        return asked
    return "bfloat16" if has_bfloat16(device) else "float32"
