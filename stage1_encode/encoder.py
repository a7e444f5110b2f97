"""One unit through the teacher: text in, the content of a shard out."""

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from schemas.encoding import EncodeConfig, Precision
from schemas.errors import X2StaticError
from schemas.segmentation import WordSegmentation
from schemas.shard import ShardContent
from stage1_encode.compat import PaperPreparer
from stage1_encode.pooling import ContextMeans, by_length, first_batch
from stage1_encode.segmentation import SentenceSplitter, choose_words
from stage1_encode.teacher import Teacher, TeacherFiles
from stage1_encode.windows import PreparedUnit, Preparer, Window

# Pieces in a batch, padding included. On two cores 2,048 gave 20,200 pieces/s, 4,096 17,500 and 16,384 13,500
# (all-MiniLM-L6-v2, bfloat16; docs/LOG.md, 2026-11-21): larger batches fall out of the processor's cache.
MAX_TOKENS = {"cpu": 2048, "cuda": 65536}

logger = logging.getLogger(__name__)


def make_preparer(config: EncodeConfig, teacher: Teacher, words: WordSegmentation) -> Preparer | PaperPreparer:
    """Return what cuts text for a configuration and its teacher.

    Raises:
        X2StaticError: `--compat paper` reads more pieces at once than the teacher holds.
    """
    splitter = SentenceSplitter(config.language)
    if config.compat is None:
        return Preparer(
            teacher.tokenizer,
            splitter,
            words,
            config.context,
            teacher.window,
            config.min_sentences,
            config.min_characters,
        )
    preparer = PaperPreparer(teacher.tokenizer, splitter, config.context, config.min_sentences, config.min_characters)
    if preparer.window > teacher.window:
        raise X2StaticError(
            f"--compat paper reads {preparer.window} pieces at once, this teacher holds {teacher.window}; "
            "leave --compat out, or choose another teacher"
        )
    return preparer


@dataclass
class Encoder:
    """What turns the text of a unit into a shard.

    Attributes:
        preparer: cuts text into windows and words.
        teacher: gives the states.
        max_tokens: pieces in a batch, padding included; halved where the device's memory runs out.
    """

    preparer: Preparer | PaperPreparer
    teacher: Teacher
    max_tokens: int

    def encode(self, unit: PreparedUnit, what: str) -> ShardContent:
        """Run the teacher over a unit and average.

        Args:
            unit: the windows and words.
            what: the unit, for the error.

        Raises:
            X2StaticError: the teacher gave values that are not finite, or too large for float16, or the device has not
                the memory for one window.
        """
        means = ContextMeans(len(unit.words), self.teacher.dim, self.teacher.device)
        windows = by_length(unit.windows)
        start = 0
        while start < len(windows):
            batch = first_batch(windows, start, self.max_tokens)
            if self._add(means, batch):
                start += len(batch)
            else:
                self._halve(batch, what)
        contexts = means.means()
        if not np.isfinite(contexts).all():
            raise X2StaticError(
                f"{what}: the teacher's states are not finite; try --precision float32, and check the model's weights"
            )
        with np.errstate(over="ignore"):
            fits = np.isfinite(contexts.astype(np.float16)).all()
        if not fits:  # nor does int8, since all that is read back is float16
            raise X2StaticError(
                f"{what}: context vectors reach {np.abs(contexts).max():.3g}, beyond float16 (65504); "
                "this teacher's last layer needs another layer or a normalised model"
            )
        return _content(unit, contexts)  # in float32: how the shard stores them is the cache's matter

    def _add(self, means: ContextMeans, batch: list[Window]) -> bool:
        """Add a batch; return False where the device's memory ran out, what the attempt held being freed by then."""
        try:
            states = self.teacher.states(batch)
        except torch.OutOfMemoryError:
            return False
        means.add(batch, states)
        return True

    def _halve(self, batch: list[Window], what: str) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        longest = len(batch[0].pieces)
        if len(batch) == 1:
            raise X2StaticError(
                f"{what}: the device's memory does not hold one window of {longest} pieces; choose --device cpu, or a "
                "smaller teacher"
            )
        self.max_tokens = max(longest, len(batch) * longest // 2)
        logger.warning("out of memory on the device: going on with batches of %d pieces", self.max_tokens)


def load_encoder(config: EncodeConfig, files: TeacherFiles, precision: Precision, device: torch.device) -> Encoder:
    """Load the teacher, and put what cuts text before it.

    Raises:
        X2StaticError: the teacher cannot be loaded, or does not hold what `--compat paper` reads at once.
    """
    teacher = Teacher(files, precision, device, config.trust_remote_code)
    return Encoder(make_preparer(config, teacher, choose_words(config.compat)), teacher, MAX_TOKENS[device.type])


def _content(unit: PreparedUnit, contexts: npt.NDArray[np.floating]) -> ShardContent:
    lexicon: dict[str, int] = {}
    ids = [lexicon.setdefault(word, len(lexicon)) for words in unit.words for word in words]
    word_ids = np.array(ids, np.int32)
    return ShardContent(
        contexts=contexts,
        paragraphs=np.array(unit.paragraphs, np.int32),
        word_offsets=np.concatenate([[0], np.cumsum([len(words) for words in unit.words])]).astype(np.int32),
        word_ids=word_ids,
        lexicon=list(lexicon),
        counts=np.bincount(word_ids, minlength=len(lexicon)).astype(np.int64),
        n_paragraphs=unit.n_paragraphs,
        n_tokens=sum(len(window.pieces) for window in unit.windows),
    )
