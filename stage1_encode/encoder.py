"""One unit through the teacher: text in, the content of a shard out."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch

from x2static.durable.errors import X2StaticError
from x2static.machine.device import ResultStream, Trimmer
from x2static.schemas.encoding import EncodeConfig, Precision
from x2static.schemas.segmentation import WordSegmentation
from x2static.schemas.shard import CONTEXTS
from x2static.stage1_encode.pools.contexts import Contexts, TakenContexts
from x2static.stage1_encode.pools.pool import Accumulator, Pool, Shape, States, Taken
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
    """A unit that the teacher has read, or is still reading on an accelerator."""

    words: UnitWords  # its words and contexts
    taken: dict[str, Taken]  # what each pool has of it, by the pool's name, on its way to the host
    n_read: int  # pieces that the teacher read, without padding
    n_padded: int  # the same, with padding

    def contexts(self) -> npt.NDArray[Any]:
        """Wait for the context vectors and return them, (n_contexts, dim), whatever they are."""
        taken = self.taken[CONTEXTS]
        if not isinstance(taken, TakenContexts):
            raise TypeError(f"{CONTEXTS} are {type(taken).__name__}")
        return taken.read()


@dataclass
class Encoder:
    """What turns the text of a unit into a shard."""

    preparer: Preparer  # cuts text into windows and words
    teacher: Teacher  # gives the states
    max_tokens: int  # pieces in a batch, padding included; halved where the device's memory runs out
    lanes: int = 1  # batches that are read at once

    def __post_init__(self) -> None:
        """Make the stream on which results leave the device; begin to count pieces, without and with padding."""
        self.results = ResultStream(self.teacher.device)
        self._lanes: Lanes[list[Window], Any] = Lanes(self.lanes)
        self._trimmer = Trimmer()
        self.n_tokens = self.n_padded = 0

    @property
    def shape(self) -> Shape:
        """What states the teacher gives."""
        return Shape(self.teacher.n_layers + 1, self.teacher.dim, self.teacher.device)

    def expect(self, n_bytes: int) -> None:
        """Take so much more memory, which is going to be held whatever the batches, for what is needed."""
        self._trimmer = Trimmer(n_bytes)

    def encode(self, portions: Iterable[PreparedText], unit: str, pools: Iterable[Pool] = (Contexts(),)) -> EncodedUnit:
        """Run the teacher over a unit and let pools take what they want.

        An accelerator may still be at it when this returns; `Taken.write` waits for it.

        Args:
            portions: of the unit, in corpus order; each is asked for when the teacher is about to need it.
            unit: the unit, for the error.
            pools: what is taken.

        Raises:
            X2StaticError: the device has not the memory for one window.
        """
        listed = list(pools)
        begun = {pool.name: pool.begin(self.shape) for pool in listed}
        n_read, n_padded = self.n_tokens, self.n_padded
        words = self.read(portions, unit, list(begun.values()), any(pool.all_layers for pool in listed))
        taken = {name: pool.end(self.results) for name, pool in begun.items()}
        return EncodedUnit(words, taken, self.n_tokens - n_read, self.n_padded - n_padded)

    def read(
        self, portions: Iterable[PreparedText], unit: str, accumulators: Sequence[Accumulator], all_layers: bool
    ) -> UnitWords:
        """Run the teacher over a unit, and give its states to accumulators; one unit is read at a time.

        Args:
            portions: of the unit, in corpus order.
            unit: the unit, for the error.
            accumulators: what hears of the states.
            all_layers: whether of those of every layer.

        Returns:
            The unit's words.

        Raises:
            X2StaticError: the device has not the memory for one window.
        """
        words = UnitWords()

        def begun() -> Iterator[PreparedText]:
            for text in portions:
                text.packed.spans[:, 0] += words.n_contexts  # they were counted from the portion's first
                for accumulator in accumulators:
                    accumulator.extend(text)
                words.add(text)
                yield text

        def take(batch: list[Window]) -> tuple[int, list[Any]]:
            if all_layers:
                layers = self.teacher.layers(batch)
                states = States(self.teacher.picked(layers), layers)
            else:
                states = States(self.teacher.states(batch))
            rows, width, _ = states.chosen.shape
            return rows * width, [accumulator.take(batch, states) for accumulator in accumulators]

        with closing(self._results(begun(), unit, take)) as results:
            for parts in results:
                for accumulator, part in zip(accumulators, parts, strict=True):
                    accumulator.add(part)
        return words

    def batches(self, portions: Iterable[PreparedText]) -> Iterator[list[list[Window]]]:
        """Yield the batches that each portion of a unit lets the teacher read, whatever else is still to come."""
        batches = Batches(self.teacher.window)
        for text in portions:
            yield batches.add(text.packed, text.last, self.max_tokens)
            if text.last:  # an error in reading on is not this unit's
                return

    def _results(
        self, portions: Iterable[PreparedText], unit: str, take: Callable[[list[Window]], tuple[int, list[Any]]]
    ) -> Generator[list[Any], None, None]:
        """Yield what is taken of each batch, in one order however many lanes there are.

        It is taken in the lane: the states themselves then go where they were made, before the lane's next batch.
        """
        if not self._lanes.idle:
            raise RuntimeError(f"{unit}: another unit is being read")
        lanes: Lanes[list[Window], tuple[int, list[Any]]] = self._lanes
        coming, waiting = self.batches(portions), deque[list[Window]]()
        with closing(lanes), shared_cores(self.lanes):
            while True:
                while lanes.has_room and _refilled(waiting, coming):
                    lanes.begin(take, waiting.popleft())
                if lanes.idle:
                    return
                batch, result = lanes.first()
                if isinstance(result.exception(), torch.OutOfMemoryError):
                    unread = [batch, *lanes.close(), *waiting]
                    del result  # with it goes what the attempt held
                    self._halve(batch, unit)
                    windows = [window for batch in unread for window in batch]
                    waiting = deque(cut(windows, self.max_tokens, self.teacher.window))
                    continue
                n_padded, parts = result.result()
                self.n_padded += n_padded
                self.n_tokens += sum(len(window.pieces) for window in batch)
                yield parts
                del result, parts
                self._trimmer.after_batch()

    def _halve(self, batch: list[Window], unit: str) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        longest = len(batch[0].pieces)
        if len(batch) == 1:
            raise X2StaticError(
                f"{unit}: the device's memory does not hold one window of {longest} pieces; choose --device cpu, or a "
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
        wanted: the words whose occurrences are looked at.

    Raises:
        X2StaticError: the teacher cannot be loaded, or does not hold what `--compat paper` reads at once.
    """
    log_words(config.compat, config.language)
    teacher = Teacher(files, precision, device, config.trust_remote_code, config.layer, config.compile)
    words = choose_words(config.compat, config.language)
    preparer = make_preparer(config, teacher, words, wanted)
    return Encoder(preparer, teacher, MAX_TOKENS[device.type], count_lanes(device))


def _refilled(waiting: deque[list[Window]], coming: Iterator[list[list[Window]]]) -> bool:
    """Let batches come until some wait; return whether there are any."""
    while not waiting and (more := next(coming, None)) is not None:
        waiting.extend(more)
    return bool(waiting)
