"""One unit through the teacher: text in, the content of a shard out."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from x2static.durable.errors import X2StaticError
from x2static.machine.device import Fetched, ResultStream
from x2static.machine.heap import Trimmer
from x2static.schemas.aggregated import WordSums
from x2static.schemas.encoding import EncodeConfig, Precision
from x2static.schemas.segmentation import WordSegmentation
from x2static.schemas.shard import ShardContent
from x2static.stage1_encode.pools.aggregation import FetchedSums, LayerSums
from x2static.stage1_encode.pools.pooling import BatchSums, ContextMeans, add_up
from x2static.stage1_encode.teacher.batches import Batches, cut
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.teacher.lanes import Lanes, count_lanes, shared_cores
from x2static.stage1_encode.teacher.teacher import Teacher
from x2static.stage1_encode.text.default import DefaultPreparer
from x2static.stage1_encode.text.paper import PaperPreparer
from x2static.stage1_encode.text.segmentation import SentenceSplitter, choose_words, log_words
from x2static.stage1_encode.text.windows import PreparedText, Preparer, UnitWords, Window

# Pieces in a batch, padding included. On two cores 2,048 gave 20,200 pieces/s, 4,096 17,500 and 16,384 13,500
# (all-MiniLM-L6-v2, bfloat16; docs/LOG.md, 2026-11-21): larger batches fall out of the processor's cache.
MAX_TOKENS = {"cpu": 2048, "cuda": 65536}

States = tuple[torch.Tensor, ...]  # of a batch, of each layer that is asked for
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


def make_preparer(config: EncodeConfig, teacher: Teacher, words: WordSegmentation, wanted: Sequence[str]) -> Preparer:
    """Return what cuts text for a configuration and its teacher.

    Args:
        config: what is asked for.
        teacher: gives the tokenizer and the window.
        words: the word segmentation rules.
        wanted: the words whose contextual vectors are added up.

    Raises:
        X2StaticError: `--compat paper` reads more pieces at once than the teacher holds, or special tokens that it has
            no embeddings for.
    """
    splitter = SentenceSplitter(config.language)
    if config.compat is None:
        return DefaultPreparer(
            teacher.tokenizer,
            splitter,
            words,
            config.context,
            teacher.window,
            config.min_sentences,
            config.min_characters,
            {word: number for number, word in enumerate(wanted)},
        )
    teacher.check_ids(parse_special=True)
    preparer = PaperPreparer(teacher.tokenizer, splitter, config.context, config.min_sentences, config.min_characters)
    if preparer.window > teacher.window:
        raise X2StaticError(
            f"--compat paper reads {preparer.window} pieces at once, this teacher holds {teacher.window}; "
            "leave --compat out, or choose another teacher"
        )
    return preparer


@dataclass(frozen=True)
class EncodedUnit:
    """A unit that the teacher has read, or is still reading on an accelerator.

    Attributes:
        words: its words and contexts.
        what: its name, for the error.
        contexts: the context vectors, (n_contexts, dim), on their way.
        largest: their largest magnitude, () float32, on its way; NaN if one of them is.
        layer_sums: the sums of the words that are added up, on their way; None where there are none.
    """

    words: UnitWords
    what: str
    contexts: Fetched
    largest: Fetched
    layer_sums: FetchedSums | None

    def content(self) -> ShardContent:
        """Wait for the context vectors and return the content of the unit's shard.

        Raises:
            X2StaticError: the teacher gave values that are not finite, or too large for float16.
        """
        largest = float(self.largest.numpy())
        if not np.isfinite(largest):
            raise X2StaticError(
                f"{self.what}: the teacher's states are not finite; try --precision float32, and check the model's "
                "weights"
            )
        with np.errstate(over="ignore"):
            fits = np.isfinite(np.float16(largest))
        if not fits:  # nor does int8, since all that is read back is float16
            raise X2StaticError(
                f"{self.what}: context vectors reach {largest:.3g}, beyond float16 (65504); "
                "choose another layer (--layer), or a normalised model"
            )
        return self.words.content(self.contexts.numpy())

    def word_sums(self) -> WordSums | None:
        """Wait for the sums of the words that are added up; None where there are none.

        Raises:
            X2StaticError: a layer gave values that are not finite.
        """
        if self.layer_sums is None:
            return None
        found = self.layer_sums.read()
        if not np.isfinite(_largest(found.sums)):
            raise X2StaticError(f"{self.what}: a layer's states are not finite; try --precision float32")
        return found


@dataclass
class Encoder:
    """What turns the text of a unit into a shard.

    Attributes:
        preparer: cuts text into windows and words.
        teacher: gives the states.
        max_tokens: pieces in a batch, padding included; halved where the device's memory runs out.
        n_wanted: words whose contextual vectors are added up at every layer.
        lanes: batches that are read at once.
    """

    preparer: Preparer
    teacher: Teacher
    max_tokens: int
    n_wanted: int = 0
    lanes: int = 1

    def __post_init__(self) -> None:
        """Make the stream on which results leave the device; begin to count pieces, without and with padding."""
        self.results = ResultStream(self.teacher.device)
        self._lanes: Lanes[list[Window], Any] = Lanes(self.lanes)
        # The sums of two units: one is written while the next one is read.
        self._trimmer = Trimmer(2 * self._layer_sums(torch.device("meta")).n_bytes if self.n_wanted else 0)
        self.n_tokens = self.n_padded = 0

    def encode(self, portions: Iterable[PreparedText], what: str, dtype: torch.dtype = torch.float32) -> EncodedUnit:
        """Run the teacher over a unit and average.

        An accelerator may still be at it when this returns; `EncodedUnit.content` waits for it.

        Args:
            portions: of the unit, in corpus order; each is asked for when the teacher is about to need it.
            what: the unit, for the error.
            dtype: in which the context vectors are kept.

        Raises:
            X2StaticError: the device has not the memory for one window.
        """
        words, means = UnitWords(), ContextMeans(self.teacher.dim, self.teacher.device, dtype)
        layer_sums = self._layer_sums(self.teacher.device) if self.n_wanted else None

        def taken_in() -> Iterator[PreparedText]:
            for text in portions:
                spans = text.packed.spans
                spans[:, 0] += words.n_contexts  # they were counted from the portion's first
                means.extend(spans, text.n_contexts)
                words.add(text)
                yield text

        def averaged(batch: list[Window], states: States) -> tuple[BatchSums, States]:
            if layer_sums is None:
                return add_up(batch, states[0]), ()
            return add_up(batch, self.teacher.picked(states)), states

        with closing(self._results(taken_in(), what, averaged)) as results:
            for batch, (sums, states) in results:
                means.add(sums)
                if layer_sums:
                    layer_sums.add(batch, states)
        means.finish()
        return EncodedUnit(
            words,
            what,
            self.results.fetch(means.means),
            self.results.fetch(means.largest),
            layer_sums.fetch(self.results) if layer_sums else None,
        )

    def read(self, portions: Iterable[PreparedText], what: str) -> Generator[tuple[list[Window], States], None, None]:
        """Run the teacher over a unit and yield its batches with their states.

        Close it when it is left early; one unit is read at a time.

        Args:
            portions: of the unit, in corpus order.
            what: the unit, for the error.

        Yields:
            A batch, its longest window first, and its states, (len(batch), width, dim) each: of every layer where there
            are words whose vectors are added up, otherwise of the one layer.

        Raises:
            X2StaticError: the device has not the memory for one window.
        """
        return self._results(portions, what, lambda _, states: states)

    def _layer_sums(self, device: torch.device) -> LayerSums:
        return LayerSums(self.teacher.n_layers + 1, self.n_wanted, self.teacher.dim, device)

    def batches(self, portions: Iterable[PreparedText]) -> Iterator[list[list[Window]]]:
        """Yield the batches that each portion of a unit lets the teacher read, whatever else is still to come."""
        batches = Batches(self.teacher.window)
        for text in portions:
            yield batches.add(text.packed, text.last, self.max_tokens)
            if text.last:  # an error in reading on is not this unit's
                return

    def _results(
        self, portions: Iterable[PreparedText], what: str, take: Callable[[list[Window], States], Result]
    ) -> Generator[tuple[list[Window], Result], None, None]:
        """Yield batches and what is taken of their states, in one order however many lanes there are.

        It is taken in the lane: the states themselves then go where they were made, before the lane's next batch.
        """
        if not self._lanes.idle:
            raise RuntimeError(f"{what}: another unit is being read")

        def read(batch: list[Window]) -> tuple[int, Result]:
            states = self.teacher.layers(batch) if self.n_wanted else (self.teacher.states(batch),)
            return states[0].shape[0] * states[0].shape[1], take(batch, states)

        lanes: Lanes[list[Window], tuple[int, Result]] = self._lanes
        coming, waiting = self.batches(portions), deque[list[Window]]()
        with closing(lanes), shared_cores(self.lanes):
            while True:
                while lanes.has_room and _refilled(waiting, coming):
                    lanes.begin(read, waiting.popleft())
                if lanes.idle:
                    return
                batch, result = lanes.first()
                if isinstance(result.exception(), torch.OutOfMemoryError):
                    unread = [batch, *lanes.close(), *waiting]
                    del result  # with it goes what the attempt held
                    self._halve(batch, what)
                    windows = [window for batch in unread for window in batch]
                    waiting = deque(cut(windows, self.max_tokens, self.teacher.window))
                    continue
                n_padded, found = result.result()
                self.n_padded += n_padded
                self.n_tokens += sum(len(window.pieces) for window in batch)
                yield batch, found
                del result, found
                self._trimmer.after_batch()

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


def load_encoder(
    config: EncodeConfig, files: TeacherFiles, precision: Precision, device: torch.device, wanted: Sequence[str] = ()
) -> Encoder:
    """Load the teacher, and put what cuts text before it.

    Args:
        config: what is asked for.
        files: the teacher's.
        precision: number format of the teacher.
        device: where it runs.
        wanted: the words whose contextual vectors are added up.

    Raises:
        X2StaticError: the teacher cannot be loaded, or does not hold what `--compat paper` reads at once.
    """
    log_words(config.compat, config.language)
    teacher = Teacher(files, precision, device, config.trust_remote_code, config.layer, config.compile)
    words = choose_words(config.compat, config.language)
    preparer = make_preparer(config, teacher, words, wanted)
    return Encoder(preparer, teacher, MAX_TOKENS[device.type], len(wanted), count_lanes(device))


def _refilled(waiting: deque[list[Window]], coming: Iterator[list[list[Window]]]) -> bool:
    """Let batches come until some wait; return whether there are any."""
    while not waiting and (more := next(coming, None)) is not None:
        waiting.extend(more)
    return bool(waiting)


def _largest(values: npt.NDArray[np.floating]) -> float:
    """Return the largest magnitude, NaN where one is NaN and 0 where there are none, without a copy of the values."""
    return float(np.maximum(values.max(initial=0), -values.min(initial=0)))
